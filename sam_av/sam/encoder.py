"""SAM's image encoder as one loop over its layers, with room for an offset before each."""

from collections.abc import Sequence

from torch import Tensor
from transformers.models.sam.modeling_sam import SamVisionEncoder

from .attention import encoder_layer


def encode_image(
    encoder: SamVisionEncoder, pixel_values: Tensor, offsets: Sequence[Tensor | None] | None = None
) -> Tensor:
    """Image embeddings (B, 256, S / 16, S / 16) of normalised pixels (B, 3, S, S).

    `offsets` has one entry per layer: (B, C), added to every token before that layer, or None.
    """
    hidden = encoder.patch_embed(pixel_values.to(encoder.patch_embed.projection.weight.dtype))
    if encoder.pos_embed is not None:
        hidden = hidden + encoder.pos_embed
    for index, layer in enumerate(encoder.layers):
        if offsets is not None and (offset := offsets[index]) is not None:
            hidden = hidden + offset.to(hidden.dtype)[:, None, None, :]
        hidden = encoder_layer(layer, hidden)
    return encoder.neck(hidden)
