"""Limits of the machine are told as such: streams, encodings, memory, disks; never a bug, and nothing is lost."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsrnss import cli
from dsrnss.inference import results

UMLAUTS = "Straße bei Nächt"


def photographs(folder: Path, number: int = 1, size: tuple[int, int] = (48, 96)) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(number):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(folder / f"ü{index}.png")
    return folder


def own_set(root: Path) -> Path:
    photographs(root / "images", 2)
    (root / "labels").mkdir()
    for index in range(2):
        Image.fromarray(np.arange(96, dtype=np.uint8).reshape(8, 12).repeat(6, 0).repeat(8, 1) % 2).save(
            root / "labels" / f"ü{index}.png"
        )
    (root / "labels.yaml").write_text("classes: [Straße, Übriges]", encoding="utf-8")
    return root


class TestStreams:
    @pytest.mark.parametrize("shell", ["{} >&-", "{} <&- >&- 2>&-", "{} 2>/dev/full"])
    def test_closed_and_full_ones_stop_nothing(self, finished, tmp_path, shell):
        done = finished("data", "show", "synthnight", "--n", 1, "--out", "a.png", shell=shell)
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / "a.png") as sheet:
            sheet.load()

    def test_what_a_closed_stderr_would_say_is_not_said_on_stdout(self, finished):
        done = finished("dta", shell="{} 2>&-")
        assert (done.returncode, done.stdout) == (2, "")

    @pytest.mark.parametrize("words", [["weights", "list"], ["weights", "list", "--json"]])
    def test_results_that_stdout_cannot_take_are_an_error(self, finished, words):
        done = finished(*words, shell="{} >/dev/full")
        assert done.returncode == 1
        assert "No space left on device" in done.stderr


class TestEncodings:
    @pytest.mark.parametrize(
        "variables",
        [
            {"LC_ALL": "C", "PYTHONUTF8": "0"},
            {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"PYTHONIOENCODING": "latin-1"},
        ],
    )
    def test_files_are_utf_8_whatever_the_locale(self, finished, tmp_path, variables):
        own_set(tmp_path / UMLAUTS)
        done = finished("data", "check", UMLAUTS, "--json", f"{UMLAUTS}/öut.json", "--workers", 1, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Nothing wrong" in done.stdout
        found = json.loads((tmp_path / UMLAUTS / "öut.json").read_text(encoding="utf-8"))
        assert [*found["sets"][0]["pixels"]] == ["Straße", "Übriges", "ignored"]

    def test_names_in_a_list_that_the_locale_lacks_are_told(self, finished, tmp_path):
        own_set(tmp_path / "set")
        (tmp_path / "set" / "refs").mkdir()
        (tmp_path / "set" / "p.csv").write_text("ü0.png,ü1.png\n", encoding="utf-8")
        (tmp_path / "e.yaml").write_text(
            "data: {source: {class_path: dsrnss.data.Folder, init_args: {root: set, pairs_file: p.csv}}}"
        )
        for variables in ({}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
            done = finished("data", "check", "e.yaml", "--workers", 1, **variables)
            assert done.returncode == 1
            assert "missing-reference" in done.stdout or "missing-picture" in done.stdout, done.stdout + done.stderr

    def test_segment_names_pictures_in_utf_8(self, finished, tmp_path):
        photographs(tmp_path / UMLAUTS)
        with open(os.fsencode(tmp_path / UMLAUTS) + b"/latin\xfc.png", "wb") as file:  # noqa: PTH123
            file.write((tmp_path / UMLAUTS / "ü0.png").read_bytes())
        done = finished("segment", UMLAUTS, "--out", "öut", LC_ALL="C", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        summary = json.loads((tmp_path / "öut" / "summary.json").read_text(encoding="utf-8"))
        assert [one["picture"] for one in summary["pictures"]] == [f"{UMLAUTS}/latin\udcfc.png", f"{UMLAUTS}/ü0.png"]
        assert (tmp_path / "öut" / "ü0_overlay.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [400, 900, 1500, 2000, 2600, 3000, 3200, 3300, 3400, 3500, 3600, 3800])
def test_too_little_memory_is_said(finished, tmp_path, megabytes):
    photographs(tmp_path / "photos", size=(1500, 3000))
    done = finished("segment", "photos", "--out", "out", shell=f"ulimit -v {megabytes * 1024}; {{}}")
    # libraries that find no memory while they are loaded may end the process in their own words
    aborted = "alloc" in done.stderr or "terminate called" in done.stderr
    assert done.returncode in (0, 1) or aborted, done.stderr
    assert done.returncode == 0 or "memory" in done.stderr.lower() or aborted, done.stderr


class TestDisks:
    """`ulimit -f` lets files grow to so many kilobytes only, as a full disk does."""

    def test_segment_names_the_picture_and_leaves_nothing_half_written(self, finished, tmp_path):
        photographs(tmp_path / "photos", 2)
        done = finished("segment", "photos", "--out", "out", shell="ulimit -f 8; {}")
        assert done.returncode == 1
        assert done.stderr.count("Cannot write") == 2
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["summary.json"]
        assert finished("segment", "photos", "--out", "out").returncode == 0
        assert len([*(tmp_path / "out").iterdir()]) == 7

    def test_synthesize_keeps_the_earlier_output(self, finished, tmp_path):
        words = ["data", "synthesize", "set", "--source", 1, "--target", 1, "--val", 0, "--test", 0, "--size", 64, 128]
        assert finished(*words).returncode == 0
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        done = finished(*words, "--overwrite", "--seed", 1, shell="ulimit -f 4; {}")
        assert done.returncode == 1
        assert "Cannot write" in done.stderr
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["set"]

    def test_a_disk_that_fills_and_is_freed_again_costs_only_what_was_written_then(self, tmp_path, monkeypatch, capsys):
        photographs(tmp_path / "photos", 4)
        written = results.write_atomically
        calls = iter(range(100))

        def full_for_a_while(path, data):
            if 4 <= next(calls) < 6:
                raise results.OutputError(f"Cannot write '{path}': {os.strerror(errno.ENOSPC)}.")
            written(path, data)

        monkeypatch.setattr(results, "write_atomically", full_for_a_while)
        assert cli.main(["segment", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]) == 1
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert (len(summary["pictures"]), len(summary["failures"])) == (2, 2)
        assert "No space left" in capsys.readouterr().err

    def test_what_was_done_is_told_even_where_the_summary_cannot_be_written(self, tmp_path, monkeypatch, capsys):
        from dsrnss.errors import OutputError
        from dsrnss.inference.batch import Summary

        def fail(self, folder):
            raise OutputError("Cannot write 'summary.json': No space left on device.")

        monkeypatch.setattr(Summary, "write", fail)
        photographs(tmp_path / "photos")
        assert cli.main(["segment", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]) == 1
        said = capsys.readouterr()
        assert "1 picture segmented" in said.out
        assert "No space left" in said.err
