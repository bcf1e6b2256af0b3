import csv
import json
import shutil
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from data_sets import cut_off, one_source, save_mask, save_wav, scenes
from PIL import Image
from test_data_video import save_video

from sam_av.cli import main
from sam_av.data import open_dataset, write_dataset
from sam_av.data.check import PUBLISHED, check_data
from sam_av.data.open import LAYOUTS
from sam_av.data.scenes import CATEGORIES
from sam_av.data.video import read_frames

MAKERS = {
    "avsbench-s4": (one_source, {}, {}),
    "avsbench-ms3": (scenes, {}, {}),
    "avss": (scenes, {"masks": "classes"}, {"categories": CATEGORIES}),
    "avs-synthetic": (one_source, {}, {}),
    "aviseg": (scenes, {"masks": "instances"}, {"categories": CATEGORIES}),
    "manifest": (scenes, {}, {}),
    "hub": (scenes, {}, {}),
    "folder": (scenes, {}, {}),
}
PICTURES = {
    "avsbench-s4": "s4_data/visual_frames/{}/*/*/*_2.png",
    "avsbench-ms3": "ms3_data/visual_frames/{}-*/*_2.png",
    "avss": "v1m/{}-*/frames/1.jpg",
    "avs-synthetic": "images/{}-*.jpg",
    "aviseg": "{}/JPEGImages/*/00001.jpg",
    "manifest": "videos/{}-*.mkv",
    "folder": "videos/{}-*.mkv",
}
MASKS = {
    "avsbench-s4": "s4_data/gt_masks/{}/*/*/*_1.png",
    "avsbench-ms3": "ms3_data/gt_masks/{}/*/*_2.png",
    "avss": "v1m/{}-*/labels_semantic/1.png",
    "avs-synthetic": "masks/{}-*.png",
    "folder": "masks/{}-*/1.png",
}
SOUNDS = {
    "avsbench-s4": "s4_data/audio_wav/{}/*/*.wav",
    "avsbench-ms3": "ms3_data/audio_wav/{}/*.wav",
    "avss": "v1m/{}-*/audio.wav",
    "avs-synthetic": "audios/{}-*.wav",
    "aviseg": "{}/WAVAudios/*.wav",
}
COLUMNS = {
    "avsbench-s4": ("s4_meta_data.csv", "category"),
    "avsbench-ms3": ("ms3_meta_data.csv", "video_id"),
    "avss": ("metadata.csv", "uid"),
    "folder": ("splits.csv", "name"),
}


def write(layout: str, root: Path, *, train=lambda clip: clip) -> Path:
    make, settings, options = MAKERS[layout]
    settings = {"length": 2, **settings}
    return write_dataset(chain(map(train, make(**settings)), make("test", **settings)), root, layout, **options)


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return {layout: write(layout, folder / layout) for layout in MAKERS}


@pytest.fixture
def copy(clean, tmp_path):
    return lambda layout: Path(shutil.copytree(clean[layout], tmp_path / layout))


def options_of(layout: str, tmp_path: Path) -> dict:
    return {"cache_dir": str(tmp_path / "cache")} if layout == "hub" else {}


def first(root: Path, pattern: str, split: str = "train") -> Path:
    return min(root.glob(pattern.format(split)))


def kinds(problems) -> set[str]:
    return {problem.kind for problem in problems}


def assert_unusable(root: Path) -> None:
    """The plain way finds a fault, too: opening the set and decoding all of it."""
    with pytest.raises(ValueError):
        open_dataset(root, "train").verify()


def test_each_layout_that_is_on_a_disk_is_checked_here():
    read_by_number = {name for name, layout in LAYOUTS.items() if layout.write and name != "webdataset"}
    assert MAKERS.keys() == read_by_number


