"""Where tensors of clips are kept, a row for each frame: in memory, or in a folder of safetensors."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .hub import write_whole

_SHARD_BYTES = 64 * 2**20
_SHARD_CLIPS = 64  # at most, so that little is lost with a shard that was not finished
_INDEX = "index.json"


@dataclass(frozen=True)
class KeptClip:
    """What is kept of a clip.

    Attributes:
        number: of the clip in its data set.
        id: of the clip.
        frames: the names of its frames, in order.
        tensors: by their names in a batch, each with a row for each frame.
    """

    number: int
    id: str
    frames: list[str]
    tensors: dict[str, Tensor]

    @property
    def bytes(self) -> int:
        """How much the tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


class FrozenStore(Protocol):
    """Kept clips by their numbers. The workers of a DataLoader may read it, whichever way they are started."""

    def frames(self, number: int) -> tuple[str, Sequence[str]]:
        """The id of a clip, and the names of its frames."""

    def rows(self, number: int, rows: Sequence[int]) -> dict[str, Tensor]:
        """Those rows of a clip's tensors."""


class MemoryStore:
    """A `FrozenStore` in the memory of this process."""

    def __init__(self, clips: Iterable[KeptClip]) -> None:
        self._clips = {clip.number: clip for clip in clips}

    def frames(self, number: int) -> tuple[str, Sequence[str]]:
        """See `FrozenStore`."""
        return self._clips[number].id, self._clips[number].frames

    def rows(self, number: int, rows: Sequence[int]) -> dict[str, Tensor]:
        """See `FrozenStore`."""
        return {name: tensor[rows] for name, tensor in self._clips[number].tensors.items()}


class ShardFolder:
    """A `FrozenStore` in a folder, once all of its shards and then its index have been written.

    A shard is a file with some clips that follow on each other, whole or not there at all, so that a filling which was
    stopped goes on where it was, and several processes may fill the folder together. Of a shard only the rows that are
    asked for are read.
    """

    def __init__(self, folder: Path, clips: int) -> None:
        self.folder = folder
        self.clips = clips
        self._index: dict[str, Any] = {}

    def open(self) -> bool:
        """Makes the folder ready to be read; False where something of it has not been written yet."""
        if not (self.folder / _INDEX).is_file():
            return False
        self._index = json.loads((self.folder / _INDEX).read_text(encoding="utf-8"))
        return not self.missing(self._index["clips_per_shard"])

    def missing(self, clips_per_shard: int) -> dict[int, range]:
        """The shards that have not been written yet, and the numbers of their clips."""
        starts = range(0, self.clips, clips_per_shard)
        shards = {start // clips_per_shard: range(start, min(start + clips_per_shard, self.clips)) for start in starts}
        return {shard: clips for shard, clips in shards.items() if not self._path(shard).is_file()}

    def write(self, shard: int, clips: Iterable[KeptClip]) -> None:
        """Writes one shard."""
        tensors: dict[str, Tensor] = {}
        table = {}
        for clip in clips:
            tensors |= {f"{clip.number}.{name}": tensor.contiguous() for name, tensor in clip.tensors.items()}
            table[clip.number] = {"id": clip.id, "frames": clip.frames}
        metadata = {"clips": json.dumps(table)}
        write_whole(self.folder, {self._path(shard).name: lambda path: save_file(tensors, path, metadata)})

    def write_index(self, clips_per_shard: int, about: dict[str, Any]) -> None:
        """Writes the index, which says what all shards hold, and what they were made of."""
        table: dict[str, Any] = {}
        tensors: set[str] = set()
        for shard in range(-(-self.clips // clips_per_shard)):
            with safe_open(self._path(shard), "pt") as file:
                table |= json.loads(file.metadata()["clips"])
                tensors |= {key.partition(".")[2] for key in file.keys()}  # noqa: SIM118 - it is no dict
        index = {"about": about, "clips_per_shard": clips_per_shard, "tensors": sorted(tensors), "clips": table}
        text = json.dumps(index, indent=1)
        write_whole(self.folder, {_INDEX: lambda path: path.write_text(text, encoding="utf-8")})

    def frames(self, number: int) -> tuple[str, Sequence[str]]:
        """See `FrozenStore`."""
        clip = self._index["clips"][str(number)]
        return clip["id"], clip["frames"]

    def rows(self, number: int, rows: Sequence[int]) -> dict[str, Tensor]:
        """See `FrozenStore`."""
        path = self._path(number // self._index["clips_per_shard"])
        found = {}
        try:
            # Opened anew each time, which takes less than a millisecond: an open file would not follow into workers.
            with safe_open(path, "pt") as file:
                for name in self._index["tensors"]:
                    stored = file.get_slice(f"{number}.{name}")
                    found[name] = torch.cat([stored[row : row + 1] for row in rows])
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"'{path}' cannot be read ({error}): delete it, and it will be written again when the training is "
                "started again."
            ) from error
        return found

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}.safetensors"


def clips_in_a_shard(first: KeptClip) -> int:
    """How many clips go into a shard, when they are like the first one."""
    return min(_SHARD_CLIPS, max(1, _SHARD_BYTES // max(1, first.bytes)))
