"""Frames of a video by their time: seconds from the start of the file, turned as the camera was held."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

_SEEK_BEYOND = 5.0
"""Seconds up to which it is cheaper to decode what lies between than to look for a key frame."""


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

    Attributes:
        end: the end of the last frame that was decoded, in seconds.
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
        self._stream = stream
        self._origin = max(self._container.start_time or 0, 0) / av.time_base
        self._lasting = float(1 / stream.average_rate) if stream.average_rate else 0.0
        self.end = 0.0
        self._shown: av.VideoFrame | None = None
        self._next: av.VideoFrame | None = None
        self._decoded = self._decode()
        self._advance()
        if self._next is None:
            raise ValueError(f"No picture can be decoded from '{path}': it is empty or cut off. Get it again.")

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
        nearest = min(candidates, key=lambda frame: abs(self._seconds(frame) - time))
        return np.rot90(nearest.to_ndarray(format="rgb24"), round(nearest.rotation / 90))

    def is_over(self, time: float) -> bool:
        """Whether the last frame has been shown for most of its time by then."""
        return self._next is None and time > self.end - self._lasting / 2

    def _start_at(self, time: float) -> None:
        """Goes on from the last key frame up to a time."""
        self._shown = self._next = None
        try:
            self._container.seek(round((time + self._origin) * av.time_base))
        except av.FFmpegError as error:
            raise self._unreadable(error) from error
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
            for frame in self._container.decode(self._stream):
                if frame.time is not None:
                    yield frame
        except av.FFmpegError as error:
            raise ValueError(
                f"'{self.path}' is damaged after {self.end:.2f} s ({error.strerror}): get it again."
            ) from error

    def _seconds(self, frame: av.VideoFrame) -> float:
        return float(frame.time) - self._origin

    def _unreadable(self, error: av.FFmpegError) -> ValueError:
        return ValueError(
            f"'{self.path}' ({self.path.stat().st_size:,} bytes) cannot be decoded ({error.strerror}): it is empty, "
            "cut off or no video. Play it, or get it again."
        )
