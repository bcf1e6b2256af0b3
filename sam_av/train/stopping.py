"""Leaving a training cleanly: signals are taken note of, and obeyed between two steps."""

import signal
import threading
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(RuntimeError):  # noqa: N818 - nothing went wrong
    """A training was told to stop, and did after it had saved its state.

    Attributes:
        signal: the number of the signal that told it.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"Stopped after step {step:,}; its state is saved. The same command goes on from there.")
        self.signal = signal_number


class StopRequest:
    """While it is open, Ctrl-C and SIGTERM ask for a stop instead of making one; a second Ctrl-C is not waited for.

    Attributes:
        signal: the number of the signal that asked, 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others are not asked by signals
            self._before = {number: signal.signal(number, self._take_note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take_note(self, number: int, _: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def leave_signals_alone(_worker: int) -> None:
    """For the workers of a DataLoader, which a terminal or a scheduler signals, too: they work on until they are ended.

    A worker that went first would take its batch with it, and the step that is to be finished could not be.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
