"""README's code, as pasted: every block runs in order, with small weights where the Hub has the large ones."""

import re

import pytest
import torch
from pages import README, ROOT, blocks_of, make_stand_ins, open_place

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish

TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A user's folder in which README's blocks have run, and what they printed."""
    stand_ins = make_stand_ins(tmp_path_factory.mktemp("stand-ins"))
    with open_place(stand_ins, tmp_path_factory.mktemp("readme")) as place:
        yield place, place.run_page(README)


def test_its_blocks_run(place):
    place, printed = place
    assert "(360, 640)" in printed and "IoU" in printed
    assert sorted(path.name for path in (place.folder / "my-adapter").iterdir()) == [
        "README.md", "adapter_model.safetensors", "config.json",
    ]  # fmt: skip
    assert "config.json" in place.hub.repos["user/my-adapter"].find("main").files


def test_nothing_but_what_sets_up_is_left_out():
    assert [block.code.split()[0] for block in blocks_of(TEXT) if block.not_run] == ["pip", "pip", "make"]


def test_ten_clips_become_an_adapter_that_others_use(place):
    """After README's commands: pushed by one process, pulled and run by another."""
    place, _ = place
    push = "from sam_av import SamAV; SamAV.from_pretrained('my-clips-adapter').push_to_hub('user/my-clips-adapter')"
    pull = """
from sam_av import SamAV
model = SamAV.from_pretrained("user/my-clips-adapter")
(frame,) = model.segment("street.png", "street.wav")
print(frame.mask.shape, model.config.card.metrics[0]["dataset"], model.config.card.metrics[0]["split"])
"""
    for script in (push, pull):
        done = place.run(script)
        assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "(360, 640) my-clips val"


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    lines = [line for block in blocks_of(TEXT) for line in block.code.splitlines()]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert targets == ["demo", "test", "docs"]
    assert all(f"\n{target}:" in makefile for target in targets)


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_counts_in_the_table():
    """The table's numbers, counted anew on the meta device."""
    from transformers import SamConfig, SamModel

    from sam_av.sam import Base

    for method in ("sama", "ap-sam", "sama+ap-sam"):
        with torch.device("meta"):
            vision = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16}
            model = SamAV(Base(SamModel(SamConfig(vision_config=vision))), VGGish())
            model.add_adapter("default", SamAVConfig(method=method))
        parts = model.adapters["default"]
        count = sum(weight.numel() for weight in parts.parameters())
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{method}`"))
        assert f"{parts.num_audio_parameters():,}" in row
        assert f"{count * 4 / 1e6:.1f} / {count * 2 / 1e6:.1f} MB" in row
