"""What the frames of a film hear, while its sound comes in parts: a few seconds of it are held at any time."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .log_mel import EXAMPLE_HOP, SAMPLING_RATE
from .windows import frame_windows


class Listener:
    """Cuts from a sound the windows of frames that are asked for in increasing order of time.

    The windows are those of `frame_windows` on the whole waveform.

    Args:
        parts: the waveform in parts (n,) at 16 kHz, read as far as the frames need it.
        rule: the window rule, as in `frame_windows`.
        window_samples: length of a window.
    """

    def __init__(self, parts: Iterable[Tensor], rule: str, window_samples: int) -> None:
        self._parts = iter(parts)
        self._rule, self._window_samples = rule, window_samples
        # No window begins or ends further away from its frame: an example of the rule "example" may lie in front of the
        # frame or behind it, and the last whole one lies up to a window and an example before the end.
        self._reach = window_samples + EXAMPLE_HOP
        self._held = torch.empty(0)
        self._start = 0  # the number of the first sample that is held: a multiple of EXAMPLE_HOP

    def windows(self, times: Sequence[float]) -> Tensor:
        """What the frames at some times hear: (T, window_samples)."""
        self._read(first=round(min(times) * SAMPLING_RATE), last=round(max(times) * SAMPLING_RATE))
        shifted = torch.tensor(times, dtype=torch.float64) - self._start / SAMPLING_RATE
        return frame_windows(self._held, shifted, self._rule, self._window_samples)

    def _read(self, first: int, last: int) -> None:
        """Reads on to what the frame at the sample `last` needs, and lets go of what lies before that at `first`."""
        new, end = [self._held], self._start + len(self._held)
        while end < last + self._reach and (part := next(self._parts, None)) is not None:
            new.append(part)
            end += len(part)
            if sum(map(len, new)) > 8 * self._reach:  # far behind the frames, as after a jump
                new = [self._forget(torch.cat(new), min(first, end))]
        self._held = self._forget(torch.cat(new), min(first, end))

    def _forget(self, held: Tensor, moment: int) -> Tensor:
        """What of the held samples is still needed by frames from a moment on."""
        keep_from = max(0, (moment - self._reach) // EXAMPLE_HOP * EXAMPLE_HOP)
        dropped = max(0, keep_from - self._start)
        self._start += dropped
        return held[dropped:].clone() if dropped else held
