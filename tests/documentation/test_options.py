"""Every command line of README and docs has options that exist, every experiment keys that exist."""

from pathlib import Path

import pytest
import yaml
from options import check, check_experiment
from pages import PAGES, SHELL, blocks, commands, name
from stand_ins import write_modules

from dsrnss.errors import DsrnssError, UsageError

EXPERIMENT_KEYS = {"trainer", "model", "data", "checkpoint", "panels"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_command_lines_are_understood(page: Path) -> None:
    wrong = []
    for block in blocks(page, *SHELL):
        for command in commands(block.text):
            try:
                if command.words:
                    check(command.words)
            except DsrnssError as error:
                wrong.append(f"{block}: {' '.join(command.words)}\n  {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_experiments_have_keys_that_exist(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_modules(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for block in blocks(page, "yaml"):
        content = yaml.safe_load(block.text)
        if isinstance(content, dict) and set(content) & EXPERIMENT_KEYS and not block.why:
            (tmp_path / "part.yaml").write_text(block.text)
            check_experiment("fit", ["--config", "synthnight/adapt.yaml"], tmp_path / "part.yaml")


@pytest.mark.parametrize(
    "line",
    [
        "dsrnss segment photo.jpg --uot out",
        "dsrnss fit --config synthnight/adapt.yaml --trainer.max_step 3",
        "dsrnss fit --config synthnight/adpat.yaml",
        "python tools/run.py fit --config synthnight/adapt.yaml --model.optimiser.lr 1",
        "python benchmarks/step_cost.py --seize 512",
        "make domo",
        "pip install 'dsrnss[vidoe]'",
        "segment photo.jpg",
    ],
)
def test_a_wrong_line_is_noticed(line: str) -> None:
    (command,) = commands(line)
    with pytest.raises(UsageError):
        check(command.words)
