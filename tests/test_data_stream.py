import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pytest
from data_sets import scenes
from torch.utils.data import DataLoader

from sam_av.data import Clip, DataProblems, IterableClips, Problem, open_dataset, write_dataset
from sam_av.data.stream import _READ_AHEAD, _read_ahead

CLIPS = 23  # in shards of 4, the last of 3: 6 shards


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture(scope="module", params=["hub", "webdataset"])
def root(request, tmp_path_factory):
    clips = scenes(frames=1, length=CLIPS)
    return write_dataset(clips, tmp_path_factory.mktemp("set") / request.param, request.param, shard_size=4)


@pytest.fixture
def clips(root):
    return open_dataset(root, "train", streaming=True)


class NumberReader:
    """Makes a clip of {"number": n} and remembers which ones it was asked for; those of `faulty` cannot be read."""

    categories = None

    def __init__(self, faulty=()):
        self.faulty = faulty
        self.asked = []

    def read(self, row, name):
        self.asked.append(row["number"])
        if row["number"] in self.faulty:
            raise DataProblems("numbers (train)", [Problem("bad number", str(row["number"]), "it is faulty")])
        frames, sound = np.zeros((1, 2, 2, 3), np.uint8), np.zeros(9, np.float32)
        return Clip(frames, np.zeros(1), sound, None, np.array([False]), f"{name}={row['number']}")


def numbers(count=40, shards=4, *, faulty=(), skip_bad=False):
    """A stream of numbers."""
    rows = datasets.Dataset.from_dict({"number": list(range(count))}).to_iterable_dataset(num_shards=shards)
    return IterableClips("numbers", "train", rows, NumberReader(faulty), skip_bad=skip_bad)


def ids(clips):
    return [clip.id for clip in clips]


def batches(clips, size=2, **options):
    """The ids of each batch of a loader."""
    return [ids(batch) for batch in clips.loader(size, **options)]


def in_epoch(clips, epoch):
    clips.set_epoch(epoch)
    return ids(clips)


def test_a_shuffled_stream_has_every_clip_once_in_an_order_of_its_seed_and_epoch(clips):
    plain = ids(clips)
    assert sorted(plain) == ids(scenes(frames=1, length=CLIPS))
    mixed = clips.shuffled(seed=0, buffer=8)
    orders = [in_epoch(mixed, epoch) for epoch in range(3)]
    assert all(sorted(order) == sorted(plain) for order in orders)
    assert len({tuple(order) for order in (plain, *orders)}) == 4
    again = clips.shuffled(seed=0, buffer=8)
    assert [in_epoch(again, epoch) for epoch in (2, 0, 1)] == [orders[2], orders[0], orders[1]]
    assert in_epoch(clips.shuffled(seed=1, buffer=8), 0) != orders[0]
    assert clips.epoch == 0  # that of a stream which is derived from it is its own


def test_the_buffer_mixes_rows_of_one_shard_and_the_shards_are_mixed_without_it():
    rows = numbers(shards=1).shuffled(seed=0, buffer=10)
    order = [int(name.split("=")[1]) for name in ids(rows)]
    assert order != sorted(order) == list(range(40))
    assert all(number < place + 10 for place, number in enumerate(order))  # none comes before it can have been read
    assert in_epoch(rows, 1) != in_epoch(rows, 2)
    assert in_epoch(rows, 0) != in_epoch(numbers(shards=1).shuffled(seed=1, buffer=10), 0)
    order = [int(name.split("=")[1]) for name in ids(numbers().shuffled(seed=0, buffer=1))]
    assert order != sorted(order) == list(range(40))
    with pytest.raises(ValueError, match="at least 1 row, not 0"):
        numbers().shuffled(seed=0, buffer=0)


@pytest.mark.parametrize("world", [2, 3, 4, 8])  # 6 shards: by shards, by shards, by rows, by rows
def test_each_clip_is_for_one_process(clips, world):
    whole = ids(clips)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mixed = clips.shuffled(seed=3, buffer=5)
        parts = [mixed.for_process(rank, world) for rank in range(world)]
    for epoch in (0, 1):
        found = [in_epoch(part, epoch) for part in parts]
        assert sorted(chain.from_iterable(found)) == sorted(whole)
        lengths = [len(part) for part in found]
        assert max(lengths) - min(lengths) <= 1  # the last shard is shorter by one, too


