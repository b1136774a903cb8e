"""Data sets are fetched whole or not at all, from servers that cut, redirect, lie about lengths and want a login."""

import dataclasses
import os
import shutil
import signal
import time
import zipfile

import pytest
from serving import Behaviour, serving

from dsrnss import cli, downloading
from dsrnss.data import ACDC, Cityscapes, DarkZurich, NighttimeDriving, archives
from dsrnss.data.fetching import fetch, found_parts, unpack_from
from dsrnss.data.sets import known_sets
from dsrnss.errors import DataError, DownloadError, OutputError
from dsrnss.progress import counting


def zip_up(root, path, *folders, around=""):
    """An archive of some folders of a set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(file for folder in folders for file in (root / folder).rglob("*") if file.is_file()):
            archive.write(file, f"{around}{file.relative_to(root).as_posix()}")
    return path


def files(root):
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".dsrnss/")}


@pytest.fixture
def dark_zurich(tmp_path, miniatures, monkeypatch):
    """A miniature whose archives are served; gives it, the server's behaviour, and the address."""
    root = miniatures.dark_zurich(tmp_path / "made")
    made = {
        "Dark_Zurich_train_anon.zip": ("rgb_anon/train", "corresp/train"),
        "Dark_Zurich_val_anon.zip": ("rgb_anon/val", "rgb_anon/val_ref", "gt/val"),
        "Dark_Zurich_test_anon_withoutGt.zip": ("rgb_anon/test", "rgb_anon/test_ref"),
    }
    for name, folders in made.items():
        zip_up(root, tmp_path / "served" / name, *folders, around="Dark_Zurich/")
    behaviour = Behaviour(tmp_path / "served")
    with serving(behaviour) as address:
        served = [dataclasses.replace(one, urls=(f"{address}/moved/{one.name}",)) for one in DarkZurich.archives]
        monkeypatch.setattr(DarkZurich, "archives", tuple(served))
        yield root, behaviour


def gets(behaviour):
    return [(path, span) for method, path, span in behaviour.asked if method == "GET" and "/moved/" not in path]


def test_fetched_by_redirects_and_over_cuts_into_the_official_layout(dark_zurich, tmp_path, caplog):
    caplog.set_level("INFO", "dsrnss")
    made, behaviour = dark_zurich
    behaviour.cuts = 2
    root = fetch(DarkZurich, tmp_path / "data", counting, zipped=False)
    assert root == tmp_path / "data" / "DarkZurich"
    assert files(root) == files(made)
    name = "/Dark_Zurich_train_anon.zip"
    assert [span for path, span in gets(behaviour) if path == name and span] == ["bytes=500-", "bytes=1000-"]
    assert "No checksum is published for 'Dark_Zurich_val_anon.zip'" in caplog.text
    assert {part.name: part.pictures for part in found_parts(DarkZurich, root)} == {
        "DarkZurich/train": 2, "DarkZurich/val": 1, "DarkZurich/test": 1,
    }  # fmt: skip
    # nothing is asked for again
    before = len(behaviour.asked)
    fetch(DarkZurich, tmp_path / "data", counting, zipped=False)
    assert len(behaviour.asked) == before and "was unpacked before" in caplog.text
    # what somebody has deleted is fetched again
    shutil.rmtree(root / "rgb_anon" / "test")
    fetch(DarkZurich, tmp_path / "data", counting, ["test"], zipped=False)
    assert files(root) == files(made)


def test_archives_may_stay_zipped(dark_zurich, tmp_path):
    root = fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=True)
    assert [*files(root)] == ["Dark_Zurich_val_anon.zip"]


