"""README and docs, run: every block of commands and of Python that is not marked, page by page, on tiny stand-ins."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import stand_ins
import torch
from pages import PAGES, SHELL, Block, blocks, commands, name

import dsrnss
from dsrnss.cli import main

pytestmark = pytest.mark.slow
SHORTER = (
    (r"length=400", "length=4"),
    (r'SynthNight\("val"\)', 'SynthNight("val", length=2)'),
    (r"\b(max_)?steps=400", r"\1steps=2"),
    (r"L\.Trainer\(", 'L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, '),
    (r"\(160, 288\)", "(64, 96)"),
    (r"\(1080, 1080\)", "(64, 64)"),
    (r"\(420, 420\)", "(32, 32)"),
    (r"\(256, 512\)", "(64, 128)"),
    (r"\(960, 540\)", "(128, 64)"),
)
"""What is put in place of numbers that take long."""


def _runs(page: Path) -> list[Block]:
    return [block for block in blocks(page, *SHELL, "python") if not block.why]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand_ins")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DSRNSS_CACHE", str(folder / "cache"))
        stand_ins.write(folder)
    return folder


@pytest.fixture
def here(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder, which is the current one."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if _runs(page)], ids=name)
def test_page(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = {"crop": (64, 64), "batch": 2, "size": 96, "network": "compact", "day_steps": 2}
    adapt = dsrnss.adapt

    def adapt_shortly(*args: Any, **options: Any) -> Any:
        shutil.rmtree(here / "run", ignore_errors=True)
        return adapt(*args, **{**short, **options})

    monkeypatch.setattr(dsrnss, "adapt", adapt_shortly)
    names: dict[str, Any] = {
        "images": torch.zeros(1, 3, 64, 96),
        "predictions": torch.zeros(1, 4, 4, dtype=torch.long),
        "labels": torch.zeros(1, 4, 4, dtype=torch.long),
        "batches": [_batch(seed) for seed in range(2)],
        "torch": torch,
        "__name__": "page",
    }
    for block in _runs(page):
        if block.language == "python":
            code = block.text
            for pattern, value in SHORTER:
                code = re.sub(pattern, value, code)
            exec(compile(code, str(block), "exec", dont_inherit=True), names)
        else:
            _run(block, here, monkeypatch)


def _batch(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    image, label = torch.randn(2, 3, 64, 96), torch.randint(0, 19, (2, 64, 96))
    return {"source": {"image": image, "label": label}, "target": {"image": image, "reference": image}}


def _run(block: Block, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, words in commands(block.text):
        if not words or words[0] not in ("dsrnss", "cp", "python"):
            continue  # whether they are there is for test_options.py to say
        if words[0] == "cp":
            shutil.copy(*(stand_ins.words_of([word])[0] for word in words[1:]))
            continue
        if words[0] == "python" and words[1] != "tools/run.py":
            continue
        words = words[1:] if words[0] == "dsrnss" else words[2:]
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        if words[0] == "adapt":
            shutil.rmtree(here / "run", ignore_errors=True)
        assert main(stand_ins.words_of(words)) == 0, f"{block}: {' '.join(words)}"
