"""The networks and adapters that come with the package: found by name, offline, in a checkout and in a wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from sam_av import SamAV, SamAVConfig, SamAVProcessor
from sam_av.audio import VGGish, load_audio_encoder, load_front_end
from sam_av.audio.vggish import LOG_MEL
from sam_av.builtin import builtin_folder
from sam_av.hub import check_public_name
from sam_av.sam import load_base

ROOT = Path(__file__).parent.parent
ADAPTERS = ("demo-sama", "demo-ap-sam")
THERE_IS = r"It has: builtin:demo, builtin:demo-ap-sam, builtin:demo-audio, builtin:demo-sama"


def untrained(method="sama"):
    torch.manual_seed(0)
    config = SamAVConfig(method=method, audio_encoder="builtin:demo-audio")
    return SamAV.from_base("builtin:demo", config, device="cpu")


def test_the_base_keeps_its_name():
    base = load_base("builtin:demo")
    assert (base.name, base.revision) == ("builtin:demo", None)
    assert base.sam.config.vision_config.image_size == 128


def test_the_audio_encoder_keeps_its_name(tmp_path, monkeypatch):
    (tmp_path / "demo-audio").mkdir()  # a folder of that name is something else
    monkeypatch.chdir(tmp_path)
    encoder = load_audio_encoder("builtin:demo-audio")
    assert isinstance(encoder, VGGish) and encoder.pretrained
    assert encoder.name == "builtin:demo-audio"
    assert encoder(torch.zeros(2, 1, 96, 64)).shape == (2, 128)
    assert load_front_end("builtin:demo-audio") is LOG_MEL


def test_a_local_copy_of_the_audio_encoder(tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((builtin_folder("builtin:demo-audio") / "model.safetensors").read_bytes())
    features = torch.randn(1, 1, 96, 64)
    for weights in (copy, str(copy)):
        encoder = load_audio_encoder("builtin:demo-audio", weights=weights)
        assert encoder.name == "builtin:demo-audio"
        assert torch.equal(encoder(features), load_audio_encoder("builtin:demo-audio")(features))


@pytest.mark.parametrize("name", ADAPTERS)
def test_shipped_adapters_load_and_run(name):
    model = SamAV.from_pretrained(f"builtin:{name}", device="cpu")
    assert model.config.method.replace("+", "-") == name.removeprefix("demo-")
    assert (model.config.base_model_name_or_path, model.config.audio_encoder) == ("builtin:demo", "builtin:demo-audio")
    inputs = SamAVProcessor.from_pretrained(f"builtin:{name}")(
        [torch.zeros(3, 128, 128)] * 2, torch.zeros(32_000), 16_000
    )
    assert model(**inputs).mask_logits.shape == (2, 64, 64)


def test_adapters_share_one_model():
    model = SamAV.from_pretrained("builtin:demo-sama", device="cpu")
    model.load_adapter("builtin:demo-ap-sam", "tokens")
    assert model.config.method == "ap-sam"


def test_offline():
    """No connection is tried: every one would fail at once, and loudly."""
    script = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('a connection was tried')\n"
        "socket.socket.connect = refuse\n"
        "from sam_av import SamAV\n"
        "print(SamAV.from_pretrained('builtin:demo-sama').config.audio_encoder)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "builtin:demo-audio", done.stderr


def test_names_in_config_and_card(tmp_path):
    untrained().save_pretrained(tmp_path / "mine")
    again = SamAV.from_pretrained(tmp_path / "mine", device="cpu").config
    assert (again.base_model_name_or_path, again.base_revision) == ("builtin:demo", None)
    assert again.audio_encoder == "builtin:demo-audio"

    card = ModelCard((tmp_path / "mine" / "README.md").read_text())
    assert "base_model" not in card.data.to_dict(), "the Hub knows no such repository"
    assert "`builtin:demo`, which is part of the package sam-av." in card.text
    assert "builtin:demo-audio" in card.text


@pytest.mark.parametrize(
    "load",
    [
        load_base,
        load_audio_encoder,
        SamAV.from_pretrained,
        check_public_name,
        lambda name: untrained().load_adapter(name, "other"),
    ],
)
def test_unknown_names_are_told_what_there_is(load):
    with pytest.raises(FileNotFoundError, match=rf"no 'builtin:dmeo' in this installation .* {THERE_IS}"):
        load("builtin:dmeo")


def test_names_of_the_wrong_kind():
    with pytest.raises(ValueError, match="is a sam-av adapter, not a base"):
        load_base("builtin:demo-sama")
    with pytest.raises(ValueError, match="not the configuration of a sam-av adapter"):
        SamAV.from_pretrained("builtin:demo")
    with pytest.raises(ValueError, match="does not hold the weights of this network"):
        load_audio_encoder("builtin:demo")
    with pytest.raises(FileNotFoundError, match=THERE_IS):
        load_audio_encoder("builtin")


def test_a_wheel_holds_all_of_it(tmp_path):
    """Built without a connection, unpacked, and used in place of the checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = (
        "import sam_av, sam_av.builtin as b\n"
        "print(sam_av.__file__)\n"
        "for name in ('demo', 'demo-audio', 'demo-sama', 'demo-ap-sam'):\n"
        "    print(sorted(path.name for path in b.builtin_folder(f'builtin:{name}').iterdir()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    place, *contents = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path), done.stderr
    adapter = ["README.md", "adapter_model.safetensors", "config.json"]
    assert contents == [
        str(files) for files in (["config.json", "model.safetensors"], ["model.safetensors"], *[adapter] * 2)
    ]
