import json
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from data_sets import JPEG_ERROR, assert_same_clip, one_source, scenes

from sam_av.data import DataProblems, open_dataset, write_dataset
from sam_av.data.scenes import CATEGORIES


def videos(split="train", **settings):
    return scenes(split, masks="instances", frames=7, **settings)


@pytest.fixture
def aviseg(tmp_path):
    clips = chain(videos(switching=1), videos("val"))
    return write_dataset(clips, tmp_path / "aviseg", "aviseg", categories=CATEGORIES)


def change(root, split, edit):
    data = json.loads((root / f"{split}.json").read_text())
    edit(data)
    (root / f"{split}.json").write_text(json.dumps(data))


def test_it_reads_back_what_was_written(aviseg):
    for split, written in (("train", videos(switching=1)), ("val", videos("val"))):
        clips = open_dataset(aviseg, split)
        assert clips.categories == CATEGORIES
        for read, clip in zip(clips, written, strict=True):
            assert_same_clip(read, replace(clip, category=None), JPEG_ERROR)


def test_silence_is_null_and_reads_back_as_no_mask(aviseg):
    data = json.loads((aviseg / "train.json").read_text())
    entries = [entry for annotation in data["annotations"] for entry in annotation["segmentations"]]
    assert None in entries
    silent = [track.masks[k] for clip in open_dataset(aviseg, "train") for track in clip.masks for k in range(7)]
    assert sum(not mask.any() for mask in silent) == entries.count(None)


def test_polygons_are_read_like_run_lengths(aviseg):
    def draw_square(data):
        data["annotations"] = data["annotations"][:1]
        square = [[10, 20, 30, 20, 30, 50, 10, 50], [1, 1, 2, 2]]
        data["annotations"][0]["segmentations"] = [square, None, *[[[3, 3, 9, 3, 9, 9]]] * 5]

    change(aviseg, "val", draw_square)
    (track,) = open_dataset(aviseg, "val")[0].masks
    square = np.zeros((64, 64), bool)
    square[20:50, 10:30] = True
    np.testing.assert_array_equal(track.masks[0], square)
    assert not track.masks[1].any()
    assert open_dataset(aviseg, "val")[1].masks == []


def test_a_split_without_annotations_has_no_truth(aviseg):
    for gone in (None, []):
        change(aviseg, "val", lambda data, gone=gone: data.update(annotations=gone))
        clip = open_dataset(aviseg, "val")[0]
        assert clip.masks is None
        assert not clip.annotated.any()


def test_frames_of_another_size_than_the_metadata_says_are_a_problem(aviseg):
    change(aviseg, "val", lambda data: data["videos"][1].update(width=128))
    with pytest.raises(DataProblems, match="64 x 64 pixels; wanted 128 x 64, as the metadata says"):
        open_dataset(aviseg, "val")[1]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda data: data["annotations"][0].update(category_id=99), "has the category 99, which is not listed"),
        (lambda data: data["annotations"][0]["segmentations"].pop(), "has 6 segmentations for 7 frames"),
        (lambda data: data["videos"][0].update(file_names=["../../../a.jpg"] * 7), "leads out of"),
        (lambda data: data["videos"][2].update(file_names=[]), "video 3: it has no file_names"),
        (lambda data: data["annotations"][0].update(segmentations=None), "has no list of segmentations, but None"),
        (lambda data: data["annotations"][0].update(video_id=999), "is of video 999, not listed"),
    ],
)
def test_records_that_do_not_fit_are_bad_rows(aviseg, edit, message):
    change(aviseg, "val", edit)
    with pytest.raises(DataProblems, match=rf"bad row \(1\)\n.*{message}"):
        open_dataset(aviseg, "val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "has no 'videos'"),
        ('{"videos": [null], "categories": [{"id": 1, "name": "dog"}]}', r"videos\[0\] in .* is no object with"),
        ('{"videos": [{"id": 1}]}', r"videos\[0\] in .* lacks file_names, height, width"),
    ],
)
def test_metadata_that_cannot_be_used_is_an_error_that_names_it(aviseg, content, message):
    (aviseg / "val.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        open_dataset(aviseg, "val")


def test_a_missing_frame_is_a_missing_file(aviseg):
    (aviseg / "val" / "JPEGImages" / "val-0-000001" / "00003.jpg").unlink()
    with pytest.raises(DataProblems, match=r"missing file \(1\)\n.*wanted val/JPEGImages/val-0-000001/00003.jpg"):
        open_dataset(aviseg, "val")


def test_a_split_that_is_not_there_says_what_should_be(aviseg):
    with pytest.raises(FileNotFoundError, match=r"lacks test.json, test, .*\n  <split>.json"):
        open_dataset(aviseg, "test")


def test_masks_of_another_kind_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="has no instance tracks. For scenes, ask for masks='instances'"):
        write_dataset(one_source(), tmp_path / "a", "aviseg", categories=CATEGORIES)
