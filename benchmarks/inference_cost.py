"""What inference of a large picture costs: user + system CPU seconds and the peak of memory, against a plain baseline.

    python benchmarks/inference_cost.py                          # HRDA on MiT-B5, 1080 x 1920, windows 1080, stride 420
    python benchmarks/inference_cost.py --backbone mit_b0 --size 540 960 --window 540 --stride 210

Ours and the baseline (`plain_inference.py`) take turns, each in a process of its own; `--against SRC` takes the sources
of another checkout instead of the baseline. Prints JSON: medians, `ratio` (ours over the baseline; the peak has Python
and torch in it), and how far the numbers agree.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from step_cost import keep_freed_memory


def measure(args: argparse.Namespace) -> dict[str, float]:
    """What one picture costs in this process; the logits go to a file."""
    from dsrnss.models.config import NetworkConfig
    from dsrnss.models.factory import build_segmentor

    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(args.backbone, args.head, hrda=args.hrda)).eval()
    for norm in network.modules():  # a trained network's statistics are not those that it begins with
        if isinstance(norm, torch.nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
    if args.variant == "ours":
        keep_freed_memory()
    images, window, stride = torch.randn(1, 3, *args.size), (args.window,) * 2, (args.stride,) * 2
    before = resource.getrusage(resource.RUSAGE_SELF)
    reduced = torch.autocast("cpu", torch.bfloat16, enabled=args.bf16 and args.variant == "ours")
    with torch.inference_mode(), reduced:
        if args.variant == "plain":
            import plain_inference

            plain_inference.make_plain(network)
            logits = plain_inference.predict(network, images, window, stride, args.views)
        else:
            logits = network.predict(images, "slide", window, stride)
    after = resource.getrusage(resource.RUSAGE_SELF)
    torch.save(logits, args.logits)
    system = after.ru_stime - before.ru_stime
    cpu = after.ru_utime - before.ru_utime + system
    return {"cpu_s": cpu, "system_s": system, "peak_gib": after.ru_maxrss / 2**20}


def compare(args: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """Measure both in turn."""
    source = str(Path(__file__).parents[1] / "src")
    variants = {"plain": (source, "plain"), "ours": (source, "ours")}
    if args.against is not None:
        variants = {"against": (args.against, "ours"), "ours": (source, "ours")}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.pt" for name in variants}
        for _ in range(args.rounds):
            for name, (path, variant) in variants.items():
                words = [sys.executable, __file__, *arguments, "--variant", variant, "--logits", str(files[name])]
                done = subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, check=True)
                found[name].append(json.loads(done.stdout))
                print(name, json.dumps(found[name][-1]), file=sys.stderr, flush=True)
        base, ours = (torch.load(file) for file in files.values())
    costs = {
        name: {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
        for name, runs in found.items()
    }
    first, second = costs.values()
    return {
        "arguments": " ".join(arguments),
        **costs,
        "ratio": {key: round(second[key] / first[key], 3) for key in ("cpu_s", "peak_gib")},
        "same_class": (base.argmax(1) == ours.argmax(1)).float().mean().item(),
        "difference": ((base - ours).abs().max() / base.abs().max()).item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mit_b5")
    parser.add_argument("--head", default="daformer")
    parser.add_argument("--hrda", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--size", type=int, nargs=2, default=[1080, 1920], metavar=("H", "W"))
    parser.add_argument("--window", type=int, default=1080)
    parser.add_argument("--stride", type=int, default=420)
    parser.add_argument("--views", type=int, default=10, help="of a window at once, by the baseline; 10 take 13 GB")
    parser.add_argument("--bf16", action="store_true", help="ours under autocast")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--against", metavar="SRC", help="the src folder of the checkout to compare with")
    parser.add_argument("--variant", choices=("ours", "plain"), help="measure this one alone, once")
    parser.add_argument("--logits", type=Path, default=os.devnull, help="where its logits go")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.variant is not None:
        print(json.dumps(measure(args)))
        return
    same = ["--backbone", args.backbone, "--head", args.head, "--hrda" if args.hrda else "--no-hrda"]
    same += ["--size", *map(str, args.size), "--window", str(args.window), "--stride", str(args.stride)]
    same += ["--threads", str(args.threads), "--views", str(args.views), *(["--bf16"] if args.bf16 else [])]
    print(json.dumps(compare(args, same), indent=1))


if __name__ == "__main__":
    main()
