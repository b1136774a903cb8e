"""What is meant by DAY and NIGHT."""

import numpy as np
import pytest
from pictures import write_day, write_night
from PIL import Image

from dsrnss.automation import run, sets
from dsrnss.automation.request import Request
from dsrnss.automation.sets import joined, labelled_set, night_set, supports
from dsrnss.data import Folder, SynthNight
from dsrnss.errors import DataError, DatasetNotFoundError, UsageError


def test_a_folder_with_images_and_labels(tmp_path):
    dataset = labelled_set(write_day(tmp_path / "day")).build()
    assert isinstance(dataset, Folder) and len(dataset) == 8 and dataset.classes == ("ground", "thing", "sky")


def test_the_training_part_of_a_folder_that_is_split(tmp_path):
    write_day(tmp_path / "given")
    for folder in ("images", "labels"):
        (tmp_path / "day" / folder).mkdir(parents=True)
        for part in ("train", "val"):
            (tmp_path / "given" / folder).rename(tmp_path / "given" / part) if part == "train" else None
        (tmp_path / "given" / "train").rename(tmp_path / "day" / folder / "train")
        (tmp_path / "day" / folder / "val").mkdir()
    (tmp_path / "given" / "labels.yaml").rename(tmp_path / "day" / "labels.yaml")
    assert len(labelled_set(tmp_path / "day").build()) == 8


def test_several_sources_are_one_with_the_classes_of_the_first(tmp_path):
    day = labelled_set(write_day(tmp_path / "day"))
    write_day(tmp_path / "more", 3)
    (tmp_path / "more" / "labels.yaml").write_text("classes: [sky, ground, tree]")
    choice = joined(day, [f"{tmp_path / 'more'}=0.5"]).of_side(48)
    dataset = choice.build()
    assert dataset.classes == ("ground", "thing", "sky") and len(dataset) == 11
    assert dataset.sets[1].size == 48 and dataset.weights == [1, 0.5]
    assert "tree" in dataset.mapping_table()
    assert [one["init_args"]["size"] for one in choice.node()["init_args"]["sets"]] == [48, 48]
    assert joined(day, []) is day


@pytest.mark.parametrize("word", ["synthnight=0", "synthnight=much", "synthnight=-1"])
def test_a_weight_is_a_number_above_0(tmp_path, word):
    with pytest.raises(UsageError, match="SET=WEIGHT"):
        joined(labelled_set(write_day(tmp_path / "day")), [word])


def test_synthnight_needs_no_folder():
    assert isinstance(labelled_set("synthnight").build(), SynthNight)


def test_any_folder_of_pictures_is_a_night(tmp_path):
    dataset = night_set(write_night(tmp_path / "night")).build()
    assert len(dataset) == 8 and not dataset.labelled and not dataset.references


def test_labels_of_the_night_are_not_looked_at(tmp_path):
    dataset = night_set(write_day(tmp_path / "night")).build()
    assert not dataset.labelled and "label" not in dataset[0]


def test_references_in_a_folder_of_their_own(tmp_path):
    write_night(tmp_path / "night")
    write_night(tmp_path / "day")
    dataset = night_set(tmp_path / "night", refs=tmp_path / "day").build()
    assert dataset.references and dataset.entries[0].reference == tmp_path / "day" / "0.jpg"


def test_references_by_a_list(tmp_path):
    write_night(tmp_path / "night")
    (tmp_path / "pairs.csv").write_text("0,1\n3,2\n")
    dataset = night_set(tmp_path / "night", pairs=tmp_path / "pairs.csv").build()
    assert [entry.name for entry in dataset.entries] == ["0", "3"]


def test_a_known_layout_is_known_by_its_folder(tmp_path):
    for part in ("leftImg8bit", "gtFine"):
        (tmp_path / "cs" / part / "train").mkdir(parents=True)
    choice = labelled_set(tmp_path / "cs")
    assert choice.kind == "Cityscapes" and choice.arguments == {"split": "train", "root": str(tmp_path / "cs")}


@pytest.mark.parametrize("make", [labelled_set, night_set])
def test_a_word_that_means_nothing_is_answered_with_what_was_meant(make):
    with pytest.raises(UsageError, match=r"'cityscape' is neither a folder nor a known data set.*'cityscapes'"):
        make("cityscape")


def test_without_labels_by_day_it_says_where_they_belong(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"holds no labels.*labels"):
        labelled_set(write_night(tmp_path / "day"))


def test_labels_without_classes(tmp_path):
    write_day(tmp_path / "day")
    (tmp_path / "day" / "labels.yaml").unlink()
    with pytest.raises(DataError, match=r"names the classes"):
        labelled_set(tmp_path / "day")
    assert labelled_set(tmp_path / "day", "cityscapes").build().classes[0] == "road"


def test_an_empty_folder(tmp_path):
    (tmp_path / "night").mkdir()
    with pytest.raises(DatasetNotFoundError, match=r"holds no pictures"):
        night_set(tmp_path / "night")


def test_references_that_do_not_exist(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist"):
        night_set(write_night(tmp_path / "night"), refs=tmp_path / "nowhere")


class TestSupport:
    """SynthNight joins where labelled pictures are few and show no night, and the nights to adapt to are dark."""

    @pytest.fixture
    def night(self, tmp_path):
        return self.skies(tmp_path / "dark", 20, 90)

    def skies(self, folder, top, bottom):
        folder.mkdir()
        pixels = np.full((64, 96, 3), bottom, np.uint8)
        pixels[:24] = top
        for number in range(3):
            Image.fromarray(pixels).save(folder / f"{number}.png")
        return night_set(folder)

    def day(self, tmp_path, classes):
        root = write_day(tmp_path / "day")
        (root / "labels.yaml").write_text(f"classes: [{classes}]")
        return labelled_set(root)

    def test_it_joins(self, tmp_path, night):
        assert supports(self.day(tmp_path, "road, car, sky"), night)

    def test_not_at_dusk(self, tmp_path):
        assert not supports(self.day(tmp_path, "road, car, sky"), self.skies(tmp_path / "dusk", 200, 90))

    @pytest.mark.parametrize("classes", ["ground, thing, sky", "one, two, three"])
    def test_not_without_a_sky_and_a_road(self, tmp_path, night, classes):
        assert not supports(self.day(tmp_path, classes), night)

    def test_not_beside_many_pictures(self, tmp_path, night, monkeypatch):
        monkeypatch.setattr(sets, "_FEW", 7)
        assert not supports(self.day(tmp_path, "road, car, sky"), night)

    def test_not_beside_itself_or_a_known_set(self, night):
        assert not supports(labelled_set("synthnight"), night)

    def test_adapt_says_so_and_is_told_not_to(self, tmp_path, night):
        day = self.day(tmp_path, "road, car, sky").arguments["root"]
        asked = {"day": str(day), "night": str(tmp_path / "dark")}
        assert run._Adaptation(Request(**asked), tmp_path / "run").day.kind == "MultiSource"
        assert run._Adaptation(Request(**asked, source=("none",)), tmp_path / "run").day.kind == "Folder"