def test_a_stream_that_is_not_shuffled_keeps_the_order_within_its_shards():
    orders = [[int(name.split("=")[1]) for name in in_epoch(numbers(), epoch)] for epoch in range(4)]
    assert orders[0] == list(range(40))
    for order in orders:
        shards = [order[start : start + 10] for start in range(0, 40, 10)]
        assert sorted(shards) == [list(range(start, start + 10)) for start in range(0, 40, 10)]


def test_what_order_shuffling_and_dealing_out_come_in_does_not_matter(clips):
    assert ids(clips.for_process(1, 2).shuffled(0, 5)) == ids(clips.shuffled(0, 5).for_process(1, 2))


def test_shards_that_cannot_be_dealt_out_whole_are_told_once(clips):
    with pytest.warns(
        UserWarning, match="has 6 shards, a number that 4 does not divide: each of the 4 processes reads"
    ):
        clips.for_process(0, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clips.for_process(1, 4)
        clips.for_process(0, 3)
    with pytest.raises(ValueError, match="the ranks are 0 to 1; there is no rank 2"):
        clips.for_process(2, 2)


@pytest.mark.parametrize("n", [0, 1, 7, 12, CLIPS, CLIPS + 5])
def test_a_skipped_stream_goes_on_as_the_whole_one(clips, n):
    mixed = clips.shuffled(seed=0, buffer=6)
    mixed.set_epoch(2)
    assert ids(mixed.skipped(n)) == ids(mixed)[n:]
    assert ids(clips.skipped(n)) == ids(clips)[n:]


def test_only_the_epoch_that_it_is_now_is_skipped_in():
    clips = numbers().shuffled(seed=0, buffer=6)
    clips.set_epoch(4)
    whole = ids(clips)
    rest = clips.skipped(30)
    assert rest.epoch == 4
    assert ids(rest) == ids(rest) == whole[30:]  # however often the epoch is gone through
    assert len(in_epoch(rest, 5)) == 40
    assert in_epoch(rest, 5) == in_epoch(clips, 5)
    assert len(ids(rest.skipped(3))) == 37
    clips.set_epoch(4)
    assert ids(clips.skipped(10).skipped(20)) == whole[30:]
    assert ids(clips) == whole


def test_a_process_goes_on_with_its_own_part():
    parts = [numbers().shuffled(seed=0, buffer=6).for_process(rank, 2) for rank in (0, 1)]
    for part in parts:
        assert ids(part.skipped(7)) == ids(part)[7:]
    assert ids(parts[0])[0].startswith("0-000000=")  # rows without an id are called by their process and their number
    assert ids(parts[1].skipped(7))[0].startswith("1-000007=")


@pytest.mark.parametrize("skip_bad", [False, True])
def test_what_is_skipped_is_not_decoded(skip_bad):
    clips = numbers(skip_bad=skip_bad).shuffled(seed=0, buffer=6)
    assert len(ids(clips.skipped(33))) == 7
    assert len(clips._reader.asked) == 7


def test_the_order_of_batches_does_not_depend_on_the_workers(clips):
    mixed = clips.shuffled(seed=0, buffer=6).for_process(0, 2)
    for epoch in (0, 1):
        mixed.set_epoch(epoch)
        order = ids(mixed)
        wanted = [order[start : start + 5] for start in range(0, len(order), 5)]
        assert batches(mixed, 5) == batches(mixed, 5, num_workers=2) == wanted


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_at_any_batch(workers):
    clips = numbers(39, 4).shuffled(seed=0, buffer=6)
    clips.set_epoch(1)
    whole = batches(clips, 4)
    for done in (1, 2, 5, 9, 10):
        assert batches(clips.skipped(done * 4), 4, num_workers=workers) == whole[done:]


def test_a_loader_takes_what_a_data_loader_takes():
    clips = numbers(10)
    lengths = clips.loader(4, collate_fn=len, drop_last=True)
    assert isinstance(lengths, DataLoader)
    assert list(lengths) == [4, 4]


def test_workers_that_are_kept_alive_know_the_epoch():
    clips = numbers(8).shuffled(seed=0, buffer=4)
    loader = clips.loader(4, num_workers=1, persistent_workers=True, collate_fn=lambda batch: (clips.epoch, ids(batch)))
    for epoch in (0, 1):
        clips.set_epoch(epoch)
        epochs, found = zip(*loader, strict=True)
        assert epochs == (epoch, epoch)
        assert list(chain(*found)) == ids(clips)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:Left out")
def test_faults_that_are_left_out_do_not_shift_what_comes_after_a_resumption(workers):
    clips = numbers(20, faulty=range(3, 9), skip_bad=True).shuffled(seed=0, buffer=4)
    whole = batches(clips, 3)
    assert sorted(map(len, whole)) != [2, 3, 3, 3, 3, 3, 3]  # some are shorter
    assert sum(map(len, whole)) - sum("=" not in name for name in chain(*whole)) == 14
    for done in range(7):
        assert batches(clips.skipped(done * 3), 3, num_workers=workers) == whole[done:]


def test_a_fault_stops_the_stream_or_is_left_out_with_a_warning():
    with pytest.raises(DataProblems, match="bad number: 2: it is faulty"):
        ids(numbers(4, faulty=[2]))
    with pytest.raises(DataProblems, match="bad number: 2: it is faulty"):
        batches(numbers(4, faulty=[2]), 2, num_workers=1)
    clips = numbers(4, faulty=[2], skip_bad=True)
    with pytest.warns(UserWarning, match="Left out: .*\n.*bad number: 2"):
        assert ids(clips) == ["000000=0", "000001=1", "000003=3"]
    assert [problem.clip for problem in clips.left_out] == ["2"]
    assert clips.shuffled(0, 2).left_out == []


@pytest.mark.filterwarnings("ignore:Left out")
def test_a_batch_of_faults_is_one_blank_clip():
    full, short, blank = numbers(6, faulty=[3, 4, 5], skip_bad=True).loader(2)
    assert (len(full), len(short), len(blank)) == (2, 1, 1)
    assert (blank[0].id, blank[0].split, blank[0].masks) == ("000004", "train", None)
    assert not blank[0].annotated.any()
    assert not blank[0].frames.any()


def test_a_stream_that_a_data_loader_splits_cannot_be_skipped_in():
    with pytest.raises(ValueError, match=r"take batches from clips.loader\(batch_size, num_workers=...\)"):
        list(DataLoader(numbers().skipped(4), batch_size=None, num_workers=1))


def test_rows_are_read_ahead_by_a_thread_that_ends_with_the_reading():
    read = []

    def rows():
        for number in range(1000):
            read.append(number)
            yield number

    threads = set(threading.enumerate())
    ahead = _read_ahead(rows(), 10)
    assert next(ahead) == 0
    deadline = time.monotonic() + 10
    while len(read) < 11 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read == list(range(11))
    ahead.close()
    assert set(threading.enumerate()) <= threads
    assert list(_read_ahead(iter(range(5)), _READ_AHEAD)) == [0, 1, 2, 3, 4]


def test_what_goes_wrong_in_reading_is_raised_where_the_rows_are_taken():
    def rows():
        yield 1
        raise OSError("the disk is gone")

    ahead = _read_ahead(rows(), 3)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)


