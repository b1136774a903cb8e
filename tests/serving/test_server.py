"""The command as a process: under load, in a browser, and at its end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from strangers import WRONG, bomb, encoded, photograph

pytest.importorskip("gradio", reason="the extra [serve] is not installed")
import httpx

import dsrnss
from dsrnss.models.config import NetworkConfig
from dsrnss.models.factory import build_segmentor
from dsrnss.models.weights import save_pretrained

QUEUE = 3
OPTIONS = ["--port", "0", "--queue", str(QUEUE), "--max-upload-mb", "2", "--max-pixels", "4000000", "--device", "cpu"]


_OF_TEST = ("asked", "sitecustomize.py")
_LISTEN = """\
import sys

def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        print(event, args[-1] if event == "socket.connect" else args[:2], file=file, flush=True)

file = open("asked", "a", encoding="utf-8")
sys.addaudithook(hook)
"""


@dataclass
class Server:
    """A process that serves."""

    process: subprocess.Popen[str]
    address: str
    temporary: Path

    def asked(self) -> list[str]:
        """Names and addresses that the process itself has asked for or connected to."""
        return (self.temporary / "asked").read_text(encoding="utf-8").split("\n")[:-1]

    def memory(self) -> float:
        """Resident, in MB."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def left(self) -> list[Path]:
        """Files and folders that it has left in the system's temporary folder, its home and where it was started."""
        return [file for file in self.temporary.iterdir() if file.name not in _OF_TEST]

    def files(self) -> list[Path]:
        """Files that it has written there."""
        return [file for file in self.temporary.rglob("*") if file.is_file() and file.name not in _OF_TEST]


