"""The batches of a training, in the order that the recipe's seed gives, from any position on."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from ..data import Clip, ClipDataset, IterableClips
from ..samples import Sample, SampleMaker, ShuffledBatches, collate
from .stopping import leave_signals_alone


@dataclass
class Position:
    """Where a training stands: what a checkpoint keeps beside weights and moments.

    Attributes:
        step: steps of the optimizer that are done.
        epoch: the epoch that is being gone through.
        batch: batches of that epoch that this process has taken.
        places: epoch and batch of every process, as they were when the checkpoint was made.
        clips: a digest of the clips that are trained on, in order; empty for a stream.
        best: the best score of a validation so far.
        validations_since_best: how many have come after it.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    clips: str = ""
    best: float | None = None
    validations_since_best: int = 0

    def state_dict(self) -> dict[str, Any]:
        """As Accelerate asks for it."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As Accelerate hands it back."""
        for name, value in state.items():
            setattr(self, name, value)


class Feed(Protocol):
    """Gives the batches of one step after another, without end, and moves the position along.

    Attributes:
        steps_per_epoch: steps in an epoch, where that is known.
    """

    steps_per_epoch: int | None

    def steps(self, position: Position) -> Generator[list[Sample], None, None]:
        """The batches of each step from the position on."""


class ClipFeed:
    """The feed of a data set whose clips are known by their number."""

    def __init__(
        self,
        clips: ClipDataset,
        samples: Dataset[Sample],
        *,
        batch_size: int,
        accumulation: int,
        workers: int,
        seed: int,
        rank: int,
        world: int,
    ) -> None:
        self.clips = clips
        self.accumulation = accumulation
        self._batches = ShuffledBatches(len(clips), batch_size, seed=seed, rank=rank, world=world)
        self._loader = DataLoader(
            samples,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=workers,
            worker_init_fn=leave_signals_alone,
            generator=torch.Generator(),  # of its own, so that starting workers draws nothing from the training's
        )
        self.steps_per_epoch: int | None = -(-len(self._batches) // accumulation)

    def steps(self, position: Position) -> Generator[list[Sample], None, None]:
        """See `Feed`. The last step of an epoch takes what batches are left."""
        while True:
            self.clips.set_epoch(position.epoch)
            self._batches.start(position.epoch, position.batch)
            batches = iter(self._loader)
            while taken := list(islice(batches, self.accumulation)):
                position.batch += len(taken)
                yield taken
            position.epoch, position.batch = position.epoch + 1, 0


class StreamFeed:
    """The feed of a stream, of which each process reads its own part, again and again.

    The parts may differ in length, so that one process begins its next epoch before another does.
    """

    steps_per_epoch: int | None = None

    def __init__(
        self,
        clips: IterableClips,
        maker: SampleMaker,
        *,
        batch_size: int,
        accumulation: int,
        workers: int,
        seed: int,
        buffer: int,
        rank: int,
        world: int,
    ) -> None:
        self.clips = clips.shuffled(seed, buffer).for_process(rank, world)
        self.maker = maker
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.workers = workers

    def steps(self, position: Position) -> Generator[list[Sample], None, None]:
        """See `Feed`. A step may take batches of two epochs."""
        with closing(self._batches(position)) as batches:
            while True:
                yield list(islice(batches, self.accumulation))

    def _batches(self, position: Position) -> Generator[Sample, None, None]:
        while True:
            self.clips.set_epoch(position.epoch)
            coming = self.clips.skipped(position.batch * self.batch_size)
            loader = coming.loader(
                self.batch_size,
                num_workers=self.workers,
                collate_fn=_ClipCollation(self.maker, position.epoch),
                worker_init_fn=leave_signals_alone,
                generator=torch.Generator(),
            )
            for batch in loader:
                position.batch += 1
                yield batch
            if position.batch == 0:
                raise ValueError(f"{self.clips.name} ({self.clips.split}) has no clip for one of the processes.")
            position.epoch, position.batch = position.epoch + 1, 0


@dataclass(frozen=True)
class _ClipCollation:
    """Makes one batch of the samples of several clips, in the worker that has decoded them."""

    maker: SampleMaker
    epoch: int

    def __call__(self, clips: list[Clip]) -> Sample:
        return collate([self.maker(clip, self.epoch) for clip in clips])
