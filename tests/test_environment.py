"""`sam-av info` without an adapter: what a report of a fault says of the machine."""

import getpass
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import torch

from sam_av.cli import main
from sam_av.environment import EXTRA_PACKAGES, PACKAGES, installed_version

ROOT = Path(__file__).parent.parent


def names(requirements):
    """The packages that requirements name, without bounds and without sam-av's own extras."""
    found = {line.partition(";")[0].split("[")[0].split(">")[0].split("<")[0].strip() for line in requirements}
    return found - {"sam-av"}


def test_it_names_what_pyproject_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    helpers = {"segment-anything", "pyyaml", "tqdm", "psutil"}  # of which no fault has ever depended on the version
    assert set(PACKAGES) == names(project["dependencies"]) - helpers
    extras = {
        name: lines for name, lines in project["optional-dependencies"].items() if name not in ("docs", "test", "all")
    }
    assert set(EXTRA_PACKAGES) == names(line for lines in extras.values() for line in lines)


def test_versions_and_devices(capsys):
    assert main(["info"]) == 0
    told = capsys.readouterr().out
    facts = dict(line.split(maxsplit=1) for line in told.splitlines() if not line.startswith("not installed"))
    assert facts["torch"] == installed_version("torch") and "which loads beside this torch" in facts["torchaudio"]
    assert f"cpu with {torch.get_num_threads()} threads" in facts["devices"]
    assert (torch.version.cuda or "without CUDA") in facts["devices"]
    assert all(name in told for name in (*PACKAGES, *EXTRA_PACKAGES))
    assert str(Path.home()) not in told and str(ROOT) not in told and f" {getpass.getuser()} " not in told


def test_it_works_where_torchaudio_does_not(tmp_path):
    """The one thing that must run on a broken installation is what tells how it is broken."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('undefined symbol')")
    done = subprocess.run(
        [sys.executable, "-m", "sam_av.cli", "info"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "which CANNOT BE LOADED" in done.stdout and "pip install --upgrade" in done.stdout