def start(folder: Path, *options: str, **variables: str) -> Server:
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    (temporary / "sitecustomize.py").write_text(_LISTEN, encoding="utf-8")
    paths = [str(temporary), str(Path(dsrnss.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dsrnss", "serve", *OPTIONS, *options],
        cwd=temporary,
        env={**environment, "TMPDIR": str(temporary), "HOME": str(temporary), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    return Server(process, re.search(r"http://\S+", line)[0], temporary)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_segmentor(NetworkConfig(backbone="compact", head_channels=16))
    card = {"image_height": 96, "image_width": 192}
    return save_pretrained(network, tmp_path_factory.mktemp("model") / "random.safetensors", card=card, half=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Server]:
    found = start(tmp_path_factory.mktemp("server"), "--model", str(model))
    yield found
    found.process.terminate()
    try:
        _, err = found.process.communicate(timeout=120)
    finally:
        found.process.kill()
    assert found.process.returncode == 143
    assert "Traceback" not in err
    assert not found.left()


def ask(server: Server, name: str = "a.png", content: bytes | None = None) -> httpx.Response:
    files = {"image": (name, encoded(photograph()) if content is None else content)}
    return httpx.post(f"{server.address}/api/segment", files=files, timeout=120)


class TestLoad:
    def test_twenty_at_once_are_answered_or_refused_and_the_memory_comes_back(self, server: Server) -> None:
        large = encoded(photograph(1000, 800), "JPEG")

        def round_of(number: int) -> list[int]:
            with ThreadPoolExecutor(20) as pool:
                return [answer.status_code for answer in pool.map(lambda _: ask(server, "a.jpg", large), range(number))]

        round_of(20)  # libraries, and what they keep
        before = server.memory()
        for _ in range(3):
            codes = round_of(20)
            assert set(codes) <= {200, 503}
            assert codes.count(200) >= QUEUE + 1
        assert server.memory() < before + 60
        assert httpx.get(f"{server.address}/api/health").json() == {"status": "ok", "inside": 0}
        assert not server.files()

    @pytest.mark.parametrize("name", WRONG)
    def test_wrong_files_leave_it_alive(self, server: Server, name: str) -> None:
        content, reason = WRONG[name]
        assert reason in ask(server, name, content).json()["error"]
        assert ask(server).status_code == 200

    def test_bombs_and_huge_uploads_cost_no_memory(self, server: Server) -> None:
        ask(server)
        before = server.memory()
        assert "megapixels" in ask(server, "bomb.png", bomb()).json()["error"]
        answer = ask(server, "huge.png", bytes(200_000_000))
        assert (answer.status_code, "2 MB at most" in answer.json()["error"]) == (413, True)
        assert server.memory() < before + 30
        assert ask(server).status_code == 200


class TestEnd:
    def test_ctrl_c_ends_it_cleanly(self, tmp_path: Path, model: Path) -> None:
        server = start(tmp_path, "--model", str(model), DSRNSS_AUTH="anna:secret")
        assert httpx.get(server.address).status_code == 401
        assert "gradio" in httpx.get(server.address, auth=("anna", "secret")).text
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=120)
        assert server.process.returncode == 0
        assert out.endswith("Stopped.\n")
        assert "Traceback" not in err
        assert not server.left()


class TestPage:
    @pytest.fixture
    def page(self, browser: Any, server: Server) -> Iterator[Any]:
        found = browser.new_page()
        found.set_default_timeout(60_000)
        found.requests = []
        found.on("request", lambda request: found.requests.append(request.url))
        found.goto(server.address)
        found.wait_for_selector("#scene")
        yield found
        found.close()

    def drop(self, page: Any, field: str, name: str, content: bytes) -> None:
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        page.set_input_files(f"#{field} input[type=file]", file)

    def test_a_picture_is_shown_and_its_labels_can_be_had(self, page: Any, server: Server) -> None:
        name = "Straße ${1+1} {{2}}.png"
        self.drop(page, "single", name, encoded(photograph()))
        result = page.locator(".result")
        result.wait_for()
        assert result.locator("h2").inner_text() == name.removesuffix(".png")
        assert result.locator('img[data-view="classes"]').is_visible()
        assert result.locator(".shares tbody tr").count() > 0
        page.evaluate("document.querySelector('.opacity input').value = 25")
        page.locator(".opacity input").dispatch_event("input")
        assert page.evaluate("getComputedStyle(document.querySelector('.layer')).opacity") == "0.25"
        page.check('input[value="confidence"]', force=True)
        assert result.locator('img[data-view="confidence"]').is_visible()
        assert not result.locator('img[data-view="classes"]').is_visible()
        with page.expect_download() as download:
            page.get_by_text("Labels (PNG)").click()
        assert download.value.suggested_filename.endswith("_labels.png")
        assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
        assert not server.files()

    def test_nothing_leaves_the_machine(self, page: Any, server: Server) -> None:
        page.click("#scene")
        page.locator(".result").wait_for()
        outside = [url for url in page.requests if not url.startswith((server.address, "data:", "blob:"))]
        assert len(page.requests) > 10
        assert not outside
        assert [place for place in server.asked() if "127.0.0.1" not in place] == []
        html = httpx.get(server.address).text
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>", html)
        css = httpx.get(f"{server.address}/theme.css").text
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", css)

    def test_a_pair_is_refined(self, page: Any) -> None:
        page.get_by_role("tab", name="With a day picture").click()
        for field in ("night", "day"):
            self.drop(page, field, "a.png", encoded(photograph()))
        page.locator('input[value="flow"]').wait_for(state="attached")
        for view in ("alone", "changed", "warped", "flow"):
            page.check(f'input[value="{view}"]', force=True)
            assert page.locator(f'img[data-view="{view}"]').is_visible()

    def test_wrong_files_are_refused_and_the_next_is_taken(self, page: Any) -> None:
        for name in ("a.gif", "a.svg", "a.txt", "bomb.png"):
            content, reason = WRONG[name]
            self.drop(page, "single", name, content)
            page.locator(".refusal").get_by_text(reason).wait_for()
        self.drop(page, "single", "good.png", encoded(photograph()))
        page.locator(".result").wait_for()

    def test_a_file_that_is_too_large_is_refused(self, page: Any) -> None:
        self.drop(page, "single", "huge.png", bytes(3_000_000))
        page.get_by_text("exceed the maximum allowed size of 2").wait_for()
        page.click("#scene")
        page.locator(".result").wait_for()

    def test_a_video_plays(self, page: Any, tmp_path: Path) -> None:
        pytest.importorskip("av", reason="PyAV is not installed")
        from videos import encode

        self.drop(page, "single", "clip.mp4", encode(tmp_path / "clip.mp4", [0, 40, 80, 120]).read_bytes())
        page.locator(".result video").wait_for()
        for _ in range(100):
            if page.evaluate("document.querySelector('video').readyState") > 1:
                break
            time.sleep(0.1)
        assert page.evaluate("document.querySelector('video').videoWidth") == 64

    def test_twenty_visitors_at_once(self, page: Any, server: Server) -> None:
        clicks = page.evaluate(
            """async () => {
                const answers = await Promise.all([...Array(20)].map(() => fetch("/api/scene", {method: "POST"})));
                return answers.map(answer => answer.status);
            }"""
        )
        assert set(clicks) <= {200, 503} and 200 in clicks
        page.click("#scene")
        page.locator(".result").wait_for()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_it_fits_a_telephone(self, browser: Any, server: Server, scheme: str) -> None:
        page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        page.goto(server.address)
        page.click("#scene")
        page.locator(".result").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0] < 128")
        assert dark == (scheme == "dark")
        page.close()
