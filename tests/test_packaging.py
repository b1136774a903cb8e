"""What is shipped: metadata, data files, experiments, and the two scripts of the paper's README."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import dsrnss
from dsrnss.experiment import files as experiments

ROOT = Path(__file__).parents[1]
EXPERIMENTS = [name for name in experiments.packaged_names() if not name.startswith(("baselines/", "overlays/"))]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


class TestWheel:
    def test_holds_all_that_is_no_code(self, wheel: zipfile.ZipFile) -> None:
        names = set(wheel.namelist())
        inside = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*") if path.is_file()}
        wanted = {name for name in inside if Path(name).suffix in {".yaml", ".safetensors", ".j2", ".html", ".css"}}
        assert wanted
        assert wanted <= names

    def test_holds_no_tests(self, wheel: zipfile.ZipFile) -> None:
        assert {name.split("/")[0].split("-")[0] for name in wheel.namelist()} == {"dsrnss"}

    def test_metadata(self, wheel: zipfile.ZipFile) -> None:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        metadata = wheel.read(name).decode()
        assert f"\nVersion: {dsrnss.__version__}\n" in metadata
        assert "License-Expression: Apache-2.0" in metadata
        assert re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE) == [
            "dev",
            "docs",
            "onnx",
            "serve",
            "timm",
            "video",
        ]

    def test_releases_that_are_not_safe_are_refused(self, wheel: zipfile.ZipFile) -> None:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        needs = map(Requirement, re.findall(r"Requires-Dist: (.*)", wheel.read(name).decode()))
        lightning = next(need.specifier for need in needs if need.name == "lightning")
        assert "2.6.6" in lightning
        assert not any(release in lightning for release in ("2.6.2", "2.6.3", "2.6.5"))


def test_every_dependency_floor_has_its_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("dependencies = [")
    block = lines[start + 1 : lines.index("]", start)]
    for before, line in zip(["", *block], block, strict=False):
        if line.strip().startswith('"'):
            assert before.strip().startswith("#"), line


class TestExperiments:
    def test_the_root_folder_leads_to_the_packaged_ones(self) -> None:
        assert (ROOT / "configs").resolve() == experiments.PACKAGED.resolve()

    @pytest.mark.parametrize("name", EXPERIMENTS)
    def test_are_short(self, name: str) -> None:
        assert 20 <= len((experiments.PACKAGED / name).read_text().splitlines()) <= 60

    @pytest.mark.parametrize("name", EXPERIMENTS)
    def test_are_accepted(self, name: str) -> None:
        from dsrnss.experiment import cli

        quiet = ["--trainer.logger=false", "--trainer.enable_checkpointing=false", "--trainer.accelerator=cpu"]
        small = ["--model.network.backbone=mit_b0"] if "mit_b5" in (experiments.PACKAGED / name).read_text() else []
        built = cli.build("fit", [name], [*quiet, *small, "--model.weights=random"])
        content = yaml.safe_load((experiments.PACKAGED / name).read_text())
        assert built.model.schedule_config.max_steps == content["trainer"]["max_steps"]

    @pytest.mark.parametrize("name", ["synthnight/adapt.yaml", "configs/synthnight/adapt.yaml", "synthnight/adapt"])
    def test_are_found_from_anywhere(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert experiments.resolve(name) == experiments.PACKAGED / "synthnight" / "adapt.yaml"

    def test_a_file_here_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        own = Path("synthnight/adapt.yaml")
        own.parent.mkdir()
        own.write_text("trainer: {}\n")
        assert experiments.resolve("synthnight/adapt.yaml") == own


@pytest.mark.parametrize("script", ["run.py", "convert_cityscapes.py"])
def test_scripts_of_the_paper(script: str) -> None:
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(ROOT / 'src')!r}); sys.argv = ['{script}', '--help'];"
        f"runpy.run_path({str(ROOT / 'tools' / script)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: dsrnss" in done.stdout
