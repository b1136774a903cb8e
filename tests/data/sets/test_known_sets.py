"""What a data set is known by stands at its class, and one table leads to the classes."""

import json
import subprocess
import sys

import pytest

import dsrnss.data
from dsrnss.cli import main
from dsrnss.commands.data.targets import resolve
from dsrnss.data.location import has_layout
from dsrnss.data.sets import HOMES, known_sets
from dsrnss.data.submission.archive import benchmarks


def test_every_set_of_the_table_is_public_and_has_a_key_of_its_own():
    classes = [getattr(dsrnss.data, name) for name in HOMES]
    assert [cls.__name__ for cls in classes] == list(HOMES)
    assert list(known_sets().values()) == [cls for cls in classes if cls.key]
    assert all(cls.signs and cls.all_parts() for cls in known_sets().values())


@pytest.mark.parametrize("key", known_sets())
def test_a_folder_is_known_by_its_signs_and_by_no_other_s(key, tmp_path, miniatures, monkeypatch):
    root = miniatures.MAKERS[known_sets()[key].__name__](tmp_path)
    assert [other for other, cls in known_sets().items() if has_layout(root, cls.signs)] == [key]
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert list(resolve(key).sets) == list(resolve(str(root)).sets) == list(resolve(str(tmp_path)).sets)


def test_benchmarks_are_those_of_sets_whose_test_labels_are_kept():
    assert list(benchmarks()) == ["darkzurich", "acdc"]
    for key in benchmarks():
        cls = known_sets()[key]
        assert "test" in cls.splits and "test" not in cls.labelled_splits
        assert cls.benchmark.size == cls.official_size and max(cls.benchmark.counts) == cls.counts["test"]


def test_the_table_alone_imports_no_torch():
    code = "import sys, dsrnss.data.sets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", HOMES)
def test_options_are_the_common_ones_and_its_own_and_no_others(name, tmp_path):
    cls = getattr(dsrnss.data, name)
    common = {"size": (4, 8), "resize_label": False, "cache_dir": tmp_path}
    dataset = cls(root=tmp_path, **common)
    assert {key: getattr(dataset, key) for key in common} == common
    with pytest.raises(TypeError, match="'sise'"):
        cls(root=tmp_path, sise=(4, 8))


@pytest.mark.parametrize("name", ["Cityscapes", "NighttimeDriving", "BDD100kNight"])
def test_a_set_without_references_takes_no_such_option(name):
    with pytest.raises(TypeError, match="'references'"):
        getattr(dsrnss.data, name)(references=True)


def test_a_wrong_option_in_an_experiment_is_answered_with_all_of_them(tmp_path, capsys):
    source = {"class_path": "dsrnss.data.DarkZurich", "init_args": {"siez": [4, 8]}}
    (tmp_path / "e.yaml").write_text(json.dumps({"data": {"source": source}}))
    assert main(["fit", "--config", "synthnight/source.yaml", "--config", str(tmp_path / "e.yaml")]) == 2
    told = capsys.readouterr().err
    assert "Unknown key 'siez' of dsrnss.data.DarkZurich (data.source). Did you mean 'size'?" in told
    assert "Accepted: split, root, references, pairs_file, time, size, resize_label, cache_dir." in told
