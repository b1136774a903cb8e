"""Completion, asked of the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dsrnss import cli

_BASH = """
source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="${{COMP_WORDS[*]}}"
_shtab_dsrnss
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def ask(shell: str, line: str) -> set[str]:
        program = shutil.which(shell)
        if program is None:
            pytest.skip(f"{shell} is not installed")
        assert cli.main(["completion", shell]) == 0
        script = tmp_path / "script"
        script.write_text(capsys.readouterr().out)
        (tmp_path / "own.yaml").touch()
        text = _BASH.format(script=script, words=line) if shell == "bash" else f"source {script}; complete -C '{line}'"
        done = subprocess.run([program, "-c", text], capture_output=True, text=True, cwd=tmp_path)
        return {row.split("\t")[0] for row in done.stdout.splitlines()}

    return ask


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dsrnss dem", "demo"),
        ("dsrnss data ch", "check"),
        ("dsrnss segment --sa", "--save"),
        ("dsrnss fit --ckpt_p", "--ckpt_path"),
        ("dsrnss fit --config synth", "synthnight/adapt.yaml"),
        ("dsrnss fit --config ow", "own.yaml"),
        ("dsrnss export --format onn", "onnx"),
        ("dsrnss segment ow", "own.yaml"),
    ],
)
def test_words(complete, shell: str, line: str, expected: str) -> None:
    assert expected in complete(shell, line)


def test_zsh_reads_its_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    cli.main(["completion", "zsh"])
    (tmp_path / "_dsrnss").write_text(capsys.readouterr().out)
    assert subprocess.run(["zsh", "-n", tmp_path / "_dsrnss"], check=False).returncode == 0


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "zhs"]) == 2
    assert "Did you mean 'zsh'?" in capsys.readouterr().err
