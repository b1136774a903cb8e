"""Logs of trainings, whole and damaged."""

from pathlib import Path

import pytest

from dsrnss.errors import RunError
from dsrnss.reporting.logs import read_logs, smoothed


def log(folder: Path, text: str, name: str = "metrics.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


def test_values_stand_at_their_steps(tmp_path: Path) -> None:
    file = log(tmp_path, "epoch,step,train/loss,val/night/mIoU\r\n0,9,1.5,\r\n,9,,0.25\r\n0,19,nan,\r\n0,29,1.25,\r\n")
    assert read_logs([file]) == {"train/loss": [(9, 1.5), (29, 1.25)], "val/night/mIoU": [(9, 0.25)]}


def test_later_files_win_where_a_run_went_on(tmp_path: Path) -> None:
    first = log(tmp_path, "step,a\n9,1\n19,2\n29,3\n", "first.csv")
    later = log(tmp_path, "step,a\n29,30\n39,40\n", "later.csv")
    assert read_logs([first, later]) == {"a": [(9, 1), (19, 2), (29, 30), (39, 40)]}


def test_half_a_line_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    assert read_logs([log(tmp_path, "step,a,b\n9,1,2\n19,3")]) == {"a": [(9, 1)], "b": [(9, 2)]}
    assert read_logs([log(tmp_path, "")]) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no column 'step'"),
        ("step,a\n9,1\n19,one\n", "line 3"),
        ("step,a\n9,1\n19,2,3\n", "line 3"),
        ("step,a\n9,1\nnine,2\n", "line 3"),
        ("step,a,b\n9,1\n", "line 2"),
        ('step,a\n9,"1\n', "no log|line"),
    ],
)
def test_a_broken_table_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RunError, match=rf"(?s)metrics\.csv.*({said})"):
        read_logs([log(tmp_path, text)])


def test_no_text_at_all(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe\x00step")
    with pytest.raises(RunError, match="cannot be read"):
        read_logs([tmp_path / "metrics.csv"])


def test_long_curves_become_means_of_neighbours() -> None:
    points = [(float(step), float(step % 2)) for step in range(1000)]
    short = smoothed(points, 50)
    assert len(short) == 50 and {value for _, value in short} == {0.5} and short[-1][0] == 999
    assert smoothed(points[:50], 50) == points[:50]