@pytest.mark.parametrize("layout", MAKERS)
def test_a_clean_copy_has_no_faults(clean, layout, tmp_path):
    report = check_data(clean[layout], **options_of(layout, tmp_path))
    assert (report.layout, report.faults) == (layout, [])
    frames = 2 if layout == "avs-synthetic" else 10
    assert [(split.split, split.clips, split.frames) for split in report.splits] == [
        ("train", 2, frames),
        ("test", 2, frames),
    ]
    assert [split.published for split in report.splits] == [
        PUBLISHED.get(layout, {}).get(split) for split in ("train", "test")
    ]
    assert kinds(report.remarks) <= {"empty mask", "other count"}
    assert ("other count" in kinds(report.remarks)) == (layout in PUBLISHED)


@pytest.mark.parametrize("layout", MAKERS)
def test_empty_masks_are_remarked(layout, tmp_path):
    def silenced(clip):
        if isinstance(clip.masks, list):
            return replace(clip, masks=[replace(track, masks=track.masks & False) for track in clip.masks])
        return replace(clip, masks=np.zeros_like(clip.masks))

    root = write(layout, tmp_path / "set", train=silenced)
    report = check_data(root, ["train"], **options_of(layout, tmp_path))
    assert report.faults == []
    empty = [remark.clip for remark in report.remarks if remark.kind == "empty mask"]
    assert empty == ["train/train-0-000000", "train/train-0-000001"]
    if layout != "hub":  # whose clips are decoded anyway
        assert "empty mask" not in kinds(check_data(root, ["train"], quick=True).remarks)


@pytest.mark.parametrize("layout", PICTURES)
class TestPictures:
    def test_missing(self, copy, layout):
        root = copy(layout)
        first(root, PICTURES[layout]).unlink()
        report = check_data(root)
        assert "missing file" in kinds(report.faults)
        # In a plain folder the masks of a clip that is gone are a fault in every split.
        assert layout == "folder" or [split.clips for split in report.splits] == [1, 2]

    @pytest.mark.parametrize("share", [0, 0.5])
    def test_cut_off(self, copy, layout, share):
        root = copy(layout)
        cut_off(first(root, PICTURES[layout]), share)
        assert "unreadable picture" in kinds(check_data(root, quick=True).faults)
        assert_unusable(root)

    def test_same_in_train_and_test(self, copy, layout):
        root = copy(layout)
        twins = [first(root, PICTURES[layout], split) for split in ("train", "test")]
        if layout not in ("manifest", "folder", "avs-synthetic"):  # all frames of a clip make its pictures
            shutil.rmtree(twins[1].parent)
            shutil.copytree(twins[0].parent, twins[1].parent)
            for path in twins[1].parent.iterdir():
                path.rename(path.with_name(path.name.replace("train-0-", "test-0-")))
        else:
            shutil.copy(twins[0], twins[1])
        (overlap,) = check_data(root).overlaps
        assert (overlap.kind, overlap.clip) == ("in several splits", "train/train-0-000000")
        assert overlap.detail == "has the same pictures as test/test-0-000000"


@pytest.mark.parametrize("layout", MASKS)
class TestMasks:
    def test_missing(self, copy, layout):
        root = copy(layout)
        first(root, MASKS[layout]).unlink()
        # Without its mask a frame of a plain folder is merely not annotated.
        assert ("missing file" in kinds(check_data(root).faults)) == (layout != "folder")

    def test_of_another_size(self, copy, layout):
        root = copy(layout)
        save_mask(first(root, MASKS[layout]), np.zeros((32, 48), dtype=np.uint8))
        (fault,) = check_data(root, quick=True).faults
        assert fault.kind == "size mismatch"
        assert "48 x 32 pixels" in fault.detail and "64 x 64" in fault.detail
        assert_unusable(root)

    @pytest.mark.parametrize("share", [0, 0.5])
    def test_cut_off(self, copy, layout, share):
        root = copy(layout)
        cut_off(first(root, MASKS[layout]), share)
        assert kinds(check_data(root, quick=True).faults) == {"bad mask"}
        assert_unusable(root)

    def test_that_blurs(self, copy, layout):
        root = copy(layout)
        Image.new("L", (64, 64)).save(first(root, MASKS[layout]), "JPEG")
        assert kinds(check_data(root).faults) == {"bad mask"}


