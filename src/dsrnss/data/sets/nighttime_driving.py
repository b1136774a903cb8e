"""Nighttime Driving (Dai and Van Gool, arXiv 1810.02575): 50 coarsely labelled night pictures, for testing."""

from pathlib import Path
from types import MappingProxyType

from dsrnss.data.archives import Archive
from dsrnss.data.files import Entry, FileDataset
from dsrnss.data.listing import find_labels, listing

IMAGE_ENDING = "_leftImg8bit.png"
_FILE = "data.vision.ee.ethz.ch/daid/NighttimeDriving/NighttimeDrivingTest.zip"


class NighttimeDriving(FileDataset):
    """Nighttime Driving in its official layout; its labels hold no terrain and no motorcycle.

    Its split is `test`; the arguments are those of `FileDataset`.
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
    archives = (
        Archive(
            "NighttimeDrivingTest.zip",
            ("leftImg8bit", "gtCoarse_daytime_trainvaltest"),
            ("test",),
            (f"https://{_FILE}", f"http://{_FILE}"),
        ),
    )

    def _scan(self, root: Path) -> list[Entry]:
        pictures = root / "leftImg8bit" / "test" / "night"
        images = self._found(listing(pictures, f"*{IMAGE_ENDING}"), pictures / f"*{IMAGE_ENDING}")
        truth = root / "gtCoarse_daytime_trainvaltest" / "test" / "night"
        known = set(listing(truth, "*_gtCoarse_label*Ids.png"))
        stems = {image: truth / f"{image.name.removesuffix(IMAGE_ENDING)}_gtCoarse" for image in images}
        labels = find_labels(stems, known, "Unpack all of NighttimeDrivingTest.zip.")
        return [Entry(image.stem, image, *label) for image, label in labels.items()]
