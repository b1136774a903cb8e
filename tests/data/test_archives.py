"""Archives of data sets: unpacked into the official layout, whatever lies around it; nothing bad gets out of one."""

import shutil
import stat
import zipfile

import pytest

from dsrnss.data import archives
from dsrnss.data.archives import Archive, open_archive, placed_members, unpack
from dsrnss.errors import DataError, OutputError

KIND = Archive("set.zip", ("rgb_anon/val", "gt/val"), ("val",))
PARTLY = Archive("10k_images_train.zip", ("images/10k/train",), ("train",))


def silent(*_):
    pass


@pytest.fixture
def write(tmp_path):
    def write(files, name="set.zip", compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(tmp_path / name, "w", compression) as archive:
            for member, content in files.items():
                archive.writestr(member, content)
        return tmp_path / name

    return write


def unpacked(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("around", ["", "Dark_Zurich_val_anon/", "a/b/"])
def test_folders_around_the_official_ones_are_left_out(write, tmp_path, around):
    inside = {"rgb_anon/val/night/G/a.png": b"a", "gt/val/night/G/b.png": b"b", "LICENSE.txt": b"c"}
    rubbish = {"__MACOSX/._a.png": b"x", f"{around}rgb_anon/val/.DS_Store": b"x"}
    path = write({**{f"{around}{name}": content for name, content in inside.items()}, **rubbish})
    assert unpack(path, KIND, tmp_path / "out", silent) == 3
    assert unpacked(tmp_path / "out") == inside


@pytest.mark.parametrize("above", ["bdd100k/images/10k/train/", "images/10k/train/", "10k/train/", "train/"])
def test_official_folders_that_are_missing_around_are_added(write, tmp_path, above):
    path = write({f"{above}a.jpg": b"a"})
    unpack(path, PARTLY, tmp_path / "out", silent)
    assert unpacked(tmp_path / "out") == {"images/10k/train/a.jpg": b"a"}


def test_another_file_under_the_name_is_named(write, tmp_path):
    path = write({"something/else.png": b"x"})
    with pytest.raises(DataError, match=r"none of the folders rgb_anon/val, gt/val.*another file"):
        unpack(path, KIND, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "rgb_anon/val/../../../evil.png", "C:/evil.png", "..\\evil.png"]
)
def test_names_that_lead_out_of_the_folder_are_refused(write, tmp_path, name):
    path = write({"rgb_anon/val/a.png": b"a", name: b"evil"})
    with pytest.raises(DataError, match=r"outside of the data set.*not the published file"):
        unpack(path, KIND, tmp_path / "out", silent)
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or path.name == "out"]


def test_links_are_refused(write, tmp_path):
    link = zipfile.ZipInfo("rgb_anon/val/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write({"rgb_anon/val/a.png": b"a", link: b"/etc/passwd"})
    with pytest.raises(DataError, match="is a link"):
        unpack(path, KIND, tmp_path / "out", silent)


def test_bombs_are_refused_before_a_byte_is_written(write, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_SMALL", 10**6)
    path = write({"rgb_anon/val/a.png": bytes(30_000_000)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"become 30\.0 MB, which no pictures do"):
        unpack(path, KIND, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_name_and_passwords_are_refused(write, tmp_path):
    path = write({"rgb_anon/val/a.png": b"a"})
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("rgb_anon/val/a.png", b"b")
    with pytest.raises(DataError, match="twice"):
        unpack(path, KIND, tmp_path / "out", silent)
    path = write({"rgb_anon/val/a.png": b"a"})
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="password"):
        unpack(path, KIND, tmp_path / "out", silent)


def test_a_damaged_file_is_named_and_never_half_there(write, tmp_path):
    path = write({"rgb_anon/val/a.png": b"first", "rgb_anon/val/b.png": b"second", "rgb_anon/val/c.png": b"third"})
    path.write_bytes(path.read_bytes().replace(b"second", b"secAnd"))
    with pytest.raises(DataError, match=r"'rgb_anon/val/b\.png' in .* is damaged"):
        unpack(path, KIND, tmp_path / "out", silent)
    assert unpacked(tmp_path / "out") == {"rgb_anon/val/a.png": b"first"}


def test_only_what_is_missing_or_damaged_is_written(write, tmp_path):
    path = write({f"rgb_anon/val/{n}.png": b"%d" % n * 100 for n in range(4)})
    unpack(path, KIND, tmp_path / "out", silent)
    files = [tmp_path / "out" / f"rgb_anon/val/{n}.png" for n in range(4)]
    whole = unpacked(tmp_path / "out")
    times = [file.stat().st_mtime_ns for file in files]
    files[1].write_bytes(b"x" * 100)
    files[2].unlink()
    seen = []
    unpack(path, KIND, tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert unpacked(tmp_path / "out") == whole
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert [files[n].stat().st_mtime_ns for n in (0, 3)] == [times[0], times[3]]


def test_room_is_checked_by_the_list_in_the_archive(write, tmp_path, monkeypatch):
    path = write({"rgb_anon/val/a.png": bytes(3_000_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 2_000_000))
    with pytest.raises(OutputError, match=r"3\.0 MB are needed to unpack 'set\.zip', and 2\.0 MB are free"):
        unpack(path, KIND, tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_what_is_no_zip_is_named(tmp_path, content):
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"no whole zip archive.*download it again"):
        open_archive(tmp_path / "set.zip", "download it again")


def test_placed_members_keep_what_the_archive_says(write):
    with open_archive(write({"x/rgb_anon/val/a.png": b"abc"}), "") as archive:
        (member,) = placed_members(archive, KIND)
        assert (member.path, member.info.file_size) == ("rgb_anon/val/a.png", 3)
