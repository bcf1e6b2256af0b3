"""Drawn scenes with sound and exact masks: a data set without a download."""

from .generator import Scenes
from .looks import CATEGORIES
from .scene import Scene, SceneObject
from .settings import SceneSettings

__all__ = ["CATEGORIES", "Scene", "SceneObject", "SceneSettings", "Scenes"]
