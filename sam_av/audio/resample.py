"""Resampling a sound that comes in parts, to the same samples as if it had come as a whole."""

import math

import torch
import torchaudio
from torch import Tensor

_ENOUGH = 0.25  # seconds that are resampled at once: each call has a price of its own


class StreamResampler:
    """Takes a waveform in parts and gives it back, in other parts, at another rate.

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
