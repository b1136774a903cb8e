"""What one training step costs: user + system CPU seconds, page faults and peak memory of each stage.

Usage: `python benchmarks/step_cost.py [--backbone mit_b0] [--size 512] [--options '{"channels_last": true}']`. HRDA
with a DAFormer head, UAWarpC with random weights, as many source as target and reference images (`--pairs`), the
optimiser's step included; the first step is not counted. Prints JSON.

Ours and the plain baseline (`plain_step.py`) take turns, each step in a process of its own, since machines are noisy;
with `--against SRC` the sources of another checkout are the baseline. `ratio` is ours over it, of the medians.
"""

import argparse
import importlib.util
import inspect
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The mean cost of a step in this process."""
    from dsrnss.adaptation.alignment import UAWarpCAligner
    from dsrnss.adaptation.prototypes import PrototypeConfig
    from dsrnss.adaptation.teacher import SelfTrainingConfig
    from dsrnss.models.config import NetworkConfig
    from dsrnss.training.schedule import build_optimizer
    from dsrnss.training.task import AdaptationTask

    torch.manual_seed(0)
    # a checkout to compare with may be older, and know no other than the default
    teacher = SelfTrainingConfig(**({} if args.teacher == "overlapping" else {"teacher_detail": args.teacher}))
    task = AdaptationTask(
        NetworkConfig(args.backbone, "daformer", hrda=True),
        aligner=UAWarpCAligner("random", "random"),
        prototypes=PrototypeConfig(start_epoch=None),
        seed=0,
        self_training=teacher,
        **args.options,
    )
    task.train()
    method, stages, plain = task.method, _stages(), args.variant == "plain"
    backward: Callable[[dict[str, torch.Tensor]], None] = _backward
    if plain:
        import plain_step

        for network in (task.student, method.teacher, method.reference):
            if isinstance(network, nn.Module):
                plain_step.make_plain(network)
        backward = plain_step.backward
    else:
        keep_freed_memory(largest_too=False)
    optimizer, _ = build_optimizer(task.student, task.optimizer_config, task.schedule_config)
    size, pairs = args.size, args.pairs
    images = [torch.randn(pairs, 3, size, size) for _ in range(3)]
    label = torch.randint(0, 19, (pairs, size // 32, size // 32)).repeat_interleave(32, 1).repeat_interleave(32, 2)
    batch = {"source": {"image": images[0], "label": label}, "target": {"image": images[1], "reference": images[2]}}

    def step(number: int) -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            losses, _ = method.losses(task.student, batch, number)
            total = torch.stack(list(losses.values())).sum()
        with stages.of("backward"):
            backward(losses)
        with stages.of("optimiser"):
            optimizer.step()
        return float(total.detach())

    step(0)
    method.teacher.forward = stages.wrapped("teacher", method.teacher.forward)  # type: ignore[method-assign]
    method.student_passes = stages.wrapped("student", method.student_passes)  # type: ignore[method-assign]
    method.aligner = stages.wrapped("alignment", method.aligner)  # type: ignore[arg-type,assignment]
    stages.forget()
    for number in range(1, args.steps + 1):
        with stages.of("step"):
            loss = step(number)
    kept = ("cpu_s", "system_s", "faults")
    costs = {
        name: {**{key: cost[key] for key in kept}, "peak_gib": cost["peak_bytes"] / 2**30}
        for name, cost in stages.costs(args.steps).items()
    }
    return {"loss": loss, "stages": costs}


def keep_freed_memory(**options: bool) -> None:
    """As the commands do on a CPU; a checkout to compare with may have it elsewhere, without options or not at all."""
    for name in ("dsrnss.allocator", "dsrnss.training.allocator"):
        if importlib.util.find_spec(name):
            keep = importlib.import_module(name).keep_freed_memory
            keep(**{key: value for key, value in options.items() if key in inspect.signature(keep).parameters})
            return


def _stages() -> Any:
    """The stages of this checkout: one to compare with may be older, and have none."""
    path = Path(__file__).parents[1] / "src" / "dsrnss" / "measuring" / "stages.py"
    spec = importlib.util.spec_from_file_location("stages", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Stages(module.HostGauge())


def _backward(losses: dict[str, torch.Tensor]) -> None:
    torch.stack(list(losses.values())).sum().backward()


def compare(variants: dict[str, tuple[str, str]], rounds: int, arguments: list[str]) -> dict[str, Any]:
    """Measure variants in turn.

    Args:
        variants: Name -> the folder of its sources and what `--variant` is.
        rounds: How often each is measured.
        arguments: Of all.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(rounds):
        for name, (source, variant) in variants.items():
            words = [sys.executable, __file__, *arguments, "--variant", variant]
            done = subprocess.run(words, env=os.environ | {"PYTHONPATH": source}, stdout=subprocess.PIPE, check=True)
            found[name].append(json.loads(done.stdout))
            print(name, json.dumps(found[name][-1]["stages"]["step"]), file=sys.stderr, flush=True)
    result: dict[str, Any] = {name: _medians(runs) for name, runs in found.items()}
    base, ours = (result[name]["stages"] for name in variants)
    ratio = {
        stage: {key: round(ours[stage][key] / base[stage][key], 3) for key in ("cpu_s", "peak_gib")} for stage in ours
    }
    return {"arguments": " ".join(arguments), **result, "ratio": ratio}


def _medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    first = runs[0]["stages"]
    stages = {
        stage: {key: round(statistics.median(run["stages"][stage][key] for run in runs), 3) for key in cost}
        for stage, cost in first.items()
    }
    return {"loss": runs[-1]["loss"], "stages": stages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mit_b0")
    parser.add_argument("--size", type=int, default=512, help="side of the crops")
    parser.add_argument("--pairs", type=int, default=2, help="source images, target images and references")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="under autocast")
    parser.add_argument("--teacher", default="overlapping", help="self_training.teacher_detail")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={}, help="more of AdaptationTask's options, as JSON")
    parser.add_argument("--against", metavar="SRC", help="the src folder of the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--variant", choices=("ours", "plain"), help="measure this one alone, once")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.variant is not None:
        print(json.dumps(measure(args)))
        return
    same = ["--backbone", args.backbone, "--size", str(args.size), "--steps", str(args.steps)]
    same += ["--pairs", str(args.pairs), "--threads", str(args.threads), "--options", json.dumps(args.options)]
    same += ["--teacher", args.teacher, *["--bf16"] * args.bf16]
    source = str(Path(__file__).parents[1] / "src")
    base = {"plain": (source, "plain")} if args.against is None else {"against": (args.against, "ours")}
    print(json.dumps(compare({**base, "ours": (source, "ours")}, args.rounds, same), indent=1))


if __name__ == "__main__":
    main()
