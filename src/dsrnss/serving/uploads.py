"""Files that were dropped on the page and wait for their request: in memory, a few, for minutes."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from dsrnss.errors import RefusedError
from dsrnss.serving.limits import Limits, Upload

KEPT_SECONDS = 300.0
"""After which an upload that nobody came back for is forgotten, as of a pair whose second picture never came."""


class Uploads:
    """The files, by a name that nobody can guess.

    gradio takes what is uploaded for files in its folder, and asks for them by their paths. These paths lead nowhere.

    Args:
        folder: The folder of gradio, in which the paths lie.
        limits: As much is kept as all that may wait can bring.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._most, self._being_read = (limits.waiting + 2) * limits.max_bytes, 0
        self._kept: dict[str, Upload] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(len(upload.content) for upload in self._kept.values())

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While an upload is read: only so many at once.

        Raises:
            RefusedError: If there are too many.
        """
        with self._lock:
            if self._being_read > self._limits.waiting:
                raise _busy()
            self._being_read += 1
        try:
            yield
        finally:
            with self._lock:
                self._being_read -= 1

    def put(self, upload: Upload) -> str:
        """Keep a file.

        Returns:
            Its path.

        Raises:
            RefusedError: If there is too much already.
        """
        token = secrets.token_hex(16)
        with self._lock:
            if self.size + len(upload.content) > self._most:
                raise _busy()
            self._kept[token] = upload
        timer = threading.Timer(KEPT_SECONDS, self._forget, (token,))
        timer.daemon = True
        timer.start()
        return str(self._folder / token / upload.name)

    def take(self, path: str) -> Upload:
        """Hand a file out, once.

        Raises:
            RefusedError: If it is not there any more.
        """
        upload = self._forget(PurePath(path).parent.name)
        if upload is None:
            raise RefusedError("This upload was used or forgotten already: drop the file again.", 400)
        return upload

    def _forget(self, token: str) -> Upload | None:
        with self._lock:
            return self._kept.pop(token, None)


def _busy() -> RefusedError:
    return RefusedError("The server is busy: too many uploads wait already. Try again in a minute.", 503)
