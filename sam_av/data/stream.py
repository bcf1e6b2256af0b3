"""Clips of a stream: shuffled by a buffer, dealt out to processes, decoded by workers, taken up again at any clip."""

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import islice
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from .clip import SAMPLE_RATE, Clip
from .dataset import PICTURE_TIME
from .problems import DataProblems, Problem

Item = TypeVar("Item")
NamedRow = tuple[str, dict[str, Any]]
"""A row as it is stored, and what its clip is called if it has no id of its own."""

_READ_AHEAD = 64  # rows: enough to bridge the opening of the next shard, little beside a shuffle buffer


class ClipReader(Protocol):
    """Makes clips of rows. What is wrong with a row is a `DataProblems`."""

    @property
    def categories(self) -> Sequence[str] | None:
        """The names of the classes, where they are known beforehand."""

    def read(self, row: dict[str, Any], name: str) -> Clip:
        """The clip of a row; `name` is its id where it has none of its own."""


class IterableClips(IterableDataset[Clip]):
    """The clips of a `datasets.IterableDataset`, in its order.

    For training, each process takes its part in batches:

        clips = open_dataset(..., streaming=True).shuffled(seed=0, buffer=1000).for_process(rank, world)
        for epoch in range(epochs):
            clips.set_epoch(epoch)
            for batch in clips.loader(batch_size=4, num_workers=2): ...

    Faults can only be found on the way: they stop it, or, with `skip_bad`, are left out with a warning. Rows without an
    id of their own are called by their process and their number in its part.

    Attributes:
        name, split, categories: as in `ClipDataset`.
        left_out: the faults that were met, in this process.
    """

    def __init__(self, name: str, split: str, rows: Any, reader: ClipReader, *, skip_bad: bool = False) -> None:
        self.name = name
        self.split = split
        self.categories = tuple(reader.categories or ())
        self.left_out: list[Problem] = []
        self._rows = rows
        self._reader = reader
        self._skip_bad = skip_bad
        self._shuffling: tuple[int, int] | None = None  # seed and buffer
        self._place = ""  # what the names of rows without an id begin with
        self._skipped = (0, 0)  # an epoch, and how many of its rows are left out
        # Shared, so that the workers which a DataLoader keeps alive between epochs see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """Which epoch it is."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch it is, before its clips are asked for; a set that is shuffled is shuffled anew.

        Of one that is not, `datasets` changes the order of the shards, from epoch 1 on.
        """
        self._epoch.fill_(epoch)

    def shuffled(self, seed: int, buffer: int) -> Self:
        """These clips in an order at random, anew in each epoch, the same for the same seed and epoch.

        The shards are shuffled, and of `buffer` rows that wait undecoded in memory one at random comes next.
        """
        if buffer < 1:
            raise ValueError(f"A shuffle buffer holds at least 1 row, not {buffer}.")
        # The buffer of `datasets` joins its rows into one table, which fails when a column passes 2 GB: so that library
        # shuffles the shards, and `_mixed` the rows. Nor does it open ten shards at a time: a longer buffer mixes more
        # for the same memory.
        rows = self._rows.shuffle(seed=seed, buffer_size=1, max_buffer_input_shards=1)
        return self._changed(_rows=rows, _shuffling=(seed, buffer))

    def for_process(self, rank: int, world: int) -> Self:
        """The part of these clips that is for process `rank` of `world`: each clip is in the part of one process.

        Whole shards are dealt out where `world` divides their number. Otherwise every process reads all shards and
        keeps each `world`-th row, which is as exact, and reads `world` times as much. Parts are as long as their
        shards make them, those by rows equally long but for one clip.
        """
        from datasets.distributed import split_dataset_by_node

        if not 0 <= rank < world:
            raise ValueError(f"Of {world} processes the ranks are 0 to {world - 1}; there is no rank {rank}.")
        shards = self._rows.num_shards
        if shards % world and rank == 0:
            warnings.warn(
                f"{self.name} ({self.split}) has {shards} shards, a number that {world} does not divide: each "
                f"of the {world} processes reads all shards and keeps one row of {world}.",
                stacklevel=2,
            )
        rows = split_dataset_by_node(self._rows, rank, world)
        return self._changed(_rows=rows, _place=f"{self._place}{rank}-")

    def skipped(self, n: int) -> Self:
        """These clips without the first `n` of the epoch that it is now; other epochs come whole.

        What comes next is what would have come after them, in the same order, shuffled or not. The rows before are read
        again and not decoded. After so many batches of `loader`, `n` is their number times the batch size: what was
        left out for a fault counts with the others.
        """
        return self._changed(_skipped=(self.epoch, self._first + n))

    def loader(self, batch_size: int, **options: Any) -> DataLoader[Any]:
        """Batches of the clips, read in this process and decoded by as many workers as `num_workers` says.

        So their order does not depend on how many workers there are, and batch number b is of the rows from
        b * batch_size on. A fault that is left out makes its batch shorter. A batch of nothing but faults holds one
        blank clip instead, which is annotated nowhere, so that it carries no loss.

        Args:
            batch_size: clips in a batch.
            **options: of torch's `DataLoader`. `collate_fn` is given a list of clips, by default what a batch is.
        """
        return DataLoader(_Decoder(self), batch_size, sampler=_Rows(self), **{"collate_fn": list, **options})

    def __iter__(self) -> Iterator[Clip]:
        for row in self.named_rows():
            if (clip := self.decode(row)) is not None:
                yield clip

    def named_rows(self) -> Iterator[NamedRow]:
        """The rows of this epoch as they are stored. In a worker of a DataLoader, those of its own shards."""
        worker = get_worker_info()
        if worker is not None and self._first:
            raise ValueError(
                "Which clips a worker of a DataLoader has seen is not known, so that none can be skipped there: take "
                "batches from clips.loader(batch_size, num_workers=...)."
            )
        place = self._place if worker is None else f"{self._place}{worker.id}-"
        self._rows.set_epoch(self.epoch)
        rows = iter(self._rows)
        if self._shuffling is not None:
            seed, buffer = self._shuffling
            rows = _mixed(rows, buffer, np.random.default_rng((seed, self.epoch)))
        named = ((f"{place}{number:06d}", row) for number, row in enumerate(rows))
        return islice(named, self._first, None)

    def decode(self, named: NamedRow) -> Clip | None:
        """The clip of a row, None where it has a fault that is left out."""
        name, row = named
        try:
            return self._reader.read(row, name)
        except DataProblems as error:
            if not self._skip_bad:
                raise
            self.left_out += error.problems
            warnings.warn(f"Left out: {error}", stacklevel=2)
            return None

    @property
    def _first(self) -> int:
        """The number of the row that this epoch begins with."""
        epoch, rows = self._skipped
        return rows if epoch == self.epoch else 0

    def _changed(self, **fields: Any) -> Self:
        clips = copy(self)
        clips.left_out = []
        clips._epoch = self._epoch.clone().share_memory_()
        for name, value in fields.items():
            setattr(clips, name, value)
        return clips


class _Rows(Sampler[NamedRow]):
    """What a DataLoader hands to its workers: rows instead of the numbers of rows, read ahead by a thread."""

    def __init__(self, clips: IterableClips) -> None:
        self._clips = clips

    def __iter__(self) -> Iterator[NamedRow]:
        return _read_ahead(self._clips.named_rows(), _READ_AHEAD)


class _Decoder(Dataset[Clip]):
    """What the workers of a DataLoader do: clips of a batch of rows."""

    def __init__(self, clips: IterableClips) -> None:
        self._clips = clips

    def __getitems__(self, batch: list[NamedRow]) -> list[Clip]:
        clips = [clip for row in batch if (clip := self._clips.decode(row)) is not None]
        return clips or [_blank(batch[0][0], self._clips.split)]


def _blank(name: str, split: str) -> Clip:
    """A black picture and a second of silence, annotated nowhere."""
    frames, sound = np.zeros((1, 64, 64, 3), dtype=np.uint8), np.zeros(SAMPLE_RATE, dtype=np.float32)
    return Clip(frames, np.array([PICTURE_TIME]), sound, None, np.array([False]), name, split=split)


def _mixed(rows: Iterator[Item], buffer: int, rng: np.random.Generator) -> Iterator[Item]:
    """The same rows, each of which is drawn from `buffer` that wait."""
    waiting = list(islice(rows, buffer))
    for row in rows:
        number = rng.integers(len(waiting))
        yield waiting[number]
        waiting[number] = row
    for number in rng.permutation(len(waiting)):
        yield waiting[number]


def _read_ahead(rows: Iterator[Item], count: int) -> Iterator[Item]:
    """The same rows, read by a thread that is up to `count` of them ahead."""
    reader = ThreadPoolExecutor(max_workers=1)
    try:
        coming = deque(reader.submit(next, rows, None) for _ in range(count))
        while (row := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, rows, None))
            yield row
    finally:
        reader.shutdown(cancel_futures=True)
