import json
import shutil
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from data_sets import JPEG_ERROR, assert_same_clip, scenes, truth_of
from PIL import Image

from sam_av.data import DataProblems, open_dataset, write_dataset
from sam_av.data.avss import AVSS
from sam_av.data.scenes import CATEGORIES


def semantic(split="train", **settings):
    return scenes(split, masks="classes", **settings)


@pytest.fixture
def avss(tmp_path):
    """Three clips of v1m and one of v2, which have five and ten frames."""
    clips = chain(semantic(), semantic(frames=10, length=1, seed=1), semantic("val"))
    return write_dataset(clips, tmp_path / "avss", "avss", categories=CATEGORIES)


def change_table(root, old, new):
    table = root / "metadata.csv"
    table.write_text(table.read_text().replace(old, new))


def test_it_reads_back_what_was_written(avss):
    clips = open_dataset(avss, "train")
    assert clips.categories == CATEGORIES
    assert [len(clip) for clip in clips] == [5, 5, 5, 10]
    for read, written in zip(clips, chain(semantic(), semantic(frames=10, seed=1, length=1)), strict=True):
        assert_same_clip(read, written, JPEG_ERROR)
        for k in set(np.unique(read.masks)) - {0}:
            assert clips.categories[k - 1] in CATEGORIES


def test_subsets_can_be_chosen(avss):
    assert [len(clip) for clip in AVSS(avss, "train", subsets=["v2"])] == [10]
    with pytest.raises(ValueError, match="subsets v1s, v1m, v2, not v3"):
        AVSS(avss, "train", subsets=["v3"])


def test_training_clips_of_v1s_have_a_truth_for_their_first_frame(avss):
    (avss / "v1m").rename(avss / "v1s")
    change_table(avss, "v1m", "v1s")
    for mask in avss.glob("v1s/train-*/labels_semantic/[1-4].png"):
        mask.unlink()
    for read, written in zip(AVSS(avss, "train", subsets=["v1s"]), semantic(), strict=True):
        assert_same_clip(read, truth_of(written, [True, False, False, False, False]), JPEG_ERROR)
    for read, written in zip(AVSS(avss, "val"), semantic("val"), strict=True):
        assert_same_clip(read, written, JPEG_ERROR)


def test_the_order_of_the_classes_counts_not_their_numbers(avss):
    names = ["background", *CATEGORIES]
    (avss / "label2idx.json").write_text(json.dumps({name: 99 - k for k, name in enumerate(names)}))
    assert AVSS(avss, "val").categories == CATEGORIES


@pytest.mark.parametrize("content", ["[]", '{"dog": 0, "background": 1}', "{"])
def test_a_table_of_classes_that_cannot_be_used_is_an_error(avss, content):
    (avss / "label2idx.json").write_text(content)
    with pytest.raises(ValueError, match=r"label2idx.json' (must be an object whose first key|is not valid JSON)"):
        open_dataset(avss, "val")


def test_videos_that_are_gone_are_reported_and_left_out(avss):
    shutil.rmtree(avss / "v1m" / "val-0-000001")
    with pytest.warns(UserWarning, match=r"goes on without 1 videos: video not there \(1\)"):
        clips = open_dataset(avss, "val")
    assert [clip.id for clip in clips] == ["val-0-000000", "val-0-000002"]
    assert [problem.clip for problem in clips.left_out] == ["val-0-000001"]


def test_a_video_that_lacks_a_file_stops(avss):
    (avss / "v1m" / "val-0-000001" / "labels_semantic" / "3.png").unlink()
    with pytest.raises(DataProblems, match=r"missing file \(1\)\n.*wanted v1m/val-0-000001/labels_semantic/3.png"):
        open_dataset(avss, "val")


def test_a_set_without_any_of_its_videos_is_an_error(avss):
    shutil.rmtree(avss / "v1m")
    with pytest.raises(FileNotFoundError, match="holds no video of 'val' in v1s or v1m or v2"):
        open_dataset(avss, "val")


def test_an_unknown_subset_in_the_table_is_a_bad_row(avss):
    change_table(avss, "val,v1m", "val,v3")
    with pytest.raises(DataProblems, match=r"bad row \(3\)\n.*its label is 'v3', not one of v1s, v1m, v2"):
        open_dataset(avss, "val")


def test_coloured_labels_are_those_of_pascal_voc(avss):
    clip = semantic("val")[0]
    colours = np.asarray(Image.open(avss / "v1m" / clip.id / "labels_rgb" / "0.png"))
    voc = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0), 12: (64, 0, 128)}
    for class_id, colour in voc.items():
        assert (colours[clip.masks[0] == class_id] == colour).all()


def test_masks_of_another_kind_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="has no class ids. For scenes, ask for masks='classes'"):
        write_dataset(scenes(), tmp_path / "a", "avss", categories=CATEGORIES)
    with pytest.raises(ValueError, match="holds 5 or 10 frames"):
        write_dataset([replace(c, split="x") for c in semantic(frames=3)], tmp_path / "b", "avss", categories=["dog"])