@pytest.mark.parametrize(("login", "words"), [("page", r"web page \(HTML\) came from '.*/login'"), ("refused", "401")])
def test_a_login_is_named_and_costs_nothing_that_is_here(dark_zurich, tmp_path, monkeypatch, login, words):
    monkeypatch.setattr(downloading, "ATTEMPTS", 1)
    _, behaviour = dark_zurich
    behaviour.cuts = 1
    with pytest.raises(DownloadError, match="cut after"):
        fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    behaviour.login = login
    with pytest.raises(DownloadError, match=rf"(?s){words}.*login.*--from DIR"):
        fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    behaviour.login = ""
    fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    assert gets(behaviour)[-1][1] == "bytes=500-"


def test_a_server_that_tells_too_great_a_length(dark_zurich, tmp_path):
    _, behaviour = dark_zurich
    behaviour.told = 1.5
    root = fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)  # its 416 tells the truth
    assert found_parts(DarkZurich, root)[1].pictures == 1


def test_a_server_that_tells_too_small_a_length(dark_zurich, tmp_path):
    _, behaviour = dark_zurich
    behaviour.told = 0.5
    with pytest.raises(DownloadError, match="no whole zip archive"):
        fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    assert files(tmp_path / "data") == {} and not [*(tmp_path / "data").rglob("*.zip*")]


def test_room_is_checked_before_the_download(dark_zurich, tmp_path, monkeypatch):
    _, behaviour = dark_zurich
    size = (behaviour.folder / "Dark_Zurich_val_anon.zip").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, size + size // 2))
    with pytest.raises(OutputError, match="for the archives and what is in them"):
        fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    assert not [method for method, _, _ in behaviour.asked if method == "GET" and _ == "/Dark_Zurich_val_anon.zip"]


def test_a_wrong_checksum_and_a_damaged_archive_are_not_kept(dark_zurich, tmp_path, monkeypatch):
    _, behaviour = dark_zurich
    wrong = tuple(dataclasses.replace(one, sha256="0" * 64) for one in DarkZurich.archives)
    with monkeypatch.context() as patch, pytest.raises(DownloadError, match="checksum is wrong"):
        patch.setattr(DarkZurich, "archives", wrong)
        fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    path = behaviour.folder / "Dark_Zurich_val_anon.zip"
    path.write_bytes(path.read_bytes().replace(b"IDAT", b"iDAT"))
    with pytest.raises(DataError, match=r"is damaged.*It is deleted: run the command again"):
        fetch(DarkZurich, tmp_path / "data", counting, ["val"], zipped=False)
    assert not [*(tmp_path / "data").rglob("*.zip*")]


def test_killed_at_any_moment(dark_zurich, tmp_path, monkeypatch):
    """While it downloads and while it unpacks; nothing half-written has a final name, and the next run ends it."""
    made, _ = dark_zurich
    wanted, root = files(made), tmp_path / "data" / "DarkZurich"
    real = archives._write

    def slow(*args):
        time.sleep(0.02)
        real(*args)

    monkeypatch.setattr(archives, "_write", slow)
    killed = 0
    for wait in (0.02, 0.1, 0.15, 0.2, 0.3):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            fetch(DarkZurich, tmp_path / "data", counting, zipped=False)
            os._exit(0)
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        visible = {name: content for name, content in files(tmp_path / "data").items() if "/." not in name}
        for name, content in visible.items():
            assert wanted[name.removeprefix("DarkZurich/")] == content
    assert killed
    monkeypatch.setattr(archives, "_write", real)
    fetch(DarkZurich, tmp_path / "data", counting, zipped=False)
    assert {name: content for name, content in files(root).items()} == wanted


