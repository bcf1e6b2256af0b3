"""SAM's image encoder as one loop over its layers, with room for an offset before each."""

from collections.abc import Sequence

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
    """Image embeddings (B, 256, S / 16, S / 16) of normalised pixels (B, 3, S, S).

    `offsets` has one entry per layer: (B, C), added to every token before that layer, or None. With `checkpointing` a
    layer that is differentiated through keeps only its input, and is run again in the backward pass.
    """
    hidden = encoder.patch_embed(pixel_values.to(encoder.patch_embed.projection.weight.dtype))
    if encoder.pos_embed is not None:
        hidden = hidden + encoder.pos_embed
    for index, layer in enumerate(encoder.layers):
        if offsets is not None and (offset := offsets[index]) is not None:
            hidden = hidden + offset.to(hidden.dtype)[:, None, None, :]
        if checkpointing and hidden.requires_grad:
            hidden = checkpoint(encoder_layer, layer, hidden, use_reentrant=False)
        else:
            hidden = encoder_layer(layer, hidden)
    return encoder.neck(hidden)
