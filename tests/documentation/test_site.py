"""The site is built without a warning, and asks nothing of other hosts."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pages import ROOT

pytestmark = pytest.mark.slow
_ELSEWHERE = re.compile(r"(https?:)?//")
_CSS_ELSEWHERE = re.compile(r"(@import\s+|url\()['\"]?(https?:)?//")


class Resources(HTMLParser):
    """Collects what a browser would fetch to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "next", "prev", "alternate"):
            return
        keys = {"a": (), "link": ("href",)}.get(tag, ("src", "srcset", "data", "poster"))
        self.found += [value for key in keys if (value := values.get(key))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs_jupyter", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        built = site / name.parent / ("" if name.name == "index" else name.name) / "index.html"
        assert built.is_file(), built


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        reader = Resources()
        reader.feed(path.read_text(encoding="utf-8"))
        assert reader.found
        assert not [where for where in reader.found if _ELSEWHERE.match(where)], path
    for path in site.rglob("*.css"):
        assert not _CSS_ELSEWHERE.search(path.read_text(encoding="utf-8")), path


def test_the_reference_has_what_docstrings_say(site: Path) -> None:
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    for words in ("Segmenter", "from_pretrained", "UsageError", "A photograph is scaled to the height"):
        assert words in text, words
