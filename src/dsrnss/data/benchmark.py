"""What the test server of a data set takes."""

from dataclasses import dataclass

LABELS, DECLARED, CONFIDENCE = "labelTrainIds", "labelTrainIds_invalid", "confidence"


@dataclass(frozen=True)
class Benchmark:
    """What a server wants.

    Attributes:
        title: Its name in messages.
        folders: Folders of the archive, one PNG a picture in each.
        counts: Numbers of test pictures that make a whole submission.
        size: (height, width) of every PNG.
        flat: Whether the PNGs may also lie at the top level.
    """

    title: str
    folders: tuple[str, ...]
    counts: tuple[int, ...]
    size: tuple[int, int]
    flat: bool = False
