"""SAMs with random weights, and SAMA-AVS as it was published, in plain terms: what the benchmarks measure against."""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import SamConfig, SamModel

from sam_av import SamAV
from sam_av.sam import decode_masks, grid_positions

# width, depth, heads, global layers; and multiply-adds of a forward pass at 1024 px on real tokens, in TFLOP
SHAPES = {
    "vit-b": (768, 12, 12, [2, 5, 8, 11], 0.936),
    "vit-l": (1024, 24, 16, [5, 11, 17, 23], 2.831),
    "vit-h": (1280, 32, 16, [7, 15, 23, 31], 5.632),
}


def random_sam(model: str, size: int, attention: str = "sdpa") -> SamModel:
    """A SAM with random weights, always the same, which take as long as trained ones."""
    width, depth, heads, global_layers, _ = SHAPES[model]
    vision = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads, "image_size": size}
    config = SamConfig(vision_config={**vision, "global_attn_indexes": global_layers, "initializer_range": 0.02})
    torch.manual_seed(0)
    return SamModel._from_config(config, attn_implementation=attention).eval()


def published_logits(model: SamAV, pixels: Tensor, audio: Tensor) -> Tensor:
    """The mask logits (B, S / 4, S / 4) of SAMA-AVS: each layer's offset is added, and the layer run as it is.

    The layers are transformers'; with eager attention they hold a bias for every pair of tokens, as published.
    """
    parts, encoder = model._parts(), model.sam.vision_encoder
    offsets = parts.audio_adapter(model.encode_audio(audio))
    tokens = encoder.patch_embed(pixels) + encoder.pos_embed
    for layer, offset in zip(encoder.layers, offsets, strict=True):
        tokens = layer(tokens + offset[:, None, None])
    embeddings = encoder.neck(tokens)
    positions = grid_positions(model.sam.shared_image_embedding.positional_embedding, embeddings.shape[-1])
    return decode_masks(parts.mask_decoder, embeddings, positions, None, parts.no_mask_embed.weight)[0]


def published_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """BCE and soft IoU of masks (B, H, W), all of them at full size at once."""
    logits = F.interpolate(logits[:, None], masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    probabilities = logits.sigmoid()
    shared = (probabilities * masks).sum((1, 2))
    iou = shared / ((probabilities + masks).sum((1, 2)) - shared)
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - iou).mean()