@pytest.mark.parametrize("layout", SOUNDS)
class TestSounds:
    def test_missing(self, copy, layout):
        root = copy(layout)
        first(root, SOUNDS[layout]).unlink()
        assert "missing file" in kinds(check_data(root).faults)

    @pytest.mark.parametrize("share", [0, 0.5])
    def test_cut_off(self, copy, layout, share):
        root = copy(layout)
        cut_off(first(root, SOUNDS[layout]), share)
        (fault,) = check_data(root, quick=True).faults
        assert fault.kind == "unreadable sound"

    def test_less_than_a_window(self, copy, layout):
        root = copy(layout)
        save_wav(first(root, SOUNDS[layout]), np.ones(15_599))
        assert kinds(check_data(root).faults) == {"sound too short"}

    @pytest.mark.parametrize(("samples", "enough"), [(15_360 + 15_599, False), (4 * 15_360 + 15_600, True)])
    def test_less_than_its_frames_need(self, copy, layout, samples, enough):
        root = copy(layout)
        save_wav(first(root, SOUNDS[layout]), np.ones(samples))
        report = check_data(root)
        assert not report.faults
        assert ("short sound" in kinds(report.remarks)) != enough

    def test_same_in_train_and_test(self, copy, layout):
        root = copy(layout)
        shutil.copy(*(first(root, SOUNDS[layout], split) for split in ("train", "test")))
        (overlap,) = check_data(root).overlaps
        assert overlap.detail == "has the same sound as test/test-0-000000"

    def test_silence_and_equal_endings_are_no_overlap(self, copy, layout):
        root = copy(layout)
        for split in ("train", "test"):
            save_wav(first(root, SOUNDS[layout], split), np.zeros(80_000))
        assert check_data(root).overlaps == []
        for split, start in (("train", 1), ("test", 2)):
            save_wav(first(root, SOUNDS[layout], split), np.r_[start, np.zeros(79_999)])
        assert check_data(root).overlaps == []


@pytest.mark.parametrize("layout", COLUMNS)
def test_a_table_without_a_column(copy, layout):
    root, (table, column) = copy(layout), COLUMNS[layout]
    rows = list(csv.DictReader((root / table).open()))
    with (root / table).open("w") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != column], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    report = check_data(root)
    assert kinds(report.faults) == {"cannot be opened"}
    assert f"lacks the columns {column}" in report.faults[0].detail


def test_the_same_id_in_two_splits(copy):
    root = copy("avsbench-ms3")
    with (root / "ms3_meta_data.csv").open("a") as file:
        file.write("train-0-000000,test\n")
    for kind, ending in (("gt_masks", ""), ("audio_wav", ".wav")):
        source, target = (root / "ms3_data" / kind / split / f"train-0-000000{ending}" for split in ("train", "test"))
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (overlap,) = check_data(root).overlaps
    assert overlap.detail == "has the same id and pictures and sound as test/train-0-000000"


