"""Samples a second of a data set that stays zipped, against the same set in files.

Usage: `python benchmarks/zipped.py [--root CITYSCAPES] [--samples 24] [--workers 0]`. Without a root, eight rendered
scenes of 1024 x 2048 are written as PNG into a temporary folder; with one, so many of its pictures are copied. Both are
read in one random order, as training samples (whole picture and label), by one process or by the workers of a loader.
They take turns, and the median of the ratios of the rounds counts. The files are in memory before: what is compared is
the work, not the disk. Without workers it is measured by the processor's time, which others on the machine hardly
disturb.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

from torch.utils.data import DataLoader, Subset

from dsrnss.data import Cityscapes
from dsrnss.data.parallel import single_thread
from dsrnss.data.stand_in.layouts import synthesize


def files_of(root: Path, out: Path, count: int) -> Path:
    """The first pictures of a set and their labels, copied."""
    for entry in Cityscapes("train", root).entries[:count]:
        for path in filter(None, (entry.image, entry.label)):
            target = out / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return out


def zipped(root: Path, out: Path) -> Path:
    """The archives of Cityscapes, deflated as the published ones are."""
    out.mkdir()
    for archive in Cityscapes.archives:
        with zipfile.ZipFile(out / archive.name, "w", zipfile.ZIP_DEFLATED) as opened:
            for folder in archive.folders:
                for path in sorted((root / folder).rglob("*.png")):
                    opened.write(path, path.relative_to(root))
    return out


def rate(root: Path, order: list[int], workers: int) -> float:
    """Samples a second, the start of the workers and the list of the files included in none."""
    dataset = Cityscapes("train", root)
    chosen = [number % len(dataset) for number in order]
    loader = iter(
        DataLoader(Subset(dataset, chosen), None, num_workers=workers, worker_init_fn=lambda _: single_thread())
    )
    for _ in range(1 + 2 * workers):  # the workers have started, and what was loaded ahead is used up
        next(loader)
    clock = time.perf_counter if workers else time.process_time
    start = clock()
    number = sum(1 for _ in loader)
    return number / (clock() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="Cityscapes; default: rendered scenes")
    parser.add_argument("--samples", type=int, default=24, help="samples a round (default: 24)")
    parser.add_argument("--workers", type=int, default=0, help="processes of each loader (default: 0, none)")
    parser.add_argument("--rounds", type=int, default=5, help="how often they take turns (default: 5)")
    args = parser.parse_args()
    single_thread()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "data"
        if args.root is None:
            synthesize(made, source=8, target=0, val=0, test=0)
            root = made / "Cityscapes"
        else:
            root = files_of(args.root, made, args.samples)
        roots = {"files": root, "zipped": zipped(root, Path(folder) / "zipped")}
        order = random.Random(0).choices(range(10**6), k=args.samples)
        rates: dict[str, list[float]] = {name: [] for name in roots}
        for number in range(args.rounds):
            for name in list(roots)[:: 1 if number % 2 else -1]:
                rates[name].append(rate(roots[name], order, args.workers))
    ratios = sorted(z / f for z, f in zip(rates["zipped"], rates["files"], strict=True))
    print(f"| set, {args.workers} worker(s) | samples/s | ratio |\n|---|---|---|")
    print(f"| files | {statistics.median(rates['files']):.1f} | 1.00 |")
    print(f"| zipped | {statistics.median(rates['zipped']):.1f} | {statistics.median(ratios):.2f} |")
    print(f"\nzipped / files in {len(ratios)} rounds: {ratios[0]:.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()
