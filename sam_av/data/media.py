"""Pictures, masks and sounds from files to arrays, with errors that name the file."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..audio.decode import read_audio

Source = Path | bytes | Image.Image
"""A picture: its file, what its file holds, or decoded already."""
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""What Pillow may take a picture for. It goes by the content, not by the name, and hands PostScript to Ghostscript."""


def read_picture(source: Source) -> np.ndarray:
    """A picture as it is meant to be looked at, (H, W, 3) uint8."""
    image = _open(source)
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's conversion would clip at 255
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    return np.asarray(image.convert("RGB"))


def read_binary_mask(source: Source, size: tuple[int, int]) -> np.ndarray:
    """A mask of the given size, (H, W) bool: all but black and all but transparent, whatever its mode and values."""
    image = _open_mask(source, size)
    if len(image.getbands()) == 1 and image.mode != "P":
        return np.asarray(image) > 0
    pixels = np.asarray(image.convert("RGBA"))
    shown = pixels[..., :3].any(axis=-1) & (pixels[..., 3] > 0)
    if image.mode == "P" and not np.array_equal(shown, np.asarray(image) > 0):
        raise ValueError(
            f"The mask {_name(source)} has a palette in which black is not the index 0, or not only that, so that it "
            "can be read in two ways: save it as plain black and white."
        )
    return shown


def read_class_ids(path: Path, size: tuple[int, int], classes: int) -> np.ndarray:
    """A mask of the given size, (H, W) uint8: its palette index or grey value is the class id, at most `classes`."""
    image = _open_mask(path, size)
    if len(image.getbands()) != 1:
        raise ValueError(
            f"'{path}' is a colour picture ({image.mode}); wanted class ids, as the index of a palette or as grey."
        )
    ids = np.asarray(image)
    if ids.max() > classes:
        raise ValueError(
            f"'{path}' holds the class id {ids.max()}, but there are {classes} classes: it has another palette or "
            "belongs to another data set."
        )
    return ids.astype(np.uint8)


def read_waveform(path: Path) -> np.ndarray:
    """The sound of a file, (n,) float32 at 16 kHz. Damage is an error: training must not go on with half a clip."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*damaged or cut off")
        try:
            return read_audio(path).numpy()
        except UserWarning as damage:
            raise ValueError(str(damage)) from damage


def _open_mask(source: Source, size: tuple[int, int]) -> Image.Image:
    image = _open(source)
    if image.format == "JPEG":
        raise ValueError(f"The mask {_name(source)} is a JPEG, which blurs its edges: save it as PNG.")
    if (image.height, image.width) != size:
        raise ValueError(
            f"The mask {_name(source)} is {image.width} x {image.height} pixels, its frame {size[1]} x {size[0]}: both "
            "must have the same size."
        )
    return image


def _open(source: Source) -> Image.Image:
    """A picture that is decoded whole and turned as its camera was held."""
    if isinstance(source, Image.Image):
        return source
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=PICTURE_FORMATS) as image:
            form = image.format
            image.load()
            upright = ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no picture {_name(source)}.") from error
    # Pillow's decoders let several kinds of error through; SyntaxError is that of a broken PNG.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{_name(source)} cannot be read as a picture: it is empty, cut off or none ({error}). Get it again."
        ) from error
    upright.format = form  # lost in the transposed copy
    return upright


def _name(source: Source) -> str:
    """What errors call a picture."""
    if isinstance(source, Path):
        return f"'{source}'" + (f" ({source.stat().st_size:,} bytes)" if source.is_file() else "")
    return f"of {len(source):,} bytes" if isinstance(source, bytes) else f"({source.mode})"
