"""A triplet of a plan as a picture file, a mask and a waveform."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torchaudio.functional as audio_functional
from PIL import Image

from ..audio.log_mel import SAMPLING_RATE
from ..data.headers import picture_size
from ..data.media import PICTURE_FORMATS, read_picture, read_waveform
from ..data.shapes import draw_shape
from ..digest import digest
from .composition import Triplet
from .pictures import Outline

_ASPECT_ERROR = 0.02
"""By how much the proportions of a mask of its own size may differ from those of its picture."""


class Unusable(ValueError):  # noqa: N818 - what it is, as DataProblems is
    """A triplet that cannot be made; `cause` is what such are counted by."""

    def __init__(self, cause: str, name: str) -> None:
        super().__init__(f"{cause}: {name}")
        self.cause, self.name = cause, name


@contextmanager
def _unusable(cause: str, name: str) -> Iterator[None]:
    """What cannot be read in the `with` block makes the triplet unusable."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise Unusable(cause, name) from error


def check_picture(triplet: Triplet) -> tuple[int, int]:
    """The (height, width) of the picture, which must be a whole file of the size that its source says."""
    name, path = triplet.picture
    size = picture_size(Path(path))
    if size is None:  # the header looks damaged, or is of another kind: only decoding it shows what it is worth
        height, width, _ = read_pixels(path, name).shape
        size = (height, width)
    if triplet.size is not None and tuple(triplet.size) != size:
        raise Unusable("picture of another size than its annotation says", name)
    return size


def read_pixels(path: str, name: str) -> np.ndarray:
    """A picture, (H, W, 3) uint8."""
    with _unusable("unreadable picture", name):
        return read_picture(Path(path))


def draw_mask(triplet: Triplet, size: tuple[int, int], min_area: float) -> np.ndarray:
    """The mask, (H, W) bool: the union of the outlines."""
    mask = np.zeros(size, dtype=bool)
    for outline in triplet.outlines:
        mask |= _draw(outline, size, triplet.id)
    if mask.mean() < min_area and any(isinstance(one, str) for one in triplet.outlines):
        raise Unusable("smaller than min_area", triplet.id)
    if triplet.outlines and not mask.any():
        raise Unusable("outline that covers nothing", triplet.id)
    return mask


def _draw(outline: Outline, size: tuple[int, int], name: str) -> np.ndarray:
    with _unusable("damaged outline", name):
        if isinstance(outline, dict):
            return draw_shape(outline, size)
        if isinstance(outline, list):
            return draw_shape([np.asarray(polygon) for polygon in outline], size)
    with _unusable("unreadable mask", name), Image.open(outline, formats=PICTURE_FORMATS) as image:
        grey = np.asarray(image.convert("L")) > 0
    return grey if grey.shape == size else _resized(grey, size, name)


def _resized(mask: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """A mask of Open Images at the size of its picture, from which it may differ in scale, not in proportions."""
    stretch = (mask.shape[1] / mask.shape[0]) / (size[1] / size[0])
    if abs(stretch - 1) > _ASPECT_ERROR:
        raise Unusable("mask of other proportions than its picture", name)
    return np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def mix_sounds(triplet: Triplet, seconds: float) -> np.ndarray:
    """The first seconds of the sounds, mixed at their levels and with their noise, (n,) float32 at 16 kHz."""
    length = round(seconds * SAMPLING_RATE)
    first, *others = (read_stretch(path, name, length) for name, path in triplet.sounds)
    if not first.any() and (others or triplet.noise_snr is not None):
        raise Unusable("silent sound, to which no level can be set", triplet.sounds[0][0])
    mixed = torch.from_numpy(first)
    for (name, _), other, snr in zip(triplet.sounds[1:], others, triplet.snrs, strict=True):
        if not other.any():
            raise Unusable("silent sound, to which no level can be set", name)
        # Against the first sound alone: the third is not made fainter by the second.
        scaled = audio_functional.add_noise(torch.from_numpy(first), torch.from_numpy(other), torch.tensor(snr))
        mixed = mixed + scaled - torch.from_numpy(first)
    if triplet.noise_snr is not None:
        generator = torch.Generator().manual_seed(int(digest(triplet.id)[:8], 16))
        noise = torch.randn(length, generator=generator)
        mixed = audio_functional.add_noise(mixed, noise, torch.tensor(triplet.noise_snr))
    return (mixed / max(1.0, float(mixed.abs().max()))).numpy()


def read_stretch(path: str, name: str, length: int) -> np.ndarray:
    """The first samples of a sound, (length,) float32."""
    with _unusable("unreadable sound", name):
        sound = read_waveform(Path(path))[:length]
    return np.pad(sound, (0, length - len(sound)))
