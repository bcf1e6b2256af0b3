"""SAM's image encoder as one loop over its layers, with room for an offset before each."""

from collections.abc import Sequence
from itertools import islice

from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.models.sam.modeling_sam import SamVisionEncoder

from .attention import encoder_layer


def encode_image(
    encoder: SamVisionEncoder,
    pixel_values: Tensor,
    offsets: Sequence[Tensor | None] | None = None,
    *,
    checkpointing: bool = False,
) -> Tensor:
    """Image embeddings (B, 256, S / 16, S / 16) of normalised pixels (B, 3, S, S); the rest as in `finish_encoding`."""
    return finish_encoding(encoder, begin_encoding(encoder, pixel_values, 0), 0, offsets, checkpointing=checkpointing)


def begin_encoding(encoder: SamVisionEncoder, pixel_values: Tensor, layers: int) -> Tensor:
    """Tokens (B, S / 16, S / 16, C) of normalised pixels (B, 3, S, S) as they leave the first so many layers."""
    tokens = encoder.patch_embed(pixel_values.to(encoder.patch_embed.projection.weight.dtype))
    if encoder.pos_embed is not None:
        tokens = tokens + encoder.pos_embed
    tokens = tokens.contiguous()  # a convolution made them, channel by channel
    for layer in islice(encoder.layers, layers):
        tokens = encoder_layer(layer, tokens)
    return tokens


def finish_encoding(
    encoder: SamVisionEncoder,
    tokens: Tensor,
    layers: int,
    offsets: Sequence[Tensor | None] | None = None,
    *,
    checkpointing: bool = False,
) -> Tensor:
    """Image embeddings (B, 256, S / 16, S / 16) of tokens that have left the first so many layers.

    `offsets` has one entry per layer of the encoder: (B, C), added to every token before that layer, or None. With
    `checkpointing` a layer that is differentiated through keeps only its input, and is run again in the backward pass.
    """
    for index, layer in islice(enumerate(encoder.layers), layers, None):
        if offsets is not None and (offset := offsets[index]) is not None:
            tokens = tokens + offset.to(tokens.dtype)[:, None, None, :]
        if checkpointing and tokens.requires_grad:
            tokens = checkpoint(encoder_layer, layer, tokens, use_reentrant=False)
        else:
            tokens = encoder_layer(layer, tokens)
    return encoder.neck(tokens).contiguous()
