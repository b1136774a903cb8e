"""The files and the table at the end of a test."""

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from dsrnss.errors import OutputError
from dsrnss.labels import CITYSCAPES
from dsrnss.metrics import scores
from dsrnss.training.callbacks.result_files import ResultFiles, print_results, results_folder, write_results


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(0)
    counts = np.zeros((19, 40), np.int64)
    counts[:, :19] = rng.integers(0, 90, (19, 19)) + np.diag(rng.integers(100, 5000, 19))
    counts[9] = counts[:, 9] = 0
    counts[:, 19:38] = counts[:, :19] // 2
    counts[:, 38:] = 7
    return scores(counts, CITYSCAPES)


@pytest.fixture(scope="module")
def files(tmp_path_factory, measured):
    folder = tmp_path_factory.mktemp("results")
    return write_results(folder, "dark_zurich", measured, CITYSCAPES, {"checkpoint": "last.ckpt"})


def test_numbers_are_kept_exactly(files, measured):
    assert [f.name for f in files[:2]] == ["dark_zurich.json", "dark_zurich.csv"]
    read = json.loads(files[0].read_text())
    assert read["scores"]["mIoU"] == measured.mean_iou and read["checkpoint"] == "last.ckpt"
    assert read["IoU"]["terrain"] is None and read["IoU"]["road"] == measured.iou[0]
    assert np.array_equal(read["confusion"], measured.confusion)
    assert read["scores"]["UIoU"] == measured.mean_uiou and len(read["UIoU_per_class"]) == 19
    rows = list(csv.DictReader(io.StringIO(files[1].read_text())))
    assert rows[0]["class"] == "road" and float(rows[0]["IoU"]) == pytest.approx(measured.iou[0], abs=1e-6)
    assert int(rows[0]["truth_pixels"]) == measured.confusion[0].sum() and rows[9]["IoU"] == ""
    assert {row["class"] for row in rows[19:]} == set(measured.summary())


def test_pictures_are_drawn(files):
    for path in files[2:]:
        with Image.open(path) as picture:
            assert min(picture.size) > 500 and np.asarray(picture.convert("L")).std() > 10


def test_results_lie_beside_the_checkpoint(tmp_path, measured):
    checkpoint = tmp_path / "checkpoints/last.ckpt"
    assert results_folder(str(checkpoint), tmp_path) == tmp_path / "checkpoints/last_test"
    assert results_folder(None, tmp_path) == results_folder("s3://bucket/last.ckpt", tmp_path) == tmp_path
    callback = ResultFiles(tmp_path / "elsewhere")
    trainer = SimpleNamespace(is_global_zero=True, ckpt_path=str(checkpoint), global_step=7)
    callback.on_test_end(trainer, SimpleNamespace(results={"a/b": measured}, label_space=CITYSCAPES))
    assert callback.folder == checkpoint.with_name("last_test")
    assert len(list(callback.folder.glob("a_b*"))) == 4
    assert json.loads((callback.folder / "a_b.json").read_text())["step"] == 7


def test_only_the_first_process_writes(tmp_path, measured):
    callback = ResultFiles(tmp_path / "out")
    trainer = SimpleNamespace(is_global_zero=False, ckpt_path=None, global_step=0)
    callback.on_test_end(trainer, SimpleNamespace(results={"a": measured}, label_space=CITYSCAPES))
    assert callback.folder is None and not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, measured):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OutputError, match=r"Cannot write.*out"):
        write_results(tmp_path / "out", "night", measured, CITYSCAPES)


def test_the_table_holds_every_mean(measured):
    console = Console(file=io.StringIO(), width=80)
    plain = scores(measured.confusion, CITYSCAPES)
    print_results(console, {"night": measured, "day": plain}, CITYSCAPES)
    rows = {line.split("  ")[0].strip(): line.split()[-2:] for line in console.file.getvalue().splitlines()}
    assert rows["mean, classes that occur"] == [f"{100 * measured.mean_iou_present:.1f}"] * 2
    assert rows["UIoU"] == [f"{100 * measured.mean_uiou:.1f}", "-"]
    assert rows["terrain"] == ["-", "-"]


def test_results_go_elsewhere_where_the_folder_refuses(tmp_path, measured, caplog):
    caplog.set_level("INFO", "dsrnss")
    (tmp_path / "last_test").write_text("in the way")
    checkpoint, fallback = tmp_path / "last.ckpt", tmp_path / "results"
    files = ResultFiles(fallback)
    trainer = SimpleNamespace(is_global_zero=True, ckpt_path=checkpoint, global_step=3)
    module = SimpleNamespace(results={"night": measured}, label_space=CITYSCAPES)
    files.on_test_start(trainer, module)
    assert f"The results go to '{fallback}'" in caplog.text and not fallback.exists()
    files.on_test_end(trainer, module)
    assert files.folder == fallback and (fallback / "night.json").is_file()


def test_scores_are_not_lost_with_their_file(tmp_path, measured):
    files = ResultFiles(tmp_path / "results")
    trainer = SimpleNamespace(is_global_zero=True, ckpt_path=None, global_step=3)
    module = SimpleNamespace(results={"night": measured}, label_space=CITYSCAPES)
    files.on_test_start(trainer, module)
    (tmp_path / "results").write_text("in the way now")
    files.on_test_end(trainer, module)
    assert files.folder is None and isinstance(files.failure, OutputError)


def test_nowhere_to_write_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        ResultFiles(tmp_path / "file").on_test_start(SimpleNamespace(is_global_zero=True, ckpt_path=None), None)
