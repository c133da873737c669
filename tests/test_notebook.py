"""The notebook runs from top to bottom, on little data."""

import pytest

nbclient = pytest.importorskip("nbclient")  # of the docs, which need Python 3.11
nbformat = pytest.importorskip("nbformat")

from tests.builders import ROOT  # noqa: E402

NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))
SIZE = "EPOCHS, PER_CLASS = 12, 24\n"


def texts(notebook) -> list:
    """What the cells print."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    outputs = (output for cell in cells for output in cell.outputs)
    return [output.text for output in outputs if output.get("name") == "stdout"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    (first,) = (cell for cell in notebook.cells if SIZE in cell.source)
    first.source = first.source.replace(SIZE, "EPOCHS, PER_CLASS = 1, 2\n")
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    assert any("of the validation part" in text for text in texts(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_as_it_was_run(path):
    """Every cell in its order, without errors or paths of a machine."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    assert all(output.output_type != "error" for output in outputs)
    assert not any("/" in text for text in texts(notebook))
    assert path.stat().st_size < 400_000
