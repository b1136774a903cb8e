"""What is done of a video so far: chunks in a hidden folder beside the results, from which a killed run goes on."""

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from dsrnss.errors import OutputError
from dsrnss.inference.video.writing import CHUNK_SUFFIX
from dsrnss.writing import output_error, write_atomically

try:
    import fcntl
except ImportError:  # Windows: two runs at the same video are not told apart
    fcntl = None  # type: ignore[assignment]

CHUNK_FRAMES = 50
"""Frames of a chunk: so many are lost when a run is killed, and each chunk begins with a whole picture."""

FRAMES_FOLDER = "frames"


@dataclass(frozen=True)
class Chunk:
    """What is known of a chunk that is complete.

    Attributes:
        frames: How many.
        start: When its first frame is shown, in units of the video's time base.
        end: When its last one ends.
        counts: Pixels of each class.
        confidence: Sum of the mean confidences of the frames.
        size: Width and height of the frames, upright.
        segmented_at: Width and height that they were scaled to for the network.
    """

    frames: int
    start: int
    end: int
    counts: list[int]
    confidence: float
    size: tuple[int, int]
    segmented_at: tuple[int, int]


class WorkFolder:
    """The hidden folder of a video that is segmented.

    Args:
        out: The folder of the results.
        stem: How the names of the video's results begin.
        settings: What the results depend on; chunks of other settings are removed.

    Attributes:
        chunks: Those that are complete.

    Raises:
        OutputError: If it cannot be written, or another process works in it.
    """

    def __init__(self, out: Path, stem: str, settings: Mapping[str, Any]) -> None:
        self.path = out / f".{stem}.segment"
        self._lock: int | None = None
        mark = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take()
            if not self._file("settings").exists() or self._file("settings").read_text() != mark:
                self._empty()
            write_atomically(self._file("settings"), mark.encode())
        except OSError as error:
            raise output_error(self.path, error) from error
        self.chunks = self._found()

    def __enter__(self) -> "WorkFolder":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Let others work in it; it stays, unless `remove` was called."""
        if self._lock is not None:
            os.close(self._lock)

    def track(self, number: int, kind: str) -> Path:
        """The file of a kind of result of a chunk."""
        return self.path / f"{number:06d}_{kind}{CHUNK_SUFFIX}"

    @property
    def frames(self) -> Path:
        """The folder of results that are written frame by frame."""
        return self.path / FRAMES_FOLDER

    def complete(self, chunk: Chunk, state: npt.NDArray[np.float32] | None) -> None:
        """Note that all files of the next chunk are complete.

        Args:
            chunk: What is known of it.
            state: What smoothing goes on with.

        Raises:
            OutputError: If it cannot be written.
        """
        number = len(self.chunks)
        if state is not None:
            buffer = io.BytesIO()
            np.save(buffer, state)
            write_atomically(self._state(number + 1), buffer.getvalue())
        write_atomically(self._file(f"{number:06d}"), json.dumps(asdict(chunk)).encode())
        self._state(number).unlink(missing_ok=True)
        self.chunks.append(chunk)

    def state(self) -> npt.NDArray[np.float32] | None:
        """What smoothing goes on with, None: nothing."""
        file = self._state(len(self.chunks))
        return np.load(file) if file.exists() else None

    def remove(self) -> None:
        """Remove it: all is joined."""
        self._file("settings").unlink(missing_ok=True)  # first: what is left of it then counts no more
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def _state(self, chunks: int) -> Path:
        return self.path / f"{chunks:06d}.npy"

    def _take(self) -> None:
        if fcntl is None:
            return
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = lock
        except OSError as error:
            os.close(lock)
            raise OutputError(
                f"Another process segments the same video into '{self.path.parent}': wait for it, or choose another "
                "folder."
            ) from error

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()

    def _found(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        with contextlib.suppress(OSError, ValueError, TypeError):  # the first one that is not there, or is damaged
            while True:
                values = json.loads(self._file(f"{len(chunks):06d}").read_text())
                pairs = {key: tuple(values[key]) for key in ("size", "segmented_at")}
                chunks.append(Chunk(**{**values, **pairs}))
        return chunks
