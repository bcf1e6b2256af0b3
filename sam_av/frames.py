"""The frames of a picture, a video or a live stream, each with the sound that it hears. They stream at any length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from .audio import Listener, to_mono, to_mono_16k
from .audio.log_mel import SAMPLING_RATE
from .data.video import VideoReader

_CLOSE = 1e-6
"""Seconds by which the times of frames may be off."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame.

    Attributes:
        time: seconds from the start.
        picture: (H, W, 3) uint8; or a picture in another form that the processor takes.
        window: (n,) the sound that it hears, at 16 kHz; None where it takes the mask of the frame before.
    """

    time: float
    picture: np.ndarray
    window: Tensor | None


def video_frames(
    video: VideoReader, listener: Listener, *, fps: float | None = None, mask_fps: float | None = None
) -> Iterator[Frame]:
    """The frames of a video from its start to its end, which is closed then.

    Args:
        video: the video.
        listener: hears its sound.
        fps: frames a second, each the nearest one that the video has; by default all of them, at their own times.
        mask_fps: of these so many a second hear anything; by default all.
    """
    for name, rate in (("fps", fps), ("mask_fps", mask_fps)):
        if rate is not None and not 0 < rate < float("inf"):
            raise ValueError(f"{name} is how many frames a second, more than 0, not {rate}.")
    return _listen(video, listener, fps, mask_fps)


def _listen(video: VideoReader, listener: Listener, fps: float | None, mask_fps: float | None) -> Iterator[Frame]:
    due = float("-inf")
    with video:
        for time, picture in video.frames() if fps is None else _at_rate(video, fps):
            hears = mask_fps is None or time >= due - _CLOSE
            yield Frame(time, picture, listener.windows([time])[0] if hears else None)
            if hears and mask_fps is not None:
                due = (int((time + _CLOSE) * mask_fps) + 1) / mask_fps


def _at_rate(video: VideoReader, fps: float) -> Iterator[tuple[float, np.ndarray]]:
    for k in count():
        picture = video.at(k / fps)
        if picture is None or (k and video.is_over(k / fps)):
            return
        yield k / fps, picture


def frame_at(video: VideoReader, listener: Listener, time: float) -> Frame:
    """The one frame of a video that is nearest to a time, which is closed then."""
    with video:
        picture = video.at(time)
        if picture is None:
            raise ValueError(f"'{video.path}' lasts {video.end:.2f} s; a frame was wanted at {time:g} s.")
        return Frame(time, picture, listener.windows([time])[0])


def live_frames(pairs: Iterable[tuple[np.ndarray, np.ndarray]], rate: int, window_samples: int) -> Iterator[Frame]:
    """The frames of a live stream, which hear what was played up to them.

    Args:
        pairs: pictures (H, W, 3), each with the samples (n,) or (channels, n) that were played since the one before, of
            which there may be none. A frame's time is how much has been played.
        rate: of the samples, in Hz.
        window_samples: length of a window, at 16 kHz.
    """
    # A second more than a window is held, so that resampling has what lies before it.
    held, played, needed = torch.empty(0), 0, rate + window_samples * rate // SAMPLING_RATE
    for picture, samples in pairs:
        if np.size(samples):
            new = to_mono(samples)
            held, played = torch.cat([held, new])[-needed:], played + len(new)
        heard = to_mono_16k(held, rate)[-window_samples:] if len(held) else held
        silence = torch.zeros(window_samples - len(heard))  # before the stream began
        yield Frame(played / rate, picture, torch.cat([silence, heard]))
