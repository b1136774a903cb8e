"""Images a second of the source loader of the HRDA experiments, against a plain loop of Pillow and torchvision.

Usage: `python benchmarks/loader.py [--root CITYSCAPES] [--workers 1]`. Without a root, eight rendered scenes of
1024 x 2048 are written as PNG into a temporary folder and stand for many. All loops do the same work with equally many
workers: rare class sampling, crops of 1024 x 1024 drawn again by cat_max_ratio 0.75 and min_crop_ratio 2.0, flip,
normalisation, batches of 2. The loops take turns, and the median of the rounds counts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from dsrnss.data import AdaptationDataModule, Cityscapes, RareClassSampling
from dsrnss.data.parallel import single_thread
from dsrnss.data.sampling import ClassSampler
from dsrnss.data.stand_in.layouts import synthesize
from dsrnss.normalisation import IMAGENET_MEAN, IMAGENET_STD

CROP = (1024, 1024)
BASE = "plain Pillow + torchvision"
Count = Callable[[torch.Tensor], torch.Tensor]
SETTINGS = RareClassSampling(min_crop_ratio=2.0)


class Plain(Dataset):
    """What one writes first: whole pictures to tensors, then torchvision."""

    def __init__(self, source: Cityscapes, count: Count) -> None:
        self.count = count
        self.entries = source.entries
        self.sampler = ClassSampler(source.class_counts(), SETTINGS, source.counted_size())
        self.limit = SETTINGS.crop_limit((1024, 2048))
        self.finish = v2.Compose(
            [
                v2.RandomHorizontalFlip(),
                v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
                v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
            ]
        )

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        wanted, number = self.sampler.draw(np.random.default_rng(index))
        image = v2.functional.to_image(Image.open(self.entries[number].image).convert("RGB"))
        label = tv_tensors.Mask(v2.functional.pil_to_tensor(Image.open(self.entries[number].label))[0])
        box = self.draw(label, wanted)
        image, label = self.finish(v2.functional.crop(image, *box), v2.functional.crop(label, *box))
        return image, label

    def draw(self, label: torch.Tensor, wanted: int) -> tuple[int, int, int, int]:
        """A crop box with enough of the wanted class and no class of too large a share."""
        for _ in range(1 + SETTINGS.attempts):
            for _ in range(11):
                box = (*v2.RandomCrop(CROP).make_params([label]).values(),)
                top, left = int(box[1]), int(box[2])
                part = label[top : top + CROP[0], left : left + CROP[1]]
                counts = self.count(part.as_subclass(torch.Tensor))
                if len(counts) > 1 and counts.max() / counts.sum() < 0.75:
                    break
            if int((part == wanted).sum()) > self.limit:
                break
        return top, left, *CROP


def cityscapes(root: Path, cache: Path | None = None) -> Cityscapes:
    """The training set; few pictures are repeated, since the loader waits where an epoch ends."""
    source = Cityscapes("train", root, cache_dir=cache)
    source.entries = source.entries * max(1, 500 // len(source.entries))
    return source


def unique(part: torch.Tensor) -> torch.Tensor:
    """Pixels of each class that occurs, as one writes it first."""
    found, counts = torch.unique(part, return_counts=True)
    return counts[found != 255]


def bincount(part: torch.Tensor) -> torch.Tensor:
    """Pixels of each class that occurs, as one writes it after a look at the profile."""
    counts = torch.bincount(part.flatten(), minlength=256)[:255]
    return counts[counts > 0]


def plain(source: Cityscapes, workers: int, count: Count) -> Iterator[object]:
    """Batches of the plain loop."""
    loader = DataLoader(Plain(source, count), 2, num_workers=workers, worker_init_fn=lambda _: single_thread())
    return iter(loader)


def ours(source: Cityscapes, workers: int) -> Iterator[object]:
    """Batches of the data module."""
    data = AdaptationDataModule(
        source, crop_size=CROP, source_batch_size=2, workers=workers, rare_class_sampling=SETTINGS
    )
    return epochs(data)


def epochs(data: AdaptationDataModule) -> Iterator[object]:
    """Training batches without end."""
    loader: Iterable[object] = data.train_dataloader()
    while True:
        yield from loader


def rate(batches: Iterator[object], number: int) -> float:
    """Images a second over some batches."""
    start = time.perf_counter()
    for _ in range(number):
        next(batches)
    return 2 * number / (time.perf_counter() - start)


def measure(root: Path, cache: Path, workers: int, rounds: int, number: int) -> dict[str, list[float]]:
    """Images a second of each loop in each round."""
    single_thread()
    loops = {
        BASE: plain(cityscapes(root), workers, unique),
        f"{BASE}, torch.bincount": plain(cityscapes(root), workers, bincount),
        "dsrnss": ours(cityscapes(root), workers),
        "dsrnss, cache_dir": ours(cityscapes(root, cache), workers),
    }
    for batches in loops.values():
        rate(batches, 2 + 4 * workers)  # the workers start, the copies are made, what was loaded ahead is used up
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, batches in loops.items():
            rate(batches, 2 * workers)  # what was loaded while another loop was timed
            rates[name].append(rate(batches, number))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="Cityscapes; default: rendered scenes")
    parser.add_argument("--workers", type=int, default=1, help="processes of each loop (default: 1)")
    parser.add_argument("--rounds", type=int, default=5, help="how often the loops take turns (default: 5)")
    parser.add_argument("--batches", type=int, default=6, help="batches of 2 a round (default: 6)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.root is None:
            synthesize(Path(folder) / "data", source=8, target=0, val=0, test=0)
        root = args.root or Path(folder) / "data" / "Cityscapes"
        rates = measure(root, Path(folder) / "cache", args.workers, args.rounds, args.batches)
    base = statistics.median(rates[BASE])
    print(f"| loader, {args.workers} worker(s) | images/s | ratio |\n|---|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):.1f} | {statistics.median(found) / base:.2f} |")


if __name__ == "__main__":
    main()
