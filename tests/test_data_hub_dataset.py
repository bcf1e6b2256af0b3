import zipfile
from dataclasses import replace
from itertools import chain

import datasets
import numpy as np
import pytest
from data_sets import assert_same_clip, scenes
from PIL import Image
from torch.utils.data import DataLoader

from sam_av.data import DataProblems, IterableClips, open_dataset, write_dataset
from sam_av.data.writing import encode_wav, write_picture, write_waveform


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    clips = chain(scenes("train", length=5), scenes("test"))
    return write_dataset(clips, tmp_path_factory.mktemp("hub"), "hub")


def encoded(samples: np.ndarray) -> dict:
    return {"bytes": encode_wav(samples), "path": None}


def live(**columns) -> datasets.Dataset:
    """A set of three rows as a user makes it: pictures by the library, sounds as they are stored."""
    clips = list(scenes(frames=1))
    table = {
        "image": [Image.fromarray(clip.frames[0]) for clip in clips],
        "audio": [encoded(clip.waveform) for clip in clips],
        "mask": [Image.fromarray(clip.masks[0]) for clip in clips],
    }
    rows = datasets.Dataset.from_dict({**table, **columns})
    return rows.cast_column("audio", datasets.Audio()) if "audio" not in columns else rows


def test_it_reads_back_what_was_written(hub, tmp_path):
    for split, length in (("train", 5), ("test", 3)):
        clips = open_dataset(hub, split, cache_dir=str(tmp_path))
        for read, written in zip(clips, scenes(split, length=length), strict=True):
            assert_same_clip(read, written)


def test_a_stream_is_read_row_by_row(hub):
    clips = open_dataset(hub, "train", streaming=True)
    assert isinstance(clips, IterableClips)
    assert (clips.split, clips.categories) == ("train", ())
    for read, written in zip(clips, scenes("train", length=5), strict=True):
        assert_same_clip(read, written)


