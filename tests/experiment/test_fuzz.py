"""Mutated experiment files: each is built, or refused in the package's own words, never as a bug."""

import os
import random
from pathlib import Path

import pytest
from runs import EXPERIMENT

from dsrnss import cli

MUTATIONS = int(os.environ.get("DSRNSS_MUTATIONS", "120"))
"""More of them: DSRNSS_MUTATIONS=1000 pytest tests/experiment/test_fuzz.py."""
WORDS = (
    "null", "true", "-1", "0", "1e9", "nan", ".inf", "''", "[]", "{}", "[1, 2, 3]", "{a: b}", "~", "*x", "&x 1", "<<",
    "? a", "|", "0x1F", "2026-11-28", "é", "os.system", "class_path", "dsrnss.data.Nothing", "!!python/name:os.system",
)  # fmt: skip


def mutated(text: str, draw: random.Random) -> str:
    """One to three changes: of a character, a line, a value, a key."""
    for _ in range(draw.randint(1, 3)):
        lines = text.splitlines()
        number = draw.randrange(len(lines))
        line = lines[number]
        kind = draw.choice((0, 1, 2, 3, 3, 3, 3, 4, 5, 5, 5))
        if kind == 0 and line:
            place = draw.randrange(len(line))
            lines[number] = line[:place] + draw.choice("{}[]:,#&*!|>'\"%@`\t x9-") + line[place + draw.randint(0, 1) :]
        elif kind == 1:
            del lines[number]
        elif kind == 2:
            lines.insert(draw.randrange(len(lines)), line)
        elif kind == 3:
            lines[number] = line.partition(":")[0] + ": " + draw.choice(WORDS)
        elif kind == 4:
            lines[number] = " " * draw.randint(1, 3) + line
        else:
            words = line.split()
            if words:
                lines[number] = line.replace(draw.choice(words), draw.choice(WORDS), 1)
        text = "\n".join(lines) or "a: 1"
    return text


def test_an_experiment_is_built_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dsrnss.experiment.cli.ExperimentCLI.run", lambda self: None)
    codes: dict[int, int] = {}
    for seed in range(MUTATIONS):
        text = mutated(EXPERIMENT, random.Random(seed))
        Path("tiny.yaml").write_text(text, encoding="utf-8")
        code = cli.main(["validate", "--config", "tiny.yaml"])
        err = capsys.readouterr().err
        codes[code] = codes.get(code, 0) + 1
        assert code in (0, 1, 2), f"seed {seed}, exit {code}:\n{err}\n{text}"
        assert "Traceback" not in err
    assert {0, 2} <= codes.keys(), codes
    assert {path.name for path in tmp_path.iterdir()} <= {"tiny.yaml"}, "nothing is written by building"
