"""Masks as COCO writes them, polygons and run lengths, to arrays and back."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

Shape = dict[str, Any] | list[np.ndarray]
"""A run-length encoding with `size` (H, W) and `counts`, or polygons, each (2n,) x and y in turn."""


def parse_shape(value: Any) -> Shape:
    """A shape from plain data. Polygons of fewer than three corners cover nothing and are left out."""
    if isinstance(value, dict):
        if not {"size", "counts"} <= value.keys():
            raise ValueError(f"a run-length encoding has 'size' and 'counts'; this one has {sorted(value)}.")
        counts, size = value["counts"], value["size"]
        if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
            raise ValueError(f"the 'size' of a run-length encoding is height and width, not {size!r}.")
        if isinstance(counts, str) and not counts.isascii():
            raise ValueError("the 'counts' of a run-length encoding are damaged: they hold letters that it never has.")
        if not isinstance(counts, str) and not (isinstance(counts, list) and all(type(run) is int for run in counts)):
            raise ValueError("the 'counts' of a run-length encoding are a text or a list of whole numbers.")
        return value
    if not isinstance(value, list):
        raise ValueError(f"a mask is a list of polygons or a run-length encoding, not {value!r}.")
    polygons = [value] if value and not isinstance(value[0], list) else value
    try:
        corners = [np.asarray(polygon, dtype=np.float64) for polygon in polygons]
    except (TypeError, ValueError) as error:
        raise ValueError(f"a polygon is a list of numbers, x and y in turn: {error}.") from error
    if any(polygon.ndim != 1 or len(polygon) % 2 or not np.isfinite(polygon).all() for polygon in corners):
        raise ValueError("a polygon is a flat list of finite numbers, x and y in turn: [x1, y1, x2, y2, ...].")
    return [polygon for polygon in corners if len(polygon) >= 6]


def draw_shape(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """The mask of a shape, (H, W) bool, which must be of that size."""
    coco = _coco_masks()
    height, width = size
    if isinstance(shape, list):
        if not shape:
            return np.zeros(size, dtype=bool)
        return coco.decode(coco.merge(coco.frPyObjects(shape, height, width))).astype(bool)
    if list(shape["size"]) != [height, width]:
        raise ValueError(f"the run-length encoding is of size {shape['size']}, its frame is ({height}, {width}).")
    counts = shape["counts"]
    runs = counts if isinstance(counts, list) else _run_lengths(counts)
    # pycocotools leaves unset what the runs do not reach.
    if sum(runs) != height * width or min(runs) < 0:
        raise ValueError(f"the run-length encoding covers {sum(runs)} pixels of {height * width}: it is damaged.")
    rle = coco.frPyObjects(shape, height, width) if isinstance(counts, list) else shape
    return coco.decode(rle).astype(bool)


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """The run-length encoding of a mask (H, W), as plain data."""
    rle = _coco_masks().encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def box_of(mask: np.ndarray) -> list[float]:
    """The box around a mask (H, W): left, top, width, height."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = columns[0], rows[0]
    return [float(left), float(top), float(columns[-1] - left + 1), float(rows[-1] - top + 1)]


def _run_lengths(counts: str | bytes) -> Sequence[int]:
    """The run lengths in COCO's compressed form: five bits a character, and from the fourth run on differences."""
    runs: list[int] = []
    value = shift = 0
    for code in counts if isinstance(counts, bytes) else counts.encode("ascii"):
        bits = code - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs


def _coco_masks() -> ModuleType:
    from pycocotools import mask  # few readers need it

    return mask
