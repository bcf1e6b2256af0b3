"""The notebooks in examples: they run from a clean kernel without a download, and are stored with small outputs."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def named(notebook):
    return notebook.stem


def test_both_are_there():
    assert [notebook.stem for notebook in NOTEBOOKS] == ["fine_tune", "use"]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_it_runs_in_an_empty_folder_without_a_download(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-cache"))
    folder = tmp_path / "empty"
    folder.mkdir()
    cells = nbformat.read(notebook, as_version=4)
    NotebookClient(cells, timeout=500, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    assert any(folder.iterdir())  # it was there that they wrote


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_it_is_stored_as_it_ran(notebook):
    """From its first cell to its last one, without an error, with pictures that a repository can hold."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    pictures = [data for output in outputs for kind, data in output.get("data", {}).items() if "image/" in kind]
    assert len(pictures) >= 3 and sum(map(len, pictures)) < 300_000


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_it_names_nobodys_folders(notebook):
    text = json.dumps(json.loads(notebook.read_text(encoding="utf-8")))
    assert not any(place in text for place in ("/home/", "/root/", "/tmp/", "/Users/", "C:\\\\"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=named)
def test_what_it_links_to_is_there(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (notebook.parent / target).exists(), target
