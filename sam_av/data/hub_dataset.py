"""Sets of the `datasets` library, from the Hub or alive: a row for each clip; whole, or streamed row by row."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Clip
from .dataset import ClipDataset, ClipEntry, Index
from .hub_rows import COLUMNS, RowReader
from .shards import SHARD_SIZE, datasets_library, encode_png, in_shards
from .stream import IterableClips
from .writing import encode_wav

TREE = """\
data/<split>-00000-of-00001.parquet      or anything that `datasets.load_dataset` opens, with the columns
  image                                  a picture, or a list of the frames of a clip
  audio                                  its sound
  mask                                   a picture of the same size, or a list of them; optional, like all below
  time                                   seconds of the frame in its sound, or a list of them
  id, category                           texts"""


def open_hub(
    source: Any,
    split: str,
    *,
    streaming: bool = False,
    columns: dict[str, str] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    **options: Any,
) -> "HubDataset | IterableClips":
    """Opens a set of the `datasets` library as clips.

    Args:
        source: what `datasets.load_dataset` takes, or a `Dataset`, `IterableDataset` or `DatasetDict` that is open.
        split: the part to read.
        streaming: read row by row what is not on this disk.
        columns: the names of the set's columns, where they differ from `COLUMNS`: {"image": "frame"}.
        seed: see `ClipDataset`.
        skip_bad: see `ClipDataset`.
        **options: for `datasets.load_dataset`, such as `name`, `revision`, `token` and `cache_dir`.
    """
    datasets = datasets_library()
    if isinstance(source, (str, Path)):
        name = str(source)
        try:
            rows = datasets.load_dataset(name, split=split, streaming=streaming, **options)
        except (FileNotFoundError, ConnectionError) as error:
            raise FileNotFoundError(
                f"'{name}' is neither on this disk nor a data set on the Hub that can be reached: {error}"
            ) from error
    else:
        name = type(source).__name__
        if isinstance(source, dict):
            if split not in source:
                raise ValueError(f"The {name} has no split {split!r}; it has {', '.join(source)}.")
            source = source[split]
        if not isinstance(source, (datasets.Dataset, datasets.IterableDataset)):
            raise TypeError(f"A data set is a path, the id of a Hub repository or a `datasets` set, not a {name}.")
        rows = source
    if isinstance(rows, datasets.IterableDataset):
        found = rows.column_names or list(next(iter(rows)))
        reader = RowReader(f"{name} ({split})", split, found, rows.features, columns)
        rows = rows.cast(_undecoded(rows.features)) if rows.features else rows
        return IterableClips(name, split, rows, reader, skip_bad=skip_bad)
    return HubDataset(name, split, rows, columns=columns, seed=seed, skip_bad=skip_bad)


class HubDataset(ClipDataset):
    """The clips of an open `datasets.Dataset`; rows without an `id` are called by their number."""

    def __init__(
        self,
        name: str,
        split: str,
        rows: Any,
        *,
        columns: dict[str, str] | None = None,
        seed: int = 0,
        skip_bad: bool = False,
    ) -> None:
        self._reader = RowReader(f"{name} ({split})", split, rows.column_names, rows.features, columns)
        ids = self._reader.column("id")
        row_ids = rows[ids] if ids else [f"{number:06d}" for number in range(len(rows))]
        index = Index(entries=[ClipEntry(id=str(row_id), split=split) for row_id in row_ids])
        self._rows = rows.with_format("arrow")  # which leaves pictures and sounds as they are stored
        self._numbers = {entry.id: number for number, entry in enumerate(index.entries)}
        if len(self._numbers) < len(index.entries):
            raise ValueError(f"{name} ({split}): the column {ids!r} names several rows alike; ids must differ.")
        super().__init__(name, split, index, categories=self._reader.categories, seed=seed, skip_bad=skip_bad)

    def content(self) -> list[object]:
        """What `datasets` calls this state of the rows, which have no files of their own, and what is read of them."""
        return [*super().content(), self._rows._fingerprint, [self._reader.column(name) for name in COLUMNS]]

    def _read(self, index: int) -> Clip:
        entry = self.entries[index]
        return self._reader.read(self._rows[self._numbers[entry.id]].to_pylist()[0], entry.id)


def _undecoded(features: Any) -> Any:
    """The features of a set, with its pictures and sounds left as they are stored."""
    datasets = datasets_library()

    def leave(feature: Any) -> Any:
        if isinstance(feature, (datasets.Image, datasets.Audio)):
            return type(feature)(decode=False)
        return datasets.Sequence(leave(feature.feature)) if hasattr(feature, "feature") else feature

    return datasets.Features({name: leave(feature) for name, feature in features.items()})


def write_hub(clips: Iterable[Clip], root: Path, *, shard_size: int = SHARD_SIZE) -> None:
    """Writes clips as parquet files of `shard_size` clips that `datasets` opens, here or uploaded to the Hub."""
    written: dict[str, list[Path]] = {}
    (root / "data").mkdir(parents=True, exist_ok=True)
    for split, number, rows in in_shards(clips, _row, shard_size):
        file = root / "data" / f".{split}-{number}.parquet"
        _to_rows(rows).to_parquet(file)
        written.setdefault(split, []).append(file)
    for split, files in written.items():
        for number, file in enumerate(files):
            file.rename(file.with_name(f"{split}-{number:05d}-of-{len(files):05d}.parquet"))


def _row(clip: Clip) -> dict[str, Any]:
    masks = np.zeros(clip.frames.shape[:3], dtype=bool) if clip.masks is None else clip.binary_masks()
    return {
        "id": clip.id,
        "image": [{"bytes": encode_png(frame), "path": None} for frame in clip.frames],
        "audio": {"bytes": encode_wav(clip.waveform), "path": f"{Path(clip.id).name}.wav"},
        "mask": [
            {"bytes": encode_png(mask), "path": None} if known else None
            for mask, known in zip(masks, clip.annotated, strict=True)
        ],
        "time": clip.times.tolist(),
        "category": clip.category,
    }


def _to_rows(rows: list[dict[str, Any]]) -> Any:
    datasets = datasets_library()
    # Audio() encodes by torchcodec; what is encoded already needs no more than the name of its type.
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "image": datasets.Sequence(datasets.Image()),
            "audio": stored,
            "mask": datasets.Sequence(datasets.Image()),
            "time": datasets.Sequence(datasets.Value("float64")),
            "category": datasets.Value("string"),
        }
    )
    return datasets.Dataset.from_list(rows, features=features).cast_column("audio", datasets.Audio())
