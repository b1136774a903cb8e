"""The command line itself: what it costs to start, and how it answers mistakes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import dsrnss
from dsrnss import cli
from dsrnss.commands import demo
from dsrnss.errors import DataError

SOURCES = Path(dsrnss.__file__).resolve().parents[1]


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter that finds this package."""
    prelude = f"import sys; sys.path.insert(0, {str(SOURCES)!r});"
    return subprocess.run([sys.executable, "-c", prelude + code], capture_output=True, text=True, check=False)


class TestStart:
    @pytest.mark.parametrize(
        "code",
        [
            "import dsrnss",
            "from dsrnss.cli import main; main(['--help'])",
            "from dsrnss.cli import main; main(['segment', '--help'])",
            "from dsrnss.cli import main; main(['fit', '--help'])",
            "from dsrnss.cli import main; main(['fit'])",
            "from dsrnss.cli import main; main(['completion', 'bash'])",
            "from dsrnss.cli import main; main(['benchmark', 'train', '--help'])",
            "from dsrnss.cli import main; main(['benchmark', 'train', '--config', 'synthnight/adapt.yaml', '--stpes'])",
        ],
    )
    def test_needs_nothing_heavy(self, code: str) -> None:
        heavy = "{'torch', 'lightning', 'cv2', 'numpy', 'matplotlib', 'jsonargparse'}"
        done = fresh(f"{code}; print('heavy:', sorted({heavy} & set(sys.modules)))")
        assert "heavy: []" in done.stdout, done.stdout + done.stderr

    def test_takes_under_half_a_second(self) -> None:
        best = 9.0
        for _ in range(5):
            start = time.perf_counter()
            fresh("from dsrnss.cli import main; main(['--help'])")
            best = min(best, time.perf_counter() - start)
        assert best < 0.5

    def test_public_names_are_there(self) -> None:
        assert {"Segmenter", "list_models", "__version__"} <= set(dir(dsrnss))
        assert dsrnss.Segmenter.__name__ == "Segmenter"
        assert "mit_b5" in dsrnss.list_models()

    def test_unknown_public_name(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
            _ = dsrnss.Segmentor


class TestHelp:
    @pytest.mark.parametrize("words", [[], ["demo"], ["segment"], ["serve"], ["fit"], ["data"], ["data", "synthesize"]])
    def test_every_command_has_help(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([*words, "--help"]) == 0
        assert capsys.readouterr().out.startswith("usage: dsrnss")

    def test_fit_names_the_packaged_experiments(self, capsys: pytest.CaptureFixture[str]) -> None:
        cli.main(["fit", "--help"])
        assert "synthnight/adapt.yaml" in capsys.readouterr().out

    def test_no_command_shows_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([]) == 2
        assert "dsrnss demo" in capsys.readouterr().out

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["--version"]) == 0
        assert capsys.readouterr().out == f"dsrnss {dsrnss.__version__}\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dmo", "unknown command 'dmo'. Did you mean 'demo'?"),
        ("--verson", "unknown option '--verson'. Did you mean '--version'?"),
        ("demo --quik", "unknown option '--quik'. Did you mean '--quick'?"),
        ("demo --seed x", "--seed: expected a whole number of 0 or more, not 'x'"),
        ("demo --quick --full", "not allowed with argument --quick"),
        ("demo extra", "unexpected argument 'extra'"),
        ("data", "Missing: COMMAND"),
        ("data synthesise", "Did you mean 'synthesize'?"),
        ("data synthesize", "Missing: OUT"),
        ("data synthesize out --layout acdc", "unknown layout 'acdc'."),
        ("data prepare cityscape x", "Did you mean 'cityscapes'?"),
        ("fit", "needs an experiment"),
    ],
)
def test_wrong_command_line(line: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert expected in err
    assert "Traceback" not in err


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code", "text"),
        [
            (DataError("The file 'a.png' is broken."), 1, "error: The file 'a.png' is broken.\n"),
            (PermissionError(13, "Permission denied", "out"), 1, "error: Permission denied: 'out'.\n"),
            (ZeroDivisionError("no"), 70, "error: internal error: ZeroDivisionError: no\n"),
            (KeyboardInterrupt(), 130, "note: interrupted.\n"),
        ],
    )
    def test_of_a_failing_command(
        self,
        error: BaseException,
        code: int,
        text: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(_: object) -> int:
            raise error

        monkeypatch.setattr(demo, "run", fail)
        assert cli.main(["demo"]) == code
        assert capsys.readouterr().err.startswith(text)

    @pytest.mark.parametrize("words", [["--debug", "demo"], ["demo", "--debug"]])
    def test_debug_shows_the_traceback(self, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: object) -> int:
            raise DataError("broken")

        monkeypatch.setattr(demo, "run", fail)
        with pytest.raises(DataError):
            cli.main(words)

    def test_a_reader_that_leaves_is_no_error(self) -> None:
        code = "from dsrnss.cli import main; sys.exit(main(['demo', '--help']))"
        command = f"import sys; sys.path.insert(0, {str(SOURCES)!r}); {code}"
        with subprocess.Popen(
            [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""


class TestDemo:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ([], {"length": "standard", "seed": 0, "from_scratch": False, "oracle": False}),
            (["--quick", "--seed", "3"], {"length": "quick", "seed": 3}),
            (["--full", "--from-scratch", "--threads", "1"], {"length": "full", "from_scratch": True, "threads": 1}),
            (["--oracle", "--out", "x"], {"oracle": True, "out": Path("x")}),
        ],
    )
    def test_options_arrive(
        self,
        words: list[str],
        expected: dict[str, object],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from dsrnss.demo import run as training

        given: list[training.DemoOptions] = []

        def run(options: training.DemoOptions) -> training.DemoResult:
            given.append(options)
            return training.DemoResult({}, options.out / "report.html")

        monkeypatch.setattr(training, "run_demo", run)
        assert cli.main(["demo", *words]) == 0
        assert {name: getattr(given[0], name) for name in expected} == expected
        out = capsys.readouterr().out
        assert f"Report: {given[0].out / 'report.html'}" in out
        assert f"--model {given[0].out / 'adapted.safetensors'}" in out


class TestSynthesize:
    def test_writes_and_names_the_next_command(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["--source", "1", "--target", "1", "--val", "1", "--test", "0", "--size", "64", "128", "--workers", "1"]
        assert cli.main(["data", "synthesize", str(tmp_path / "set"), *words]) == 0
        out = capsys.readouterr().out
        assert f"Next: DATA_DIR={tmp_path / 'set'} dsrnss fit --config" in out
        assert (tmp_path / "set" / "DarkZurich").is_dir()
        assert cli.main(["data", "synthesize", str(tmp_path / "set"), *words]) == 1
        assert "or --overwrite." in capsys.readouterr().err

    def test_show(self, tmp_path: Path) -> None:
        picture = tmp_path / "samples.png"
        assert cli.main(["data", "show", "synthnight", "--n", "1", "--out", str(picture)]) == 0
        assert picture.is_file()
