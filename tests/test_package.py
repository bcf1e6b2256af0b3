"""The package as it is installed: lazy, typed, and plain about a torchaudio that does not fit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sam_av

ROOT = Path(__file__).parent.parent


def python(script, **environment):
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_import_pulls_in_no_torch():
    done = python(
        "import sys, sam_av; print('torch' in sys.modules, 'transformers' in sys.modules, sam_av.__version__)"
    )
    assert done.stdout.split() == ["False", "False", sam_av.__version__]


def test_public_names():
    for name in sam_av.__all__:
        assert getattr(sam_av, name).__name__ == name
    assert set(sam_av.__all__) <= set(dir(sam_av))
    assert sam_av.metrics.mask_iou and sam_av.audio.VGGish and sam_av.audio.log_mel_examples
    with pytest.raises(AttributeError, match="no attribute 'SamVA'"):
        sam_av.SamVA  # noqa: B018


def test_typed():
    assert (ROOT / "sam_av" / "py.typed").is_file()


def test_torchaudio_that_does_not_fit_torch(tmp_path):
    """A torchaudio built for another torch fails as it is imported, and transformers with it."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(
        "raise OSError('libtorch_cuda.so: undefined symbol: _ZN3c104cuda')"
    )
    metadata = tmp_path / "torchaudio-2.11.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchaudio\nVersion: 2.11.0\n")
    done = python("from sam_av import SamAV", PYTHONPATH=str(tmp_path))
    last = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert any("torchaudio 2.11.0 cannot be loaded beside torch" in line for line in last)
    assert "pip install" in last[-1]


def test_broken_torchaudio_on_the_command_line(tmp_path):
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text("raise OSError('undefined symbol')")
    done = subprocess.run(
        [sys.executable, "-m", "sam_av.cli", "convert", "a.pth", "b"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "cannot be loaded beside torch" in done.stderr
    assert "Traceback" not in done.stderr
