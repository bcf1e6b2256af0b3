"""The frozen part: Segment Anything, loaded from any of its formats, at any input size."""

from .base import Base, load_base
from .checkpoint import from_segment_anything, to_segment_anything
from .decoder import decode_masks, encode_prompts, grid_positions
from .encoder import begin_encoding, encode_image, finish_encoding
from .resize import resize

__all__ = [
    "Base",
    "begin_encoding",
    "decode_masks",
    "encode_image",
    "encode_prompts",
    "finish_encoding",
    "from_segment_anything",
    "grid_positions",
    "load_base",
    "resize",
    "to_segment_anything",
]
