"""The page that runs an exported network by ONNX Runtime in a browser: its classes are those of Python."""

import base64
import functools
import http.server
import io
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsrnss.cli import main
from dsrnss.data import SynthNight
from dsrnss.inference.segmenter import Segmenter

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, as a user has made it ready."""
    if not (EXAMPLE / "node_modules").is_dir():
        pytest.skip(f"the packages of the example are not there: npm install in {EXAMPLE}")
    found = tmp_path_factory.mktemp("example")
    shutil.copy(EXAMPLE / "index.html", found)
    (found / "node_modules").symlink_to(EXAMPLE / "node_modules", target_is_directory=True)
    assert main(["export", "demo", "--out", str(found / "night.onnx")]) == 0
    return found


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Any]:
    """It in the browser, with the messages of its errors."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = browser.new_page()
        found.set_default_timeout(120_000)
        found.failures = []
        found.on("pageerror", lambda error: found.failures.append(str(error)))
        found.on("requestfailed", lambda request: found.failures.append(request.url))
        found.goto(f"http://127.0.0.1:{server.server_port}")
        yield found
        found.close()
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(("height", "least"), [(192, 0.9999), (480, 0.97)], ids=["as trained", "scaled by the browser"])
def test_it_gives_the_classes_that_python_gives(page: Any, folder: Path, tmp_path: Path, height: int, least: float):
    segmenter = Segmenter.from_onnx(folder / "night.onnx")
    scene = SynthNight("val", length=1, size=(height, 2 * height), references=False)[0]
    photo = Image.fromarray(scene["image"].permute(1, 2, 0).numpy())
    photo.save(tmp_path / "photo.png")
    page.locator("#file:enabled").wait_for()
    page.set_input_files("#file", tmp_path / "photo.png")
    page.locator("#legend span").first.wait_for()
    _, content = page.evaluate("document.getElementById('colours').toDataURL()").split(",")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    labels = segmenter.engine.scores(segmenter.scaled(photo)[None], None)[0].argmax(axis=0)
    assert (shown == segmenter.label_space.colorize(labels.astype(np.uint8))).all(axis=2).mean() >= least
    share = np.mean(labels == segmenter.label_space.names.index("road"))
    assert f"road {100 * share:.0f} %" in page.locator("#legend").inner_text() or least < 0.9999
    assert not page.failures
