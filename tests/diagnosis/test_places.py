"""Disks, caches and data sets."""

from pathlib import Path

import pytest

from dsrnss.data.sets import known_sets
from dsrnss.diagnosis import places


def test_facts_of_sets_are_those_of_their_classes() -> None:
    told = {facts["key"]: facts for facts in places.set_facts()}
    assert told.keys() == known_sets().keys()
    for key, kind in known_sets().items():
        assert (told[key]["folder"], told[key]["url"]) == (kind.folder, kind.url)


class TestDataSets:
    def test_nothing_is_set(self) -> None:
        (found,) = places.data_sets()
        assert (found.value, found.state) == ("not set", "note")

    def test_a_root_that_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "gone"))
        (found,) = places.data_sets()
        assert found.state == "missing"
        assert "gone" in found.value

    def test_sets_that_are_there_and_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "Cityscapes" / "gtFine").mkdir(parents=True)
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        found = {one.name: one for one in places.data_sets()}
        assert found["cityscapes"].state == "fine"
        assert "not there" in found["darkzurich"].value
        assert found["darkzurich"].advice.startswith("from https://")


def test_a_cache_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSRNSS_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.ckpt").write_bytes(bytes(3_000_000))
    found = {one.name: one.value for one in places.caches()}
    assert found["cache/weights"] == "3 MB in 1 file"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "_LEAST_FREE", 1e18)
    found = {one.name: one for one in places.disks()}
    assert found["current folder"].state == "note"
    assert "--out" in found["current folder"].advice
