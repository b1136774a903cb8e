"""The notebooks are executed, and what is committed is small and complete."""

from pathlib import Path

import pytest
from pages import DOCS, name

nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_what_is_committed_has_been_executed(path: Path) -> None:
    assert path.stat().st_size < 500_000
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    text = path.read_text(encoding="utf-8")
    assert "Traceback" not in text and "/home/" not in text and "/tmp/" not in text


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    client = pytest.importorskip("nbclient", reason="needs the extra docs")
    notebook = nbformat.read(path, as_version=4)
    client.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
