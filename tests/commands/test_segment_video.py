"""`dsrnss segment` of videos, streams and half-done folders, as users call it."""

import functools
import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from videos import damage, encode

from dsrnss.cli import main
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import save_pretrained


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = build_segmentor(NetworkConfig(backbone="compact", head_channels=16))
    card = {"image_height": 64, "image_width": 128}
    return save_pretrained(network, tmp_path_factory.mktemp("model") / "random.safetensors", card=card)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary(out: str = "out") -> dict:
    return json.loads(Path(out, "summary.json").read_text(encoding="utf-8"))


def segment(model: Path, *words: str) -> int:
    return main(["segment", *words, "--out", "out", "--model", str(model)])


def pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


class TestVideos:
    def test_a_folder_of_pictures_and_videos(self, here, model, capsys) -> None:
        pictures(here / "mixed", 2)
        encode(here / "mixed" / "clip.mp4", range(0, 400, 40))
        assert segment(model, "mixed") == 0
        said = capsys.readouterr().out
        assert "clip: 10 frames in" in said and "a second, reading and writing included" in said
        assert "2 pictures and 1 video segmented, 0 failed" in said
        (record,) = summary()["videos"]
        assert (record["frames"], record["frames_per_second"], record["duration"]) == (10, 25.0, 0.4)
        made = {path.name for path in Path("out").iterdir()}
        assert {"clip_labels.mkv", "clip_overlay.mp4", "0_labels.png", "summary.json"} <= made
        assert not [name for name in made if name.startswith(".")]

    def test_what_is_saved_is_chosen(self, here, model) -> None:
        encode(here / "clip.mp4", range(0, 200, 40))
        kinds = ["colour", "side-by-side", "confidence"]
        assert segment(model, "clip.mp4", "--save", *kinds) == 0
        with av.open("out/clip_side-by-side.mp4") as wide:
            assert wide.streams.video[0].width == 128
        assert [*summary()["videos"][0]["files"]] == kinds
        assert segment(model, "clip.mp4", "--save", "npz") == 2
        assert segment(model, "clip.mp4", "--save", "npz", "--frames") == 0
        assert len([*Path("out/clip_frames").iterdir()]) == 5

    def test_bad_ones_are_named_and_the_others_done(self, here, model, capsys) -> None:
        encode(here / "good.mp4", range(0, 200, 40))
        damage(encode(here / "hurt.mkv", range(0, 400, 40), codec="mjpeg"), 5)
        (here / "text.mp4").write_text("no video")
        assert segment(model, "good.mp4", "hurt.mkv", "text.mp4") == 1
        said = capsys.readouterr().err
        assert "'text.mp4' cannot be opened as a video" in said
        assert "'hurt.mkv': a frame at 0.20 s was left out" in said
        assert [record["frames"] for record in summary()["videos"]] == [5, 9]

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (["--smooth", "1"], 2, "from 0 to below 1"),
            (["--save", "lables"], 2, "Did you mean 'labels'?"),
            (["--show"], 1, "display"),
            (["--precision", "float8"], 2, "float32"),
        ],
    )
    def test_wrong_options(self, here, model, capsys, monkeypatch, words, code, told) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        encode(here / "clip.mp4", [0, 40])
        assert segment(model, "clip.mp4", *words) == code
        assert told in capsys.readouterr().err

    def test_flips_precision_and_batches_change_little(self, here, model) -> None:
        pictures(here / "photos", 5)
        labels = []
        for options in ([], ["--batch-size", "3"], ["--flip"], ["--precision", "bfloat16"]):
            assert segment(model, "photos", *options) == 0
            labels.append([np.asarray(Image.open(f"out/{number}_labels.png")) for number in range(5)])
        plain, *others = labels
        assert [
            (np.array(other) == np.array(plain)).mean() > least
            for other, least in zip(others, (0.999, 0.3, 0.9), strict=True)
        ] == [True] * 3


