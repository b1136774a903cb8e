"""Commands as users run them: processes of their own, with the streams, limits and signals that a test wants."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import dsrnss

Command = Callable[..., subprocess.Popen]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Start `dsrnss` in `tmp_path`; `shell` is put around the command, `{}` stands for it."""
    monkeypatch.chdir(tmp_path)

    def start(*words: object, shell: str = "", **variables: str) -> subprocess.Popen:
        line = [sys.executable, "-m", "dsrnss", *map(str, words)]
        paths = [str(Path(dsrnss.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            ["bash", "-c", shell.replace("{}", '"$@"'), "bash", *line] if shell else line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1", **variables},
            start_new_session=True,
        )

    return start


@pytest.fixture
def finished(command: Command) -> Callable[..., subprocess.CompletedProcess]:
    """Run `dsrnss` to its end; it never ends in a bug or a traceback."""

    def run(*words: object, **options: str) -> subprocess.CompletedProcess:
        with command(*words, **options) as process:
            out, err = (said.decode("utf-8", "surrogateescape") for said in process.communicate(timeout=300))
        assert process.returncode != 70, err
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    return run
