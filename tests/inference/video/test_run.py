import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dsrnss.errors import ImageError, OutputError
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.video import run
from dsrnss.inference.video.run import VideoOptions, segment_video
from dsrnss.inference.video.work import WorkFolder

BOTH = VideoOptions(("labels", "overlay"))


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHUNK_FRAMES", 4)


def decoded(path: Path, pixel_format: str = "gray") -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=pixel_format) for frame in container.decode(video=0)]


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [round(float(frame.pts * frame.time_base), 3) for frame in container.decode(video=0)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class Kill(BaseException):
    """Stands for what no code can catch."""


def killed_after(frames: int) -> VideoOptions:
    left = [frames]

    def advance() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Kill

    return VideoOptions(BOTH.kinds, advance=advance, smooth=0.5)


def test_a_video_gets_labels_like_its_pictures_at_the_same_times(segmenter: Segmenter, video, tmp_path) -> None:
    when = [0, 40, 90, 250, 260, 400, 1000, 1040, 1080, 1200]
    source = video("clip.mkv", when)
    record = segment_video(segmenter, source, tmp_path / "out", "clip", BOTH)
    assert (record.frames, record.width, record.height, record.damaged) == (10, 64, 48, [])
    assert record.files == {"labels": "clip_labels.mkv", "overlay": "clip_overlay.mp4"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(record.files.values())
    labels = decoded(tmp_path / "out" / "clip_labels.mkv")
    for found, pixels in zip(labels, decoded(source, "rgb24"), strict=True):
        assert (found == segmenter(pixels).labels).all()
    for name in record.files.values():
        assert times(tmp_path / "out" / name) == [number / 1000 for number in when]
    assert sum(record.class_shares.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("size", [(65, 47), (51, 64)])
def test_odd_sizes_stay(segmenter: Segmenter, video, tmp_path, size: tuple[int, int]) -> None:
    source = video("clip.mkv", range(0, 200, 40), size=size)
    record = segment_video(segmenter, source, tmp_path / "out", "clip", BOTH)
    for name in record.files.values():
        assert decoded(tmp_path / "out" / name)[0].shape == size[::-1]


@pytest.mark.parametrize("moment", [1, 4, 5, 9])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    segmenter: Segmenter, video, tmp_path, moment: int, batch_size: int
) -> None:
    source = video("clip.mp4", range(0, 440, 40))
    smooth = VideoOptions(BOTH.kinds, smooth=0.5, batch_size=batch_size)
    undisturbed = segment_video(segmenter, source, tmp_path / "whole", "clip", smooth)
    out = tmp_path / "out"
    with pytest.raises(Kill):
        segment_video(segmenter, source, out, "clip", killed_after(moment))
    assert [path.name for path in out.iterdir()] == [".clip.segment"]
    begun: list[tuple[int | None, int]] = []
    again = VideoOptions(
        BOTH.kinds, smooth=0.5, batch_size=batch_size, begin=lambda total, done: begun.append((total, done))
    )
    record = segment_video(segmenter, source, out, "clip", again)
    assert begun == [(11, moment // 4 * 4)]
    assert files(out) == files(tmp_path / "whole")
    assert (record.class_shares, record.mean_confidence) == (undisturbed.class_shares, undisturbed.mean_confidence)


def test_other_settings_or_another_source_begin_anew(segmenter: Segmenter, video, tmp_path) -> None:
    source, out = video("clip.mp4", range(0, 440, 40)), tmp_path / "out"
    done: list[int] = []
    for options in (
        VideoOptions(BOTH.kinds, smooth=0.4, begin=lambda _, before: done.append(before), settings={"network": "b"}),
        VideoOptions(BOTH.kinds, overwrite=True, begin=lambda _, before: done.append(before)),
    ):
        with pytest.raises(Kill):
            segment_video(segmenter, source, out, "clip", killed_after(9))
        segment_video(segmenter, source, out, "clip", options)
    assert done == [0, 0]


def test_two_processes_do_not_work_at_one_video(segmenter: Segmenter, video, tmp_path) -> None:
    with WorkFolder(tmp_path / "out", "clip", {}), pytest.raises(OutputError, match="Another process"):
        segment_video(segmenter, video("clip.mp4", [0, 40]), tmp_path / "out", "clip", BOTH)


def test_frames_can_be_written_one_by_one(segmenter: Segmenter, video, tmp_path) -> None:
    options = VideoOptions(("labels", "npz", "coco-json"), frames=True)
    record = segment_video(segmenter, video("clip.mp4", range(0, 240, 40)), tmp_path / "out", "clip", options)
    folder = tmp_path / "out" / record.files["frames"]
    assert len([*folder.iterdir()]) == 3 * record.frames == 18
    labels = np.asarray(Image.open(folder / "000003_labels.png"))
    with np.load(folder / "000003.npz") as saved:
        assert (saved["labels"] == labels).all()
    coco = json.loads((folder / "000003_coco.json").read_text())
    assert sum(annotation["area"] for annotation in coco["annotations"]) == labels.size


def test_smoothing_keeps_what_was_seen_before(segmenter: Segmenter, video, tmp_path) -> None:
    source = video("clip.mp4", range(0, 200, 40))  # each frame has another colour
    plain, smooth = (VideoOptions(("labels",), smooth=weight) for weight in (0.0, 0.95))
    for name, options in (("plain", plain), ("smooth", smooth)):
        segment_video(segmenter, source, tmp_path, name, options)
    assert any(
        (frame != decoded(tmp_path / "plain_labels.mkv")[0]).any() for frame in decoded(tmp_path / "plain_labels.mkv")
    )
    first, *others = decoded(tmp_path / "smooth_labels.mkv")
    assert all((frame == first).mean() > 0.9 for frame in others)


def test_damaged_frames_are_named_and_the_others_done(segmenter: Segmenter, damaged, tmp_path) -> None:
    record = segment_video(segmenter, damaged, tmp_path / "out", "clip", BOTH)
    assert (record.frames, len(record.damaged)) == (49, 1)
    assert len(decoded(tmp_path / "out" / "clip_labels.mkv")) == 49


def test_a_window_that_is_closed_interrupts(segmenter: Segmenter, video, tmp_path) -> None:
    options = VideoOptions(BOTH.kinds, show=lambda result: False)
    with pytest.raises(KeyboardInterrupt):
        segment_video(segmenter, video("clip.mp4", range(0, 400, 40)), tmp_path, "clip", options)
    assert not (tmp_path / "clip_labels.mkv").exists()


def test_what_is_no_video_leaves_nothing_behind(segmenter: Segmenter, tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ImageError, match=r"text\.mp4"):
        segment_video(segmenter, tmp_path / "text.mp4", tmp_path / "out", "text", BOTH)
    assert not (tmp_path / "out").exists()
