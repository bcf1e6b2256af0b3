"""Clips and where they come from: readers of data sets and generators. Nothing here knows a model.

A name is imported when it is first used, so that reading files does not load what drawing scenes needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clip import Clip, InstanceTrack
    from .dataset import ClipDataset, ClipEntry
    from .open import open_dataset, write_dataset
    from .problems import DataProblems, Problem
    from .scenes import Scenes, SceneSettings
    from .stream import IterableClips

_HOMES = {
    "Clip": "clip",
    "ClipDataset": "dataset",
    "ClipEntry": "dataset",
    "DataProblems": "problems",
    "InstanceTrack": "clip",
    "IterableClips": "stream",
    "Problem": "problems",
    "SceneSettings": "scenes",
    "Scenes": "scenes",
    "open_dataset": "open",
    "write_dataset": "open",
}

__all__ = [
    "Clip",
    "ClipDataset",
    "ClipEntry",
    "DataProblems",
    "InstanceTrack",
    "IterableClips",
    "Problem",
    "SceneSettings",
    "Scenes",
    "open_dataset",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