class TestAgain:
    def test_what_is_there_is_not_done_again(self, here, model, capsys) -> None:
        pictures(here / "photos", 3)
        encode(here / "photos" / "clip.mp4", range(0, 200, 40))
        assert segment(model, "photos") == 0
        before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.*") if path.name != "summary.json"}
        records = summary()
        Path("out/1_overlay.png").unlink()
        pixels = np.zeros((48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(here / "photos" / "2.png")
        assert segment(model, "photos") == 0
        assert "(2 of them by an earlier run; --overwrite" in capsys.readouterr().out
        changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
        assert {name[0] for name in changed} == {"1", "2"}
        assert summary()["pictures"][0] == records["pictures"][0]
        assert summary()["videos"] == records["videos"]

    @pytest.mark.parametrize("options", [["--flip"], ["--save", "labels"], ["--height", "40"], ["--overwrite"]])
    def test_other_options_do_all_anew(self, here, model, capsys, options) -> None:
        pictures(here / "photos", 2)
        assert segment(model, "photos") == segment(model, "photos", *options) == 0
        assert "earlier run" not in capsys.readouterr().out

    def test_another_network_does_all_anew(self, here, model, tmp_path, capsys) -> None:
        pictures(here / "photos", 2)
        network = build_segmentor(NetworkConfig(backbone="compact", head_channels=16))
        other = save_pretrained(network, tmp_path / "other.safetensors", card={"image_height": 64})
        assert segment(model, "photos") == segment(other, "photos") == 0
        assert "earlier run" not in capsys.readouterr().out

    def test_one_coco_file_tells_of_all_pictures(self, here, model) -> None:
        pictures(here / "photos", 3)
        assert segment(model, "photos", "--save", "coco-json") == 0
        coco = json.loads(Path("out/coco.json").read_text())
        assert [image["file_name"] for image in coco["images"]] == ["0.png", "1.png", "2.png"]
        areas = dict.fromkeys((1, 2, 3), 0)
        for annotation in coco["annotations"]:
            areas[annotation["image_id"]] += annotation["area"]
            assert sum(annotation["segmentation"]["counts"]) == 48 * 64
        assert set(areas.values()) == {48 * 64}
        assert len({annotation["id"] for annotation in coco["annotations"]}) == len(coco["annotations"])


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Endless(Quiet):
    """A camera on the network: frames as fast as they are taken, without an end."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/x-matroska")
        self.end_headers()
        try:
            with av.open(self.wfile, "w", format="mpegts") as container:
                stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
                for number in range(3000):
                    pixels = np.full((48, 64, 3), number % 255, np.uint8)
                    for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                        container.mux(packet)
                    time.sleep(0.01)
        except OSError:
            pass


@pytest.fixture
def server(request: pytest.FixtureRequest, here: Path) -> Iterator[str]:
    handler = request.param
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(here))) as served:
        served.daemon_threads = True
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


class TestStreams:
    @pytest.mark.parametrize("server", [Quiet], indirect=True)
    def test_a_video_on_a_server(self, here, model, server, capsys) -> None:
        encode(here / "clip.mp4", range(0, 400, 40))
        assert segment(model, f"{server}/clip.mp4", f"{server}/gone.mp4") == 1
        assert "gone.mp4' cannot be opened" in capsys.readouterr().err
        (record,) = summary()["videos"]
        assert (record["frames"], record["source"]) == (10, None)
        assert Path("out/clip_overlay.mp4").is_file()

    @pytest.mark.parametrize("server", [Endless], indirect=True)
    def test_ctrl_c_ends_a_stream_with_whole_files(self, here, model, server, command) -> None:
        line = ["segment", f"{server}/live", "--out", "out", "--model", str(model)]
        with command(*line) as process:
            work = here / "out" / ".live.segment"
            for _ in range(600):
                if work.exists() and [*work.glob("000000_*.nut")]:
                    break
                time.sleep(0.1)
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            out, err = (said.decode() for said in process.communicate(timeout=120))
        assert process.returncode == 0, err
        (record,) = summary()["videos"]
        with av.open("out/live_labels.mkv") as labels:
            assert len([*labels.decode(video=0)]) == record["frames"] > 0
        assert "live:" in out and not [*(here / "out").glob(".*")]

    def test_ctrl_c_leaves_a_file_to_be_gone_on_with(self, here, model, command, finished) -> None:
        encode(here / "clip.mp4", range(0, 16000, 40))
        line = ["segment", "clip.mp4", "--out", "out", "--model", str(model)]
        with command(*line) as process:
            while process.poll() is None and not [*(here / "out" / ".clip.segment").glob("000000.json")]:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            err = process.communicate(timeout=120)[1].decode()
        assert process.returncode == 130 and "goes on from there" in err
        assert not Path("out/clip_labels.mkv").exists()
        done = finished(*line)
        assert done.returncode == 0 and "frames are there from a run that was stopped" in done.stderr
        assert summary()["videos"][0]["frames"] == 400
