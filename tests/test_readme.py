"""README's code, as pasted: every block runs in order, with small weights where the Hub has the large ones."""

import os
import re
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import synthesis_sources as made
import torch
from conftest import GOLDEN, make_sam
from films import save_film
from local_hub import LocalHub, Repository
from PIL import Image
from scipy.io import wavfile

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish
from sam_av.data import Scenes, SceneSettings, write_dataset

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def publish(hub: LocalHub, name: str, folder: Path) -> None:
    """Puts a folder on the hub."""
    hub.repos[name] = Repository(name, private=False)
    hub.repos[name].commit({path.name: path.read_bytes() for path in folder.iterdir()}, "first")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """An empty folder with a user's files in it, and the environment that leads to the hub."""
    folder = tmp_path_factory.mktemp("readme")
    vggish = VGGish()
    (folder / "torch/hub/checkpoints").mkdir(parents=True)
    half = {key: weight.half() for key, weight in vggish.state_dict().items()}
    torch.save(half, folder / "torch/hub/checkpoints/vggish-10086976.pth")
    vggish.load_state_dict({key: weight.float() for key, weight in half.items()})
    vggish.name = "vggish"

    sam = make_sam()
    sam.save_pretrained(folder / "base")
    config = SamAVConfig(base_model_name_or_path="facebook/sam-vit-base")
    SamAV.from_base(sam, config, audio_encoder=vggish, device="cpu").save_pretrained(folder / "adapter")

    user = folder / "user"
    user.mkdir()
    Image.fromarray(np.zeros((360, 640, 3), np.uint8)).save(user / "street.png")
    save_film(user / "street.mp4", 12, size=(360, 640))
    wavfile.write(user / "street.wav", 44_100, np.zeros(44_100 * 2, np.int16))
    shutil.copy(GOLDEN / "sama_tiny.pth", user / "model_epoch_best.pth")
    shutil.copy(GOLDEN / "segment_anything_tiny.pth", user / "sam_vit_b_01ec64.pth")

    settings = SceneSettings.demo(size=64)
    clips = Scenes(settings, sources=(1, 1), silence=0, absent=0, length=5, split="test")
    write_dataset(clips, user / "s4", "avsbench-s4")
    parts = [
        Scenes(settings, sources=(1, 1), length=n, split=part) for part, n in (("train", 6), ("val", 2), ("test", 2))
    ]
    write_dataset(chain.from_iterable(parts), user / "my-clips", "folder")
    made.write_class_folders(user / "my-pictures", made.draw(8))
    made.write_sound_folders(user / "my-sounds", 3)

    with LocalHub() as hub:
        publish(hub, "facebook/sam-vit-base", folder / "base")
        publish(hub, "user/sam-av-vit-h-s4", folder / "adapter")
        environment = hub.environment(folder / "home")
        environment["TORCH_HOME"] = str(folder / "torch")
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        yield user, environment


def test_python_blocks(workplace):
    user, environment = workplace
    script = "\n".join(code for language, code in BLOCKS if language == "python")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=user, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "(360, 640)" in done.stdout and "audio adapter params" in done.stdout
    assert sorted(path.name for path in (user / "my-adapter").iterdir()) == [
        "README.md", "adapter_model.safetensors", "config.json",
    ]  # fmt: skip
    shutil.rmtree(user / "my-adapter")


def test_commands(workplace):
    user, environment = workplace
    lines = [line for language, code in BLOCKS if language == "bash" for line in code.splitlines()]
    # The page stays open until it is closed; a browser opens it in test_app_browser.py.
    commands = [line for line in lines if line.startswith("sam-av ") and not line.startswith("sam-av app")]
    assert len(commands) == 16
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=user, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr[-2000:])


def test_ten_clips_become_an_adapter_that_others_use(workplace):
    """After README's commands: pushed by one process, pulled and run by another."""
    user, environment = workplace
    if not (user / "my-clips-adapter").is_dir():
        test_commands(workplace)
    push = "from sam_av import SamAV; SamAV.from_pretrained('my-clips-adapter').push_to_hub('user/my-clips-adapter')"
    pull = """
from sam_av import SamAV
model = SamAV.from_pretrained("user/my-clips-adapter")
(frame,) = model.segment("street.png", "street.wav")
print(frame.mask.shape, model.config.card.metrics[0]["dataset"], model.config.card.metrics[0]["split"])
"""
    for script in (push, pull):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=user, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "(360, 640) my-clips val"


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    lines = [line for language, code in BLOCKS if language == "bash" for line in code.splitlines()]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_counts_in_the_table():
    """The table's numbers, counted anew on the meta device."""
    from transformers import SamConfig, SamModel

    from sam_av.sam import Base

    readme = (ROOT / "README.md").read_text()
    for method in ("sama", "ap-sam", "sama+ap-sam"):
        with torch.device("meta"):
            vision = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16}
            model = SamAV(Base(SamModel(SamConfig(vision_config=vision))), VGGish())
            model.add_adapter("default", SamAVConfig(method=method))
        parts = model.adapters["default"]
        count = sum(weight.numel() for weight in parts.parameters())
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{method}`"))
        assert f"{parts.num_audio_parameters():,}" in row
        assert f"{count * 4 / 1e6:.1f} / {count * 2 / 1e6:.1f} MB" in row
