"""Clips and where they come from: readers of data sets and generators. Nothing here knows a model.

A name is imported when it is first used, so that reading files does not load what drawing scenes needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clip import Clip, InstanceTrack
    from .scenes import Scenes, SceneSettings

_HOMES = {
    "Clip": "clip",
    "InstanceTrack": "clip",
    "SceneSettings": "scenes",
    "Scenes": "scenes",
}

__all__ = ["Clip", "InstanceTrack", "SceneSettings", "Scenes"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
