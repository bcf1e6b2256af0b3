"""Working ahead: what an iterator gives is made in a thread while what it gave before is used."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """An iterator that is run in a thread of its own, a few items ahead of whoever asks for them.

    The thread starts when the first item is asked for; `close` ends it. Errors of the inner iterator come where its
    next item would have come.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(depth)
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        if self._closed:
            raise StopIteration
        if self._thread.ident is None:
            self._thread.start()
        item, error = self._ready.get()
        if error is not None:
            self.close()
            raise error
        return item  # type: ignore[return-value]  # without an error there is an item

    def close(self) -> None:
        """Ends the thread, and with it the inner iterator."""
        self._closed = True
        if self._thread.ident is None:
            self._close_items()
        while self._thread.is_alive():  # it may wait for room
            try:
                self._ready.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self) -> None:
        try:
            for item in self._items:
                if self._closed:
                    break
                self._ready.put((item, None))
            last: BaseException = StopIteration()
        except BaseException as error:
            last = error
        finally:
            self._close_items()
        self._ready.put((None, last))

    def _close_items(self) -> None:
        if (close := getattr(self._items, "close", None)) is not None:
            close()
