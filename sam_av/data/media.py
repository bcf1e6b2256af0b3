"""Pictures, masks and sounds from files to arrays, with errors that name the file."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..audio.decode import read_audio

Source = Path | io.BytesIO
"""A file on the disk, or one in memory."""


def read_picture(source: Source, name: str | None = None) -> np.ndarray:
    """A picture as it is meant to be looked at, (H, W, 3) uint8; `name` stands for a file in memory in errors."""
    return np.asarray(_open(source, name).convert("RGB"))


def read_binary_mask(source: Source, size: tuple[int, int], name: str | None = None) -> np.ndarray:
    """A mask of the given size, (H, W) bool: all but black and all but transparent, whatever the mode and the values."""
    image = _open_mask(source, size, name)
    if len(image.getbands()) == 1 and image.mode != "P":
        return np.asarray(image) > 0
    pixels = np.asarray(image.convert("RGBA"))
    return pixels[..., :3].any(axis=-1) & (pixels[..., 3] > 0)


def read_class_ids(source: Source, size: tuple[int, int], classes: int, name: str | None = None) -> np.ndarray:
    """A mask of the given size whose palette index or grey value is the class id, (H, W) uint8; ids end at `classes`."""
    image = _open_mask(source, size, name)
    if len(image.getbands()) != 1:
        raise ValueError(
            f"'{name or source}' is a colour picture ({image.mode}); wanted class ids, as a palette's index or as grey."
        )
    ids = np.asarray(image)
    if ids.max() > classes:
        raise ValueError(
            f"'{name or source}' holds the class id {ids.max()}, but there are {classes} classes: it has another "
            "palette or belongs to another data set."
        )
    return ids.astype(np.uint8)


def read_waveform(path: Path) -> np.ndarray:
    """The sound of a file, (n,) float32 at 16 kHz. Damage is an error here: training must not go on with half a clip."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*is damaged or cut off")
        try:
            return read_audio(path).numpy()
        except UserWarning as damage:
            raise ValueError(str(damage)) from damage


def _open_mask(source: Source, size: tuple[int, int], name: str | None) -> Image.Image:
    image = _open(source, name)
    if image.format == "JPEG":
        raise ValueError(f"The mask '{name or source}' is a JPEG, which blurs its edges: save it as PNG.")
    if (image.height, image.width) != size:
        raise ValueError(
            f"The mask '{name or source}' is {image.width} x {image.height} pixels, its frame {size[1]} x {size[0]}: "
            "both must have the same size."
        )
    return image


def _open(source: Source, name: str | None) -> Image.Image:
    """A picture that is decoded whole and turned as its camera was held."""
    try:
        with Image.open(source) as image:
            form = image.format
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no picture '{source}'.") from error
    # Pillow's decoders let several kinds of error through; SyntaxError is that of a broken PNG.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        count = source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes
        raise ValueError(
            f"'{name or source}' ({count:,} bytes) cannot be read as a picture: {error}. It is empty, cut off or no "
            "picture; get it again."
        ) from error
    upright.format = form  # lost in the transposed copy
    return upright
