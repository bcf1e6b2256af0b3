import io
import json
import tarfile
import warnings
from dataclasses import replace
from itertools import chain
from pathlib import Path
from shutil import copytree

import datasets
import fsspec
import numpy as np
import pytest
from data_sets import assert_same_clip, cut_off, scenes, truth_of
from PIL import Image

from sam_av.data import DataProblems, IterableClips, open_dataset, write_dataset
from sam_av.data.splits import splits_of
from sam_av.data.writing import encode_wav


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    clips = chain(scenes(length=5), scenes("test"))
    return write_dataset(clips, tmp_path_factory.mktemp("tars") / "set", "webdataset", shard_size=2)


def stream(source, split="train", **options):
    clips = open_dataset(source, split, streaming=True, **options)
    assert isinstance(clips, IterableClips)
    return clips


def picture(pixels, form="png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def files_of(clip, key="a", **changes) -> dict[str, bytes]:
    """The files of a clip of one picture; a change replaces what an ending holds, or takes it away."""
    files = {
        "jpg": picture(clip.frames[0], "jpeg"),
        "wav": encode_wav(clip.waveform),
        "mask.png": picture(clip.masks[0]),
    }
    return {f"{key}.{field}": content for field, content in (files | changes).items() if content is not None}


def test_it_reads_back_what_was_written(root):
    assert [path.name for path in sorted(root.iterdir())] == [
        "test-000000.tar", "test-000001.tar", "train-000000.tar", "train-000001.tar", "train-000002.tar",
    ]  # fmt: skip
    for split, length in (("train", 5), ("test", 3)):
        for read, written in zip(stream(root, split), scenes(split, length=length), strict=True):
            assert_same_clip(read, written)


def test_clips_may_have_different_numbers_of_frames_and_masks(tmp_path):
    few, many, some = (scenes(frames=frames)[0] for frames in (2, 11, 3))
    some = replace(truth_of(some, [False, True, False]), id="some", times=np.array([0.1, 0.2, 4.0]))
    none = replace(few, id="none", masks=None, annotated=np.zeros(2, dtype=bool))
    written = [few, replace(many, id="folder/many"), some]
    *read, last = stream(write_dataset([*written, none], tmp_path / "set", "webdataset"))
    for clip, wanted in zip(read, written, strict=True):
        assert_same_clip(clip, wanted)
    assert (last.id, last.masks, last.annotated.tolist()) == ("none", None, [False, False])


def test_it_is_opened_by_its_folder_a_tar_or_a_pattern(root):
    written = [clip.id for clip in scenes(length=5)]
    assert [clip.id for clip in stream(str(root))] == written
    assert [clip.id for clip in stream(root / "train-000001.tar")] == written[2:4]
    assert [clip.id for clip in stream(f"{root}/train-*[12].tar", "any")] == written[2:]
    assert splits_of(root, "webdataset") == ["train", "test"]


def test_it_may_lie_elsewhere(root):
    elsewhere = fsspec.filesystem("memory")
    for number in (1, 2):
        elsewhere.put(str(root / f"train-00000{number}.tar"), f"/far/{number}.tar")
    read = stream("memory://far/*.tar")
    assert [clip.id for clip in read] == [clip.id for clip in scenes(length=5)][2:]


def test_what_others_wrote_is_read(tmp_path):
    clip = scenes(frames=1)[0]
    facts = json.dumps({"time": 1.5, "category": "dog", "caption": "a dog in the street"}).encode()
    files = {
        **files_of(clip, "x/a", json=facts, txt=b"a dog"),
        "README": b"",
        **files_of(clip, "x/b", **{"mask.png": None}),
    }
    first, second = stream(make_tar(tmp_path / "train-0.tar", files))
    assert (first.id, first.category, first.times.tolist()) == ("x/a", "dog", [1.5])
    np.testing.assert_array_equal(first.masks, clip.masks)
    assert (second.id, second.category, second.times.tolist(), second.masks) == ("x/b", None, [0.48], None)


FAULTS = {
    "no picture": ({"jpg": None}, r"bad clip: a: it has no picture: wanted .jpg or .0.jpg, .*; found .wav, .mask.png"),
    "no sound": ({"wav": None}, r"bad clip: a: it has no sound: wanted .* and .wav; found .jpg, .mask.png"),
    "a mask of nothing": ({"mask.1.png": b""}, "bad clip: a: it has a mask of frame 1, and no such frame"),
    "an unknown picture": ({"masks.png": b""}, "bad clip: a: its file '.masks.png' is neither a frame, such as .0.jpg"),
    "two pictures": ({"png": b""}, "bad clip: a: its file '.png' is of the same frame as another one"),
    "a spoilt text": ({"json": b"{"}, "bad clip: a: Expecting property name"),
    "another word for time": ({"json": b'{"times": [0.5]}'}, 'bad clip: a: its JSON should be like {"time": '),
    "a time that is none": ({"json": b'{"time": {}}'}, r"bad clip: a: its time should be seconds .*, not {}"),
    "a spoilt picture": ({"jpg": b"nothing"}, "unreadable picture: a: of 7 bytes cannot be read as a picture"),
    "a spoilt sound": ({"wav": b"nothing"}, "unreadable sound: a: "),
    "a mask as JPEG": ({"mask.png": None, "mask.jpg": picture(np.zeros((64, 64), np.uint8), "jpeg")}, "bad mask: a: "),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_their_key_and_can_be_left_out(tmp_path, name):
    changes, message = FAULTS[name]
    clip = scenes(frames=1)[0]
    tar = make_tar(tmp_path / "train-0.tar", {**files_of(clip, "a", **changes), **files_of(clip, "b")})
    with pytest.raises(DataProblems, match=message):
        list(stream(tar))
    with pytest.warns(UserWarning, match=message):
        assert [clip.id for clip in stream(tar, skip_bad=True)] == ["b"]


def test_a_tar_that_is_cut_off_is_a_fault(root, tmp_path):
    copy = tmp_path / "copy"
    copytree(root, copy)
    cut_off(copy / "train-000001.tar", 0.75)
    written = [clip.id for clip in scenes(length=5)]
    with pytest.raises(DataProblems, match="damaged tar: .*train-000001.tar: it is cut off or no tar .*\nGet it again"):
        list(stream(copy))
    clips = stream(copy, skip_bad=True).shuffled(seed=0, buffer=2)
    with pytest.warns(UserWarning, match="Left out the rest: .*\n.*train-000001.tar"):
        found = [clip.id for clip in clips]
    assert sorted(found) == [*written[:3], written[4]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert [clip.id for clip in clips.skipped(2)] == found[2:]


def test_what_cannot_be_opened_or_written_is_an_error(root, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"made of tars, which are read from front to back: pass streaming=True. For "):
        open_dataset(root, "train")
    with pytest.raises(ValueError, match="has no split 'val'; its tars are of train, test"):
        stream(root, "val")
    with pytest.raises(FileNotFoundError, match=r"There are no tars in '.*/other-\*.tar'"):
        stream(f"{root}/other-*.tar")
    with pytest.raises(FileNotFoundError, match="other.tar' is neither on this disk nor a data set on the Hub"):
        stream(root / "other.tar")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="'nobody/nothing' is neither on this disk nor a data set on the Hub"):
        stream("nobody/nothing", layout="webdataset")
    with pytest.raises(ValueError, match="The id 'a.b' has a dot, where the key of a WebDataset ends"):
        write_dataset([replace(scenes()[0], id="a.b")], tmp_path / "dots", "webdataset")
    with pytest.raises(ValueError, match="A shard holds at least 1 clip, not 0"):
        write_dataset(scenes(), tmp_path / "none", "webdataset", shard_size=0)
