"""`sam-av info ADAPTER`: its facts, its parts and its fingerprints."""

import json

import pytest
from conftest import make_sam
from test_sharing import save

from sam_av import SamAV
from sam_av.cli import main


def told(capsys, *arguments):
    assert main(["info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_shipped_adapter(capsys):
    text = told(capsys, "builtin:demo-sama")
    config = SamAV.from_pretrained("builtin:demo-sama", device="cpu").config
    assert config.base_fingerprint in text and config.audio_encoder_fingerprint in text
    for fact in ("builtin:demo, 6 layers of width 192", "SAMA-AVS", "mIoU 69.16, F 78.79 by the protocol avsbench"):
        assert fact in text
    assert "The base and the audio encoder" not in text, "which have not been looked at"


def test_verified(capsys):
    text = told(capsys, "builtin:demo-sama", "--verify")
    counts = SamAV.from_pretrained("builtin:demo-sama", device="cpu").describe_parameters()
    assert "The base and the audio encoder are those that it was trained on." in text and counts in text


def test_a_folder_whose_base_is_not_there(tmp_path, capsys):
    """The facts need no base; verifying does, and finds the wrong one."""
    save(tmp_path / "adapter", "someone/sam-tiny", method="ap-sam")
    text = told(capsys, tmp_path / "adapter")
    assert "someone/sam-tiny, 4 layers of width 32" in text and "audio_prompt" in text and "not stated" in text
    make_sam(seed=1).save_pretrained(tmp_path / "other")
    assert main(["info", str(tmp_path / "adapter"), "--verify", "--base", str(tmp_path / "other")]) == 1
    assert "Wrong base" in capsys.readouterr().err


def test_fingerprints_tell_adapters_apart(tmp_path, capsys):
    def weights(folder):
        return next(line for line in told(capsys, folder).splitlines() if line.startswith("weights"))

    save(tmp_path / "one", seed=0)
    save(tmp_path / "same", seed=0)
    save(tmp_path / "other", seed=1)
    assert weights(tmp_path / "one") == weights(tmp_path / "same") != weights(tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./lost"], "neither a folder on this disk nor"),
        (["builtin:lost"], "There is no 'builtin:lost' in this installation"),
        (["builtin:demo"], "is not the configuration of a sam-av adapter"),
        (["--verify"], "are about an adapter: name one"),
        (["builtin:demo-sama", "--base", "x/y"], "with --verify: add it"),
    ],
)
def test_mistakes_give_one_line(capsys, arguments, message):
    assert main(["info", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_a_damaged_adapter(tmp_path, capsys):
    save(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "method": "ap-sam"}))
    assert main(["info", str(tmp_path)]) == 1
    assert "is not the file of an adapter of the method 'ap-sam'" in capsys.readouterr().err
