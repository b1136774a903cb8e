"""The demo over several seeds, with the oracle: a table of day, source-only, adapted and oracle.

    python benchmarks/demo_seeds.py --seeds 0 1 2 --out runs/seeds

Each seed is one `dsrnss demo --oracle --seed N` in a process of its own; its numbers are read from its report. A seed
whose report exists is not run again.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

DYNAMIC_SMALL = (
    "pole",
    "traffic light",
    "traffic sign",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)


def run(seed: int, out: Path, more: list[str]) -> dict[str, Any]:
    """Run one seed, unless its report is there, and read its numbers."""
    folder = out / f"seed{seed}"
    if not (folder / "report.json").is_file():
        command = [sys.executable, "-m", "dsrnss", "demo", "--oracle", "--seed", str(seed), "--out", str(folder), *more]
        subprocess.run(command, check=True)
    numbers: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return numbers


def means(scores: dict[str, Any]) -> tuple[float, float]:
    """MIoU of all classes and of the dynamic and small ones, in percent."""
    return 100 * scores["mean_iou"], 100 * statistics.mean(scores["iou"][name] or 0 for name in DYNAMIC_SMALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/seeds"))
    args, more = parser.parse_known_args()
    print("| seed | day | source-only | adapted | oracle | gain, all | gain, dynamic+small | gap closed |")
    print("|---|---|---|---|---|---|---|---|")
    gains: list[tuple[float, float, float]] = []
    for seed in args.seeds:
        scores = run(seed, args.out, more)["scores"]
        table = {name: means(scores[name]) for name in ("day", "source-only", "adapted", "oracle")}
        gain, gain_small = (table["adapted"][i] - table["source-only"][i] for i in (0, 1))
        closed = 100 * gain / (table["oracle"][0] - table["source-only"][0])
        gains.append((gain, gain_small, closed))
        cells = " | ".join(f"{mean:.1f} / {small:.1f}" for mean, small in table.values())
        print(f"| {seed} | {cells} | {gain:+.1f} | {gain_small:+.1f} | {closed:.0f} % |", flush=True)
    average = [statistics.mean(column) for column in zip(*gains, strict=True)]
    print(f"| mean | | | | | {average[0]:+.1f} | {average[1]:+.1f} | {average[2]:.0f} % |")
    print("\nEach cell: mIoU of all 19 classes / of the dynamic and small ones, in percent, on the test split.")


if __name__ == "__main__":
    main()
