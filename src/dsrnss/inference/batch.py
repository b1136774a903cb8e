"""Segmenting many pictures: what can be done is done, the rest is named."""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dsrnss
from dsrnss.errors import ImageError, OutputError
from dsrnss.inference.segmenter import MAX_MEGAPIXELS, Segmenter, read_photograph
from dsrnss.inference.sources import OUTPUTS, Failure, output_stems
from dsrnss.paths import expanded
from dsrnss.writing import write_atomically

SUMMARY = "summary.json"


@dataclass(frozen=True)
class PictureRecord:
    """What became of one picture.

    Attributes:
        picture: The file it was read from.
        width: Pixels, upright.
        height: Pixels, upright.
        segmented_at: Width and height that it was scaled to for the network.
        mean_confidence: Mean probability of its labels.
        class_shares: Share of the pixels of each class.
        files: Names of the results in the output folder, by kind.
        seconds: From reading to writing.
    """

    picture: str
    width: int
    height: int
    segmented_at: tuple[int, int]
    mean_confidence: float
    class_shares: dict[str, float]
    files: dict[str, str]
    seconds: float


@dataclass
class Summary:
    """What became of all pictures of a run.

    Attributes:
        model: The file of the network, or `packaged demo model`.
        which: `student` or `teacher`.
        device: Where it ran.
        classes: Class names; a label id is the position in this list.
        pictures: Those that were segmented.
        failures: Those that were not, with the reason.
        seconds: Of the whole run.
    """

    model: str
    which: str
    device: str
    classes: list[str]
    pictures: list[PictureRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values, for JSON; names of files are in UTF-8 whatever the locale."""
        values = {"dsrnss": dsrnss.__version__, **asdict(self)}
        for record in values["pictures"]:
            record["picture"] = _in_utf_8(record["picture"])
            record["files"] = {kind: _in_utf_8(file) for kind, file in record["files"].items()}
        values["failures"] = [{key: _in_utf_8(said) for key, said in one.items()} for one in values["failures"]]
        return values

    def write(self, folder: Path) -> Path:
        """Write `summary.json`.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        # a file name that is no valid UTF-8 comes as lone surrogates: escaped they are still JSON
        file = expanded(folder) / SUMMARY
        write_atomically(file, text.encode("utf-8", errors="backslashreplace") + b"\n")
        return file


def _in_utf_8(name: str) -> str:
    """A name whose bytes Python has decoded by the locale; what is no UTF-8 comes as lone surrogates."""
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # not from the file system
        return name


def segment_pictures(
    segmenter: Segmenter,
    pictures: Sequence[Path],
    out: Path,
    summary: Summary,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Segment pictures into a folder, going on after those that cannot be segmented.

    Args:
        segmenter: The network.
        pictures: Files, each once.
        out: The folder of the results; files of the same names are replaced.
        summary: Gets one record or failure a picture.
        max_megapixels: Larger pictures are refused.
        advance: Called after each picture.
    """
    for picture, stem in zip(pictures, output_stems(pictures, out), strict=True):
        try:
            summary.pictures.append(_segment(segmenter, picture, out, stem, max_megapixels))
        except (ImageError, OutputError) as error:
            summary.failures.append(Failure(str(picture), str(error)))
        except MemoryError:
            summary.failures.append(Failure(str(picture), f"'{picture}' needs more memory than this machine gives."))
        advance()


def _segment(segmenter: Segmenter, picture: Path, out: Path, stem: str, max_megapixels: float) -> PictureRecord:
    started = time.perf_counter()
    image = read_photograph(picture, max_megapixels)
    result = segmenter(image, name=str(picture))
    files = result.save(out, stem)
    height, width = segmenter.working_size((image.height, image.width))
    return PictureRecord(
        picture=str(picture),
        width=image.width,
        height=image.height,
        segmented_at=(width, height),
        mean_confidence=round(result.mean_confidence(), 4),
        class_shares={name: round(share, 6) for name, share in result.shares().items()},
        files={kind: file.name for kind, file in zip(OUTPUTS, files, strict=True)},
        seconds=round(time.perf_counter() - started, 3),
    )
