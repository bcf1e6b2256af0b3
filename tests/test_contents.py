"""What an adapter's files hold, told without its base."""

import pytest
import torch
from conftest import make_model
from safetensors.torch import load_file, save_file
from test_model import METHODS

from sam_av.contents import describe_contents, parts_of, read_contents


def saved(folder, **settings):
    model = make_model(**settings)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("method", METHODS)
def test_parts_are_those_that_the_model_saved(tmp_path, method):
    model = saved(tmp_path, method=method)
    *parts, whole = parts_of(read_contents(tmp_path, model.config))
    trained = model.adapters["default"]
    for part in parts:
        weights = list(getattr(trained, part.name).parameters())
        assert (part.tensors, part.parameters) == (len(weights), sum(weight.numel() for weight in weights))
    assert whole.parameters == sum(weight.numel() for weight in trained.parameters()) and whole.bytes == 4 * (
        whole.parameters
    )


def test_lora_and_half_precision(tmp_path):
    model = make_model()
    model.add_lora()
    model.save_pretrained(tmp_path, dtype=torch.float16)
    parts = {part.name: part for part in parts_of(read_contents(tmp_path, model.config))}
    lora = [weight for name, weight in model.sam.named_parameters() if "lora_" in name]
    assert parts["lora"].parameters == sum(weight.numel() for weight in lora)
    assert parts["all"].bytes == 2 * parts["all"].parameters


def test_the_table(tmp_path):
    model = saved(tmp_path)
    head, *rows = describe_contents(read_contents(tmp_path, model.config)).splitlines()
    assert head.split() == ["part", "tensors", "parameters", "bytes"]
    assert [row.split()[0] for row in rows] == ["audio_adapter", "mask_decoder", "no_mask_embed", "all"]
    assert len({len(row) for row in (head, *rows)}) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("no_mask_embed.weight"), "lacks no_mask_embed"),
        (lambda t: t.update({"vision_encoder.pos_embed": torch.zeros(2)}), "holds vision_encoder, which is no part"),
        (lambda t: t.pop("audio_adapter.shared.bias"), "no 'audio_adapter.shared.bias'"),
        (lambda t: t.update({"audio_adapter.first.0.bias": torch.zeros(3)}), r"of shape \(3,\) instead of \(512,\)"),
    ],
)
def test_what_does_not_belong_together(tmp_path, change, message):
    model = saved(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    with pytest.raises(ValueError, match=message):
        read_contents(tmp_path, model.config)
