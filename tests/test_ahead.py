"""Working ahead: the same items in the same order, errors in their place, and no thread that is left over."""

import threading
import time

import pytest

from sam_av.ahead import Ahead


def count_to(end, made=None, closed=None):
    try:
        for k in range(end):
            if made is not None:
                made.append(k)
            yield k
    finally:
        if closed is not None:
            closed.append(True)


def test_items_come_in_order_and_end():
    items = Ahead(count_to(100), depth=3)
    assert list(items) == list(range(100))
    assert next(items, "over") == "over"


def test_it_works_a_few_items_ahead_and_no_more():
    made = []
    items = Ahead(count_to(100, made), depth=3)
    assert made == [], "nothing is done before the first item is asked for"
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 5  # one is used, three wait, one waits for room
    items.close()


def test_an_error_comes_behind_the_items_before_it():
    def broken():
        yield from range(3)
        raise ValueError("no more")

    items = Ahead(broken(), depth=8)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert next(items, "over") == "over"


def test_closing_ends_the_thread_and_the_inner_iterator():
    before, closed = threading.active_count(), []
    items = Ahead(count_to(1_000, closed=closed), depth=2)
    next(items)
    items.close()
    assert threading.active_count() == before and closed == [True]
    assert next(items, "over") == "over"


def test_closing_one_that_never_began_closes_the_inner_iterator():
    closed = []

    class Items:
        def __iter__(self):
            return self

        def __next__(self):
            return 0

        def close(self):
            closed.append(True)

    Ahead(Items(), depth=2).close()
    assert closed == [True]
