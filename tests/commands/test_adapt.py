"""`dsrnss adapt`: its words, and the mistakes that are answered before anything is trained."""

import pytest

from dsrnss.cli import main


def test_help_says_what_is_needed_and_written(capsys):
    assert main(["adapt", "--help"]) == 0
    said = capsys.readouterr().out
    for word in ("DAY NIGHT", "OUT/model", "report.html", "--val", "--source", "--weights", "--network", "synthnight"):
        assert word in said


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Missing: DAY, NIGHT"),
        (["nowhere", "nowhere"], "'nowhere' is neither a folder nor a known data set"),
        (["synthnight", "{empty}"], "holds no pictures"),
        (["synthnight", "{empty}", "--steps", "0"], "--steps"),
        (["synthnight", "{empty}", "--netwrok", "compact"], "--network"),
        (["synthnight", "{night}", "--network", "compcat"], "'compact'"),
        (["synthnight", "{night}", "--weights", "{night}/none.pth"], "none.pth"),
    ],
)
def test_mistakes(tmp_path, capsys, words, said):
    from PIL import Image

    for name in ("empty", "night"):
        (tmp_path / name).mkdir()
    for index in range(4):
        Image.new("RGB", (128, 96), (index, 9, 9)).save(tmp_path / "night" / f"{index}.png")
    places = {name: str(tmp_path / name) for name in ("empty", "night")}
    words = [word.format(**places) for word in words]
    code = main(["adapt", *words, "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().err
    assert code in (1, 2) and said in shown, shown