class TestTables:
    """What is not a file of its own in some layouts."""

    def test_shapes_of_another_size(self, copy):
        root = copy("manifest")
        path = root / "manifest.jsonl"
        path.write_text(path.read_text().replace('"size": [64, 64]', '"size": [64, 32]', 1))
        assert kinds(check_data(root).faults) == {"size mismatch"}

    def test_damaged_shapes(self, copy):
        root = copy("aviseg")
        data = json.loads((root / "train.json").read_text())
        shape = next(shape for track in data["annotations"] for shape in track["segmentations"] if shape)
        shape["counts"] = [10, 20]
        (root / "train.json").write_text(json.dumps(data))
        assert kinds(check_data(root).faults) == {"bad mask"}

    def test_frames_of_another_size_than_the_metadata_says(self, copy):
        root = copy("aviseg")
        Image.new("RGB", (40, 30)).save(first(root, PICTURES["aviseg"]))
        (fault,) = check_data(root).faults
        assert fault.kind == "size mismatch"
        assert "is 40 x 30 pixels; the metadata says 64 x 64" in fault.detail

    def test_a_broken_table_of_one_split_spares_the_others(self, copy):
        root = copy("aviseg")
        cut_off(root / "test.json")
        report = check_data(root)
        assert [split.clips for split in report.splits] == [2, 0]
        assert [fault.clip for fault in report.faults] == ["test/test"]

    def test_videos_that_are_gone_from_avss_are_remarked(self, copy):
        root = copy("avss")
        shutil.rmtree(first(root, "v1m/{}-*"))
        report = check_data(root)
        assert report.faults == []
        assert "video not there" in kinds(report.remarks)

    def test_rows_of_a_hub_set(self, copy, tmp_path):
        import datasets

        root = copy("hub")
        path = first(root, "data/{}-*.parquet")
        rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache")).cast_column(
            "image", datasets.Sequence(datasets.Image(decode=False))
        )
        rows = rows.map(lambda row: {"image": [{"bytes": b"no picture", "path": None}, *row["image"][1:]]})
        rows.to_parquet(path)
        report = check_data(root, cache_dir=str(tmp_path / "other"))
        assert kinds(report.faults) == {"unreadable picture"}

    @pytest.mark.parametrize("layout", ["hub", "manifest", "folder"])
    def test_sounds_within_rows_and_videos(self, layout, tmp_path):
        def shortened(clip):
            return replace(clip, waveform=clip.waveform[: 8_000 if clip.id.endswith("0") else 32_000])

        root = write(layout, tmp_path / "set", train=shortened)
        report = check_data(root, ["train"], **options_of(layout, tmp_path))
        assert [(fault.kind, fault.clip) for fault in report.faults] == [("sound too short", "train/train-0-000000")]
        short = [remark.clip for remark in report.remarks if remark.kind == "short sound"]
        assert short == ["train/train-0-000001"]

    def test_a_clip_in_two_splits_of_a_hub_set(self, tmp_path):
        clip = scenes()[0]
        root = write_dataset([clip, replace(clip, split="test", id="other")], tmp_path / "set", "hub")
        (overlap,) = check_data(root, cache_dir=str(tmp_path / "cache")).overlaps
        assert overlap.detail == "has the same pictures and sound as test/other"

    def test_a_video_from_a_turned_camera(self, tmp_path):
        (tmp_path / "videos").mkdir()
        save_video(tmp_path / "videos" / "a.mp4", 1, turn=90)
        save_wav(tmp_path / "audio" / "a.wav", np.ones(16_000))
        height, width = read_frames(tmp_path / "videos" / "a.mp4", [0.0])[0].shape[1:3]
        save_mask(tmp_path / "masks" / "a" / "0.png", np.ones((height, width), dtype=np.uint8))
        assert height != width and check_data(tmp_path).faults == []
        save_mask(tmp_path / "masks" / "a" / "0.png", np.ones((width, height), dtype=np.uint8))
        assert kinds(check_data(tmp_path).faults) == {"size mismatch"}

    def test_a_frame_beyond_the_end_of_its_video(self, copy):
        root = copy("folder")
        masks = first(root, "masks/{}-*")
        (masks / "4.png").rename(masks / "9.png")
        (fault,) = check_data(root).faults
        assert "a frame was wanted at 9 s" in fault.detail