TRAINING = """
import sys, time, warnings
from sam_av.data import open_dataset

root, out, rank, workers, done, pause = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
clips = open_dataset(root, "train", streaming=True).shuffled(seed=5, buffer=6).for_process(rank, 2)
clips.set_epoch(1)
with open(out, "a") as file:
    for number, batch in enumerate(clips.skipped(done * 2).loader(2, num_workers=workers), start=1):
        print(*[clip.id for clip in batch], file=file, flush=True)
        if number == pause:
            time.sleep(600)  # until it is killed
"""


@pytest.mark.parametrize(
    ("root", "workers"),
    [("webdataset", 2), *(pytest.param("hub", workers, marks=pytest.mark.slow) for workers in (0, 2))],
    indirect=["root"],
)
def test_two_processes_are_killed_and_go_on_where_they_were(root, clips, tmp_path, workers):
    def start(rank, done, pause):
        command = [sys.executable, "-c", TRAINING, root, tmp_path / f"{rank}.txt", rank, workers, done, pause]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "HF_HOME": str(tmp_path)}
        return subprocess.Popen(list(map(str, command)), env=environment)

    def lines(rank):
        path = tmp_path / f"{rank}.txt"
        return path.read_text().splitlines() if path.is_file() else []

    done = (2, 3)
    for rank, process in enumerate([start(rank, 0, done[rank]) for rank in (0, 1)]):
        while len(lines(rank)) < done[rank] and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert len(lines(rank)) == done[rank]
    for process in [start(rank, done[rank], 0) for rank in (0, 1)]:
        assert process.wait() == 0

    for rank in (0, 1):
        whole = clips.shuffled(seed=5, buffer=6).for_process(rank, 2)
        whole.set_epoch(1)
        assert [line.split() for line in lines(rank)] == batches(whole, 2)
    assert sorted(" ".join(lines(0) + lines(1)).split()) == ids(scenes(frames=1, length=CLIPS))
