import subprocess
import sys
from itertools import chain

import pytest
from data_sets import assert_same_clip, one_source, scenes

from sam_av.data import open_dataset, write_dataset
from sam_av.data.open import LAYOUTS, recognize
from sam_av.data.scenes import CATEGORIES

WRITTEN = {
    "avsbench-s4": (one_source(length=1), {}),
    "avsbench-ms3": (scenes(length=1), {}),
    "avss": (scenes(length=1, masks="classes"), {"categories": CATEGORIES}),
    "avs-synthetic": (one_source(length=1), {}),
    "aviseg": (scenes(length=1, masks="instances"), {"categories": CATEGORIES}),
    "manifest": (scenes(length=1), {}),
    "hub": (scenes(length=1), {}),
    "webdataset": (scenes(length=1), {}),
    "folder": (scenes(length=1), {}),
}


def test_each_layout_that_is_on_a_disk_is_written_here():
    assert WRITTEN.keys() == {name for name, layout in LAYOUTS.items() if layout.write}


@pytest.mark.parametrize("layout", WRITTEN)
def test_a_layout_is_recognised_by_what_lies_there(tmp_path, layout):
    clips, options = WRITTEN[layout]
    root = write_dataset(clips, tmp_path / "set", layout, **options)
    assert recognize(root) == layout
    assert recognize(str(root)) == layout
    reading = {"hub": {"cache_dir": str(tmp_path)}, "webdataset": {"streaming": True}}.get(layout, {})
    assert len(list(open_dataset(root, "train", **reading))) == 1


def test_scenes_are_a_data_set_that_needs_no_disk():
    clips = open_dataset("scenes:4", "val", seed=7, size=64, masks="classes")
    assert (clips.name, clips.split, len(clips), clips.categories) == ("scenes", "val", 4, CATEGORIES)
    for number, written in enumerate(scenes("val", seed=7, length=4, masks="classes")):
        assert clips.entries[number].id == written.id
        assert (clips[number].frames == written.frames).all()
    assert len(open_dataset("scenes", "train")) == 1000
    with pytest.raises(ValueError, match="Nothing is written for 'scenes'"):
        write_dataset(clips, "anywhere", "scenes")


def test_clips_of_an_opened_set_can_be_written_in_another_layout(tmp_path):
    first = write_dataset(chain(scenes(), scenes("test")), tmp_path / "first", "folder")
    second = write_dataset(open_dataset(first, "test"), tmp_path / "second", "manifest")
    for read, written in zip(open_dataset(second, "test"), scenes("test"), strict=True):
        assert_same_clip(read, written)


def test_a_number_beyond_the_end_is_an_index_error():
    clips = open_dataset("scenes:2", "train", size=64)
    assert clips[-1].id == clips[1].id
    with pytest.raises(IndexError):
        clips[2]


def test_what_cannot_be_recognised_says_what_was_looked_for(tmp_path):
    (tmp_path / "stuff").mkdir()
    with pytest.raises(FileNotFoundError, match=r"of no layout that is known. It holds stuff; .*\n  avsbench-s4: s4_"):
        open_dataset(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="is no folder, no manifest .* and no id of a set on the Hub"):
        open_dataset(tmp_path / "nowhere", "train")
    for name in ("s4_meta_data.csv", "ms3_meta_data.csv"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="could be avsbench-s4 or avsbench-ms3: say which, layout='avsbench-s4'"):
        open_dataset(tmp_path, "train")
    with pytest.raises(ValueError, match="There is no layout 's4': choose one of avsbench-s4, avsbench-ms3, "):
        open_dataset(tmp_path, "train", layout="s4")


def test_nothing_is_written_over_and_nothing_of_nothing(tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        write_dataset(scenes(), tmp_path, "folder")
    with pytest.raises(ValueError, match="There is no clip to write"):
        write_dataset([], tmp_path / "new", "folder")


def test_opening_and_writing_load_no_library_that_they_do_not_need(tmp_path):
    code = (
        "import sys; from sam_av.data import Scenes, open_dataset, write_dataset;"
        f"write_dataset(Scenes(length=1, size=64), {str(tmp_path / 'a')!r}, 'folder');"
        f"open_dataset({str(tmp_path / 'a')!r}, 'train')[0];"
        "print([name for name in ('datasets', 'pycocotools') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
