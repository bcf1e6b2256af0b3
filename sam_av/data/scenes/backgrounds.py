"""Backgrounds: textures of several kinds in quiet colours."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from .brush import tint

Texture = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
"""Takes x and y, (S, S) from 0 to 1, and gives a field from 0 to 1, (S, S), that blends two colours."""


def gradient(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """From one side to the other, at any angle."""
    along = _along(rng, x, y)
    return (along - along.min()) / (along.max() - along.min())


def clouds(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth noise in three octaves."""
    octaves = [_noise(rng, len(x), cells) / cells for cells in (4, 8, 16)]
    field = np.sum(octaves, axis=0)
    return (field - field.min()) / (field.max() - field.min())


def stripes(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bands with soft edges, at any angle."""
    return _edge(np.sin(rng.uniform(15, 60) * _along(rng, x, y)))


def checker(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A chessboard, at any angle."""
    frequency, angle = rng.uniform(9, 32), rng.uniform(0, np.pi / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    return _edge(np.sin(frequency * (cos * x + sin * y)) * np.sin(frequency * (cos * y - sin * x)))


def dots(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Dots on a grid."""
    frequency = rng.uniform(20, 60)
    return _edge(np.cos(frequency * x) + np.cos(frequency * y) - rng.uniform(0.6, 1.2))


def bricks(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A wall of bricks, each of its own shade, with mortar between them."""
    rows = rng.uniform(6, 14)
    row = np.floor(rows * y)
    column = rows / 2 * x + 0.5 * (row % 2)
    shade = rng.uniform(0.0, 0.55, (64, 64))[row.astype(int), np.floor(column).astype(int)]
    mortar = ((rows * y) % 1 < 0.1) | (column % 1 < 0.05)
    return np.where(mortar, 1.0, shade)


def grain(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Warped rings, as in wood or marble."""
    warp = _noise(rng, len(x), 4)
    return 0.5 + 0.5 * np.sin(rng.uniform(10, 30) * _along(rng, x, y) + rng.uniform(3, 9) * warp)


def hills(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Three ranges of hills before a sky."""
    field = 0.25 * y
    for layer in (1, 2, 3):
        bumps = np.sin(x * rng.uniform(4, 14) + rng.uniform(0, 6)) + 0.5 * np.sin(x * rng.uniform(14, 30))
        ridge = 0.2 + 0.2 * layer + 0.05 * bumps
        field = np.where(y > ridge, 0.3 * layer + 0.1 * (y - ridge), field)
    return field


TEXTURES: tuple[Texture, ...] = (gradient, clouds, stripes, checker, dots, bricks, grain, hills)


def draw_background(rng: np.random.Generator, pixels: int) -> Image.Image:
    """Draw a random background of ``pixels`` by ``pixels``, RGB."""
    texture = TEXTURES[rng.integers(len(TEXTURES))]
    field = texture(rng, *_grid(pixels))[..., None].astype(np.float32)
    hue, value = rng.uniform(0, 1), rng.uniform(0.25, 0.8)
    colours = [
        np.array(
            tint(rng, (hue + shift, hue + shift), (0.05, 0.4), (value + change, value + change)),
            dtype=np.float32,
        )
        for shift, change in ((0.0, 0.0), (rng.uniform(-0.15, 0.15), rng.choice([-0.2, 0.2])))
    ]
    light = 0.85 + 0.3 * _noise(rng, pixels, 3) + 0.02 * rng.standard_normal((pixels, pixels), dtype=np.float32)
    picture = (colours[0] + field * (colours[1] - colours[0])) * light[..., None]
    return Image.fromarray(picture.clip(0, 255).round().astype(np.uint8))


@lru_cache(maxsize=4)
def _grid(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.linspace(0, 1, pixels, endpoint=False, dtype=np.float32)
    x, y = np.meshgrid(steps, steps)
    return x, y


def _along(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y


def _noise(rng: np.random.Generator, pixels: int, cells: int) -> np.ndarray:
    """Smooth noise from about 0 to 1 with ``cells`` bumps a side, (pixels, pixels)."""
    coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC))


def _edge(wave: np.ndarray) -> np.ndarray:
    return (0.5 + 6 * wave).clip(0, 1)
