"""The input size of a SAM: its learned position tables are resampled to another grid, nothing else changes."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import SamConfig, SamModel


def resize(sam: SamModel, image_size: int) -> SamModel:
    """A `SamModel` for square inputs of `image_size` pixels.

    The absolute table `pos_embed` is resampled bicubically, the relative tables of the global layers linearly; windows
    keep theirs. Every other weight is shared with `sam`, which is left as it was.
    """
    vision = sam.config.vision_config
    if image_size == vision.image_size:
        return sam
    if image_size <= 0 or image_size % vision.patch_size:
        raise ValueError(
            f"image_size must be a positive multiple of the patch size {vision.patch_size}, not {image_size}; "
            f"try {max(1, round(image_size / vision.patch_size)) * vision.patch_size}."
        )
    grid = image_size // vision.patch_size
    config = copy.deepcopy(sam.config)
    config.vision_config.image_size = image_size
    config.prompt_encoder_config.image_size = image_size
    config.prompt_encoder_config.image_embedding_size = grid

    state = dict(sam.state_dict())
    if vision.use_abs_pos:
        state["vision_encoder.pos_embed"] = _resample_absolute(state["vision_encoder.pos_embed"], grid)
    if vision.use_rel_pos:
        for layer in vision.global_attn_indexes:
            for axis in ("h", "w"):
                key = f"vision_encoder.layers.{layer}.attn.rel_pos_{axis}"
                state[key] = _resample_relative(state[key], grid)

    return _build(config, state)


def share(sam: SamModel) -> SamModel:
    """Another `SamModel` on the same weights: what is frozen, cast or adapted in one leaves the other as it is."""
    return _build(copy.deepcopy(sam.config), sam.state_dict())


def _build(config: SamConfig, state: Mapping[str, Tensor]) -> SamModel:
    with torch.device("meta"):
        sam = SamModel(config)
    sam.load_state_dict(state, assign=True)
    sam.tie_weights()
    return sam.eval()


def _resample_absolute(table: Tensor, grid: int) -> Tensor:
    """(1, H, W, C) -> (1, grid, grid, C)."""
    channels_first = table.float().permute(0, 3, 1, 2)
    resampled = F.interpolate(channels_first, size=(grid, grid), mode="bicubic", align_corners=False)
    return resampled.permute(0, 2, 3, 1).to(table.dtype)


def _resample_relative(table: Tensor, grid: int) -> Tensor:
    """(2 * old grid - 1, head_dim) -> (2 * grid - 1, head_dim)."""
    resampled = F.interpolate(table.float().T[None], size=2 * grid - 1, mode="linear", align_corners=False)
    return resampled[0].T.contiguous().to(table.dtype)
