"""Drawing: masks laid over frames, grids of pictures with captions, sounds as bars. Arrays and Pillow, nothing else."""

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

BACKGROUND = (250, 250, 252)
INK = (32, 34, 44)
FAINT_INK = (116, 120, 136)
_GREY = 70
_GAP, _MARGIN, _HEAD, _LINE = 8, 24, 122, 17  # pixels of a sheet
_BAR, _BAR_GAP = 4, 3  # pixels of a drawn sound
_NARROWEST = 12  # pixels of an example of 0.96 s that is still shown in a spectrogram
_FAINT_LINE = (150, 146, 170)
_GOLDEN_RATIO = 0.618034
_HEAT = ((14, 10, 38), (86, 24, 112), (188, 52, 88), (246, 128, 48), (253, 240, 186))  # from quiet to loud
_FIRST_HUE = 0.96  # the red that a binary mask is drawn in


@dataclass(frozen=True)
class PictureRow:
    """Pictures (H, W, 3) uint8 that stand side by side, and the lines of text under them, the first in full ink."""

    pictures: Sequence[np.ndarray]
    caption: Sequence[str] = ()


def overlay(frame: np.ndarray, mask: np.ndarray, *, opacity: float = 0.5, dim: float = 0.0) -> np.ndarray:
    """The frame (H, W, 3) with the mask (H, W) tinted and outlined: bool, or class ids, each in a colour of its own.

    What is outside of the mask fades by `dim`, from 0, as it is, to 1, a plain grey.
    """
    if mask.shape != frame.shape[:2]:
        raise ValueError(f"A mask is drawn over a frame of its own size: {mask.shape} does not fit {frame.shape[:2]}.")
    drawn = np.array(Image.fromarray(frame).point(_fade((_GREY,) * 3, dim))) if dim else frame.copy()
    thickness = max(1, round(max(frame.shape[:2]) / 200))
    place = _around(mask, thickness)  # a film has many frames, and little of each is mask
    ids = mask[place]
    edge, shown, painted = outline(ids, thickness), Image.fromarray(frame[place]), Image.fromarray(drawn[place])
    for number in [1] if mask.dtype == bool else np.unique(ids[ids > 0]):
        colour, inside = _rgb(class_colour(int(number))), ids == number
        painted.paste(shown.point(_fade(colour, opacity)), (0, 0), Image.fromarray(inside))
        painted.paste(colour, (0, 0), Image.fromarray(inside & edge))
    drawn[place] = np.asarray(painted)
    return drawn


