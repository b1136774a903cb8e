"""Small copies of three layouts with defects planted in them, for the test and the benchmark of `data check`."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (24, 48)
ENDINGS = ("rgb_anon", "gt_labelTrainIds", "rgb_ref_anon")


class Planter:
    """Writes good files, then spoils some; `defects` says where: (kind, name of the file)."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        self.rng = np.random.default_rng(seed)
        self.defects: list[tuple[str, str]] = []
        self.files = 0

    def save(self, pixels: np.ndarray, *parts: str) -> Path:
        """Write a PNG."""
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)
        self.files += 1
        return path

    def picture(self, *parts: str) -> Path:
        """Write a picture that is like no other."""
        return self.save(self.rng.integers(0, 256, (*SIZE, 3), np.uint8), *parts)

    def label(self, *parts: str) -> Path:
        """Write a label of several classes and some ignored pixels."""
        label = np.repeat(self.rng.integers(0, 19, (SIZE[0] // 4, SIZE[1]), np.uint8), 4, axis=0)
        label[:2], label[2:6, :9], label[6:9, :9] = 255, 0, 10
        return self.save(label, *parts)

    def cityscapes(self, split: str, count: int) -> list[tuple[Path, Path]]:
        """Write pairs of a split of Cityscapes."""
        pairs = []
        for number in range(count):
            city = f"city{split}{number % 3}"
            stem = f"{city}_{number:06d}_000019"
            image = self.picture("Cityscapes/leftImg8bit", split, city, f"{stem}_leftImg8bit.png")
            label = self.label("Cityscapes/gtFine", split, city, f"{stem}_gtFine_labelTrainIds.png")
            pairs.append((image, label))
        return pairs

    def acdc(self, split: str, count: int) -> list[tuple[Path, Path, Path]]:
        """Write night pictures of ACDC with labels and references."""
        rows = []
        for number in range(count):
            sequence = f"GOPR{number % 4:04d}"
            image, label, reference = (f"{sequence}_frame_{number:06d}_{ending}.png" for ending in ENDINGS)
            rows.append((
                self.picture("ACDC/rgb_anon/night", split, sequence, image),
                self.label("ACDC/gt/night", split, sequence, label),
                self.picture("ACDC/rgb_anon/night", f"{split}_ref", sequence, reference),
            ))  # fmt: skip
        return rows

    def dark_zurich(self, count: int) -> list[tuple[Path, Path]]:
        """Write night pictures of Dark Zurich train, two for each day picture."""
        pairs, lines = [], []
        for number in range(count):
            night, day = f"GOPR0351/GOPR0351_frame_{number:06d}", f"GOPR0345/GOPR0345_frame_{number // 2:06d}"
            image = self.picture("DarkZurich/rgb_anon/train/night", f"{night}_rgb_anon.png")
            reference = self.root / "DarkZurich/rgb_anon/train/day" / f"{day}_rgb_anon.png"
            if not reference.exists():
                self.picture("DarkZurich/rgb_anon/train/day", f"{day}_rgb_anon.png")
            pairs.append((image, reference))
            lines.append(f"train/night/{night},train/day/{day}\n")
        path = self.root / "DarkZurich/corresp/train/night/GOPR0351/GOPR0351_ref_day.csv"
        path.parent.mkdir(parents=True)
        path.write_text("".join(lines))
        return pairs

    def spoil(self, kind: str, path: Path, how: Callable[[Path], object]) -> None:
        """Plant a defect."""
        how(path)
        # a missing label is called by the name of either kind of ids
        self.defects.append((kind, path.name.replace("gtFine_labelTrainIds", "gtFine_labelIds")))


def plant(root: Path, count: int) -> Planter:
    """Write about five times `count` files below a folder, and plant sixteen defects.

    Args:
        root: An empty folder, to be used as $DATA_DIR.
        count: Pairs of Cityscapes train, at least 16.
    """
    planter = Planter(root)
    train, val = planter.cityscapes("train", count), planter.cityscapes("val", max(count // 5, 6))
    acdc = planter.acdc("train", max(count // 3, 6)) + planter.acdc("val", max(count // 8, 4))
    zurich = planter.dark_zurich(max(count // 2, 6))

    def repaint(label: np.ndarray) -> Callable[[Path], object]:
        return lambda path: Image.fromarray(label.astype(np.uint8)).save(path)

    odd, raw = np.asarray(Image.open(train[7][1])).copy(), np.asarray(Image.open(train[8][1])).copy()
    odd[10, 10] = 77
    raw[raw != 255] += 8
    spoil = planter.spoil
    spoil("missing-label", train[0][1], Path.unlink)
    spoil("missing-picture", train[1][1], lambda path: train[1][0].unlink())
    spoil("missing-reference", acdc[0][2], Path.unlink)
    spoil("missing-picture", zurich[-1][1], Path.unlink)
    spoil("unreadable", train[2][0], lambda path: path.write_bytes(b""))
    spoil("unreadable", val[0][0], lambda path: path.write_bytes(path.read_bytes()[:-300]))
    spoil("unreadable", train[4][0], _flip_a_byte)
    spoil("unreadable", train[5][1], lambda path: path.write_text("404 not found"))
    spoil("size-mismatch", train[6][1], lambda path: repaint(np.arange(12 * 24).reshape(12, 24) % 19)(path))
    spoil("outside-values", train[7][1], repaint(odd))
    spoil("raw-ids", train[8][1], repaint(raw))
    spoil("no-label-map", acdc[1][1], repaint(np.zeros((*SIZE, 3))))
    spoil("all-ignored", val[1][1], repaint(np.full(SIZE, 255)))
    spoil("one-class", acdc[2][1], repaint(np.zeros(SIZE)))
    spoil("one-colour", zurich[0][0], repaint(np.zeros((*SIZE, 3))))
    spoil("duplicate", val[2][0], lambda path: shutil.copy(train[9][0], path))
    return planter


def compare(planter: Planter, problems: Sequence[Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Planted defects that were missed, and problems that nobody planted."""
    names = [(one.kind, Path(one.file).name.replace("gtFine_labelTrainIds", "gtFine_labelIds")) for one in problems]
    found, wanted = Counter(names), Counter(planter.defects)
    return sorted((wanted - found).elements()), sorted((found - wanted).elements())


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(bytes(data))
