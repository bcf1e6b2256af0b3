"""Rows of the `datasets` library to clips: finds the columns, decodes what they hold, and names the row in errors."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..audio.decode import to_mono_16k
from .clip import Clip
from .dataset import PICTURE_TIME
from .disk import check_fields
from .media import Source, read_binary_mask, read_picture, read_waveform
from .problems import problems_of

COLUMNS = ("image", "audio", "mask", "time", "id", "category")


class RowReader:
    """Makes clips of the rows of one set.

    Args:
        title: the set, in errors.
        split: the split of the clips.
        found: the columns of the set.
        features: their types, where they are known.
        columns: the set's names of columns, where they differ from `COLUMNS`.

    Attributes:
        categories: the names of the classes, where the type of their column holds them.
    """

    def __init__(self, title: str, split: str, found: list[str], features: Any, columns: dict[str, str] | None) -> None:
        check_fields(columns or {}, COLUMNS, "`columns`")
        self._title = title
        self._split = split
        self._columns = {name: name for name in COLUMNS if name in found} | (columns or {})
        lacking = [self._columns.get(name, name) for name in ("image", "audio")]
        lacking = [name for name in [*lacking, *self._columns.values()] if name not in found]
        if lacking:
            raise ValueError(
                f"{title} has no column '{lacking[0]}'; it has {', '.join(found)}. Say which column is which: "
                "columns={'image': ..., 'audio': ..., 'mask': ...}."
            )
        category = (features or {}).get(self._columns.get("category"))
        self.categories: list[str] | None = getattr(category, "names", None)

    def column(self, name: str) -> str | None:
        """The set's own name of a column, None where it has none such."""
        return self._columns.get(name)

    def read(self, row: dict[str, Any], name: str) -> Clip:
        """The clip of a row; `name` is its id where it has none of its own."""
        values = {column: row[theirs] for column, theirs in self._columns.items() if row.get(theirs) is not None}
        name = str(values.get("id", name))
        with problems_of("unreadable picture", name, self._title):
            frames = np.stack([read_picture(_picture(item, "image")) for item in _as_list(values.get("image"))])
        with problems_of("unreadable sound", name, self._title):
            waveform = _waveform(values.get("audio"))
        with problems_of("bad mask", name, self._title):
            items = _as_list(values["mask"]) if "mask" in values else [None] * len(frames)
            annotated = np.array([item is not None for item in items])
            masks = _masks(items, frames.shape[:3]) if annotated.any() else None
        with problems_of("bad clip", name, self._title):
            default = PICTURE_TIME if len(frames) == 1 else list(range(len(frames)))
            times = np.array(_as_list(values.get("time", default)), dtype=np.float64)
            return Clip(frames, times, waveform, masks, annotated, name, self._category(values), self._split)

    def _category(self, values: dict[str, Any]) -> str | None:
        category = values.get("category")
        if category is None:
            return None
        return self.categories[category] if self.categories and isinstance(category, int) else str(category)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _picture(value: Any, column: str) -> Source:
    """A cell of a column of pictures: as `datasets` stores it, or decoded."""
    if isinstance(value, dict):
        return _stored(value)
    if isinstance(value, np.ndarray):
        return Image.fromarray(value)
    if isinstance(value, Image.Image):
        return value
    raise ValueError(
        f"the column of '{column}' holds {type(value).__name__}, not pictures: cast it to datasets.Image()."
    )


def _masks(items: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    """The masks of the frames, (T, H, W) bool; empty where there is no truth."""
    if len(items) != shape[0]:
        raise ValueError(f"there are {len(items)} masks for {shape[0]} frames.")
    size = (shape[1], shape[2])
    empty = np.zeros(size, dtype=bool)
    return np.stack([empty if item is None else read_binary_mask(_picture(item, "mask"), size) for item in items])


def _waveform(value: Any) -> np.ndarray:
    """A cell of a column of sounds, as `datasets` stores it or decoded, (n,) float32 at 16 kHz."""
    if isinstance(value, dict) and "array" in value:
        return to_mono_16k(np.asarray(value["array"]), value["sampling_rate"]).numpy()
    if not isinstance(value, dict):
        raise ValueError(f"the column of 'audio' holds {type(value).__name__}: cast it to datasets.Audio().")
    stored = _stored(value)
    if isinstance(stored, Path):
        return read_waveform(stored)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(value["path"] or "audio").name)
        path.write_bytes(stored)
        return read_waveform(path)


def _stored(value: dict[str, Any]) -> Path | bytes:
    """A file as `datasets` stores it: its bytes, or where it lies."""
    if value.get("bytes") is not None:
        return value["bytes"]
    if not value.get("path"):
        raise ValueError("its cell is empty: it has neither bytes nor a path.")
    if "://" not in value["path"]:
        return Path(value["path"])
    import fsspec  # type: ignore[import-untyped]  # comes with `datasets`

    with fsspec.open(value["path"], "rb") as file:
        return file.read()
