"""Sets of the `datasets` library, from the Hub or alive: a row for each clip; whole, or streamed row by row."""

import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from .clip import Clip
from .dataset import ClipDataset, ClipEntry, Index
from .hub_rows import RowReader
from .problems import DataProblems, Problem
from .writing import encode_wav, split_of

TREE = """\
data/<split>-00000-of-00001.parquet      or anything that `datasets.load_dataset` opens, with the columns
  image                                  a picture, or a list of the frames of a clip
  audio                                  its sound
  mask                                   a picture of the same size, or a list of them; optional, like all below
  time                                   seconds of the frame in its sound, or a list of them
  id, category                           texts"""

_ROWS_IN_A_FILE = 200


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
    datasets = _datasets()
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
        return IterableClips(name, split, rows, columns=columns, skip_bad=skip_bad)
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
        """What `datasets` calls this state of the rows, which have no files of their own."""
        return [*super().content(), self._rows._fingerprint]

    def _read(self, index: int) -> Clip:
        entry = self.entries[index]
        return self._reader.read(self._rows[self._numbers[entry.id]].to_pylist()[0], entry.id)


class IterableClips(IterableDataset[Clip]):
    """The clips of a `datasets.IterableDataset`, in its order, dealt out to the workers of a DataLoader.

    Its faults can only be found on the way: they stop it, or, with `skip_bad`, are left out with a warning. Rows
    without an `id` are called by their worker and their number in it.

    Attributes:
        name, split, categories: as in `ClipDataset`.
        left_out: the faults that were met, in this process.
    """

    def __init__(
        self, name: str, split: str, rows: Any, *, columns: dict[str, str] | None = None, skip_bad: bool = False
    ) -> None:
        self.name = name
        self.split = split
        self.left_out: list[Problem] = []
        self._skip_bad = skip_bad
        found = rows.column_names or list(next(iter(rows)))
        self._reader = RowReader(f"{name} ({split})", split, found, rows.features, columns)
        self.categories = tuple(self._reader.categories or ())
        self._rows = rows.cast(_undecoded(rows.features)) if rows.features else rows

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch it is; a set that was shuffled shuffles anew."""
        self._rows.set_epoch(epoch)

    def __iter__(self) -> Iterator[Clip]:
        worker = get_worker_info()
        prefix = f"{worker.id}-" if worker else ""
        # An IterableDataset gives each worker rows of its own.
        for number, row in enumerate(self._rows):
            try:
                yield self._reader.read(row, f"{prefix}{number:06d}")
            except DataProblems as error:
                if not self._skip_bad:
                    raise
                self.left_out += error.problems
                warnings.warn(f"Left out: {error}", stacklevel=2)


def _undecoded(features: Any) -> Any:
    """The features of a set, with its pictures and sounds left as they are stored."""
    datasets = _datasets()

    def leave(feature: Any) -> Any:
        if isinstance(feature, (datasets.Image, datasets.Audio)):
            return type(feature)(decode=False)
        return datasets.Sequence(leave(feature.feature)) if hasattr(feature, "feature") else feature

    return datasets.Features({name: leave(feature) for name, feature in features.items()})


def _datasets() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise ImportError('Sets from the Hub need the `datasets` library: pip install "sam-av[data]"') from error
    return datasets


def write_hub(clips: Iterable[Clip], root: Path) -> None:
    """Writes clips as parquet files that `datasets.load_dataset` opens, here or uploaded to the Hub."""
    waiting: dict[str, list[dict[str, Any]]] = {}
    written: dict[str, list[Path]] = {}

    def write(split: str) -> None:
        files = written.setdefault(split, [])
        files.append(root / "data" / f".{split}-{len(files)}.parquet")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        _to_rows(waiting.pop(split)).to_parquet(files[-1])

    for clip in clips:
        rows = waiting.setdefault(split_of(clip), [])
        rows.append(_row(clip))
        if len(rows) == _ROWS_IN_A_FILE:
            write(split_of(clip))
    for split in list(waiting):
        write(split)
    for split, files in written.items():
        for number, file in enumerate(files):
            file.rename(file.with_name(f"{split}-{number:05d}-of-{len(files):05d}.parquet"))


def _row(clip: Clip) -> dict[str, Any]:
    masks = np.zeros(clip.frames.shape[:3], dtype=bool) if clip.masks is None else clip.binary_masks()
    return {
        "id": clip.id,
        "image": [_png(frame) for frame in clip.frames],
        "audio": {"bytes": encode_wav(clip.waveform), "path": f"{Path(clip.id).name}.wav"},
        "mask": [_png(mask) if known else None for mask, known in zip(masks, clip.annotated, strict=True)],
        "time": clip.times.tolist(),
        "category": clip.category,
    }


def _png(pixels: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return {"bytes": file.getvalue(), "path": None}


def _to_rows(rows: list[dict[str, Any]]) -> Any:
    datasets = _datasets()
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
