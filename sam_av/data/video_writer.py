"""Writing videos that play anywhere: MP4 with H.264 pictures and AAC sound, frame by frame."""

import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from .clip import SAMPLE_RATE

_QUALITY = {"crf": "18", "preset": "veryfast"}  # x264's: visually without loss, and fast
_BT709 = 1  # the number of that standard wherever a video says how its colours are meant


class VideoWriter:
    """A video that is written a frame at a time; it holds a few frames, however long it gets.

    The file appears whole when the `with` block ends, and not at all when an error ends it.

        with VideoWriter(Path("masks.mp4"), fps=25, waveform=waveform) as video:
            for picture in pictures:
                video.write(picture)

    Args:
        path: the file.
        fps: frames a second.
        waveform: (n,) floats at 16 kHz, the sound from the first frame on; what outlasts the frames is left out.
    """

    def __init__(self, path: Path, fps: float | Fraction, waveform: np.ndarray | None = None) -> None:
        if path.suffix != ".mp4":
            raise ValueError(f"Videos are written as .mp4, not '{path.name}'.")
        if fps <= 0:
            raise ValueError(f"A video needs more than 0 frames a second, not {fps}.")
        self.path = path
        self._fps = Fraction(fps).limit_denominator(1001)  # 30000 / 1001 is often known as a float
        self._waveform = np.zeros(0, np.float32) if waveform is None else waveform
        self._written, self._heard = 0, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-")
        self._draft = Path(self._folder.name) / path.name
        # With "faststart" the table of contents stands first, so that a browser plays while it loads.
        self._container = av.open(self._draft, "w", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("libx264", rate=self._fps, options=_QUALITY)
        self._sound = None if waveform is None else self._container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._folder:
            if kind is None and self._written:
                self._container.mux(self._video.encode())
                if self._sound is not None:
                    self._container.mux(self._sound.encode())
            self._container.close()
            if kind is None and not self._written:
                raise ValueError(f"'{self.path}' was to be a video without a frame.")
            if kind is None:
                self._draft.replace(self.path)

    def write(self, picture: np.ndarray) -> None:
        """Adds a frame (H, W, 3) uint8, of the size of the first. An odd side is evened by repeating its last row."""
        height, width = picture.shape[:2]
        # Colours have half the resolution, so that both sides must be even.
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not self._written:
            self._describe(*picture.shape[:2])
        if picture.shape[:2] != (self._video.height, self._video.width):
            raise ValueError(
                f"Frame {self._written} of '{self.path}' is {width} x {height} pixels, the first one "
                f"{self._video.width} x {self._video.height}: all frames of a video have one size."
            )
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts, frame.time_base = self._written, 1 / self._fps
        self._container.mux(self._video.encode(frame))
        self._written += 1
        self._hear(self._written / self._fps)

    def _describe(self, height: int, width: int) -> None:
        self._video.height, self._video.width = height, width
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG

    def _hear(self, seconds: Fraction) -> None:
        """Adds the sound up to then: beside its frames, so that neither waits for the other when it is played."""
        end = min(round(seconds * SAMPLE_RATE), len(self._waveform))
        if self._sound is None or end <= self._heard:
            return
        samples = self._waveform[self._heard : end].astype(np.float32).clip(-1, 1)
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.rate, sound.pts, sound.time_base = SAMPLE_RATE, self._heard, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._sound.encode(sound))
        self._heard = end