def _fade(colour: tuple[int, int, int], share: float) -> list[int]:
    """What becomes of the values of each channel when a share of a colour is mixed in: a table for `Image.point`."""
    values = np.arange(256)
    return [round(value) for each in colour for value in ((1 - share) * values + share * each).tolist()]


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = colour.tolist()
    return red, green, blue


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask (H, W), and a margin around it."""
    places = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis=axis))
        first, last = (found[0], found[-1]) if len(found) else (0, 0)
        places.append(slice(int(max(0, first - margin)), int(min(last + margin + 1, mask.shape[1 - axis]))))
    return places[0], places[1]


def outline(mask: np.ndarray, thickness: int = 1) -> np.ndarray:
    """The pixels of a mask or of class ids (H, W) that lie within `thickness` of another value, (H, W) bool."""
    changes = _over_neighbours(np.minimum, mask, thickness) != mask
    if mask.dtype != bool:  # of a binary mask the other value is the lesser one
        changes |= _over_neighbours(np.maximum, mask, thickness) != mask
    return (mask > 0) & changes


def _over_neighbours(extreme: np.ufunc, mask: np.ndarray, distance: int) -> np.ndarray:
    """The least or the greatest value (H, W) within `distance` of each pixel, along the columns and then the rows."""
    reached = np.pad(mask, distance, mode="edge")
    for axis in (0, 1):
        length = 1  # `reached` is over so many pixels from each one on
        while length < 2 * distance + 1:
            step = min(length, 2 * distance + 1 - length)
            pair = (reached[:-step], reached[step:]) if axis == 0 else (reached[:, :-step], reached[:, step:])
            reached, length = extreme(*pair), length + step
    return reached


def class_colour(number: int) -> np.ndarray:
    """A vivid colour (3,) uint8 for the class `number`, counted from 1; neighbours are far apart in hue."""
    hue = (_FIRST_HUE + (number - 1) * _GOLDEN_RATIO) % 1
    return np.array([round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.82, 1.0)], dtype=np.uint8)


def grid(
    title: str, subtitle: str, blocks: Mapping[str, Sequence[PictureRow]], columns: Sequence[str], *, side: int = 168
) -> Image.Image:
    """Blocks of rows side by side, each under its name, with the columns' names above the pictures of a block.

    Every picture is fitted into a cell of the first one's proportions whose longer side is `side` pixels.
    """
    height, width = next(row for rows in blocks.values() for row in rows).pictures[0].shape[:2]
    cell = (round(side * width / max(height, width)), round(side * height / max(height, width)))
    block_width = len(columns) * (cell[0] + _GAP) - _GAP
    captions = max(len(row.caption) for rows in blocks.values() for row in rows)
    row_height = cell[1] + _GAP // 2 + captions * _LINE + 2 * _GAP
    sheet_width = 2 * _MARGIN + len(blocks) * (block_width + 2 * _MARGIN) - 2 * _MARGIN
    sheet = Image.new("RGB", (sheet_width, _HEAD + max(map(len, blocks.values())) * row_height + _GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    write_text(draw, (_MARGIN, 18), title, 19, width=sheet_width - 2 * _MARGIN)
    write_text(draw, (_MARGIN, 44), subtitle, 14, FAINT_INK, width=sheet_width - 2 * _MARGIN)
    for number, (name, rows) in enumerate(blocks.items()):
        left = _MARGIN + number * (block_width + 2 * _MARGIN)
        write_text(draw, (left, _HEAD - 43), name, 16)
        for k, column in enumerate(columns):
            write_text(draw, (left + k * (cell[0] + _GAP), _HEAD - 19), column, 12, FAINT_INK)
        for k, row in enumerate(rows):
            _draw_row(sheet, draw, row, (left, _HEAD + k * row_height), cell)
    return sheet


def swap_strip(
    frame: np.ndarray, masks: Mapping[str, np.ndarray], title: str, subtitle: str, name: str, *, dim: float = 0.5
) -> Image.Image:
    """One picture (H, W, 3) and beside it what becomes of its mask (H, W) with one sound and another.

    `masks` are by their captions, each in a colour of its own; `name` stands above the picture.
    """
    drawn = [overlay(frame, mask * np.uint8(number), dim=dim) for number, mask in enumerate(masks.values(), start=1)]
    return grid(title, subtitle, {name: [PictureRow([frame, *drawn])]}, ["the picture", *masks], side=320)


def spectrogram(
    log_mels: np.ndarray, size: tuple[int, int], *, seconds: float | None = None, example: float = 0.96
) -> Image.Image:
    """The spectrogram of log-mel frames (T, bands), low tones below, as a picture of a size (width, height).

    With `seconds`, how long it lasts, lines show where the examples begin that frames hear under the rule "example".
    """
    low, high = (np.nanmin(log_mels), np.nanmax(log_mels)) if np.isfinite(log_mels).any() else (0.0, 1.0)
    level = np.nan_to_num((log_mels.T[::-1] - low) / max(high - low, 1e-6))
    colours = [np.interp(level, np.linspace(0, 1, len(_HEAT)), channel) for channel in np.transpose(_HEAT)]
    image = Image.fromarray(np.stack(colours, axis=-1).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    if seconds is not None and size[0] / seconds * example >= _NARROWEST:
        draw = ImageDraw.Draw(image)
        for k in range(1, math.ceil(seconds / example)):
            x = round(k * example / seconds * size[0])
            draw.line((x, 0, x, size[1]), fill=_FAINT_LINE)
    return image


def draw_sound(
    sheet: Image.Image, box: tuple[int, int, int, int], waveform: np.ndarray, colours: Sequence[tuple[int, int, int]]
) -> None:
    """Draws a waveform (n,) into a box (left, top, right, bottom): bars as high as it is loud, the loudest filling it.

    The colours follow each other, each for an equal part of the bars.
    """
    draw = ImageDraw.Draw(sheet)
    left, top, right, bottom = box
    bars = (right - left + _BAR_GAP) // (_BAR + _BAR_GAP)
    loudness = np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(waveform, bars)])
    reach = (bottom - top - _BAR) / 2 * loudness / max(loudness.max(), 1e-6) + _BAR / 2
    middle = (top + bottom) / 2
    for k in range(bars):
        x = left + k * (_BAR + _BAR_GAP)
        place = (x, round(middle - reach[k]), x + _BAR - 1, round(middle + reach[k]))
        draw.rounded_rectangle(place, radius=_BAR / 2, fill=tuple(colours[k * len(colours) // bars]))


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: PictureRow, corner: tuple[int, int], cell: tuple[int, int]
) -> None:
    left, top = corner
    width = len(row.pictures) * (cell[0] + _GAP) - _GAP
    for k, picture in enumerate(row.pictures):
        fitted = ImageOps.pad(Image.fromarray(picture), cell, Image.Resampling.LANCZOS, color=BACKGROUND)
        sheet.paste(fitted, (left + k * (cell[0] + _GAP), top))
    for k, line in enumerate(row.caption):
        place = (left, top + cell[1] + _GAP // 2 + _LINE * k)
        write_text(draw, place, line, 13, FAINT_INK if k else INK, width)


def write_text(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    ink: tuple[int, int, int] = INK,
    width: int | None = None,
) -> None:
    """Writes text with its upper left corner at `place`, cut off with an ellipsis where it is longer than `width`."""
    font = ImageFont.load_default(size)
    if width is not None and draw.textlength(text, font) > width:
        while text and draw.textlength(text + "…", font) > width:
            text = text[:-1]
        text += "…"
    draw.text(place, text, fill=ink, font=font)
