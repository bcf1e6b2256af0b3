"""Resampling a sound, as a whole or in parts, which give the same samples."""

import math
from typing import Protocol

import av
import numpy as np
import torch
import torchaudio
from torch import Tensor

_ENOUGH = 0.25  # seconds that are resampled at once: each call has a price of its own
_LARGEST_KERNEL = 4_000_000  # weights; between 44,100 Hz and 16 kHz there are 70,560


class Resampler(Protocol):
    """Takes a waveform in parts and gives it back, in other parts, at another rate."""

    def push(self, part: Tensor) -> Tensor:
        """Takes the next samples (n,) and gives those that are ready, which may be none."""

    def flush(self) -> Tensor:
        """The rest, when all has been pushed."""


def resample(sound: Tensor, rate: int, target: int) -> Tensor:
    """A whole waveform (n,) float32 at another rate."""
    if _is_unusual(rate, target):
        resampler = UnusualRateResampler(rate, target)
        return torch.cat([resampler.push(sound), resampler.flush()]).to(sound.device)
    return torchaudio.functional.resample(sound, rate, target)


def open_resampler(rate: int, target: int) -> Resampler:
    """A resampler between two rates, in Hz."""
    return UnusualRateResampler(rate, target) if _is_unusual(rate, target) else StreamResampler(rate, target)


def _is_unusual(rate: int, target: int) -> bool:
    """Whether two rates have so little in common that a filter with weights for each phase takes gigabytes."""
    return rate * target // math.gcd(rate, target) ** 2 > _LARGEST_KERNEL


class UnusualRateResampler:
    """FFmpeg's, which interpolates between the phases of a small filter: for rates such as 11,127 or 44,099 Hz.

    Args:
        rate: of what comes in, in Hz.
        target: of what goes out.
    """

    def __init__(self, rate: int, target: int) -> None:
        self._rate = rate
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=target)

    def push(self, part: Tensor) -> Tensor:
        """Takes the next samples (n,) and gives those that are ready, which may be none."""
        if len(part) == 0:
            return torch.empty(0)
        frame = av.AudioFrame.from_ndarray(part.detach().cpu().numpy()[None], format="flt", layout="mono")
        frame.sample_rate = self._rate
        return self._joined(self._resampler.resample(frame))

    def flush(self) -> Tensor:
        """The rest, when all has been pushed."""
        return self._joined(self._resampler.resample(None))

    def _joined(self, frames: list[av.AudioFrame]) -> Tensor:
        return torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *(frame.to_ndarray()[0] for frame in frames)]))


class StreamResampler:
    """Gives what `torchaudio.functional.resample` gives of the whole.

    A filter needs some samples before and after those that it works on, so that what comes out lags behind.

    Args:
        rate: of what comes in, in Hz.
        target: of what goes out.
    """

    def __init__(self, rate: int, target: int) -> None:
        divisor = math.gcd(rate, target)
        self._step_in, self._step_out = rate // divisor, target // divisor
        # The kernel is computed in the same precision as `torchaudio.functional.resample` does.
        self._resample = torchaudio.transforms.Resample(rate, target, dtype=torch.float32)
        self._margin = 0 if rate == target else math.ceil(self._resample.width / self._step_in)
        self._enough = max(1, round(_ENOUGH * divisor))
        self._held = [torch.zeros(self._margin * self._step_in)]  # silence comes before the first sample

    def push(self, part: Tensor) -> Tensor:
        """Takes the next samples (n,) and gives those that are ready, which may be none."""
        self._held.append(part)
        held = sum(map(len, self._held))
        steps = held // self._step_in - 2 * self._margin
        if steps < self._enough:
            return torch.empty(0)
        sound = torch.cat(self._held)
        self._held = [sound[steps * self._step_in :]]
        resampled = self._resample(sound[: (steps + 2 * self._margin) * self._step_in])
        return resampled[self._margin * self._step_out : (self._margin + steps) * self._step_out]

    def flush(self) -> Tensor:
        """The rest, when all has been pushed."""
        return self._resample(torch.cat(self._held))[self._margin * self._step_out :]
