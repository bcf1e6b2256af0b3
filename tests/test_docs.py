"""The pages in docs: their Python blocks run as pasted, and the trees that they show are those of the readers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sam_av.data import folder, hub_dataset, manifest, webdataset

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


def python_of(page: str) -> str:
    """The Python blocks of a page as one script in which each line keeps its number, and all other lines are empty."""
    script, inside = [], False
    for line in page.splitlines():
        if line.startswith("```"):
            inside = line == "```python" and not inside
            line = ""
        script.append(line if inside else "")
    return "\n".join(script)


def test_a_script_keeps_the_lines_of_its_page():
    page = "# A page\n```python\na = 1\n```\ntext\n```bash\nls\n```\n```python\nprint(a)\n```"
    assert python_of(page) == "\n\na = 1\n\n\n\n\n\n\nprint(a)\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_the_other_in_an_empty_folder(tmp_path, page):
    script = tmp_path / f"{page.stem}.py"
    script.write_text(python_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    (tmp_path / "empty").mkdir()
    run = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path / "empty",
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("module", [folder, manifest, hub_dataset, webdataset])
def test_the_page_on_data_shows_the_trees_of_the_readers(module):
    assert f"```\n{module.TREE}\n```" in (ROOT / "docs" / "your-own-data.md").read_text(encoding="utf-8")
