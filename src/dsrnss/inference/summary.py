"""What became of the pictures and videos of a run, and what a later run need not do again."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dsrnss
from dsrnss.errors import ImageError
from dsrnss.inference.sources import Failure
from dsrnss.paths import expanded
from dsrnss.writing import output_error, write_atomically

SUMMARY = "summary.json"
JOURNAL = ".summary.{}.jsonl"
"""Records of a run that goes on, a line each, of each process that writes; at its end they are in the summary."""


@dataclass(frozen=True)
class FileState:
    """By what it is told that a file is another one than before.

    Attributes:
        bytes: Its size.
        modified: When it was changed last, in nanoseconds since 1970.
    """

    bytes: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """The state of a file.

        Raises:
            ImageError: If there is none.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise ImageError(f"'{path}' cannot be opened: {error.strerror}.") from error
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class PictureRecord:
    """What became of one picture.

    Attributes:
        picture: The file it was read from.
        source: State of that file.
        width: Pixels, upright.
        height: Pixels, upright.
        segmented_at: Width and height that it was scaled to for the network.
        mean_confidence: Mean probability of its labels.
        class_shares: Share of the pixels of each class.
        files: Names of the results in the output folder, by kind.
        seconds: From reading to writing.
    """

    picture: str
    source: FileState
    width: int
    height: int
    segmented_at: tuple[int, int]
    mean_confidence: float
    class_shares: dict[str, float]
    files: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class VideoRecord:
    """What became of one video or stream.

    Attributes:
        video: The file, address or camera.
        source: State of the file; None of streams.
        frames: How many were segmented.
        frames_per_second: Of the video, on average.
        duration: Seconds, from the first frame to the end of the last.
        width: Pixels, upright.
        height: Pixels, upright.
        segmented_at: Width and height that frames were scaled to for the network.
        mean_confidence: Mean probability of the labels of all frames.
        class_shares: Share of the pixels of all frames of each class.
        files: Names of the results in the output folder, by kind.
        damaged: A sentence for each frame that was left out.
        seconds: That this took, without those of earlier runs.
    """

    video: str
    source: FileState | None
    frames: int
    frames_per_second: float
    duration: float
    width: int
    height: int
    segmented_at: tuple[int, int]
    mean_confidence: float
    class_shares: dict[str, float]
    files: dict[str, str]
    damaged: list[str]
    seconds: float


@dataclass
class Summary:
    """What became of all pictures and videos of a run.

    Attributes:
        model: The file of the network, or `packaged demo model`.
        which: `student` or `teacher`.
        device: Where it ran.
        classes: Class names; a label id is the position in this list.
        settings: What results depend on beside the sources; with others, all is done again.
        pictures: Those that were segmented.
        videos: Likewise.
        failures: Those that were not, with the reason.
        seconds: Of the whole run.
        kept: How many were there already; not written.
    """

    model: str
    which: str
    device: str
    classes: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    pictures: list[PictureRecord] = field(default_factory=list)
    videos: list[VideoRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    kept: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain values, for JSON; names of files are in UTF-8 whatever the locale."""
        values = {"dsrnss": dsrnss.__version__, **asdict(self)}
        del values["kept"]
        for key, records in (("picture", values["pictures"]), ("video", values["videos"])):
            for record in records:
                record[key] = _in_utf_8(record[key])
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
        for journal in expanded(folder).glob(JOURNAL.format("*")):
            journal.unlink(missing_ok=True)
        return file


class Journal:
    """Finds what an earlier run has done, and notes what this one does, in case that it is killed.

    Args:
        folder: Of the results.
        settings: Of this run; what a run with others has done does not count.
        overwrite: Nothing that was done counts.
        writer: Number of this process among those that write here.

    Raises:
        OutputError: If nothing can be written there.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, overwrite: bool = False, writer: int = 0) -> None:
        self._folder, self._file = folder, (file := folder / JOURNAL.format(writer))
        settings = json.loads(json.dumps(settings))
        noted = None if overwrite else _noted(file, settings)
        self._before = {} if overwrite else _summarised(folder / SUMMARY, settings)
        for journal in [] if overwrite else folder.glob(JOURNAL.format("*")):
            self._before |= _noted(journal, settings) or {}
        try:
            # a line that a killed run has begun ends here
            self._stream = file.open("wb" if noted is None else "ab", buffering=0)
            self._stream.write(b"\n" if noted else json.dumps(settings).encode() + b"\n")
        except OSError as error:
            raise output_error(file, error) from error

    def __enter__(self) -> "Journal":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._stream.close()

    def picture(self, path: Path, files: Sequence[str]) -> PictureRecord | None:
        """The record of a picture whose results are there, None: it is to be segmented.

        Args:
            path: The picture.
            files: Names of the results.
        """
        found = self._find(path, files)
        return None if found is None else PictureRecord(**found)

    def video(self, path: Path, files: Sequence[str]) -> VideoRecord | None:
        """Likewise of a video."""
        found = self._find(path, files)
        return None if found is None else VideoRecord(**found)

    def _find(self, path: Path, files: Sequence[str]) -> dict[str, Any] | None:
        found = self._before.get(_in_utf_8(str(path)))
        try:
            if found is None or found["source"] != asdict(FileState.of(path)):
                return None
            if [*found["files"].values()] != [_in_utf_8(file) for file in files]:
                return None
            if not all((self._folder / file).exists() for file in files):
                return None
            own = {"source": FileState(**found["source"]), "segmented_at": tuple(found["segmented_at"])}
            key = "picture" if "picture" in found else "video"
            names = {kind: file for kind, file in zip(found["files"], files, strict=True)}
            return {**found, **own, key: str(path), "files": names}
        except (ImageError, KeyError, TypeError, AttributeError):  # gone, or somebody else's summary
            return None

    def note(self, record: PictureRecord | VideoRecord) -> None:
        """Note what is done.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            self._stream.write(json.dumps(asdict(record)).encode() + b"\n")
        except OSError as error:
            raise output_error(self._file, error) from error


def _summarised(file: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Records of a finished run with the same settings, by source."""
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
        same = summary["settings"] == settings
        return _by_source([*summary["pictures"], *summary["videos"]]) if same else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or an older version's
        return {}


def _noted(file: Path, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Records of a run with the same settings that was stopped, by source; None: there was none."""
    try:
        first, *lines = file.read_bytes().splitlines()
        return _by_source(filter(None, map(_parsed, lines))) if json.loads(first) == settings else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):  # half written
        return None


def _by_source(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {_in_utf_8(record.get("picture") or record["video"]): record for record in records}


def _in_utf_8(name: str) -> str:
    """A name whose bytes Python has decoded by the locale; what is no UTF-8 comes as lone surrogates."""
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # not from the file system
        return name
