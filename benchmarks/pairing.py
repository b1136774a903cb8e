"""How many of the pairs that `dsrnss data pair` takes are right.

Usage: `python benchmarks/pairing.py [--seed 1001] [--photographs FOLDER [--others FOLDER]]`. Of SynthNight: 100 night
scenes of `target` and their 100 references, among 150 day scenes of `source` and 40 night scenes of `test` whose
references are not there. Of photographs (frames of a drive by day, in the order of their names): every eighth darkened,
among the rest of them and those of other drives; a pair is right if its frames are at most four apart.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsrnss.data import SynthNight
from dsrnss.data.parallel import parallel_map
from dsrnss.pairing import Found, find_pairs
from dsrnss.pictures import decode

Pixels = npt.NDArray[np.uint8]


def write_scene(out: Path, split: str, seed: int, keys: tuple[str, ...], index: int) -> None:
    """Write the night or day picture of a scene, or both, under its number."""
    sample = SynthNight(split, length=index + 1, seed=seed, references="reference" in keys)[index]
    for key in keys:
        folder = out / ("day" if key == "reference" or split == "source" else "night")
        name = f"{index:04d}" if split == "target" else f"{split}{index:04d}"
        Image.fromarray(sample[key].permute(1, 2, 0).numpy()).save(folder / f"{name}.png")


def darkened(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A day picture with a tenth of its light, most of it at the horizon, warmer and noisy."""
    rows = np.linspace(0, 1, len(pixels))[:, None, None]
    light = (pixels / 255) ** 2.2 * 0.12 * (0.3 + 1.2 * np.exp(-(((rows - 0.55) / 0.25) ** 2))) * (1.2, 1, 0.8)
    noisy = light.clip(0, 1) ** (1 / 2.2) * 255 + rng.normal(0, 4, pixels.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def write_photographs(out: Path, frames: list[Path], others: list[Path]) -> None:
    """Darken every eighth frame."""
    rng = np.random.default_rng(0)
    for index, path in enumerate(frames):
        if index % 8 == 1:
            Image.fromarray(darkened(np.asarray(decode(path)), rng)).save(out / "night" / f"{index:04d}.png")
        else:
            (out / "day" / f"{index:04d}{path.suffix}").symlink_to(path.absolute())
    for path in others:
        (out / "day" / f"other-{path.name}").symlink_to(path.absolute())


def tell(found: Found, known: int, apart: int, seconds: float) -> None:
    """Print precision and recall by the certainty from which pairs are taken."""
    print(f"{known} night pictures with a reference, {len(found.pairs) - known} without; {seconds:.0f} s")
    print("| certainty | taken | right | precision | recall |\n|---|---|---|---|---|")
    for least in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9):
        taken = [pair for pair in found.pairs if pair.certainty >= least]
        names = [(pair.picture.stem, pair.reference.stem) for pair in taken]
        right = sum(a.isdigit() and b.isdigit() and abs(int(a) - int(b)) <= apart for a, b in names)
        print(f"| {least} | {len(taken)} | {right} | {right / max(len(taken), 1):.3f} | {right / known:.2f} |")


def measure(out: Path, apart: int) -> None:
    """Find the pairs of a folder `night` and a folder `day`."""
    start = time.monotonic()
    found = find_pairs(out / "night", out / "day", least=0)
    known = sum(path.stem.isdigit() for path in (out / "night").iterdir())
    tell(found, known, apart, time.monotonic() - start)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1001)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--others", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("synthnight", "photographs"):
            out = Path(folder) / kind
            for light in ("night", "day"):
                (out / light).mkdir(parents=True)
        scenes = Path(folder) / "synthnight"
        for split, count, keys in (
            ("target", 100, ("image", "reference")),
            ("source", 150, ("image",)),
            ("test", 40, ("image",)),
        ):
            parallel_map(partial(write_scene, scenes, split, args.seed), keys, range(count))
        measure(scenes, 0)
        if args.photographs:
            others = sorted(args.others.iterdir())[::2] if args.others else []
            write_photographs(Path(folder) / "photographs", sorted(args.photographs.iterdir()), others)
            measure(Path(folder) / "photographs", 4)


if __name__ == "__main__":
    main()