class TestSplits:
    def test_a_folder_without_a_table_is_one_split(self, copy):
        root = copy("folder")
        (root / "splits.csv").unlink()
        assert [(split.split, split.clips) for split in check_data(root).splits] == [("train", 4)]

    def test_a_row_without_a_split_is_in_all_of_them(self, copy):
        root = copy("manifest")
        rows = [json.loads(line) for line in (root / "manifest.jsonl").read_text().splitlines()]
        rows[0]["split"] = None
        (root / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
        report = check_data(root / "manifest.jsonl")
        assert [(split.split, split.clips) for split in report.splits] == [("train", 2), ("test", 3)]
        assert [overlap.clip for overlap in report.overlaps] == ["train/train-0-000000"]

    def test_of_a_manifest_as_csv(self, copy):
        root = copy("manifest")
        (root / "manifest.jsonl").unlink()
        videos = sorted(path.name for path in root.glob("videos/*"))
        lines = [f"videos/{name},{name.partition('-')[0]}" for name in videos]
        (root / "manifest.csv").write_text("\n".join(["video,split", *lines]))
        frames = [(split, sum(map(len, open_dataset(root, split)))) for split in ("test", "train")]
        assert [(split.split, split.frames) for split in check_data(root).splits] == frames

    def test_drawn_scenes_have_nothing_to_check(self):
        with pytest.raises(ValueError, match="its scenes are drawn"):
            check_data("scenes:5")


class TestCommand:
    def test_exit_codes_and_json(self, copy, tmp_path, capsys):
        root, file = copy("avsbench-s4"), tmp_path / "reports" / "report.json"
        arguments = ["check-data", str(root), "--workers", "2", "--json", str(file)]
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert "has the layout avsbench-s4" in text and "No faults." in text
        assert "train           2       3,452          10" in text
        assert json.loads(file.read_text())["fine"] is True

        gone = first(root, SOUNDS["avsbench-s4"])
        gone.unlink()
        assert main(arguments) == 1
        assert "Faults, 1: missing file (1)" in capsys.readouterr().out
        report = json.loads(file.read_text())
        assert (report["fine"], report["layout"]) == (False, "avsbench-s4")
        (fault,) = report["splits"][0]["faults"]
        assert fault["kind"] == "missing file" and gone.name in fault["detail"]

    def test_one_split(self, copy, capsys):
        root = copy("avsbench-s4")
        first(root, SOUNDS["avsbench-s4"], "test").unlink()
        assert main(["check-data", str(root), "--split", "train", "--workers", "0"]) == 0
        assert main(["check-data", str(root), "--split", "test", "--workers", "0"]) == 1

    @pytest.mark.parametrize("arguments", [[], ["--layout", "avsbench-s4"], ["--layout", "s4"]])
    def test_a_wrong_root_is_one_message(self, tmp_path, capsys, arguments):
        (tmp_path / "stuff").mkdir()
        assert main(["check-data", str(tmp_path), *arguments]) == 1
        error = capsys.readouterr().err
        assert error.startswith("sam-av check-data: ") and "Traceback" not in error and "avsbench-s4" in error


@pytest.mark.slow
def test_ten_thousand_clips_take_less_than_a_minute(tmp_path):
    """Sizes as in AVSBench, 224 x 224 and 5 s; the files of a few clips are linked to the names of many."""
    counts, root, rows = {"train": 7000, "val": 1500, "test": 1500}, tmp_path / "many", []
    few = write_dataset(
        chain(*(one_source(split, size=224, length=5) for split in counts)), tmp_path / "few", "avsbench-s4"
    )
    for row in csv.DictReader((few / "s4_meta_data.csv").open()):
        files = [path for path in (few / "s4_data").rglob(f"{row['name']}*") if path.is_file()]
        for number in range(counts[row["split"]] // 5):
            name = f"{row['name']}-{number}"
            rows.append({**row, "name": name})
            for path in files:
                target = root / str(path.relative_to(few)).replace(row["name"], name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.hardlink_to(path)
    with (root / "s4_meta_data.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    begin = time.perf_counter()
    report = check_data(root, workers=2)
    seconds = time.perf_counter() - begin
    print(f"10,000 clips: {seconds:.1f} s")
    assert (sum(split.clips for split in report.splits), report.faults) == (10_000, [])
    assert seconds < 60
