"""A film on one sheet: some of its frames, its spectrogram, and how large and how sure its masks are over time."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ..audio import Listener, log_mel_windows
from ..audio.log_mel import EXAMPLE_HOP, SAMPLING_RATE, WINDOW_SAMPLES
from ..hub import write_whole
from ..predict import FrameMask
from ..viz import BACKGROUND, FAINT_INK, INK, class_colour, overlay, spectrogram, write_text

_WIDTH, _MARGIN, _LABELS, _HEAD, _GAP = 1600, 24, 96, 60, 16  # pixels
_PICTURE, _SOUND, _CURVE = 120, 128, 96  # heights of the rows
_PLOT = _WIDTH - 2 * _MARGIN - _LABELS
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds
_MOST_TICKS, _MOST_PICTURES = 16, 32
_GRID = (222, 224, 234)
_BANDS, _MEL_SECONDS = 64, 0.01


class Bins:
    """Means of some numbers over equal stretches of time, which become twice as long whenever there are too many.

    Args:
        size: how many numbers.
        limit: the most stretches, an even number.
    """

    def __init__(self, size: int, limit: int = 1600) -> None:
        self._seconds = _MEL_SECONDS
        self._sums, self._counts = np.zeros((limit, size)), np.zeros((limit, 1))

    def add(self, times: np.ndarray, values: np.ndarray) -> None:
        """Adds values (n, size) at some times (n,) in seconds."""
        while times.max() >= len(self._sums) * self._seconds:
            self._seconds *= 2
            self._sums, self._counts = _merge_pairs(self._sums), _merge_pairs(self._counts)
        places = (times / self._seconds).astype(int)
        np.add.at(self._sums, places, values)
        np.add.at(self._counts, places, 1)

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """The middles (n,) of the stretches in which there is something, and the means (n, size)."""
        filled = np.flatnonzero(self._counts)
        return (filled + 0.5) * self._seconds, self._sums[filled] / self._counts[filled]


def _merge_pairs(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[::2] + rows[1::2], np.zeros_like(rows[: len(rows) // 2])])


class Timeline:
    """Draws the sheet, a PNG, when the film is over; until then it holds a few small pictures and means.

    Args:
        path: the file.
        title: what stands above.
        sound: the waveform of the film in parts (n,) at 16 kHz.
    """

    def __init__(self, path: Path, title: str, sound: Iterator[Tensor]) -> None:
        self._path, self._title = path, title
        self._sound = Listener(sound, "causal", WINDOW_SAMPLES)
        self._examples = 0  # of the sound, that are in the spectrogram
        self._levels, self._curves = Bins(_BANDS), Bins(2)
        self._pictures: list[tuple[float, Image.Image]] = []
        self._spacing, self._last, self._lasting = 0.0, 0.0, 0.04

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._pictures:
            self._hear(self._last + EXAMPLE_HOP / SAMPLING_RATE)
            write_whole(self._path.parent, {self._path.name: self._draw().save})

    def write(self, frame: FrameMask) -> None:
        """See `Output`."""
        if frame.time > self._last:
            self._lasting = frame.time - self._last
        self._last = frame.time
        self._curves.add(np.array([frame.time]), np.array([[frame.mask.mean(), frame.score]]))
        self._hear(frame.time)
        if not self._pictures or frame.time >= self._pictures[-1][0] + self._spacing:
            picture = Image.fromarray(overlay(frame.picture, frame.mask))
            picture.thumbnail((2 * _PICTURE, _PICTURE), Image.Resampling.BILINEAR)
            self._pictures.append((frame.time, picture))
        if len(self._pictures) > _MOST_PICTURES:
            self._pictures = self._pictures[::2]
            self._spacing = self._pictures[1][0] - self._pictures[0][0]

    def _hear(self, until: float) -> None:
        """Takes the examples of the sound that have ended by then into the spectrogram."""
        while (end := (self._examples * EXAMPLE_HOP + WINDOW_SAMPLES) / SAMPLING_RATE) <= until:
            (levels,) = log_mel_windows(self._sound.windows([end]))[:, 0].numpy()
            begin = self._examples * EXAMPLE_HOP / SAMPLING_RATE
            self._levels.add(begin + _MEL_SECONDS * np.arange(len(levels)), levels)
            self._examples += 1

    def _draw(self) -> Image.Image:
        seconds = self._last + self._lasting
        tops = np.cumsum([_HEAD, _PICTURE + _GAP, _SOUND + _GAP, _CURVE + _GAP, _CURVE]).tolist()
        sheet = Image.new("RGB", (_WIDTH, tops[-1] + 44), BACKGROUND)
        draw = ImageDraw.Draw(sheet)
        write_text(draw, (_MARGIN, 20), self._title, 19, width=_WIDTH - 2 * _MARGIN)
        _draw_pictures(sheet, self._pictures, tops[0], seconds)
        _draw_axis(draw, tops[2], tops[-1], seconds)
        for top, label in zip(tops[1:], ("sound", "mask area", "score"), strict=False):
            write_text(draw, (_MARGIN, top + 2), label, 14)
        times, levels = self._levels.means()
        if len(times):
            moments = (np.arange(_PLOT) + 0.5) * seconds / _PLOT
            columns = np.stack([np.interp(moments, times, band) for band in levels.T], axis=1)
            sheet.paste(spectrogram(columns, (_PLOT, _SOUND), seconds=seconds), (_MARGIN + _LABELS, tops[1]))
        times, curves = self._curves.means()
        largest = max(0.01, math.ceil(100 * curves[:, 0].max()) / 100)
        red, green, blue = class_colour(1).tolist()
        _draw_curve(draw, tops[2], times / seconds, curves[:, 0] / largest, (red, green, blue))
        _draw_curve(draw, tops[3], times / seconds, curves[:, 1], INK)
        write_text(draw, (_MARGIN, tops[2] + 22), f"0 to {largest:.0%}", 12, FAINT_INK)
        write_text(draw, (_MARGIN, tops[3] + 22), "0 to 1", 12, FAINT_INK)
        return sheet


def _draw_pictures(sheet: Image.Image, pictures: list[tuple[float, Image.Image]], top: int, seconds: float) -> None:
    """As many of the pictures as there is room for, side by side, each at about its time."""
    room = max(1, (_PLOT + 4) // (pictures[0][1].width + 4))
    for k in range(min(room, len(pictures))):
        cell = _PLOT / min(room, len(pictures))
        _, picture = min(pictures, key=lambda each: abs(each[0] / seconds * _PLOT - (k + 0.5) * cell))
        sheet.paste(picture, (_MARGIN + _LABELS + round((k + 0.5) * cell - picture.width / 2), top))


def _draw_axis(draw: ImageDraw.ImageDraw, top: int, bottom: int, seconds: float) -> None:
    """Lines at round times, and the times under them."""
    step = next((tick for tick in _TICKS if seconds / tick <= _MOST_TICKS), 7200)
    for k in range(math.floor(seconds / step + 1e-9) + 1):
        x = _MARGIN + _LABELS + round(k * step / seconds * _PLOT)
        draw.line((x, top, x, bottom + 5), fill=_GRID)
        write_text(draw, (x - 8, bottom + 10), _clock(k * step, step), 12, FAINT_INK)


def _clock(seconds: float, step: float) -> str:
    if step < 30:
        return f"{seconds:g} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{left:02d}" if minutes >= 60 else f"{minutes}:{left:02d}"


def _draw_curve(
    draw: ImageDraw.ImageDraw, top: int, places: np.ndarray, heights: np.ndarray, colour: tuple[int, int, int]
) -> None:
    """A curve (n,), both from 0 to 1, over a paler area."""
    left, bottom = _MARGIN + _LABELS, top + _CURVE
    x, y = left + places * _PLOT, bottom - heights * _CURVE
    points = [(left, y[0]), *zip(x.tolist(), y.tolist(), strict=True), (left + _PLOT, y[-1])]
    pale = tuple(round(0.2 * own + 0.8 * paper) for own, paper in zip(colour, BACKGROUND, strict=True))
    draw.polygon([(left, bottom), *points, (left + _PLOT, bottom)], fill=pale)
    draw.line(points, fill=colour, width=2)
    draw.line((left, bottom, left + _PLOT, bottom), fill=FAINT_INK)
