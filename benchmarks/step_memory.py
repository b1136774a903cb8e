"""Which memory a training step needs, counted on tensors without values: no GPU, no weights, no data sets.

    python benchmarks/step_memory.py fits [NAME]         which shipped experiment fits 8, 11, 16, 24, 48 and 80 GB
    python benchmarks/step_memory.py grows               how operations and memory grow with crop, backbone and pairs
    python benchmarks/step_memory.py check [KEY=VALUE]   counted against measured on the CPU

A step fits where what is counted, a tenth more and 1 GiB for the context, kernels and data is below the GPU's memory.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from dsrnss.experiment.measured import build_counted, build_measured
from dsrnss.measuring import training
from dsrnss.measuring.made_up import training_batch

FOLDER = "cityscapes_darkzurich"
NETWORKS = ("refinenet", "deeplabv2", "daformer", "hrda", "dinov2_s", "dinov2_b", "dinov2_l")
SIZES = (8, 11, 16, 24, 48, 80)
SHARE, FIXED = 1.1, 1.0
HALF, RECOMPUTE, TILES = (
    "--trainer.precision=16",
    "--model.recompute_backbone=true",
    "--model.self_training.teacher_detail=tiles",
)
GIB = 2**30
HRDA = f"{FOLDER}/dsrnss_hrda.yaml"
RESTING, CHECKED = "teacher's average", ("teacher", "student", "backward")


def counted(experiment: str, *options: str) -> tuple[float, float]:
    """GiB at the peak of a step, and its operations in 10^12."""
    cli = build_counted([f"{FOLDER}/dsrnss_{experiment}.yaml"], options)
    found = training.count(cli.model, cli.trainer, training_batch(cli.datamodule), cli.precision)
    cost = found.stages[training.STEP_STAGE]
    del cli
    gc.collect()
    return cost["peak_bytes"] / GIB, cost["operations"] / 1e12


def batch_of(number: int) -> list[str]:
    return [f"--data.{domain}_batch_size={number}" for domain in ("source", "target")]


def variants(experiment: str) -> Iterator[tuple[str, list[str]]]:
    """Ways to train an experiment, from the shipped one to the smallest."""
    yield "32 bits", ["--trainer.precision=32-true"]
    yield "16 bits", [HALF]
    less, words = [HALF], "16 bits"
    if experiment not in ("refinenet", "deeplabv2"):  # batch norms in the backbone
        less, words = [*less, RECOMPUTE], f"{words}, recomputed"
        yield words, less
    if experiment == "hrda":
        less, words = [*less, TILES], f"{words}, tiles"
        yield words, less
    yield f"{words}, 1 + 1", [*less, *batch_of(1)]
    yield f"{words}, crops of 512", [*less, "--data.crop_size=[512,512]"]
    yield f"{words}, crops of 512, 1 + 1", [*less, "--data.crop_size=[512,512]", *batch_of(1)]


def fits(experiments: Sequence[str]) -> None:
    found: dict[str, list[tuple[str, float]]] = {}
    print("| experiment | how | counted GiB | takes GB |\n|---|---|---|---|", flush=True)
    for experiment in experiments:
        for how, options in variants(experiment):
            peak, _ = counted(experiment, *options)
            needs = SHARE * peak + FIXED
            found.setdefault(experiment, []).append((how, needs))
            print(f"| {experiment} | {how} | {peak:.1f} | {needs:.1f} |", flush=True)
            if needs < SIZES[0]:
                break
    print(f"\n| experiment | {' | '.join(f'{size} GB' for size in SIZES)} |\n|---{'|---' * len(SIZES)}|")
    for experiment, ways in found.items():
        cells = [next((how for how, needs in ways if needs < size), "no") for size in SIZES]
        print(f"| {experiment} | {' | '.join(cells)} |")


def grows() -> None:
    small = "--data.crop_size=[512,512]"
    rows: list[tuple[str, list[str]]] = [
        *((f"crops of {side}", [f"--data.crop_size=[{side},{side}]"]) for side in (256, 512, 768, 1024)),
        *((f"mit_b{n}, crops of 512", [f"--model.network.backbone=mit_b{n}", small]) for n in (0, 1, 2, 3)),
        *((f"{n} + {n} images, crops of 512", [*batch_of(n), small]) for n in (1, 4)),
    ]
    print("| HRDA, MiT-B5, 2 + 2 images | 10^12 operations | GiB |\n|---|---|---|", flush=True)
    for name, options in rows:
        peak, operations = counted("hrda", *options)
        print(f"| {name} | {operations:.1f} | {peak:.1f} |", flush=True)


def growth(stages: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """GiB that stages take beyond what lies there between two steps."""
    rest = stages[RESTING]["peak_bytes"]
    return {name: (stages[name]["peak_bytes"] - rest) / GIB for name in CHECKED}


def measured(options: Sequence[str]) -> dict[str, float]:
    """What stages take in this process."""
    cli = build_measured([HRDA], options)
    batches, _ = training.batches(cli.datamodule, made_up=True)
    return growth(training.measure(cli.model, cli.trainer, batches, steps=1, warm_up=1))


def check(options: Sequence[str]) -> dict[str, dict[str, float]]:
    """Counted and measured growth of stages of a step of HRDA."""
    # freed memory goes back to the system, so that it does not count
    environment = os.environ | {"MALLOC_TOP_PAD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
    words = [sys.executable, __file__, "measure", *(option.removeprefix("--") for option in options)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True)
    real = json.loads(done.stdout.splitlines()[-1])
    cli = build_counted([HRDA], options)
    found = training.count(cli.model, cli.trainer, training_batch(cli.datamodule), cli.precision, gpu=False)
    return {
        name: {
            "counted GiB": round(size, 3),
            "measured GiB": round(real[name], 3),
            "ratio": round(size / real[name], 3),
        }
        for name, size in growth(found.stages).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fits", "grows", "check", "measure"))
    parser.add_argument("words", nargs="*", metavar="WORD", help="names of experiments for fits; keys for check")
    args = parser.parse_args()
    options = [f"--{option.removeprefix('--')}" for option in args.words]
    if args.what == "fits":
        fits(args.words or NETWORKS)
    elif args.what == "grows":
        grows()
    elif args.what == "measure":
        print(json.dumps(measured(options)))
    else:
        print(json.dumps(check(options)))


if __name__ == "__main__":
    main()
