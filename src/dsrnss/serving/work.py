"""What is computed for a request: a picture, a picture with a day reference, or a short video."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from dsrnss.errors import ImageError, RefusedError
from dsrnss.inference.results import Segmentation
from dsrnss.inference.segmenter import Segmenter
from dsrnss.inference.summary import VideoRecord
from dsrnss.serving.desk import Desk, Turn
from dsrnss.serving.limits import Limits, Upload, check_video, read_picture
from dsrnss.serving.pair import Refined, refine_pair
from dsrnss.serving.uploads import Uploads

T = TypeVar("T")

VIDEO_KINDS = ("overlay", "labels")
"""What is made of a video."""
_SCENE, _SCENE_SIZE = 3, (384, 768)


@dataclass(frozen=True, eq=False)
class PictureAnswer:
    """A segmented picture.

    Attributes:
        plain: Its labels.
        refined: What its day reference brings, None: it has none.
        seconds: That it took, waiting included.
    """

    plain: Segmentation
    refined: Refined | None
    seconds: float


@dataclass(frozen=True, eq=False)
class VideoAnswer:
    """A segmented video.

    Attributes:
        record: What is known of it.
        files: Name and content of its results, by kind.
    """

    record: VideoRecord
    files: Mapping[str, tuple[str, bytes]]


class Service:
    """A network that answers requests, within limits.

    Each request is made into what is sent, by a function `shape`, in the thread that computes.

    Args:
        segmenter: The network.
        limits: What is taken.
        folder: Where a video lies while it is computed; nothing stays there.
        model: What the network is called.
    """

    def __init__(self, segmenter: Segmenter, limits: Limits, folder: Path, model: str) -> None:
        self.segmenter, self.limits, self.folder, self.model = segmenter, limits, folder, model
        self.desk = Desk(limits.waiting, limits.seconds)
        self.uploads = Uploads(folder, limits)

    def picture(self, turn: Turn, shape: Callable[[PictureAnswer], T], night: Upload, day: Upload | None = None) -> T:
        """Segment a picture, refined by a day reference where there is one.

        Raises:
            RefusedError: If it is refused.
            ImageError: If a picture cannot be read.
        """

        def work(turn: Turn) -> T:
            picture = read_picture(night, self.limits)
            reference = None if day is None else read_picture(day, self.limits)
            return shape(self._segment(turn, picture, reference, night.stem))

        return turn.run(work)

    def scene(self, turn: Turn, shape: Callable[[PictureAnswer], T], *, with_reference: bool) -> T:
        """Segment a night scene of SynthNight, whose place is known by day.

        Raises:
            RefusedError: If the time is over.
        """

        def work(turn: Turn) -> T:
            from dsrnss.data.synthnight import generate

            made = generate("val", _SCENE, size=_SCENE_SIZE, reference=True)
            day = Image.fromarray(made.reference) if with_reference and made.reference is not None else None
            return shape(self._segment(turn, Image.fromarray(made.image), day, "night-scene"))

        return turn.run(work)

    def _segment(self, turn: Turn, night: Image.Image, day: Image.Image | None, name: str) -> PictureAnswer:
        turn.check()
        if day is None:
            return PictureAnswer(self.segmenter(night, name=name), None, turn.elapsed())
        plain, refined = refine_pair(self.segmenter, night, day, name, turn.check)
        return PictureAnswer(plain, refined, turn.elapsed())

    def video(self, turn: Turn, shape: Callable[[VideoAnswer], T], clip: Upload) -> T:
        """Segment a video.

        Raises:
            RefusedError: If it is refused.
            ImageError: If it cannot be read.
            ConfigError: If PyAV is not installed.
        """

        def work(turn: Turn) -> T:
            check_video(clip, self.limits)
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                return shape(self._segment_video(turn, clip, Path(folder)))

        return turn.run(work)

    def _segment_video(self, turn: Turn, clip: Upload, folder: Path) -> VideoAnswer:
        from dsrnss.inference.video.run import VideoOptions, segment_video, video_files

        done, most = 0, self.limits.max_frames

        def begin(total: int | None, _: int) -> None:
            if (total or 0) > most:
                raise RefusedError(f"'{clip.name}' has {total} frames; at most {most} are taken here: cut it.", 413)

        def advance() -> None:
            nonlocal done
            done += 1
            begin(done, 0)
            turn.check()

        source = folder / "clip"
        source.write_bytes(clip.content)
        options = VideoOptions(
            kinds=VIDEO_KINDS, max_megapixels=self.limits.max_pixels / 1e6, begin=begin, advance=advance
        )
        try:
            record = segment_video(self.segmenter, source, folder, "clip", options)
        except ImageError as error:
            said = str(error).replace(str(source), clip.name).replace(", or raise max_megapixels", "")
            raise ImageError(said) from error
        named = video_files(clip.stem, VIDEO_KINDS, frames=False)
        files = {kind: (named[kind], (folder / file).read_bytes()) for kind, file in record.files.items()}
        return VideoAnswer(record, files)
