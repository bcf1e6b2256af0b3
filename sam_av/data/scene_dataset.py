"""Drawn scenes behind the interface of a data set."""

from typing import Any

from .clip import Clip
from .dataset import ClipDataset, ClipEntry, Index
from .scenes import Scenes


class SceneDataset(ClipDataset):
    """The clips of `Scenes`, for which nothing lies on the disk.

    Args:
        source: "scenes", or "scenes:<how many>".
        split: the split; each has scenes of its own.
        seed: the seed of the scenes.
        skip_bad: see `ClipDataset`.
        **settings: fields of `SceneSettings`.
    """

    def __init__(self, source: str, split: str, *, seed: int = 0, skip_bad: bool = False, **settings: Any) -> None:
        length = source.partition(":")[2]
        if length:
            settings["length"] = int(length)
        self._scenes = Scenes(seed=seed, split=split, **settings)
        entries = [ClipEntry(id=f"{split}-{seed}-{number:06d}", split=split) for number in range(len(self._scenes))]
        categories = self._scenes.settings.categories
        super().__init__("scenes", split, Index(entries=entries), categories=categories, seed=seed, skip_bad=skip_bad)

    def _read(self, index: int) -> Clip:
        return self._scenes[int(self.entries[index].id.rpartition("-")[2])]

    def content(self) -> list[object]:
        """The settings that the scenes are drawn by."""
        return [*super().content(), self._scenes.settings]

    def verify(self, workers: int = 0) -> None:
        """Nothing lies on the disk that could be spoilt."""
