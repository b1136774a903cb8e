import os
from pathlib import Path

import pytest

from dsrnss.inference.sources import OUTPUTS, PictureFinder, output_stems


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "night/c.jpg", "night/deep/d.tiff"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path / "photos"


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_gives_its_pictures_sorted_without_other_files(photos: Path) -> None:
    assert names(PictureFinder().find([photos]), photos) == ["a.PNG", "b.jpg"]


def test_recursive_gives_those_of_the_folders_below_too(photos: Path) -> None:
    found = PictureFinder(recursive=True).find([photos])
    assert names(found, photos) == ["a.PNG", "b.jpg", "night/c.jpg", "night/deep/d.tiff"]


def test_a_link_back_up_does_not_send_the_search_round_in_circles(photos: Path) -> None:
    (photos / "night" / "up").symlink_to(photos)
    assert len(PictureFinder(recursive=True).find([photos])) == 4


def test_a_quoted_pattern_is_expanded(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    assert PictureFinder().find(["photos/*"]) == [Path("photos/a.PNG"), Path("photos/b.jpg")]
    assert PictureFinder().find(["photos/**/*.jpg"]) == [Path("photos/b.jpg"), Path("photos/night/c.jpg")]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos: Path) -> None:
    file = photos / "x[1].jpg"
    file.write_bytes(b"x")
    assert PictureFinder().find([file]) == [file]


def test_the_order_of_sources_is_kept_and_nothing_comes_twice(photos: Path) -> None:
    found = PictureFinder().find([photos / "b.jpg", photos, photos / "night" / ".." / "b.jpg"])
    assert names(found, photos) == ["b.jpg", "a.PNG"]


def test_a_file_named_by_itself_needs_no_known_ending(photos: Path) -> None:
    assert PictureFinder().find([photos / "notes.txt"]) == [photos / "notes.txt"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("photos/bb.jpg", ["'photos' holds no 'bb.jpg'", "Did you mean 'b.jpg'?"]),
        ("photo/b.jpg", ["the current folder holds no 'photo'", "Did you mean 'photos'?"]),
        ("photos/*.webp", ["photos/*.webp", "matches no pictures"]),
        ("photos/*.txt", ["matches no pictures but 1 that are no pictures"]),
        ("https://example.org/a.jpg", ["web address", "download"]),
        ("", ["empty name"]),
        ("x" * 5000, ["File name too long"]),
    ],
)
def test_a_source_that_is_nothing_is_named_with_the_reason(
    photos: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: list[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    finder = PictureFinder()
    assert len(finder.find([source, "photos"])) == 2
    (failure,) = finder.failures
    assert failure.picture == source
    assert all(part in failure.reason for part in said), failure.reason


def test_a_folder_without_pictures_points_to_recursive(photos: Path) -> None:
    (photos / "a.PNG").unlink()
    (photos / "b.jpg").unlink()
    finder = PictureFinder()
    assert finder.find([photos]) == []
    assert "holds no pictures" in finder.failures[0].reason
    assert "recursive=True" in finder.failures[0].reason


def test_an_unreadable_folder_is_named_and_the_rest_found(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = Path.iterdir

    def refuse(folder: Path):
        if folder.name == "night":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    finder = PictureFinder(recursive=True)
    assert names(finder.find([photos]), photos) == ["a.PNG", "b.jpg"]
    assert "Permission denied" in finder.failures[0].reason


def test_results_of_an_earlier_run_are_not_segmented_again(photos: Path) -> None:
    for ending in OUTPUTS.values():
        (photos / f"b{ending}").write_bytes(b"x")
    assert names(PictureFinder(out=photos).find([photos]), photos) == ["a.PNG", "b.jpg"]
    pictures = sum(ending.endswith(".png") for ending in OUTPUTS.values())
    assert len(PictureFinder(out=photos / "elsewhere").find([photos])) == 2 + pictures


@pytest.mark.parametrize(
    ("pictures", "stems"),
    [
        (["a/x.jpg"], ["x"]),
        (["a/x.jpg", "a/y.jpg"], ["x", "y"]),
        (["a/x.jpg", "a/x.png"], ["x_jpg", "x_png"]),
        (["a/x.jpg", "b/x.jpg"], ["a_x", "b_x"]),
        (["a/x.jpg", "b/X.JPG"], ["a_x", "b_X"]),
        (["1/left/x.jpg", "2/left/x.jpg"], ["1_left_x", "2_left_x"]),
        (["a_x.jpg", "a/x.jpg", "b/x.jpg"], ["a_x", "a_x_jpg", "b_x"]),
    ],
)
def test_results_are_named_by_as_little_as_tells_them_apart(pictures: list[str], stems: list[str]) -> None:
    assert output_stems([Path(picture) for picture in pictures], Path("out")) == stems


def test_names_stay_apart_however_the_files_are_called() -> None:
    many = ["x.jpg", "x.JPG", "a/x.jpg", "b/a/x.jpg", "a_x.jpg", "x_jpg.jpg", "../x.jpg", "/x.jpg", "a/b/c/d/e/f/x.jpg"]
    many += [f"{top}/b/c/d/e/f/x.jpg" for top in "pqr"]
    stems = output_stems([Path(name) for name in many], Path("out"))
    assert len({stem.casefold() for stem in stems}) == len(many)


def test_a_result_never_overwrites_a_picture(tmp_path: Path) -> None:
    stems = output_stems([tmp_path / "x.jpg", tmp_path / "x_labels.png"], tmp_path)
    assert stems[0] != "x"


def test_very_long_names_leave_room_for_the_endings() -> None:
    stems = output_stems([Path("ä" * 120 + ".jpg"), Path("b" + "ä" * 120 + ".jpg")], Path("out"))
    assert len(set(stems)) == 2
    assert all(len(os.fsencode(stem)) <= 200 for stem in stems)
