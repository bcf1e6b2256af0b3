"""Which 0.96 s of a waveform the frame at a given time hears."""

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .log_mel import EXAMPLE_HOP, SAMPLING_RATE, WINDOW_SAMPLES

RULES = ("example", "centered", "causal")


def frame_windows(
    waveform: Tensor | np.ndarray,
    times: Tensor | np.ndarray | Sequence[float],
    rule: str,
    window_samples: int = WINDOW_SAMPLES,
) -> Tensor:
    """The window of sound for each frame of a clip: (T, window_samples).

    Args:
        waveform: (n,) mono at 16 kHz.
        times: (T,) seconds from the start of the waveform, taken to the nearest sample. In float32 that is exact for
            the first eight minutes.
        rule: "example" is the VGGish example number floor(t / 0.96), the last whole one for frames after it;
            "centered" is the window around t; "causal" is the window that ends at t.
        window_samples: length of a window. What lies outside of the waveform is zero.
    """
    waveform = torch.as_tensor(waveform)
    seconds = torch.as_tensor(times, dtype=torch.float64, device="cpu")
    if waveform.ndim != 1:
        raise ValueError(f"frame_windows needs one mono waveform (n,), not {tuple(waveform.shape)}.")
    if seconds.ndim != 1 or len(seconds) == 0 or not bool(torch.isfinite(seconds).all()):
        raise ValueError(f"Times must be (T,) finite seconds, one for each of at least one frame; found {times}.")
    moments = torch.round(seconds * SAMPLING_RATE).long()
    if rule == "example":
        if len(waveform) < window_samples:
            _warn_of_short_sound(window_samples)
        last = max(len(waveform) - window_samples, 0) // EXAMPLE_HOP
        starts = moments.div(EXAMPLE_HOP, rounding_mode="floor").clamp(0, last) * EXAMPLE_HOP
    elif rule == "centered":
        starts = moments - window_samples // 2
    elif rule == "causal":
        starts = moments - window_samples
    else:
        raise ValueError(f"There is no window rule '{rule}': choose one of {', '.join(RULES)}.")
    return _cut(waveform, starts.clamp(-window_samples, len(waveform)), window_samples)


def _cut(waveform: Tensor, starts: Tensor, length: int) -> Tensor:
    """The stretches of `length` samples from `starts` (T,) on, zero outside of the waveform: (T, length)."""
    first, end = int(starts.min()), int(starts.max()) + length
    # Only what the frames span is copied, so that a few frames of an hour of sound stay cheap.
    span = F.pad(waveform[max(first, 0) : end], (max(-first, 0), max(end - len(waveform), 0)))
    return span.unfold(0, length, 1)[(starts - first).to(waveform.device)]


@cache
def _warn_of_short_sound(window_samples: int) -> None:
    """Warns once per process, since a data set may hold many short clips."""
    warnings.warn(
        f"A waveform is shorter than one window ({window_samples / SAMPLING_RATE:.3f} s): it is padded with silence. "
        "Others like it are padded without further warning.",
        stacklevel=3,
    )
