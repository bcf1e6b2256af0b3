import csv
import json
from itertools import chain

import numpy as np
import pytest
from data_sets import assert_same_clip, scenes
from pycocotools import mask as coco

from sam_av.data import DataProblems, open_dataset, write_dataset
from sam_av.data.shapes import encode_mask
from sam_av.data.writing import write_picture, write_video, write_waveform


@pytest.fixture
def written(tmp_path):
    return write_dataset(chain(scenes("train"), scenes("test")), tmp_path / "mine", "manifest")


@pytest.fixture
def files(tmp_path):
    """A picture, a video, a sound and a mask of one scene, and that scene."""
    clip = scenes()[0]
    write_picture(tmp_path / "a.png", clip.frames[0])
    write_video(tmp_path / "a.mkv", clip)
    write_waveform(tmp_path / "a.wav", clip.waveform)
    write_picture(tmp_path / "masks" / "a.png", clip.masks[0])
    return clip


def save(root, *rows: dict):
    (root / "list.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return root / "list.jsonl"


def test_it_reads_back_what_was_written(written):
    for source in (written, written / "manifest.jsonl"):
        for split in ("train", "test"):
            for read, clip in zip(open_dataset(source, split), scenes(split), strict=True):
                assert_same_clip(read, clip)


def test_a_csv_holds_the_same_as_jsonl(written):
    rows = [json.loads(line) for line in (written / "manifest.jsonl").read_text().splitlines()]
    with (written / "other.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for row in rows:
            lists = {name: json.dumps(row[name]) for name in ("times", "masks")}
            table.writerow({**row, **lists})
    for read, clip in zip(open_dataset(written / "other.csv", "test"), scenes("test"), strict=True):
        assert_same_clip(read, clip)


def test_a_picture_goes_with_a_mask_of_any_form(tmp_path, files):
    polygon = [10, 10, 50, 10, 50, 40, 10, 40]
    row = {"image": "a.png", "audio": "a.wav"}
    path = save(
        tmp_path,
        {**row, "id": "png", "mask": "masks/a.png"},
        {**row, "id": "rle", "rle": encode_mask(files.masks[0])},
        {**row, "id": "polygon", "polygon": [polygon]},
        {**row, "id": "none", "category": "dog", "time": 2.5},
    )
    png, rle, drawn, none = open_dataset(path, "train")
    for clip in (png, rle):
        np.testing.assert_array_equal(clip.frames, files.frames[:1])
        np.testing.assert_array_equal(clip.masks, files.masks[:1])
        np.testing.assert_array_equal(clip.times, [0.48])
    np.testing.assert_array_equal(drawn.masks[0], coco.decode(coco.frPyObjects([polygon], 64, 64))[..., 0])
    assert none.masks is None
    assert (none.category, none.split, none.times.tolist()) == ("dog", "train", [2.5])


def test_a_video_goes_with_masks_at_its_times(tmp_path, files):
    path = save(
        tmp_path,
        {"video": "a.mkv", "times": [0, 3], "masks": ["masks/a.png", None]},
        {"video": "a.mkv", "id": "b", "audio": "a.wav", "time": 2, "mask": "masks/a.png"},
        {"video": "a.mkv", "id": "c"},
    )
    two, one, all_of_it = open_dataset(path, "train")
    assert two.id == "a"
    np.testing.assert_array_equal(two.frames, files.frames[[0, 3]])
    np.testing.assert_array_equal(two.annotated, [True, False])
    np.testing.assert_array_equal(one.frames, files.frames[[2]])
    np.testing.assert_array_equal(all_of_it.frames, files.frames)


def test_rows_without_a_split_are_in_all_of_them(tmp_path, files):
    row = {"image": "a.png", "audio": "a.wav"}
    path = save(tmp_path, {**row, "id": "x"}, {**row, "id": "y", "split": "test"})
    assert [clip.id for clip in open_dataset(path, "test")] == ["x", "y"]
    assert [clip.id for clip in open_dataset(path, "train")] == ["x"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "../a.png"}, "'../a.png' leads out of"),
        ({"audio": "/etc/passwd"}, "'/etc/passwd' leads out of"),
        ({"mask": "masks/../../a.png"}, "leads out of"),
        ({"maks": "a.png"}, "unknown field 'maks'; did you mean 'masks'"),
        ({"image": None}, "it has no `image` and no `video`"),
        ({"video": "a.mkv"}, "it has `image` and `video`; only one of them goes"),
        ({"mask": "masks/a.png", "rle": {}}, "it has `mask` and `rle`; only one of them goes"),
        ({"audio": None}, "an `image` needs its `audio`"),
        ({"times": [0, 1]}, "an `image` is one frame: give its `time`"),
        ({"time": "soon"}, "`time` should be given in seconds, not as 'soon'"),
        ({"times": 3}, "`times` should be given in seconds, not as 3"),
        ({"times": [2, 1]}, r"`times` should be finite, not negative, and increase; found \[2, 1\]"),
        ({"time": float("nan")}, "should be finite"),
        ({"category": 3}, "`category` should be a text, not 3"),
        ({"masks": "masks/a.png"}, "`masks` should be a list"),
        ({"masks": [None, None]}, "it has 2 masks for 1 times"),
        ({"rle": "abc"}, "a list of polygons or a run-length encoding, not 'abc'"),
    ],
)
def test_rows_that_cannot_be_used_are_listed_by_line(tmp_path, files, changes, message):
    good = {"image": "a.png", "audio": "a.wav"}
    path = save(tmp_path, good, {**good, "id": "b", **changes})
    with pytest.raises(DataProblems, match=rf"bad row \(1\)\n  bad row: line 2: .*{message}"):
        open_dataset(path, "train")
    with pytest.warns(UserWarning, match=r"left out: bad row \(1\)"):
        assert len(open_dataset(path, "train", skip_bad=True)) == 1


