"""The generator: draws scene i of a seed, always the same one, in whatever order scenes are asked for."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..clip import Clip
from .backgrounds import draw_background
from .layout import lay_out
from .scene import Scene, SceneObject
from .settings import SceneSettings
from .sprites import draw_sprite

# The random streams of a scene: a change in how one of them is used leaves the others as they were.
_PLAN, _BACKGROUND, _SPRITES, _LAYOUT, _SOUND = range(5)


class Scenes:
    """An endless supply of drawn scenes with sound and exact masks, cut to a length.

    ``scenes[i]`` is a clip, ``scenes.scene(i)`` the whole truth behind it. Both depend on the settings, the
    seed, the split and i, and on nothing else. Two splits of one seed have no scene in common.

    Args:
        settings: how the scenes turn out.
        seed: the seed of them all.
        length: how many there are.
        split: the name of the split.
        **changes: fields of ``settings`` to change, such as ``size=128``.
    """

    def __init__(
        self,
        settings: SceneSettings | None = None,
        *,
        seed: int = 0,
        length: int = 1000,
        split: str = "train",
        **changes: Any,
    ) -> None:
        self.settings = replace(settings or SceneSettings(), **changes)
        self.seed = seed
        self.length = length
        self.split = split

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        return self.scene(index).clip()

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))

    def scene(self, index: int) -> Scene:
        """Scene ``index`` with everything that is known about it."""
        if not 0 <= index < self.length:
            raise IndexError(f"Scene {index} was asked for; there are {self.length}, counted from 0.")
        settings = self.settings
        seed = (self.seed, zlib.crc32(self.split.encode()), index)
        categories, schedule = _plan(np.random.default_rng((*seed, _PLAN)), settings)
        rng = np.random.default_rng((*seed, _SPRITES))
        sprites = [draw_sprite(category, rng, round(0.6 * settings.size)) for category in categories]
        background = _pan(np.random.default_rng((*seed, _BACKGROUND)), settings)
        frames, masks, poses = lay_out(np.random.default_rng((*seed, _LAYOUT)), settings, background, sprites)
        return Scene(
            id=f"{self.split}-{self.seed}-{index:06d}",
            split=self.split,
            seed=(*seed, _SOUND),
            settings=settings,
            background=background,
            frames=frames,
            objects=tuple(map(SceneObject, categories, masks, sprites, poses)),
            schedule=schedule,
        )


def _plan(rng: np.random.Generator, settings: SceneSettings) -> tuple[list[str], dict[str, np.ndarray]]:
    """The classes of the objects, the farthest first, and which classes are heard in which frames."""
    sources = int(rng.integers(settings.sources[0], settings.sources[1] + 1))
    fewest = max(settings.objects[0], sources + settings.distractors)
    objects = int(rng.integers(fewest, settings.objects[1] + 1))
    order = [str(category) for category in rng.permutation(settings.categories)]
    seen, unseen = order[:objects], order[objects:]

    fate = rng.random()
    if fate < settings.silence:
        heard = []
    elif fate < settings.silence + settings.absent:
        heard = unseen[: max(sources, 1)]
    else:
        heard = [seen[k] for k in rng.permutation(objects)[:sources]]
    switching = rng.random() < settings.switching
    schedule = {category: _switches(rng, settings.frames, switching) for category in heard}
    return seen, schedule


def _switches(rng: np.random.Generator, frames: int, switching: bool) -> np.ndarray:
    """In which frames a source is on, (T,) bool: in all, or switching on and off but on at least once."""
    if not switching:
        return np.ones(frames, dtype=bool)
    on = np.logical_xor.accumulate(np.append(rng.random() < 0.5, rng.random(frames - 1) < 0.4))
    on[rng.integers(frames)] = True
    return on


def _pan(rng: np.random.Generator, settings: SceneSettings) -> np.ndarray:
    """The background under a camera that moves slowly, (T, H, W, 3) uint8."""
    size, room = settings.size, settings.size // 10
    picture = np.asarray(draw_background(rng, size + room))
    start, stop = rng.uniform(0, room, (2, 2))
    corners = np.linspace(start, stop, settings.frames).round().astype(int)
    return np.stack([picture[y : y + size, x : x + size] for x, y in corners])
