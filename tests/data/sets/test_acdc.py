import pytest

from dsrnss.data import ACDC
from dsrnss.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path, miniatures):
    return miniatures.acdc(tmp_path)


def reds(dataset, key="image"):
    return [int(dataset[i][key][0, 0, 0]) for i in range(len(dataset))]


def test_the_night_alone_is_the_default_and_train_shows_no_label(root):
    train = ACDC("train", root)
    assert set(train[0]) == {"image", "reference", "name"} and not train.labelled
    assert reds(train) == [3] and reds(train, "reference") == [103]
    val = ACDC("val", root)
    assert set(val[0]) == {"image", "label", "name"} and int(val[0]["label"][0, 0]) == 1
    assert set(ACDC("test", root)[0]) == {"image", "name"}


def test_any_conditions_in_the_order_given(root):
    assert reds(ACDC("val", root, conditions=("snow", "fog"))) == [10, 1]
    both = ACDC("val", root, conditions=("night", "rain"), references=True)
    assert reds(both, "reference") == [104, 107]
    assert reds(ACDC("test", root, conditions="fog", references=True), "reference") == [102]


def test_labels_of_train_are_there_for_whoever_asks(root):
    labelled = ACDC("train", root, labelled=True, conditions=("fog", "night"))
    assert labelled.class_counts()[:, :2].tolist() == [[576, 0], [0, 576]]
    with pytest.raises(ConfigError, match="no labels"):
        ACDC("test", root, labelled=True)


def test_raw_ids_do_where_there_are_no_train_ids(root, miniatures):
    path = next((root / "gt/night/val").rglob("*_labelTrainIds.png"))
    path.unlink()
    miniatures.label(path.with_name(path.name.replace("TrainIds", "Ids")), 26)
    assert int(ACDC("val", root)[0]["label"][0, 0]) == 13


def test_wrong_conditions_are_named(root):
    with pytest.raises(ConfigError, match=r"'nigth'.*Did you mean 'night'"):
        ACDC("val", root, conditions=("nigth",))
    for wrong in ((), ("fog", "fog")):
        with pytest.raises(ConfigError, match="conditions"):
            ACDC("val", root, conditions=wrong)


def test_only_the_conditions_asked_for_must_be_there(tmp_path, miniatures):
    root = miniatures.acdc(tmp_path, ("night",))
    ACDC("train", root).verify()
    with pytest.raises(DataError, match=r"rgb_anon/rain/train"):
        ACDC("train", root, conditions=("night", "rain")).verify()
