"""Sprites: one drawn object with light, grain and shadow, and its image at any pose in a frame."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .brush import Brush
from .looks import LOOKS

_OPAQUE = 128
"""The least alpha, of 255, at which a pixel belongs to an object."""


@dataclass(frozen=True)
class Pose:
    """Where a sprite stands in a frame: its centre in pixels, its turn in radians, its scale."""

    x: float
    y: float
    turn: float
    scale: float


@dataclass(frozen=True, eq=False)
class Sprite:
    """An object cut out, at somewhat more than the resolution at which it is shown.

    Attributes:
        picture: RGBA, the object and its soft shadow.
        coverage: L, the alpha of the object without its shadow.
    """

    picture: Image.Image
    coverage: Image.Image

    @property
    def area(self) -> int:
        """How many pixels the object covers at scale 1."""
        return int((np.asarray(self.coverage) >= _OPAQUE).sum())

    def paint(self, canvas: Image.Image, pose: Pose) -> tuple[tuple[slice, slice], np.ndarray]:
        """Paint the sprite onto an RGB canvas, in which its centre must lie.

        Returns the box that it touches, slices of y and x, and where in that box the sprite is opaque.
        """
        cos, sin = np.cos(pose.turn), np.sin(pose.turn)
        width, height = self.picture.size
        half_x = 0.5 * pose.scale * (abs(cos) * width + abs(sin) * height)
        half_y = 0.5 * pose.scale * (abs(sin) * width + abs(cos) * height)
        left, right = (int(np.clip(edge, 0, canvas.width)) for edge in (pose.x - half_x, pose.x + half_x + 1))
        top, bottom = (int(np.clip(edge, 0, canvas.height)) for edge in (pose.y - half_y, pose.y + half_y + 1))
        # Pillow asks for the way back: from a pixel of the box to a point of the sprite.
        a, b = cos / pose.scale, sin / pose.scale
        back = (
            a, b, 0.5 * width + a * (left - pose.x) + b * (top - pose.y),
            -b, a, 0.5 * height - b * (left - pose.x) + a * (top - pose.y),
        )  # fmt: skip
        patch, alpha = (
            image.transform((right - left, bottom - top), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
            for image in (self.picture, self.coverage)
        )
        canvas.paste(patch, (left, top), patch)
        return (slice(top, bottom), slice(left, right)), np.asarray(alpha) >= _OPAQUE


def draw_sprite(category: str, rng: np.random.Generator, pixels: int) -> Sprite:
    """Draw a random object of a class in a square of about ``pixels`` by ``pixels``."""
    brush = Brush(2 * pixels)
    LOOKS[category](brush, rng)
    drawing = brush.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else brush.image
    drawing = drawing.reduce(2)
    margin = pixels // 8
    drawing = ImageOps.expand(drawing.crop(drawing.getbbox()), margin, fill=(0, 0, 0, 0))

    coverage = drawing.getchannel("A")
    soft = np.asarray(coverage.filter(ImageFilter.GaussianBlur(pixels / 30)), dtype=np.float32) / 255
    step = max(1, pixels // 48)
    # The slope of the softened outline, seen from the upper left, rounds the object like a low relief.
    relief = np.roll(soft, (-step, -step), (0, 1)) - np.roll(soft, (step, step), (0, 1))
    grain = 0.03 * rng.standard_normal(soft.shape, dtype=np.float32)
    colours = np.asarray(drawing.convert("RGB")) * (1 + 0.6 * relief + grain)[..., None]

    alpha = np.asarray(coverage, dtype=np.float32)[..., None] / 255
    shadow = 0.45 * np.roll(soft, (margin // 3, margin // 4), (0, 1))[..., None]
    whole = alpha + shadow * (1 - alpha)
    colours *= alpha / np.maximum(whole, 1e-6)
    picture = np.concatenate([colours, 255 * whole], axis=-1).clip(0, 255).round().astype(np.uint8)
    return Sprite(Image.fromarray(picture), coverage)