def test_paths_that_stay_inside_may_go_up(tmp_path, files):
    path = save(tmp_path, {"image": "masks/../a.png", "audio": str(tmp_path / "a.wav")})
    np.testing.assert_array_equal(open_dataset(path, "train")[0].frames[0], files.frames[0])


def test_lines_that_are_no_rows_are_listed_by_line(tmp_path, files):
    (tmp_path / "list.jsonl").write_text('{"image": "a.png", "audio": "a.wav"}\n\n{"image": \n[1]\n')
    with pytest.raises(DataProblems) as error:
        open_dataset(tmp_path / "list.jsonl", "train")
    assert [problem.clip for problem in error.value.problems] == ["line 3", "line 4"]
    assert "the line is not valid JSON" in error.value.problems[0].detail
    assert "it is no JSON object" in error.value.problems[1].detail


def test_two_rows_of_one_name_are_a_problem(tmp_path, files):
    row = {"image": "a.png", "audio": "a.wav"}
    with pytest.raises(DataProblems, match=r"line 2: there is a clip 'a' already: give each an `id` of its own"):
        open_dataset(save(tmp_path, row, row), "train")


def test_files_that_are_not_there_are_missing_files(tmp_path, files):
    path = save(tmp_path, {"image": "b.png", "audio": "b.wav", "mask": "masks/b.png"})
    with pytest.raises(DataProblems, match=r"missing file \(2\)\n  .*b: wanted b.png and 1 more beside it"):
        open_dataset(path, "train")


def test_a_mask_of_another_size_is_a_bad_mask(tmp_path, files):
    encoded = encode_mask(np.zeros((32, 32), bool))
    path = save(tmp_path, {"image": "a.png", "audio": "a.wav", "rle": encoded})
    with pytest.raises(DataProblems, match=r"bad mask \(1\)\n.*is of size \[32, 32\], its frame is \(64, 64\)"):
        open_dataset(path, "train").verify()


def test_manifests_that_cannot_be_used_are_errors_that_name_them(tmp_path, files):
    with pytest.raises(ValueError, match=r"list.jsonl' has no split 'val'; it has test, train"):
        row = {"image": "a.png", "audio": "a.wav"}
        open_dataset(save(tmp_path, {**row, "split": "train"}, {**row, "split": "test"}), "val")
    (tmp_path / "list.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"list.jsonl' is no text in UTF-8"):
        open_dataset(tmp_path / "list.jsonl", "train")
    (tmp_path / "list.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"there is no clip in it"):
        open_dataset(tmp_path / "list.jsonl", "train")
    (tmp_path / "list.csv").write_text("image,sound\na.png,a.wav\n")
    with pytest.raises(ValueError, match=r"list.csv' has an unknown field 'sound'"):
        open_dataset(tmp_path / "list.csv", "train")
    with pytest.raises(FileNotFoundError, match="There is no manifest"):
        open_dataset(tmp_path / "none.jsonl", "train", layout="manifest")
