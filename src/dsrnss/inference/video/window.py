"""A window that shows the frames while they are segmented, where there is a display."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from dsrnss.errors import ConfigError, HardwareError
from dsrnss.inference.results import Segmentation

_TITLE = "dsrnss (q ends)"
_ENDS = (ord("q"), 27)
"""Keys; 27 is Escape."""


def check_display() -> None:
    """See that a window can be shown.

    Raises:
        HardwareError: If there is no display.
        ConfigError: If this OpenCV was built without windows.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise HardwareError("--show needs a display: neither DISPLAY nor WAYLAND_DISPLAY is set.")
    try:
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
        cv2.destroyWindow(_TITLE)
    except cv2.error as error:
        raise ConfigError(
            "--show needs an OpenCV with windows: pip uninstall opencv-python-headless, then pip install opencv-python."
        ) from error


@contextmanager
def window(shown: bool) -> Iterator[Callable[[Segmentation], bool]]:
    """A window for the overlay of each frame.

    Args:
        shown: Whether there is one at all.

    Yields:
        To be called with each result; it returns whether to go on.
    """
    if not shown:
        yield lambda result: True
        return

    def show(result: Segmentation) -> bool:
        cv2.imshow(_TITLE, np.asarray(result.overlay())[..., ::-1])
        return cv2.waitKey(1) & 0xFF not in _ENDS

    cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL)
    try:
        yield show
    finally:
        cv2.destroyWindow(_TITLE)
