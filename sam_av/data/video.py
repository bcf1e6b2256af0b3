"""Frames of a video by their time: seconds from the start of the file, turned as the camera was held."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from ..damage import DamagedSource

_SEEK_BEYOND = 5.0
"""Seconds up to which it is cheaper to decode what lies between than to look for a key frame."""

_CUT_SHORT, _SLACK = 0.95, 0.5
"""The share of the declared length that the packets of a whole file reach, but for some seconds: it may be a guess."""


def read_frames(path: Path, times: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    """The frames nearest to some times, (T, H, W, 3) uint8, and the times (T,); without times one frame a second."""
    pictures: list[np.ndarray] = []
    with VideoReader(path) as video:
        for time in count() if times is None else times:
            picture = video.at(float(time))
            if times is None and pictures and video.is_over(time):
                break
            if picture is None:
                raise ValueError(f"'{path}' ends at {video.end:.2f} s; a frame was wanted at {time:g} s.")
            pictures.append(picture)
    return np.stack(pictures), np.arange(len(pictures), dtype=np.float64) if times is None else np.array(times, float)


class VideoReader:
    """A video whose frames are asked for in increasing order of time. Holds two frames, however long the video.

    All pictures have the size of the first, as the camera was held.

    Attributes:
        end: the end of the last frame that was decoded, in seconds.
        duration: how long the file says it is, in seconds; None where it does not say.
        rate: mean frames a second, None where the file does not say.
        pixel_aspect: width of a pixel by its height, where pixels are not square.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f"There is no video '{path}'.")
        try:
            self._container = av.open(path)
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
        stream = self._container.streams.best("video")
        if stream is None:
            self._container.close()
            raise ValueError(f"'{path}' has no picture: it holds sound alone.")
        if stream.codec_context is None:
            self._container.close()
            raise ValueError(
                f"The pictures of '{path}' are coded in a way that this FFmpeg does not know: save it as H.264."
            )
        self._stream = stream
        self._origin = max(self._container.start_time or 0, 0) / av.time_base
        self.duration = self._container.duration / av.time_base if self._container.duration else None
        self.rate = stream.average_rate
        self._lasting = float(1 / stream.average_rate) if stream.average_rate else 0.0
        self._reached = 0.0  # by the packets of all tracks
        self.end = 0.0
        self._shown: av.VideoFrame | None = None
        self._next: av.VideoFrame | None = None
        self._decoded = self._decode()
        self._advance()
        if self._next is None:
            raise ValueError(f"No picture can be decoded from '{path}': it is empty or cut off. Get it again.")
        self._size: tuple[int, int] = (self._next.width, self._next.height)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        self.pixel_aspect: Fraction = 1 / aspect if self._quarter_turns(self._next) % 2 else aspect

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

    def at(self, time: float) -> np.ndarray | None:
        """The frame nearest to a time, (H, W, 3) uint8, or None when the video ended before."""
        if self._next is not None and time - self._seconds(self._next) > _SEEK_BEYOND:
            self._start_at(time)
        while self._next is not None and self._seconds(self._next) <= time:
            self._advance()
        if self._next is None and time > self.end + 1e-3:
            return None
        candidates = [frame for frame in (self._shown, self._next) if frame is not None]
        return self._picture(min(candidates, key=lambda frame: abs(self._seconds(frame) - time)))

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """All frames from here on: their times in seconds, and pictures (H, W, 3) uint8."""
        before = float("-inf")
        while self._next is not None:
            if (time := self._seconds(self._next)) > before:  # damaged clocks run back
                yield time, self._picture(self._next)
                before = time
            self._advance()

    def is_over(self, time: float) -> bool:
        """Whether the last frame has been shown for most of its time by then."""
        return self._next is None and time > self.end - self._lasting / 2

    def _start_at(self, time: float) -> None:
        """Goes on from the last key frame up to a time."""
        self._shown = self._next = None
        try:
            self._container.seek(round((time + self._origin) * av.time_base))
        except av.FFmpegError as error:
            raise self._damaged(error.strerror) from error
        self._decoded = self._decode()
        self._advance()
        if time > 0 and (self._next is None or self._seconds(self._next) > time):
            self._start_at(0.0)  # the index of the file leads astray

    def _advance(self) -> None:
        upcoming = next(self._decoded, None)
        if self._next is not None:
            if upcoming is not None:
                self._lasting = self._seconds(upcoming) - self._seconds(self._next)
            self.end = self._seconds(self._next) + self._lasting
        self._shown, self._next = self._next, upcoming

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            # Packets of other tracks only show how far the file goes.
            for packet in self._container.demux():
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is not None and packet.time_base is not None:
                    end = float((stamp + (packet.duration or 0)) * packet.time_base)
                    self._reached = max(self._reached, end - self._origin)
                if packet.stream_index == self._stream.index:
                    yield from (frame for frame in packet.decode() if frame.time is not None)
        except av.FFmpegError as error:
            raise self._damaged(error.strerror) from error
        if self.duration and self._reached < _CUT_SHORT * self.duration - _SLACK:
            raise self._damaged(f"it should last {self.duration:.2f} s")

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        width, height = self._size
        return np.rot90(frame.to_ndarray(format="rgb24", width=width, height=height), self._quarter_turns(frame))

    def _quarter_turns(self, frame: av.VideoFrame) -> int:
        return round(frame.rotation / 90)

    def _seconds(self, frame: av.VideoFrame) -> float:
        return float(frame.time) - self._origin

    def _damaged(self, reason: str) -> DamagedSource:
        return DamagedSource(f"'{self.path}' is damaged after {self.end:.2f} s ({reason}): get it again.")

    def _unreadable(self, error: av.FFmpegError) -> ValueError:
        return ValueError(
            f"'{self.path}' ({self.path.stat().st_size:,} bytes) cannot be decoded ({error.strerror}): it is empty, "
            "cut off or no video. Play it, or get it again."
        )
