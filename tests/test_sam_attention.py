"""The lean encoder layer against its plain twin, transformers' own: values and gradients, every shape in use."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionLayer

from sam_av.sam import attention
from sam_av.sam.attention import encoder_layer

# name: hidden size, heads (of published widths, their head dimensions), window
SHAPES = {"vit-b": (192, 3, 14), "vit-h": (160, 2, 14), "odd": (48, 3, 5)}


def make_layer(shape="odd", grid=12, windowed=True, dtype=torch.float64) -> SamVisionLayer:
    width, heads, window = SHAPES[shape]
    config = SamVisionConfig(
        hidden_size=width, num_attention_heads=heads, image_size=16 * grid, window_size=window, mlp_dim=2 * width
    )
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    layer = SamVisionLayer(config, window if windowed else 0)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return layer.to(dtype).eval()


def hidden_states(layer, grid, batch=2):
    generator = torch.Generator().manual_seed(1)
    width = layer.layer_norm1.normalized_shape[0]
    hidden = torch.randn(batch, grid, grid, width, generator=generator, dtype=torch.float64)
    return hidden.to(layer.layer_norm1.weight.dtype)


def relative_error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(params=["blocks", "small blocks", "folded"])
def way(request, monkeypatch):
    """Each way of computing attention; small blocks split every window and every row of queries."""
    if request.param == "small blocks":
        monkeypatch.setattr(attention, "_BLOCK", 300)
    if request.param == "folded":
        monkeypatch.setattr(attention._BlockedAttention, "apply", attention._folded_attention)
    return request.param


@pytest.mark.parametrize("windowed", [True, False], ids=["windowed", "global"])
@pytest.mark.parametrize("grid", [4, 5, 12, 15], ids="grid {}".format)
def test_values_and_gradients_in_float64(way, grid, windowed):
    """Grids smaller than, equal to, a multiple of, and no multiple of the window."""
    layer = make_layer(grid=grid, windowed=windowed)
    hidden = hidden_states(layer, grid).requires_grad_()
    inputs = [hidden, *layer.parameters()]
    expected, ours = layer(hidden), encoder_layer(layer, hidden)
    assert relative_error(ours, expected) < 1e-10
    upstream = torch.randn_like(expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        assert relative_error(mine, theirs) < 1e-10


@pytest.mark.parametrize("way", ["blocks", "folded"], indirect=True)
@pytest.mark.parametrize("windowed", [True, False], ids=["windowed", "global"])
@pytest.mark.parametrize("shape", ["vit-b", "vit-h"])
@pytest.mark.parametrize("grid", [14, 16, 32], ids="grid {}".format)
def test_published_head_shapes_in_float32(way, shape, grid, windowed):
    layer = make_layer(shape, grid, windowed, torch.float32)
    hidden = hidden_states(layer, grid, batch=1).requires_grad_()
    expected, ours = layer(hidden), encoder_layer(layer, hidden)
    assert relative_error(ours, expected) < 1e-4
    upstream = torch.randn_like(expected)
    (mine,), (theirs,) = (torch.autograd.grad(out, hidden, upstream) for out in (ours, expected))
    assert relative_error(mine, theirs) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("windowed", [True, False], ids=["windowed", "global"])
@pytest.mark.parametrize("shape", ["vit-b", "vit-h"])
def test_1024_pixels(shape, windowed):
    layer = make_layer(shape, 64, windowed, torch.float32)
    hidden = hidden_states(layer, 64, batch=1)
    with torch.no_grad():
        assert relative_error(encoder_layer(layer, hidden), layer(hidden)) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_near_to_float64_as_the_twin(way, dtype):
    layer = make_layer()
    hidden = hidden_states(layer, 12)
    with torch.no_grad():
        expected = layer(hidden)
        theirs = relative_error(layer.to(dtype)(hidden.to(dtype)).double(), expected)
        ours = relative_error(encoder_layer(layer, hidden.to(dtype)).double(), expected)
    assert ours < 2 * theirs


def test_without_gradients_nothing_changes_in_place():
    layer = make_layer()
    hidden = hidden_states(layer, 12)
    before = hidden.clone()
    with torch.no_grad():
        ours = encoder_layer(layer, hidden)
    assert torch.equal(hidden, before)
    assert relative_error(ours, layer(hidden)) < 1e-10


def test_without_relative_positions():
    config = SamVisionConfig(hidden_size=48, num_attention_heads=3, image_size=192, mlp_dim=96, use_rel_pos=False)
    config._attn_implementation = "sdpa"
    layer = SamVisionLayer(config, 5).double().eval()
    hidden = hidden_states(layer, 12)
    assert relative_error(encoder_layer(layer, hidden), layer(hidden)) < 1e-10


def test_gradients_of_weights_alone():
    """Nothing before the layer needs a gradient, as where LoRA begins."""
    layer = make_layer()
    hidden = hidden_states(layer, 12)
    weights = list(layer.mlp.parameters())
    for parameter in layer.parameters():
        parameter.requires_grad_(any(parameter is weight for weight in weights))
    expected = torch.autograd.grad(layer(hidden).sum(), weights)
    for mine, theirs in zip(torch.autograd.grad(encoder_layer(layer, hidden).sum(), weights), expected, strict=True):
        assert relative_error(mine, theirs) < 1e-10


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


def test_no_tensor_of_all_pairs():
    """Forward and backward: what is alive is linear in the number of tokens, but for one block of scores."""
    grid = 48
    layer = make_layer("vit-b", grid, windowed=False, dtype=torch.float32)
    hidden = hidden_states(layer, grid, batch=1).requires_grad_()
    pairs = SHAPES["vit-b"][1] * grid**4
    with LargestTensor() as plain:
        layer(hidden).sum().backward()
    with LargestTensor() as lean:
        encoder_layer(layer, hidden).sum().backward()
    assert plain.elements >= pairs
    assert lean.elements <= max(attention._BLOCK, 4 * hidden.numel()) < pairs / 8
