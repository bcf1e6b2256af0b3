"""A scene: drawn frames, and everything that is known about what is in them and what is heard."""

from dataclasses import dataclass

import numpy as np

from ..clip import SAMPLE_RATE, Clip, InstanceTrack
from .settings import SceneSettings
from .sprites import Pose, Sprite
from .timbres import TIMBRES, play

EXAMPLE_SECONDS = 0.96
"""The window of sound that goes with a frame: a frame at time t hears window floor(t / 0.96)."""

_FADE = 0.02
"""Seconds that a sound takes to fade in or out."""

_OVERHANG = 0.015
"""Seconds by which the last analysis frame of a window reaches into the next; a sound fades in after them."""


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object of a scene, silent or not.

    Attributes:
        category: its class, which no other object of the scene has.
        masks: (T, H, W) bool, its visible part.
        sprite: its look.
        poses: where it stands in each frame.
    """

    category: str
    masks: np.ndarray
    sprite: Sprite
    poses: tuple[Pose, ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """The whole truth of one scene, and the clips that can be made of it.

    Attributes:
        id: the name of the scene.
        split: the split that it belongs to.
        seed: what its random streams start from.
        settings: the settings that it was made with.
        background: (T, H, W, 3) uint8, the frames without the objects.
        frames: (T, H, W, 3) uint8.
        objects: from the farthest to the nearest.
        schedule: for each class that is heard, in the picture or not, in which frames, (T,) bool.
    """

    id: str
    split: str
    seed: tuple[int, ...]
    settings: SceneSettings
    background: np.ndarray
    frames: np.ndarray
    objects: tuple[SceneObject, ...]
    schedule: dict[str, np.ndarray]

    def clip(self) -> Clip:
        """The scene as it is."""
        return self._hearing(self.schedule, self.id)

    def swap(self, index: int) -> Clip:
        """The same frames with the sound of an object that was silent, alone, and its mask as truth."""
        category = self.objects[index].category
        if category in self.schedule:
            raise ValueError(
                f"Object {index} ({category}) of scene {self.id} sounds already; choose one of its silent "
                f"objects, {self.silent_objects}."
            )
        return self._hearing({category: self._always()}, f"{self.id}-swap-{category}")

    def silence(self) -> Clip:
        """The same frames without any sound; the truth is empty."""
        return self._hearing({}, f"{self.id}-silence")

    def absent(self, category: str) -> Clip:
        """The same frames with the sound of a class that is not in them; the truth is empty."""
        seen = [thing.category for thing in self.objects]
        if category not in TIMBRES or category in seen:
            absent = [name for name in TIMBRES if name not in seen]
            raise ValueError(f"{category!r} is not a class that scene {self.id} lacks; those are {absent}.")
        return self._hearing({category: self._always()}, f"{self.id}-absent-{category}")

    @property
    def silent_objects(self) -> list[int]:
        """The indices of the objects that make no sound in any frame."""
        return [index for index, thing in enumerate(self.objects) if thing.category not in self.schedule]

    def sound(self, category: str) -> np.ndarray:
        """The sound of a class, in the picture or not, from beginning to end of this scene, (n,) float32."""
        rng = np.random.default_rng((*self.seed, list(TIMBRES).index(category)))
        return play(category, rng, self.settings.frames * SAMPLE_RATE)

    def stems(self) -> dict[str, np.ndarray]:
        """What each class adds to the waveform, (n,) float32; together they are the waveform."""
        return self._stems(self.schedule)

    def _always(self) -> np.ndarray:
        return np.ones(self.settings.frames, dtype=bool)

    def _stems(self, schedule: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        stems = {category: self.sound(category) * _gate(heard) for category, heard in schedule.items()}
        peak = max(1.0, float(np.abs(sum(stems.values())).max())) if stems else 1.0
        return {category: stem / np.float32(peak) for category, stem in stems.items()}

    def _hearing(self, schedule: dict[str, np.ndarray], name: str) -> Clip:
        tracks = [
            InstanceTrack(thing.category, index, thing.masks & schedule[thing.category][:, None, None])
            for index, thing in enumerate(self.objects)
            if thing.category in schedule
        ]
        silence = np.zeros(self.settings.frames * SAMPLE_RATE, dtype=np.float32)
        return Clip(
            frames=self.frames,
            times=np.arange(self.settings.frames, dtype=np.float64),
            waveform=sum(self._stems(schedule).values(), start=silence),
            masks=self._in_form(tracks),
            annotated=self._always(),
            id=name,
            category=tracks[0].category if len(tracks) == 1 else None,
            split=self.split,
        )

    def _in_form(self, tracks: list[InstanceTrack]) -> np.ndarray | list[InstanceTrack]:
        if self.settings.masks == "instances":
            return tracks
        ids = np.zeros(self.frames.shape[:3], dtype=np.uint8)
        for track in tracks:
            ids[track.masks] = 1 + self.settings.categories.index(track.category)
        return ids if self.settings.masks == "classes" else ids > 0


def _gate(heard: np.ndarray) -> np.ndarray:
    """The loudness, (n,) float32 from 0 to 1, of a sound that is heard in some frames, (T,) bool.

    What is heard in frame k fills its window, and what is not heard in frame k does not reach into it.
    """
    seconds = np.arange(len(heard) * SAMPLE_RATE) / SAMPLE_RATE
    starts = EXAMPLE_SECONDS * np.floor(np.arange(len(heard)) / EXAMPLE_SECONDS)
    times, levels = [0.0], [float(heard[0])]
    for k in np.flatnonzero(np.diff(heard)) + 1:
        begin = starts[k] + _OVERHANG if heard[k] else starts[k] - _FADE
        times += [begin, begin + _FADE]
        levels += [levels[-1], float(heard[k])]
    return np.interp(seconds, times, levels).astype(np.float32)
