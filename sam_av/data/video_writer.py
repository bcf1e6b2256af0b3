"""Writing videos that play anywhere: MP4 with H.264 pictures and AAC sound, frame by frame."""

import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from ..audio.decode import SoundPart
from .clip import SAMPLE_RATE

_QUALITY = {"crf": "18", "preset": "veryfast"}  # x264's: visually without loss, and fast
_BT709 = 1  # the number of that standard wherever a video says how its colours are meant
_TICKS = 10_000  # in a second, at least: how finely the times of frames are kept
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # of sound that AAC keeps as it is; any other becomes stereo


class VideoWriter:
    """A video that is written a frame at a time; it holds a few frames, however long it gets.

    The file appears whole when the `with` block ends, and not at all when an error ends it.

        with VideoWriter(Path("masks.mp4"), fps=25, sound=waveform) as video:
            for picture in pictures:
                video.write(picture)

    Args:
        path: the file.
        fps: frames a second.
        sound: the sound from the first frame on: a waveform (n,) of floats at 16 kHz, or parts of any rate and number
            of channels, as `stream_channels` reads them from a file. What outlasts the frames is left out.
        pixel_aspect: width of a pixel by its height.
    """

    def __init__(
        self,
        path: Path,
        fps: float | Fraction,
        sound: np.ndarray | Iterable[SoundPart] | None = None,
        *,
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        if path.suffix != ".mp4":
            raise ValueError(f"Videos are written as .mp4, not '{path.name}'.")
        if fps <= 0:
            raise ValueError(f"A video needs more than 0 frames a second, not {fps}.")
        self.path = path
        self._fps = Fraction(fps).limit_denominator(1001)  # 30000 / 1001 is often known as a float
        self._tick = Fraction(1, self._fps.numerator * ceil(_TICKS / self._fps.numerator))
        self._pixel_aspect = pixel_aspect
        self._written, self._last = 0, -1
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-")
        self._draft = Path(self._folder.name) / path.name
        # With "faststart" the table of contents stands first, so that a browser plays while it loads.
        self._container = av.open(self._draft, "w", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("libx264", rate=self._fps, options=_QUALITY)
        self._video.codec_context.time_base = self._tick
        self._sound = None if sound is None else _SoundWriter(self._container, _parts_of(sound))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._folder:
            if kind is None and self._written:
                self._container.mux(self._video.encode())
                if self._sound is not None:
                    self._sound.finish()
            self._container.close()
            if kind is None and not self._written:
                raise ValueError(f"'{self.path}' was to be a video without a frame.")
            if kind is None:
                self._draft.replace(self.path)

    def write(self, picture: np.ndarray, time: float | None = None) -> None:
        """Adds a frame (H, W, 3) uint8, of the size of the first. An odd side is evened by repeating its last row.

        The frames follow each other at `fps`, or each is shown from its own `time`, in seconds, on.
        """
        height, width = picture.shape[:2]
        if height % 2 or width % 2:  # colours have half the resolution, so that both sides must be even
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not self._written:
            self._describe(*picture.shape[:2])
        if picture.shape[:2] != (self._video.height, self._video.width):
            raise ValueError(
                f"Frame {self._written} of '{self.path}' is {width} x {height} pixels, the first one "
                f"{self._video.width} x {self._video.height}: all frames of a video have one size."
            )
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        begin = self._written / self._fps if time is None else Fraction(time)
        self._last = max(round(begin / self._tick), self._last + 1)
        frame.pts, frame.time_base = self._last, self._tick
        self._container.mux(self._video.encode(frame))
        self._written += 1
        if self._sound is not None:
            self._sound.write_until(self._last * self._tick + 1 / self._fps)

    def _describe(self, height: int, width: int) -> None:
        self._video.height, self._video.width = height, width
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        context.sample_aspect_ratio = self._pixel_aspect
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG


class _SoundWriter:
    """The audio track of a file that is being written, with the rate and the channels of its first part if it can."""

    def __init__(self, container: av.container.OutputContainer, parts: Iterator[SoundPart]) -> None:
        self._container, self._parts = container, parts
        self._waiting = next(parts, SoundPart(np.zeros((1, 0), np.float32), SAMPLE_RATE))
        known = sorted(av.Codec("aac", "w").audio_rates or [])
        rate = next((rate for rate in known if rate >= self._waiting.rate), known[-1])
        layout = _LAYOUTS.get(len(self._waiting.samples), "stereo")
        self._track = container.add_stream("aac", rate=rate, layout=layout)
        self._form = {"format": "fltp", "layout": layout, "rate": rate}
        self._converted: tuple[int, int] | None = None  # channels and rate that the converter takes
        self._written = 0
        self._seconds = Fraction(0)

    def write_until(self, seconds: Fraction) -> None:
        """Adds the sound up to then: beside its frames, so that neither waits for the other when it is played."""
        while self._seconds < seconds:
            samples, rate = self._waiting
            chosen = samples[:, : ceil((seconds - self._seconds) * rate)]
            if chosen.size:
                self._encode(chosen, rate)
                self._seconds += Fraction(chosen.shape[1], rate)
            self._waiting = SoundPart(samples[:, chosen.shape[1] :], rate)
            if not self._waiting.samples.size:
                following = next(self._parts, None)
                if following is None:
                    return
                self._waiting = following

    def finish(self) -> None:
        self._container.mux(self._track.encode())

    def _encode(self, samples: np.ndarray, rate: int) -> None:
        if self._converted != (len(samples), rate):
            self._converted = (len(samples), rate)
            self._converter = av.AudioResampler(**self._form)
        layout = _LAYOUTS.get(len(samples), f"{len(samples)} channels")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, np.float32).clip(-1, 1), format="fltp", layout=layout
        )
        frame.rate = rate
        for converted in self._converter.resample(frame):
            converted.pts, converted.time_base = self._written, Fraction(1, converted.rate)
            self._container.mux(self._track.encode(converted))
            self._written += converted.samples


def _parts_of(sound: np.ndarray | Iterable[SoundPart]) -> Iterator[SoundPart]:
    if isinstance(sound, np.ndarray):
        return iter([SoundPart(sound[None], SAMPLE_RATE)])
    return iter(sound)
