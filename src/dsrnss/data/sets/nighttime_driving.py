"""Nighttime Driving (Dai and Van Gool, arXiv 1810.02575): 50 coarsely labelled night pictures, for testing."""

from pathlib import Path
from types import MappingProxyType

from dsrnss.data.files import Entry, FileDataset, find_labels, listing

IMAGE_ENDING = "_leftImg8bit.png"


class NighttimeDriving(FileDataset):
    """Nighttime Driving in its official layout; its labels hold no terrain and no motorcycle.

    Args:
        split: `test`, the only one.
        root: Folder of the set; None: `$DATA_DIR/NighttimeDrivingTest`.
        size: (height, width) that pictures are resized to; None: as on disk (1080, 1920).
        resize_label: Whether labels are resized too; False keeps their own size, for evaluation at full size.
        cache_dir: Folder for decoded and resized copies, made at first use; None: no copies.

    Raises:
        ConfigError: If there is no such split.
    """

    key = "nighttimedriving"
    folder = "NighttimeDrivingTest"
    signs = (("leftImg8bit", "gtCoarse_daytime_trainvaltest"),)
    splits = ("test",)
    labelled_splits = ("test",)
    counts = MappingProxyType({"test": 50})
    official_size = (1080, 1920)
    url = "http://people.ee.ethz.ch/~daid/NightDriving"
    paper = "Dai and Van Gool, Dark Model Adaptation: Semantic Image Segmentation from Daytime to Nighttime, 1810.02575"
    licence = "non-commercial; terms with the download"

    def __init__(
        self,
        split: str = "test",
        root: str | Path | None = None,
        size: tuple[int, int] | None = None,
        resize_label: bool = True,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__(split, root, size, resize_label, cache_dir=cache_dir)

    def _scan(self, root: Path) -> list[Entry]:
        pictures = root / "leftImg8bit" / "test" / "night"
        images = self._found(listing(pictures, f"*{IMAGE_ENDING}"), pictures / f"*{IMAGE_ENDING}")
        truth = root / "gtCoarse_daytime_trainvaltest" / "test" / "night"
        known = set(listing(truth, "*_gtCoarse_label*Ids.png"))
        stems = {image: truth / f"{image.name.removesuffix(IMAGE_ENDING)}_gtCoarse" for image in images}
        labels = find_labels(stems, known, "Unpack all of NighttimeDrivingTest.zip.")
        return [Entry(image.stem, image, *label) for image, label in labels.items()]
