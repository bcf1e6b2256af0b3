"""What the sets that come in shards share: the library that finds and opens them, and clips gathered for writing."""

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TypeVar

import numpy as np
from PIL import Image

from .clip import Clip
from .writing import split_of

Encoded = TypeVar("Encoded")

SHARD_SIZE = 200
"""Clips in a shard, where nothing else is asked for."""


def datasets_library() -> ModuleType:
    """The `datasets` library, which is optional."""
    try:
        import datasets
    except ImportError as error:
        raise ImportError('Sets in shards need the `datasets` library: pip install "sam-av[data]"') from error
    return datasets


def in_shards(
    clips: Iterable[Clip], encode: Callable[[Clip], Encoded], size: int
) -> Iterator[tuple[str, int, list[Encoded]]]:
    """Clips as they are to be stored, `size` of a split at a time: the split, the number of the shard in it, the clips.

    They wait encoded, so that memory holds little more than one shard of each split.
    """
    if size < 1:
        raise ValueError(f"A shard holds at least 1 clip, not {size}.")
    waiting: dict[str, list[Encoded]] = {}
    numbers: Counter[str] = Counter()

    def shard(split: str) -> tuple[str, int, list[Encoded]]:
        numbers[split] += 1
        return split, numbers[split] - 1, waiting.pop(split)

    for clip in clips:
        split = split_of(clip)
        waiting.setdefault(split, []).append(encode(clip))
        if len(waiting[split]) == size:
            yield shard(split)
    for split in list(waiting):
        yield shard(split)


def encode_png(pixels: np.ndarray) -> bytes:
    """What a PNG of a frame (H, W, 3) uint8 or of a mask (H, W) bool holds."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()
