"""The example notebook runs in a kernel of Jupyter, and shows trajectories and trees."""

import json

import pytest

from support.folders import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "notebook.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_as_written(monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"), prepend=":")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = ["".join(output["data"]["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
    printed = [output["text"] for output in outputs if output.output_type == "stream" and output.name == "stdout"]
    assert [page.startswith('<div class="alpha-umi">') for page in shown] == [True, True]
    assert "summarizer" in shown[0]
    assert len(printed) == 2
    assert all(text.strip() != "None" for text in printed)


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
