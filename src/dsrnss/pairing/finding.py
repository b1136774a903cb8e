"""For every night picture the day picture of the same place, if there is one."""

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from dsrnss.adaptation.alignment.classical import align_pair
from dsrnss.data.parallel import Progress
from dsrnss.data.sets.folder import PICTURES, by_stem
from dsrnss.errors import DatasetNotFoundError, check_range
from dsrnss.models.weights import DEMO_MODEL, load_pretrained
from dsrnss.pairing.descriptors import describe, similarities
from dsrnss.pairing.positions import Position, distances, positions_of, turns
from dsrnss.pairing.verification import Aligner, Candidates, certainty, verify
from dsrnss.paths import expanded
from dsrnss.writing import write_atomically

COLUMNS = ("picture", "reference", "certainty")
TURN = 60.0
"""Degrees between headings above which two pictures show different things."""
Steps = Callable[[str], AbstractContextManager[Progress]]
"""Given what is done next, the context of its progress."""


@dataclass(frozen=True)
class Pair:
    """A night picture and the day picture that most likely shows its place.

    Attributes:
        picture: By night.
        reference: By day.
        certainty: Probability that both show one place.
        share: Of the night's pixels that can be aligned.
        similarity: Of what the encoder sees, in [-1, 1].
        metres: Between the places where they were taken; None: not known.
    """

    picture: Path
    reference: Path
    certainty: float
    share: float
    similarity: float
    metres: float | None = None


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        root: What `Folder` takes as its root.
        images: What it takes as the folder of its pictures.
        pairs: The best pair of every night picture that has a candidate, in the order of the pictures.
        alone: Night pictures without a candidate: no day picture was taken near them.
        least: Certainty from which pairs are taken.
    """

    root: Path
    images: str
    pairs: list[Pair]
    alone: list[Path]
    least: float

    @property
    def taken(self) -> list[Pair]:
        """The pairs that are sure enough."""
        return [pair for pair in self.pairs if pair.certainty >= self.least]

    def write(self, path: str | Path) -> None:
        """Write the pairs that are sure enough as a `pairs_file` of `Folder`, with their certainty.

        Raises:
            OutputError: If it cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for pair in self.taken:
            names = (Path(os.path.relpath(p, self.root)).as_posix() for p in (pair.picture, pair.reference))
            writer.writerow([*names, f"{pair.certainty:.3f}"])
        write_atomically(path, text.getvalue().encode())


def find_pairs(
    night: str | Path,
    day: str | Path,
    *,
    backbone: nn.Module | None = None,
    positions: Mapping[str, Position] | None = None,
    radius: float = 50.0,
    candidates: int = 5,
    least: float = 0.5,
    aligner: Aligner = align_pair,
    workers: int | None = None,
    steps: Steps | None = None,
) -> Found:
    """Find the day reference of each night picture.

    Candidates are the day pictures that look most alike to an encoder; of a night picture whose position is known,
    those taken within a radius that do not face elsewhere. The aligner then says which of them, if any, shows the
    place.

    Args:
        night: Folder of night pictures, in any nesting, or one that holds them in `images`.
        day: Likewise, by day.
        backbone: Encoder in eval mode; None: that of the packaged network.
        positions: As of `read_positions`; other pictures' positions are read from their EXIF.
        radius: Metres between two pictures of one place; 0: positions are not looked at.
        candidates: Day pictures that are tried for each night picture.
        least: Certainty from which a pair is taken.
        aligner: Aligns two pictures, (H, W, 3) uint8 -> flow, confidence. The certainty is measured with the default.
        workers: Processes; None: one a core.
        steps: Told what is done; None: nobody is.

    Raises:
        DatasetNotFoundError: If a folder holds no pictures.
        ConfigError: If a number is out of its range.
        ImageError: If a picture cannot be read.
    """
    check_range("candidates", candidates, 1)
    check_range("least", least, 0, 1)
    check_range("radius", radius, 0)
    nights, days = pictures_of(night), pictures_of(day)
    metres, allowed = _near(nights.files, days.files, positions or {}, radius)
    begun = steps or (lambda _: nullcontext(lambda done, total: None))
    encoder = load_pretrained(DEMO_MODEL).segmentor.backbone.eval() if backbone is None else backbone
    with begun("night pictures described") as progress:
        described = describe(encoder, nights.files, workers, progress)
    with begun("day pictures described") as progress:
        alike = similarities(described, describe(encoder, days.files, workers, progress))
    ranked = np.argsort(-np.where(allowed, alike, -np.inf), axis=1, kind="stable")[:, :candidates]
    chosen = [[j for j in row if allowed[i, j]] for i, row in enumerate(ranked.tolist())]
    tried = [Candidates(nights.files[i], tuple(days.files[j] for j in row)) for i, row in enumerate(chosen)]
    with begun("night pictures verified") as progress:
        shares = verify(tried, aligner, workers, progress)
    pairs = []
    for i, found in enumerate(shares):
        if found:
            share, j = max(found), chosen[i][int(np.argmax(found))]
            far = None if np.isnan(metres[i, j]) else float(metres[i, j])
            pairs.append(Pair(nights.files[i], days.files[j], certainty(share), share, float(alike[i, j]), far))
    alone = [one.night for one in tried if not one.days]
    return Found(nights.root, nights.images, pairs, alone, least)


@dataclass(frozen=True)
class _Pictures:
    """Pictures as `Folder` finds them: below the folder `images` of its root."""

    root: Path
    images: str
    files: list[Path]


def pictures_of(folder: str | Path) -> _Pictures:
    """The pictures in a folder, or in the folder `images` in it.

    Raises:
        DatasetNotFoundError: If there are none.
        DataError: If two differ in their ending alone.
    """
    folder = expanded(folder).absolute()
    inside = (folder / "images").is_dir()
    root, images = (folder, "images") if inside else (folder.parent, folder.name)
    files = [*by_stem(root / images).values()]
    if not files:
        kinds = ", ".join(ending[1:] for ending in PICTURES)
        state = "holds none" if folder.is_dir() else "does not exist"
        raise DatasetNotFoundError(f"No pictures ({kinds}) below '{root / images}', which {state}.")
    return _Pictures(root, images, files)


def _near(
    nights: Sequence[Path], days: Sequence[Path], positions: Mapping[str, Position], radius: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Metres between pictures (not a number: not known), and which of them may show one place: (N, M) each."""
    if not radius:
        return np.full((len(nights), len(days)), np.nan), np.ones((len(nights), len(days)), np.bool_)
    places, others = positions_of(nights, positions), positions_of(days, positions)
    metres = distances(places, others)
    unknown = np.array([place is None for place in places])[:, None]
    return metres, unknown | ((metres <= radius) & ~(turns(places, others) > TURN))
