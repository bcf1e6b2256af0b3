"""Where the objects of a scene stand and how they move, and the frames and exact masks that come of it."""

import numpy as np
from PIL import Image

from .settings import SceneSettings
from .sprites import Pose, Sprite

Poses = list[tuple[Pose, ...]]
"""For each object, its pose in each frame."""

_ATTEMPTS = 60
_VISIBLE_SHARE = 0.5
"""The least part of its own area that shows of every object in every frame."""


def lay_out(
    rng: np.random.Generator, settings: SceneSettings, background: np.ndarray, sprites: list[Sprite]
) -> tuple[np.ndarray, np.ndarray, Poses]:
    """Place and paint objects, the first farthest away, so that enough of each shows in every frame.

    Takes the background, (T, H, W, 3) uint8. Returns the frames like it, the visible masks, bool
    (objects, T, H, W), and the poses.
    """
    least = settings.min_visible * settings.size**2
    for attempt in range(_ATTEMPTS):
        poses = _place(rng, settings, sprites, calm=attempt / _ATTEMPTS)
        frames, masks = _paint(background, sprites, poses)
        whole = [[sprite.area * pose.scale**2 for pose in path] for sprite, path in zip(sprites, poses, strict=True)]
        if (masks.sum(axis=(2, 3)) >= np.maximum(least, _VISIBLE_SHARE * np.array(whole))).all():
            return frames, masks, poses
    raise RuntimeError(
        f"{len(sprites)} objects that each cover {settings.area[0]} of the picture or more found no room; "
        "lower `objects` or `area`."
    )


def _place(rng: np.random.Generator, settings: SceneSettings, sprites: list[Sprite], calm: float) -> Poses:
    """Draw a path for each object that keeps clear of the others where it can.

    ``calm`` from 0 to 1 makes the objects smaller and their paths shorter.
    """
    low, high = settings.area
    paths: list[tuple[np.ndarray, float]] = []
    poses = []
    for sprite in sprites:
        area = rng.uniform(low, high - calm * (high - low)) * settings.size**2
        radius = np.sqrt(area / np.pi)
        best, best_gap = np.empty(0), -np.inf
        for _ in range(20):
            path = _path(rng, settings, radius, (1 - calm) * settings.motion)
            gaps = [np.linalg.norm(path - other, axis=1).min() / (radius + reach) for other, reach in paths]
            gap = min(gaps, default=np.inf)
            if gap > best_gap:
                best, best_gap = path, gap
            if gap > 0.8:
                break
        paths.append((best, radius))
        largest = min(np.sqrt(area / sprite.area), 0.7 * settings.size / max(sprite.picture.size))
        turns = np.linspace(rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.25), settings.frames)
        scales = largest * np.linspace(rng.uniform(0.9, 1.0), rng.uniform(0.9, 1.0), settings.frames)
        poses.append(tuple(map(Pose, *np.column_stack([best, turns, scales]).T.tolist())))
    return poses


def _path(rng: np.random.Generator, settings: SceneSettings, radius: float, reach: float) -> np.ndarray:
    """A slightly bent path through the picture, (T, 2) x and y in pixels, at most ``reach`` widths long."""
    moments = np.linspace(0, 1, settings.frames)[:, None]
    start = rng.uniform(radius, settings.size - radius, 2)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, reach) * settings.size
    line = length * np.array([np.cos(angle), np.sin(angle)])
    bow = rng.uniform(-0.3, 0.3) * np.array([-line[1], line[0]])
    return (start + moments * line + np.sin(np.pi * moments) * bow).clip(radius, settings.size - radius)


def _paint(background: np.ndarray, sprites: list[Sprite], poses: Poses) -> tuple[np.ndarray, np.ndarray]:
    """Paint the sprites one over the other: frames, (T, H, W, 3), and visible masks, (objects, T, H, W)."""
    frames = np.empty_like(background)
    nearest = np.full(background.shape[:3], -1, dtype=np.int8)
    for k, under in enumerate(background):
        canvas = Image.fromarray(under)
        for index, (sprite, path) in enumerate(zip(sprites, poses, strict=True)):
            box, opaque = sprite.paint(canvas, path[k])
            nearest[k][box][opaque] = index
        frames[k] = np.asarray(canvas)
    return frames, np.stack([nearest == index for index in range(len(sprites))])