@pytest.mark.parametrize("files", [1, 2])
def test_workers_share_the_rows_of_a_stream(tmp_path, files):
    root = write_dataset(scenes(length=6), tmp_path / "hub", "hub", shard_size=6 // files)
    clips = open_dataset(root, "train", streaming=True)
    loader = DataLoader(clips, batch_size=None, num_workers=2, collate_fn=lambda clip: clip)
    found = {clip.id: clip for clip in loader}
    assert len(list(loader)) == 6
    for written in scenes(length=6):
        assert_same_clip(found[written.id], written)


def test_workers_share_a_set_that_is_at_hand(hub, tmp_path):
    clips = open_dataset(hub, "test", cache_dir=str(tmp_path))
    loader = DataLoader(clips, batch_size=None, num_workers=2, collate_fn=lambda clip: clip)
    for read, written in zip(loader, scenes("test"), strict=True):
        assert_same_clip(read, written)


def test_a_stream_that_is_shuffled_is_shuffled_anew_each_epoch():
    rows = datasets.concatenate_datasets([live(), live()]).add_column("id", list("abcdef"))
    clips = open_dataset(rows.to_iterable_dataset().shuffle(seed=0, buffer_size=6), "train")
    orders = []
    for epoch in (0, 1, 0):
        clips.set_epoch(epoch)
        orders.append([clip.id for clip in clips])
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_an_open_set_is_read_as_it_is():
    for read, written in zip(open_dataset(live(), "train"), scenes(frames=1), strict=True):
        number = written.id[-6:]
        assert_same_clip(read, replace(written, id=number, category=None, times=np.array([0.48])))


def test_a_dictionary_of_splits_is_opened_by_its_split():
    rows = datasets.DatasetDict({"train": live(), "val": live().select([2])})
    assert len(open_dataset(rows, "val")) == 1
    with pytest.raises(ValueError, match="has no split 'test'; it has train, val"):
        open_dataset(rows, "test")


def test_columns_of_other_names_are_told():
    rows = live().rename_columns({"image": "frame", "mask": "truth"})
    with pytest.raises(ValueError, match=r"no column 'image'; it has frame, audio, truth. Say which column is which"):
        open_dataset(rows, "train")
    clips = open_dataset(rows, "train", columns={"image": "frame", "mask": "truth"})
    np.testing.assert_array_equal(clips[0].masks, scenes(frames=1)[0].masks)
    with pytest.raises(ValueError, match="no column 'pictures'"):
        open_dataset(rows, "train", columns={"image": "pictures"})
    with pytest.raises(ValueError, match="`columns` has an unknown field 'imgae'; did you mean 'image'"):
        open_dataset(rows, "train", columns={"imgae": "frame"})


def test_classes_times_and_ids_are_read():
    names = datasets.ClassLabel(names=["bell", "dog"])
    rows = live(id=["x", "y", "z"], time=[0.5, 1.0, 1.5], category=[1, 0, 1]).cast_column("category", names)
    clips = open_dataset(rows, "train")
    assert clips.categories == ("bell", "dog")
    found = [(clip.id, clip.category, clip.times.tolist()) for clip in clips]
    assert found == [("x", "dog", [0.5]), ("y", "bell", [1.0]), ("z", "dog", [1.5])]
    streamed = [(clip.id, clip.category, clip.times.tolist()) for clip in open_dataset(rows.to_iterable_dataset(), "a")]
    assert streamed == found


def test_rows_without_masks_are_not_annotated():
    for clip in open_dataset(live().remove_columns("mask"), "train"):
        assert clip.masks is None


def test_sounds_as_arrays_are_resampled():
    tone = np.sin(np.arange(44_100) / 50).astype(np.float32)
    rows = live(audio=[{"array": tone.tolist(), "sampling_rate": 44_100}] * 3)
    assert len(open_dataset(rows, "train")[0].waveform) == 16_000


def test_a_stream_made_by_a_function_needs_no_types():
    def rows():
        for clip in scenes(frames=1):
            sound = {"array": clip.waveform, "sampling_rate": 16_000}
            yield {"image": clip.frames[0], "audio": sound, "mask": Image.fromarray(clip.masks[0])}

    clips = open_dataset(datasets.IterableDataset.from_generator(rows), "train")
    for read, written in zip(clips, scenes(frames=1), strict=True):
        np.testing.assert_array_equal(read.frames, written.frames)
        np.testing.assert_array_equal(read.masks, written.masks)
        np.testing.assert_array_equal(read.waveform, written.waveform)


def test_files_may_lie_elsewhere(tmp_path):
    clip = scenes(frames=1)[0]
    write_picture(tmp_path / "a.png", clip.frames[0])
    write_waveform(tmp_path / "a.wav", clip.waveform)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.wav", "a.wav")
    rows = datasets.Dataset.from_dict(
        {"image": [str(tmp_path / "a.png")], "audio": [f"zip://a.wav::{tmp_path / 'a.zip'}"]}
    )
    rows = rows.cast_column("image", datasets.Image()).cast_column("audio", datasets.Audio())
    read = open_dataset(rows, "train")[0]
    np.testing.assert_array_equal(read.frames, clip.frames)
    assert len(read.waveform) == len(clip.waveform)


@pytest.mark.parametrize("streaming", [False, True])
def test_faults_name_their_row_and_can_be_left_out(streaming):
    masks = [Image.fromarray(np.zeros(size, np.uint8)) for size in ((64, 64), (32, 32), (64, 64))]
    rows = live(id=["a", "b", "c"], mask=masks)
    if streaming:
        rows = rows.to_iterable_dataset()
    with pytest.raises(DataProblems, match=r"bad mask \(1\)\n  bad mask: b: .*32 x 32 pixels, its frame 64 x 64"):
        list(open_dataset(rows, "train"))
    clips = open_dataset(rows, "train", skip_bad=True)
    with pytest.warns(UserWarning, match=r"bad mask: b"):
        if not streaming:
            clips.verify()
        assert [clip.id for clip in clips] == ["a", "c"]
    assert [problem.clip for problem in clips.left_out] == ["b"]


def test_a_damaged_sound_is_the_fault_of_its_row():
    sounds = [encoded(clip.waveform) for clip in scenes(frames=1)]
    sounds[1]["bytes"] = sounds[1]["bytes"][:5000]
    rows = live().remove_columns("audio").add_column("audio", sounds).cast_column("audio", datasets.Audio())
    with pytest.raises(DataProblems, match=r"unreadable sound \(1\)\n  unreadable sound: 000001"):
        open_dataset(rows, "train").verify()


def test_what_cannot_be_opened_is_an_error(tmp_path, hub):
    with pytest.raises(ValueError, match="train"):
        open_dataset(hub, "valid", cache_dir=str(tmp_path))
    with pytest.raises(TypeError, match="or a `datasets` set, not a list"):
        open_dataset([1, 2], "train")
    with pytest.raises(ValueError, match="names several rows alike"):
        open_dataset(live(id=["a", "a", "b"]), "train")
    with pytest.raises(DataProblems, match="the column of 'image' holds str, not pictures"):
        open_dataset(live(image=["a.png"] * 3), "train")[0]


def test_a_set_that_is_nowhere_is_an_error(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="'nobody/nothing' is neither on this disk nor a data set on the Hub"):
        open_dataset("nobody/nothing", "train")
