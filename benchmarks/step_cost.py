"""What one training step costs: user + system CPU seconds and peak memory, the optimiser's step included.

Usage: `python benchmarks/step_cost.py [--backbone mit_b0] [--size 512] [--options '{"channels_last": true}']`. HRDA
with a DAFormer head, UAWarpC with random weights, 2 source + 2 target + 2 reference images; the first step is
not counted.

With `--against SRC` the sources of another checkout take turns with these, each step in a process of its own, since
machines are noisy; the last line is the ratio.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch


def measure(backbone: str, size: int, steps: int, bf16: bool, options: dict[str, object]) -> dict[str, float]:
    """The mean cost of a step in this process."""
    from dsrnss.adaptation.alignment import UAWarpCAligner
    from dsrnss.adaptation.prototypes import PrototypeConfig
    from dsrnss.models.config import NetworkConfig
    from dsrnss.training.schedule import build_optimizer
    from dsrnss.training.task import AdaptationTask

    torch.manual_seed(0)
    task = AdaptationTask(
        NetworkConfig(backbone, "daformer", hrda=True),
        aligner=UAWarpCAligner("random", "random"),
        prototypes=PrototypeConfig(start_epoch=None),
        seed=0,
        **options,  # type: ignore[arg-type]
    )
    task.train()
    optimizer, _ = build_optimizer(task.student, task.optimizer_config, task.schedule_config)
    images = [torch.randn(2, 3, size, size) for _ in range(3)]
    label = torch.randint(0, 19, (2, size // 32, size // 32)).repeat_interleave(32, 1).repeat_interleave(32, 2)
    batch = {"source": {"image": images[0], "label": label}, "target": {"image": images[1], "reference": images[2]}}

    def step(number: int) -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses, _ = task.method.losses(task.student, batch, number)
            total = torch.stack(list(losses.values())).sum()
        total.backward()
        optimizer.step()
        return float(total.detach())

    step(0)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    loss = [step(number) for number in range(1, steps + 1)][-1]
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / steps,
        "system_s": (after.ru_stime - before.ru_stime) / steps,
        "wall_s": wall / steps,
        "faults": (after.ru_minflt - before.ru_minflt) / steps,
        "peak_gib": after.ru_maxrss / 2**20,
        "loss": loss,
    }


def compare(sources: list[str], rounds: int, arguments: list[str]) -> None:
    """Measure each of some sources in turn, and print the ratio of the last to the first."""
    cpu: dict[str, list[float]] = {source: [] for source in sources}
    for _ in range(rounds):
        for source in sources:
            words = [sys.executable, __file__, *arguments]
            done = subprocess.run(words, env=os.environ | {"PYTHONPATH": source}, capture_output=True, check=True)
            found = json.loads(done.stdout)
            cpu[source].append(found["cpu_s"])
            print(source, json.dumps(found), flush=True)
    first, last = (statistics.median(cpu[source]) for source in (sources[0], sources[-1]))
    print(f"CPU seconds: {last:.1f} / {first:.1f} = {last / first:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mit_b0")
    parser.add_argument("--size", type=int, default=512, help="side of the crops")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="under autocast")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={}, help="more of AdaptationTask's options, as JSON")
    parser.add_argument("--against", metavar="SRC", help="the src folder of the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.against is None:
        print(json.dumps(measure(args.backbone, args.size, args.steps, args.bf16, args.options)))
        return
    same = ["--backbone", args.backbone, "--size", str(args.size), "--steps", str(args.steps)]
    same += ["--threads", str(args.threads), "--options", json.dumps(args.options)]
    same += ["--bf16"] if args.bf16 else []
    compare([args.against, str(Path(__file__).parents[1] / "src")], args.rounds, same)


if __name__ == "__main__":
    main()
