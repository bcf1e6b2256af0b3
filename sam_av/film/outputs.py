"""Where the masks of a film go, a frame at a time: one class for each form."""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeVar

import numpy as np
from PIL import Image

from ..audio.decode import SoundPart
from ..damage import DamagedSource
from ..data.shapes import draw_shape, encode_mask
from ..data.video_writer import VideoWriter
from ..frames import Frame
from ..hub import write_whole
from ..predict import FrameMask
from ..viz import overlay

_CLOSE = 1e-3  # seconds
Part = TypeVar("Part")


class Output(Protocol):
    """Something that takes frames with their masks, in order, and is whole when its `with` block ends."""

    def __enter__(self) -> Self:
        """Begins."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Finishes, unless an error ends the block."""

    def write(self, frame: FrameMask) -> None:
        """Adds a frame."""


@contextmanager
def open_all(outputs: Sequence[Output]) -> Iterator[None]:
    """Opens outputs. At the end each finishes by itself: what goes wrong in one of them takes nothing from the others.

    An error of the block ends them all, as those that have no whole result.
    """
    with ExitStack() as opened:
        for each in outputs:
            opened.enter_context(each)
        yield
        opened.pop_all()
    failures = []
    for each in outputs:
        try:
            each.__exit__(None, None, None)
        except (OSError, ValueError) as error:
            failures.append(error)
    if failures:
        raise failures[0]


def until_damage(parts: Iterator[Part]) -> Iterator[Part]:
    """The parts of a sound up to where it breaks off, with a warning: for what is drawn or kept beside the masks.

    Whether the masks end there is for those to say that hear it.
    """
    try:
        yield from parts
    except DamagedSource as error:
        warnings.warn(str(error), stacklevel=2)


class OverlayFilm:
    """The film with its masks drawn into it, each frame at its own time, and with its sound: an mp4."""

    def __init__(self, path: Path, fps: Fraction, sound: Iterable[SoundPart], pixel_aspect: Fraction) -> None:
        self._video = VideoWriter(path, fps, sound, pixel_aspect=pixel_aspect)

    def __enter__(self) -> Self:
        self._video.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._video.__exit__(kind, error, trace)

    def write(self, frame: FrameMask) -> None:
        """See `Output`."""
        self._video.write(overlay(frame.picture, frame.mask), frame.time)


class PictureFiles:
    """A PNG for each frame: its mask in white on black, or the frame with its mask drawn into it.

    Args:
        path: of the file of a single picture; or a folder for those of a film, numbered from 0.
        drawn: whether the frame is shown, too.
    """

    def __init__(self, path: Path, *, drawn: bool) -> None:
        self._path, self._drawn = path, drawn
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def write(self, frame: FrameMask) -> None:
        """See `Output`."""
        image = Image.fromarray(overlay(frame.picture, frame.mask) if self._drawn else frame.mask).convert(
            "RGB" if self._drawn else "L"
        )
        is_single = self._path.suffix == ".png"
        path = self._path if is_single else self._path / f"{self._written:06d}.png"
        # The least compression takes a fifth of the time, and masks are small anyway.
        write_whole(path.parent, {path.name: lambda draft: image.save(draft, compress_level=1)})
        self._written += 1


class MaskRows:
    """The masks as JSON lines, a frame a line: number, time, score, share of the frame, and COCO run lengths.

    Each line is on the disk before the next frame comes, so that a run that ends in any way can be taken up again.

    Args:
        path: the file; it is begun anew, or goes on behind the rows that are kept.
        kept: how many rows of an earlier run are in it, and stay.
    """

    def __init__(self, path: Path, kept: int = 0) -> None:
        self._path, self._kept = path, kept
        self._written = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, frame: FrameMask) -> None:
        """See `Output`."""
        if self._written >= self._kept:
            row = {
                "frame": self._written,
                "time": round(frame.time, 6),
                "score": round(frame.score, 6),
                "area": round(float(frame.mask.mean()), 6),
                "carried": frame.carried,
                "segmentation": encode_mask(frame.mask),
            }
            if self._file is None:
                self._file = self._open_behind_kept()
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
        self._written += 1

    def _open_behind_kept(self) -> BinaryIO:
        """What else an earlier run left is cut off only now that there is something to put in its place."""
        file = self._path.open("r+b" if self._kept else "wb")
        for _ in range(self._kept):
            file.readline()
        file.truncate()
        return file


def count_rows(path: Path) -> int:
    """How many rows a run goes on from: whole ones, before the last of a frame on which the model ran."""
    kept, count = 0, 0
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):  # the run was killed in the middle of it
                break
            if not json.loads(line)["carried"]:
                kept = count
            count += 1
    return kept


def read_rows(path: Path, count: int) -> Iterator[dict[str, Any]]:
    """The first rows of a file of masks."""
    with path.open(encoding="utf-8") as file:
        for _ in range(count):
            yield json.loads(file.readline())


def mask_of_row(row: dict[str, Any], frame: Frame) -> FrameMask:
    """A row and its frame as what it was written from, with the infinite logits of a mask that is certain."""
    if abs(row["time"] - frame.time) > _CLOSE:
        raise ValueError(
            f"Frame {row['frame']} is at {frame.time:.3f} s now, and was at {row['time']:.3f} s when its mask was "
            "made: the film has changed. Run it anew."
        )
    mask = draw_shape(row["segmentation"], (frame.picture.shape[0], frame.picture.shape[1]))
    logits = np.where(mask, np.float32(np.inf), np.float32(-np.inf))
    return FrameMask(frame.time, mask, row["score"], logits, frame.picture, row["carried"])
