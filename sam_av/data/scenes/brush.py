"""A brush that draws coloured shapes, and the outlines and colours to draw with.

The picture is the square from -1 to 1, x to the right and y down. An outline is its corners, (n, 2).
"""

import colorsys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Range = tuple[float, float]
Path = np.ndarray | Sequence[Point]

_CIRCLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)


class Brush:
    """Draws opaque shapes, the later over the earlier, on a transparent square, ``pixels`` wide."""

    def __init__(self, pixels: int) -> None:
        self.image = Image.new("RGBA", (pixels, pixels))

    def fill(self, outline: Path, colour: Colour) -> None:
        """Fill an outline, (n, 2)."""
        ImageDraw.Draw(self.image).polygon(self._pixels(outline), fill=(*colour, 255))

    def stroke(self, path: Path, width: float, colour: Colour) -> None:
        """Draw a line of a width along a path, (n, 2), with round joints and ends."""
        pen = max(1, round(width * self.image.width / 2))
        ImageDraw.Draw(self.image).line(self._pixels(path), fill=(*colour, 255), width=pen, joint="curve")
        for x, y in (path[0], path[-1]):
            self.fill(ellipse((x, y), (width / 2, width / 2)), colour)

    @contextmanager
    def inside(self, outline: Path) -> Iterator[None]:
        """What is drawn in the ``with`` block shows only inside the outline."""
        below, self.image = self.image, Image.new("RGBA", self.image.size)
        yield
        above, self.image = self.image, below
        window = Image.new("L", below.size)
        ImageDraw.Draw(window).polygon(self._pixels(outline), fill=255)
        below.paste(above, mask=Image.composite(above.getchannel("A"), Image.new("L", below.size), window))

    def _pixels(self, points: Path) -> list[float]:
        return ((np.asarray(points) + 1) * (self.image.width / 2)).ravel().tolist()


def ellipse(centre: Point, radii: Point, turn: float = 0.0) -> np.ndarray:
    """An ellipse whose axes are turned by an angle in radians."""
    x, y = radii[0] * np.cos(_CIRCLE), radii[1] * np.sin(_CIRCLE)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y], axis=1)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> np.ndarray:
    """A rectangle with corners of a radius."""
    if not radius:
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    x, y = radius * np.cos(_CIRCLE), radius * np.sin(_CIRCLE)
    x += np.where(x > 1e-9, right - radius, left + radius)
    y += np.where(y > 1e-9, bottom - radius, top + radius)
    return np.stack([x, y], axis=1)


def smooth(points: Path, steps: int = 8) -> np.ndarray:
    """A closed smooth (Catmull-Rom) curve through the points."""
    here = np.asarray(points, dtype=float)[:, None]
    before, after, beyond = np.roll(here, 1, 0), np.roll(here, -1, 0), np.roll(here, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = here + 0.5 * t * (
        after - before + t * (2 * before - 5 * here + 4 * after - beyond + t * (3 * (here - after) + beyond - before))
    )
    return curve.reshape(-1, 2)


def arc(centre: Point, radii: Point, start: float, stop: float) -> np.ndarray:
    """The part of an ellipse between two angles in radians, an open path."""
    angles = np.linspace(start, stop, 24)
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], axis=1)


def mirrored(points: Sequence[Point]) -> list[Point]:
    """A right half, from top to bottom, closed by its mirror image on the left."""
    return [*points, *[(-x, y) for x, y in reversed(points)]]


def tint(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> Colour:
    """A random colour of a family; hues run round from 0 to 1 and may leave that range."""
    return _rgb(colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value)))


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """A colour with a share of another in it."""
    return _rgb([((1 - share) * a + share * b) / 255 for a, b in zip(colour, other, strict=True)])


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """A colour with white in it."""
    return mix(colour, (255, 255, 255), share)


def darker(colour: Colour, share: float = 0.35) -> Colour:
    """A colour with black in it."""
    return mix(colour, (0, 0, 0), share)


def _rgb(parts: Sequence[float]) -> Colour:
    red, green, blue = (round(255 * part) for part in parts)
    return red, green, blue
