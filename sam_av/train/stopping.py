"""Leaving a training cleanly: what it says when it was told to stop, and workers that are not told."""

import signal

from ..stopping import SIGNALS


class TrainingStopped(RuntimeError):  # noqa: N818 - nothing went wrong
    """A training was told to stop, and did after it had saved its state.

    Attributes:
        signal: the number of the signal that told it.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"Stopped after step {step:,}; its state is saved. The same command goes on from there.")
        self.signal = signal_number


def leave_signals_alone(_worker: int) -> None:
    """For the workers of a DataLoader, which a terminal or a scheduler signals, too: they work on until they are ended.

    A worker that went first would take its batch with it, and the step that is to be finished could not be.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