@pytest.mark.parametrize(("kind", "folders"), [(Cityscapes, ("leftImg8bit", "gtFine")), (ACDC, ("rgb_anon", "gt"))])
def test_archives_downloaded_by_hand(tmp_path, miniatures, capsys, kind, folders):
    made = miniatures.MAKERS[kind.__name__](tmp_path / "made")
    with pytest.raises(DataError) as error:
        fetch(kind, tmp_path / "data", counting, zipped=False)
    (tmp_path / "here").mkdir()
    with pytest.raises(DataError) as nothing:
        unpack_from(kind, tmp_path / "here", tmp_path / "data", counting)
    for words in (kind.url, "--from DIR", *(archive.name for archive in kind.archives)):
        assert words in str(error.value) and words in str(nothing.value)
    for archive, folder in zip(kind.archives, folders, strict=True):
        # as a browser calls the second download
        zip_up(made, tmp_path / "here" / archive.name.replace(".zip", " (1).zip"), folder)
    assert cli.main(["data", "fetch", kind.key, "--from", str(tmp_path / "here"), "--out", str(tmp_path / "data")]) == 0
    assert files(tmp_path / "data" / kind.folder) == files(made)
    assert len([*(tmp_path / "here").iterdir()]) == 2
    out = capsys.readouterr().out
    assert "dsrnss data check" in out and f"{kind.folder}/" in out and "pictures in" in out


def test_what_needs_an_account_is_told_of_all(tmp_path, capsys):
    assert cli.main(["data", "fetch", "cityscapes", "acdc", "--out", str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err
    for words in (Cityscapes.url, ACDC.url, "gtFine_trainvaltest.zip", "rgb_anon_trainvaltest.zip", "--from DIR"):
        assert words in said
    assert not (tmp_path / "data").exists()


def test_what_is_not_among_them_is_told(tmp_path, miniatures, caplog):
    caplog.set_level("INFO", "dsrnss")
    made = miniatures.cityscapes(tmp_path / "made")
    zip_up(made, tmp_path / "here" / "leftImg8bit_trainvaltest.zip", "leftImg8bit")
    root = unpack_from(Cityscapes, tmp_path / "here", tmp_path / "data", counting)
    assert "not unpacked: gtFine_trainvaltest.zip" in caplog.text
    assert "gtFine_trainvaltest.zip" in found_parts(Cityscapes, root)[0].remark


class TestTerms:
    def test_they_are_shown_and_must_be_accepted(self, dark_zurich, tmp_path, monkeypatch, capsys):
        _, behaviour = dark_zurich
        monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
        assert cli.main(["data", "fetch", "dark_zurich", "--parts", "val"]) == 2
        said = capsys.readouterr()
        assert DarkZurich.url in said.out and "non-commercial" in said.out and "--accept-licence" in said.err
        assert not behaviour.asked and not (tmp_path / "data").exists()
        assert cli.main(["data", "fetch", "dark_zurich", "--parts", "val", "--accept-licence"]) == 0
        assert "DarkZurich/val: 1 of 50 pictures" in capsys.readouterr().out

    @pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1)])
    def test_a_terminal_is_asked(self, dark_zurich, tmp_path, monkeypatch, answer, code):
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _: answer)
        words = ["data", "fetch", "darkzurich", "--parts", "val", "--out", str(tmp_path / "data")]
        assert cli.main(words) == code
        assert (tmp_path / "data").exists() == (code == 0)


def test_mistaken_words(tmp_path, capsys):
    for words, said in (
        (["darkzurch", "--out", "data"], "Did you mean 'darkzurich'"),
        (["darkzurich", "--out", "data", "--parts", "vla", "--accept-licence"], "Did you mean 'val'"),
        (["darkzurich"], "DATA_DIR"),
        (["darkzurich", "--out", "data", "--zipped", "--from", "x"], "root=x"),
        (["cityscapes", "--out", "data", "--from", str(tmp_path / "nowhere")], "nowhere"),
    ):
        assert cli.main(["data", "fetch", *words]) in (1, 2)
        assert said in capsys.readouterr().err


def test_the_known_archives():
    for kind in known_sets().values():
        assert kind.archives and kind.url.startswith("http")
        for archive in kind.archives:
            assert archive.name.endswith(".zip") and archive.folders and archive.parts
            assert all(url.endswith(f"/{archive.name}") for url in archive.urls)
    needing_an_account = {kind.key for kind in known_sets().values() if not any(a.urls for a in kind.archives)}
    assert needing_an_account == {"cityscapes", "acdc"} and NighttimeDriving.archives[0].urls
