"""Pairs found on SynthNight, whose truth is known: night pictures and day pictures of the same places, and others."""

import numpy as np
import pytest
from PIL import Image

from dsrnss.adaptation.alignment.classical import align_pair
from dsrnss.data import Folder, SynthNight
from dsrnss.errors import ConfigError, DatasetNotFoundError, ImageError
from dsrnss.pairing import find_pairs
from dsrnss.pairing.descriptors import similarities
from dsrnss.pairing.positions import Position
from dsrnss.pairing.verification import aligned_share, certainty

SCENES = 6


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Six night pictures, the day pictures of four of the places, and six of other places."""
    root = tmp_path_factory.mktemp("places")
    for folder in ("night/images/a", "day"):
        (root / folder).mkdir(parents=True)
    scenes, others = SynthNight("val", length=SCENES, references=True), SynthNight("source", length=6)
    for index in range(SCENES):
        save(scenes[index]["image"], root / f"night/images/a/n{index}.png")
        save(others[index]["image"], root / f"day/x{index}.png")
        if index < 4:
            save(scenes[index]["reference"], root / f"day/d{index}.png")
    return root


def save(image, path):
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def pixels(path):
    return np.asarray(Image.open(path))


def right(pair):
    return pair.picture.stem[1:] == pair.reference.stem[1:] and pair.reference.stem[0] == "d"


@pytest.mark.slow
def test_pairs_are_found_and_places_without_a_day_picture_are_left_out(places):
    found = find_pairs(places / "night", places / "day", workers=1)
    assert len(found.pairs) == SCENES and not found.alone
    assert sum(map(right, found.taken)) >= 3 and all(map(right, found.taken))
    found.write(places / "night" / "pairs.csv")
    dataset = Folder(places / "night", pairs_file="pairs.csv")
    assert [dataset.entries[i].reference.stem for i in range(len(dataset))] == [p.reference.stem for p in found.taken]
    assert dataset[0]["reference"].shape == dataset[0]["image"].shape


def test_positions_limit_the_candidates_and_headings_too(places):
    positions = {f"n{index}": Position(52, index / 100, 0) for index in range(4)}
    positions |= {f"d{index}": Position(52.0001, index / 100, 10 if index else 180) for index in range(3)}
    found = find_pairs(
        places / "night", places / "day", positions=positions, candidates=1, aligner=everything, workers=1
    )
    assert [path.stem for path in found.alone] == ["n0", "n3"], "one faces elsewhere, of one no day picture is near"
    known = {pair.picture.stem: pair for pair in found.pairs if pair.metres is not None}
    assert {name: pair.reference.stem for name, pair in known.items()} == {"n1": "d1", "n2": "d2"}
    assert all(pair.metres == pytest.approx(11.1, abs=0.1) for pair in known.values())
    assert len(found.pairs) == 4, "pictures of unknown place are compared with all"
    anywhere = find_pairs(
        places / "night", places / "day", positions=positions, radius=0, candidates=1, aligner=everything, workers=1
    )
    assert len(anywhere.pairs) == SCENES and all(pair.metres is None for pair in anywhere.pairs)


def everything(night, day):
    return np.zeros((*night.shape[:2], 2), np.float32), np.ones(night.shape[:2], np.float32)


def test_folders_without_pictures_damaged_ones_and_wrong_numbers_are_told(places, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="holds none"):
        find_pairs(tmp_path, places / "day")
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        find_pairs(places / "night", tmp_path / "none")
    with pytest.raises(ConfigError, match="candidates"):
        find_pairs(places / "night", places / "day", candidates=0)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        find_pairs(tmp_path, places / "day", workers=1)


def test_similar_pictures_are_those_that_differ_alike_from_the_rest():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(20, 3, 8, 16)).astype(np.float32)
    night, day = places + 5, np.roll(places, 1, axis=-1) - 3  # other light, and a camera a little to the side
    assert (similarities(night, day).argmax(1) == np.arange(20)).all()
    assert np.isfinite(similarities(night[:1], day[:1])).all()


def test_the_certainty_grows_with_what_can_be_aligned():
    shares = [0, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
    values = [certainty(share) for share in shares]
    assert values == sorted(values) and 0 <= values[0] < 0.01 and values[3] < 0.5 < values[4] and values[-1] > 0.99


def test_a_road_alone_is_no_place():
    def road(night, day):
        flow, confidence = everything(night, day)
        confidence[: len(confidence) // 2] = 0
        return flow, confidence

    picture = np.zeros((40, 60, 3), np.uint8)
    assert aligned_share(picture, picture, road) == 0 and aligned_share(picture, picture, everything) == 1


def test_two_places_are_not_aligned(places):
    """The aligner says "not aligned" of pictures of two places, and not something wrong."""
    night, day = ([pixels(path) for path in sorted(places.glob(name))[:4]] for name in ("night/images/a/n*", "day/d*"))
    same = [aligned_share(night[i], day[i], align_pair) for i in range(4)]
    other = [aligned_share(night[i], day[(i + 1) % 4], align_pair) for i in range(4)]
    assert np.median(same) > 0.2 and max(other) < 0.1
