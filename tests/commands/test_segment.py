import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsrnss.cli import main
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import save_pretrained
from dsrnss.models.weights.registry import REGISTRY


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(backbone="compact", head_channels=16))
    card = {"image_height": 64, "image_width": 128}
    return save_pretrained(network, tmp_path_factory.mktemp("model") / "random.safetensors", card=card, half=True)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `photos` in the current folder: four good pictures, two of them of one name, and two broken ones."""
    monkeypatch.chdir(tmp_path)
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    for name in ("a.jpg", "a.png", "b.png", "more/b.png"):
        Image.fromarray(noise).save(folder / name)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    return folder


def read_summary(out: str = "out") -> dict:
    return json.loads(Path(out, "summary.json").read_text(encoding="utf-8"))


def test_good_pictures_are_done_and_bad_ones_named(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", "photos", "photos/mist.jpg", "--out", "out", "--model", str(model)]) == 1
    said = capsys.readouterr()
    for reason in ("photos/empty.jpg' is empty (0 bytes)", "photos/text.jpg' is not a picture", "no 'photos/mist.jpg'"):
        assert reason in said.err
    assert "3 pictures segmented, 3 failed" in said.out
    assert "photos/a.jpg" in said.out
    assert "Next:" in said.out
    summary = read_summary()
    assert [record["picture"] for record in summary["pictures"]] == ["photos/a.jpg", "photos/a.png", "photos/b.png"]
    assert {failure["picture"] for failure in summary["failures"]} == {
        "photos/empty.jpg", "photos/mist.jpg", "photos/text.jpg",
    }  # fmt: skip


def test_the_summary_describes_the_files(photos: Path, model: Path) -> None:
    assert main(["segment", "photos/b.png", "--out", "out", "--model", str(model)]) == 0
    summary = read_summary()
    (record,) = summary["pictures"]
    assert (record["width"], record["height"], summary["failures"]) == (70, 50, [])
    assert sum(record["class_shares"].values()) == pytest.approx(1, abs=1e-4)
    assert 0 < record["mean_confidence"] <= 1
    labels = np.asarray(Image.open(Path("out", record["files"]["labels"])))
    assert labels.shape == (50, 70)
    for index, name in enumerate(summary["classes"]):
        assert (labels == index).mean() == pytest.approx(record["class_shares"][name], abs=1e-5)
    assert sorted(path.name for path in Path("out").iterdir()) == sorted([*record["files"].values(), "summary.json"])


def test_pictures_of_one_name_do_not_overwrite_each_other(photos: Path, model: Path) -> None:
    assert main(["segment", "photos/*.png", "photos/more", "photos/a.jpg", "--out", "o", "--model", str(model)]) == 0
    files = [file for record in read_summary("o")["pictures"] for file in record["files"].values()]
    assert len(set(files)) == 12
    assert all(Path("o", file).is_file() for file in files)


def test_recursive_and_results_beside_the_photos(photos: Path, model: Path) -> None:
    command = ["segment", "photos/more", "--recursive", "--out", "photos/more", "--model", str(model)]
    assert main(command) == main(command) == 0
    assert len(read_summary("photos/more")["pictures"]) == 1


def test_without_a_model_the_notice_says_what_the_demo_model_has_seen(
    photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dsrnss.inference.segmenter.DEMO_MODEL", model)
    assert main(["segment", "photos/b.png", "--out", "out"]) == 0
    said = capsys.readouterr().err
    assert all(words in said for words in ("only synthetic", "--model segformer_b2_cityscapes", "non-commercial"))
    assert "segformer_b2_cityscapes" in REGISTRY
    assert read_summary()["model"] == "packaged demo model"


def test_nothing_to_do_is_an_error_before_any_model_is_read(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segment", "fotos", "x.jpg", "--out", "out", "--model", "none.ckpt"]) == 1
    said = capsys.readouterr().err
    assert "Did you mean 'photos'?" in said
    assert "x.jpg" in said
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--out", "photos/a.jpg"], 1, "is a file"),
        (["--out", "out", "--model", "none.ckpt"], 1, "none.ckpt"),
        (["--out", "out", "--device", "cuda:99"], 1, "cuda:99"),
        (["--out", "out", "--wich", "teacher"], 2, "Did you mean '--which'?"),
        (["--out", "out", "--which", "techer"], 2, "Did you mean 'teacher'?"),
        (["--out", "out", "--max-megapixels", "-1"], 2, "above 0"),
        (["--out", "out", "--window", "8", "64"], 2, "32 or more"),
        ([], 2, "--out"),
    ],
)
def test_wrong_options_are_answered_without_a_traceback(
    photos: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    assert main(["segment", "photos/b.png", *options]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_size_options_reach_the_segmenter(photos: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--model", str(model), "--height", "100", "--window", "64", "64", "--max-megapixels", "0.01"]
    assert main(["segment", "photos/b.png", "--out", "out", *options]) == 0
    assert read_summary()["pictures"][0]["segmented_at"] == [140, 100]
    assert main(["segment", "photos/b.png", "--out", "out", *options[:-1], "0.001"]) == 1
    assert "or raise --max-megapixels." in capsys.readouterr().err


def test_folders_in_a_folder_are_hinted_at_by_the_option(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "outer").mkdir()
    (photos / "more").rename(photos / "outer" / "more")
    assert main(["segment", "photos/outer", "--out", "out"]) == 1
    assert "Give --recursive to search" in capsys.readouterr().err


def test_odd_file_names_break_neither_table_nor_summary(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (photos / "b.png").read_bytes()
    for name in (
        b"photos/[red]x[bold].png",
        b"photos/latin\xe9.png",
        b"photos/new\nline.png",
        "photos/nächt 夜.png".encode(),
    ):
        with open(name, "wb") as file:  # noqa: PTH123 (a Path takes no bytes)
            file.write(good)
    assert main(["segment", "photos/*.png", "--out", "out", "--model", str(model)]) == 0
    assert "[red]x[bold].png" in capsys.readouterr().out
    assert len(read_summary()["pictures"]) == 6
