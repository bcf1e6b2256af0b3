"""The synthesis from generated sources to data sets that are read, trained on and taken up again."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import synthesis_sources as made
import yaml
from PIL import Image

from sam_av.cli import main
from sam_av.data import open_dataset
from sam_av.data.check import check_data
from sam_av.data.media import read_waveform
from sam_av.data.writing import write_picture
from sam_av.progress import Progress
from sam_av.synthesis import EmptyJoin, SynthesisRecipe, synthesize
from sam_av.synthesis.output import WRITERS, Chunk
from sam_av.synthesis.plan import make_plan
from sam_av.synthesis.run import PROGRESS, REPORT

SPLITS = ("train", "validate", "test")
COMPOSED = {"layout": "manifest", "mixtures": 0.5, "silent": 0.3, "noise": 0.3}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Sets of all kinds, and the recipe that joins them."""
    root = tmp_path_factory.mktemp("sources")
    made.write_coco(root / "coco", made.draw(12))
    made.write_lvis(root / "lvis", made.draw(12, seed=1), first=100)
    made.write_open_images(root / "oi", made.draw(8, seed=2))
    made.write_class_folders(root / "mine", made.draw(4, seed=3))
    made.write_vggsound(root / "vgg", 4)
    made.write_audioset(root / "as", 3)
    made.write_fsd50k(root / "fsd", 3)
    made.write_sound_folders(root / "snd", 3)
    (root / "map.yaml").write_text(made.map_text())
    return root


def settings(root: Path, **changes):
    return {
        "pictures": [
            {
                "kind": "coco",
                "annotations": f"{root}/coco/instances.json",
                "images": f"{root}/coco/images",
                "license": "CC BY 4.0",
            },
            {"kind": "lvis", "annotations": f"{root}/lvis/instances.json", "images": f"{root}/lvis"},
            {
                "kind": "open-images",
                "masks_table": f"{root}/oi/masks.csv",
                "classes": f"{root}/oi/classes.csv",
                "masks": f"{root}/oi/masks",
                "images": f"{root}/oi/images",
                "boxes": f"{root}/oi/boxes.csv",
                "images_table": f"{root}/oi/images.csv",
            },
            f"{root}/mine",
        ],
        "sounds": [
            {"kind": "vggsound", "table": f"{root}/vgg/vggsound.csv", "clips": f"{root}/vgg/clips"},
            {
                "kind": "audioset",
                "table": f"{root}/as/segments.csv",
                "labels": f"{root}/as/labels.csv",
                "clips": f"{root}/as/clips",
            },
            {
                "kind": "fsd50k",
                "table": f"{root}/fsd/dev.csv",
                "clips": f"{root}/fsd/clips",
                "info": f"{root}/fsd/info.json",
            },
            f"{root}/snd",
        ],
        "category_map": f"{root}/map.yaml",
        "splits": {"train": 40, "validate": 6, "test": 6},
        "min_area": 0.01,
        "shard_size": 10,
        "workers": 0,
        **changes,
    }


def recipe_of(root: Path, output: Path, **changes) -> SynthesisRecipe:
    return SynthesisRecipe(**settings(root, output=str(output), **changes))


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (REPORT, "recipe.yaml")
    }


@pytest.fixture(scope="module")
def composed(sources, tmp_path_factory):
    """A manifest with singles, mixtures, silent negatives and noise, and the report of it."""
    output = tmp_path_factory.mktemp("composed") / "set"
    return output, synthesize(recipe_of(sources, output, **COMPOSED))


@pytest.mark.parametrize(
    ("layout", "options"),
    [("avs-synthetic", {}), ("manifest", {}), ("hub", {}), ("webdataset", {"streaming": True})],
)
def test_every_layout_reads_back(sources, tmp_path, layout, options):
    report = synthesize(recipe_of(sources, tmp_path / "set", layout=layout))
    assert report.made == {"train": 40, "validate": 6, "test": 6}
    ids = set()
    for split in SPLITS:
        for clip in open_dataset(tmp_path / "set", split, **options):
            ids.add(clip.id)
            assert clip.category in made.CATEGORIES
            assert clip.frames.shape == (1, made.SIZE, made.SIZE, 3) and clip.times.tolist() == [0.96]
            assert 0.01 <= clip.masks.mean() < 0.3 and np.abs(clip.waveform).max() > 0.01
    assert len(ids) == 52
    assert not (tmp_path / "set" / PROGRESS).exists()
    if layout != "webdataset":
        assert check_data(str(tmp_path / "set")).faults == []


def test_masks_are_those_of_the_things(sources, tmp_path):
    synthesize(recipe_of(sources, tmp_path / "set", layout="manifest", splits={"train": 100}))
    truths = {f"coco-{k:012d}": scene for k, scene in enumerate(made.draw(12), start=1)}
    compared = 0
    for clip in open_dataset(tmp_path / "set", "train"):
        picture, _, category = clip.id.rpartition("-")
        if picture in truths:
            (truth,) = (thing.masks[0] for thing in truths[picture].objects if thing.category == category)
            # The written polygon fills the gaps within a row, and nothing else.
            filled = np.logical_or.accumulate(truth, 1) & np.logical_or.accumulate(truth[:, ::-1], 1)[:, ::-1]
            np.testing.assert_array_equal(clip.masks[0], filled)
            compared += 1
    assert compared > 20


def test_no_mask_overwrites_another_whose_triplet_reads_alike(sources, tmp_path):
    """The mixture of dog and bee in `park`, and the bee in `park-dog`, would both be `coco-park-dog-bee`."""
    things = {"park": ("dog", "bee"), "park-dog": ("bee",), "park-bee": ("dog",)}  # a mixture has either order
    coco: dict = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "bee"}]}
    for k, (name, seen) in enumerate(things.items()):
        write_picture(tmp_path / f"images/{name}.jpg", np.full((32, 32, 3), 80 * k, np.uint8))
        coco["images"].append({"id": k, "file_name": f"{name}.jpg", "height": 32, "width": 32})
        for category in seen:
            top = 10 * k
            outline = [[0, top, 32, top, 32, top + 10, 0, top + 10]]
            number, of = len(coco["annotations"]), 1 + ("dog", "bee").index(category)
            coco["annotations"].append({"id": number, "image_id": k, "category_id": of, "segmentation": outline})
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    pictures = [{"kind": "coco", "annotations": f"{tmp_path}/coco.json", "images": f"{tmp_path}/images"}]
    report = synthesize(
        recipe_of(sources, tmp_path / "set", layout="manifest", pictures=pictures, mixtures=1.0, splits={"train": 3})
    )
    assert report.rules == {"mixture": 1, "single": 2}
    tops = {f"coco-{name}": 10 * k for k, name in enumerate(things)}
    rows = {row["id"]: row["origin"]["picture"]["id"] for row in rows_of(tmp_path / "set")}
    assert len(rows) == 3
    for clip in open_dataset(tmp_path / "set", "train"):
        assert clip.masks[0].any(axis=1).argmax() == tops[rows[clip.id]]


def test_open_images_masks_come_to_the_size_of_the_picture(sources, tmp_path):
    pictures = [settings(sources)["pictures"][2]]
    synthesize(recipe_of(sources, tmp_path / "set", layout="manifest", pictures=pictures, splits={"train": 99}))
    scenes = made.draw(8, seed=2)
    for clip in open_dataset(tmp_path / "set", "train"):
        assert any(
            thing.category == clip.category and np.array_equal(thing.masks[0], clip.masks[0])
            for scene in scenes
            for thing in scene.objects
        )


@pytest.mark.parametrize("layout", ["avs-synthetic", "manifest"])
def test_no_picture_and_no_sound_is_in_two_splits(sources, tmp_path, layout):
    """By what the files hold, not by what they are called; of training also the sounds that it may draw."""
    shutil.copytree(sources / "coco", tmp_path / "again")  # the same pictures once more, as another source
    twice = {**settings(sources)["pictures"][0], "name": "again", "images": str(tmp_path / "again/images")}
    pictures = [*settings(sources)["pictures"], twice]
    shutil.copytree(sources / "snd", tmp_path / "snd2")  # and the same sounds
    sounds = [*settings(sources)["sounds"], str(tmp_path / "snd2")]
    synthesize(
        recipe_of(sources, tmp_path / "set", layout=layout, pictures=pictures, sounds=sounds,
                  splits={"train": 20, "validate": 20, "test": 20})
    )  # fmt: skip
    seen: dict[bytes, set[str]] = {}
    for split in SPLITS:
        clips = open_dataset(tmp_path / "set", split)
        drawn = getattr(clips, "sounds", {})
        files = {path for entry in clips.entries for path in (*entry.pictures, entry.audio) if path is not None}
        for path in files | {path for paths in drawn.values() for path in paths}:
            seen.setdefault(path.read_bytes(), set()).add(split)
    assert len(seen) > 60 and all(len(splits) == 1 for splits in seen.values())


def test_recordings_stay_together(sources, tmp_path):
    """Two clips of one video go into one part, whatever their labels."""
    shutil.copytree(sources / "vgg", tmp_path / "vgg")
    table = tmp_path / "vgg/vggsound.csv"
    rows = list(csv.reader(table.open()))
    for k, row in enumerate(rows):  # videos of two clips each
        old = f"{row[0]}_{int(row[1]):06d}.wav"
        row[0] = f"video{k % 8}"
        (tmp_path / "vgg/clips" / old).rename(tmp_path / "vgg/clips" / f"{row[0]}_{int(row[1]):06d}.wav")
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    sounds = [{"kind": "vggsound", "table": str(table), "clips": str(tmp_path / "vgg/clips")}]
    synthesize(recipe_of(sources, tmp_path / "set", layout="manifest", sounds=sounds, splits={"train": 25, "test": 25}))
    parts: dict[str, set[str]] = {}
    for row in rows_of(tmp_path / "set"):
        for sound in row["origin"]["sounds"]:
            parts.setdefault(sound["id"].split("-")[1].split("_")[0], set()).add(row["split"])
    assert len(parts) > 4 and all(len(splits) == 1 for splits in parts.values())


def test_the_same_seed_gives_the_same_set_and_another_seed_another(sources, tmp_path):
    for name, changes in (("a", {}), ("b", {"workers": 2}), ("c", {"seed": 1})):
        synthesize(recipe_of(sources, tmp_path / name, files="copy", **COMPOSED, **changes))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["manifest.jsonl"] != contents(tmp_path / "c")["manifest.jsonl"]


class TestComposition:
    def test_mixtures_hold_all_their_things_and_sounds(self, composed):
        folder, report = composed
        assert report.rules["mixture"] > 3
        clips = {clip.id: clip for split in SPLITS for clip in open_dataset(folder, split)}
        for row in rows_of(folder):
            if "mixed" in row["origin"]["rule"]:
                assert row["category"] is None and len(row["origin"]["sounding"]) in (2, 3)
                assert len(row["origin"]["outlines"]) == len(row["origin"]["sounds"]) == len(row["origin"]["sounding"])
                assert all(-5 <= snr <= 5 for snr in row["origin"]["snr_db"])
                assert clips[row["id"]].masks.mean() > 0.05

    def test_levels_are_as_stated(self, sources, composed):
        folder, _ = composed
        files = {path.stem: path for path in sources.rglob("*.wav")}
        checked = 0
        for row in rows_of(folder):
            origin = row["origin"]
            if len(origin["sounds"]) == 2 and "noise_snr_db" not in origin:
                stems = [sound["id"].split("-", 1)[1] for sound in origin["sounds"]]
                found = [files.get(stem) or files.get(f"Y{stem[:-7]}") for stem in stems]
                if None in found:
                    continue
                first, second = (read_waveform(path)[:32_000].astype(float) for path in found)
                mixed = read_waveform(folder / row["audio"])[:32_000].astype(float)
                gains, *_ = np.linalg.lstsq(np.stack([first, second], axis=1), mixed, rcond=None)
                parts = gains[0] * first, gains[1] * second
                level = 10 * np.log10((parts[0] ** 2).sum() / (parts[1] ** 2).sum())
                assert level == pytest.approx(origin["snr_db"][0], abs=0.2)
                checked += 1
        assert checked

    def test_noise_is_at_its_level(self, sources, composed):
        folder, _ = composed
        files = {path.stem: path for path in sources.rglob("*.wav")}
        checked = 0
        for row in rows_of(folder):
            origin = row["origin"]
            if len(origin["sounds"]) == 1 and "noise_snr_db" in origin:
                path = files.get(origin["sounds"][0]["id"].split("-", 1)[1])
                if path is None:
                    continue
                clean = read_waveform(path)[:32_000].astype(float)
                noisy = read_waveform(folder / row["audio"]).astype(float)
                assert len(noisy) == 32_000, "as many seconds as asked for"
                gain = (noisy @ clean) / (clean @ clean)
                rest = noisy - gain * clean
                level = 10 * np.log10(((gain * clean) ** 2).sum() / (rest**2).sum())
                assert level == pytest.approx(origin["noise_snr_db"], abs=0.5)
                checked += 1
        assert checked

    def test_silent_negatives_are_heard_but_not_there(self, sources, composed):
        folder, report = composed
        assert report.rules["silent"] > 3
        scenes = {f"coco-{k:012d}": scene for k, scene in enumerate(made.draw(12), start=1)}
        scenes |= {f"lvis-{k:012d}": scene for k, scene in enumerate(made.draw(12, seed=1), start=100)}
        clips = {clip.id: clip for split in SPLITS for clip in open_dataset(folder, split)}
        for row in rows_of(folder):
            if "heard" in row["origin"]:
                assert not clips[row["id"]].masks.any() and clips[row["id"]].annotated.all()
                assert np.abs(clips[row["id"]].waveform).max() > 0.01
                seen = {thing.category for thing in scenes[row["origin"]["picture"]["id"]].objects}
                assert row["origin"]["heard"][0] not in seen, "Open Images and folders know nothing of what is absent"

    def test_rows_tell_where_they_come_from(self, composed):
        folder, report = composed
        for row in rows_of(folder):
            origin = row["origin"]
            assert origin["rule"] and origin["picture"]["id"] and origin["sounds"][0]["labels"]
            if origin["picture"]["source"] == "coco":
                assert origin["picture"]["license"] == "CC BY 4.0"
        assert report.licenses["coco: CC BY 4.0"] > 0


def test_all_instances_are_one_mask(sources, tmp_path):
    """Two dogs in a picture: one of them, the larger, or both; with a crowd or a mere box, none is whole."""
    data = json.loads((sources / "coco/instances.json").read_text())
    (tmp_path / "coco").mkdir()
    dog = next(number for number, name in enumerate(made.CATEGORIES, start=1) if name == "dog")
    image = next(row["image_id"] for row in data["annotations"] if row["category_id"] == dog)
    box = [2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]
    extra = {"id": 99, "image_id": image, "category_id": dog, "segmentation": [box], "area": 100.0, "iscrowd": 0}
    data["annotations"] = [row for row in data["annotations"] if row["image_id"] == image] + [extra]
    path = tmp_path / "coco/instances.json"
    pictures = [{"kind": "coco", "annotations": str(path), "images": f"{sources}/coco/images"}]
    areas = {}
    for name, crowd in (("one", 0), ("all", 0), ("crowd", 1), ("box", 0)):
        extra["iscrowd"] = crowd
        if name == "box":
            del extra["segmentation"]
        path.write_text(json.dumps(data))
        instances = "one" if name == "one" else "all"
        recipe = recipe_of(
            sources, tmp_path / name, layout="manifest", pictures=pictures, instances=instances, splits={"train": 9}
        )
        report = synthesize(recipe)
        clips = {clip.category: clip for clip in open_dataset(tmp_path / name, "train")}
        if name in ("crowd", "box"):
            assert "dog" not in clips and report.left_out.counts["not every instance has a mask"] == 1
        else:
            areas[name] = int(clips["dog"].masks.sum())
    assert areas["all"] > areas["one"] + 50


def test_caps_and_categories(sources, tmp_path):
    report = synthesize(recipe_of(sources, tmp_path / "caps", max_per_category=3, splits={"train": 50}))
    assert all(sum(counts.values()) <= 3 for counts in report.categories.values())
    assert report.left_out.counts["beyond max_per_category"] > 5
    changes = {**COMPOSED, "silent": 0.6, "max_per_category": 4, "splits": {"train": 50}}
    report = synthesize(recipe_of(sources, tmp_path / "silent", **changes))
    assert report.rules["silent"] > 2
    assert all(sum(counts.values()) <= 4 for counts in report.categories.values()), "of silent ones, what is heard"
    report = synthesize(recipe_of(sources, tmp_path / "some", categories=["dog", "bell"], exclude_categories=["bell"]))
    assert set(report.categories) == {"dog"}


def test_fewer_than_asked_for_are_shared_out(sources, tmp_path):
    report = synthesize(recipe_of(sources, tmp_path / "set", splits={"train": 8000, "validate": 1000, "test": 1000}))
    total = sum(report.made.values())
    assert 60 < total < 120
    assert report.made["validate"] == pytest.approx(total / 10, abs=1)


class TestTakenUpAgain:
    def test_killed_and_started_again_it_is_the_same_set(self, sources, tmp_path):
        whole = tmp_path / "whole"
        changes = {**COMPOSED, "shard_size": 1, "files": "copy"}
        synthesize(recipe_of(sources, whole, **changes))
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings(sources, **changes), sort_keys=False))
        output = tmp_path / "killed"
        command = [sys.executable, "-m", "sam_av.cli", "synthesize", "recipe.yaml", "--output", str(output)]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not any((output / PROGRESS).glob("00000[3-9].pt")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (output / "manifest.jsonl").exists() and not (output / REPORT).exists()
        kept = {path: path.stat().st_mtime_ns for path in (output / PROGRESS).glob("*.pt")}
        assert 0 < len(kept) < 52
        masks = {row["mask"]: None for row in rows_of(whole)}
        written = {name: (output / name).stat().st_mtime_ns for name in list(masks)[:2]}
        synthesize(recipe_of(sources, output, **changes))
        assert contents(output) == contents(whole)
        assert {name: (output / name).stat().st_mtime_ns for name in written} == written, "what was whole is not redone"

    def test_what_was_killed_before_anything_was_kept_is_not_mixed_into_another_set(self, sources, tmp_path):
        recipe = recipe_of(sources, tmp_path / "set", layout="webdataset", seed=1)
        plan = make_plan(recipe)
        (tmp_path / "set/audit").mkdir(parents=True)
        (tmp_path / "set/audit/index.html").write_text("looked at")
        Progress(tmp_path / "set" / PROGRESS).begin({"seed": 1}, plan.to_dict)
        WRITERS["webdataset"](tmp_path / "set", recipe).write(Chunk("train", 0, 99, plan.triplets[:3]))
        assert [path.name for path in (tmp_path / "set/data").iterdir()] == ["train-00000-of-00099.tar"]
        report = synthesize(recipe_of(sources, tmp_path / "set", layout="webdataset"))
        assert not (tmp_path / "set/data/train-00000-of-00099.tar").exists()
        assert len(list(open_dataset(tmp_path / "set", "train", streaming=True))) == report.made["train"]
        assert (tmp_path / "set/audit/index.html").read_text() == "looked at"

    def test_ended_it_is_not_done_again(self, sources, tmp_path):
        first = synthesize(recipe_of(sources, tmp_path / "set"))
        table = tmp_path / "set/annotations.csv"
        before = table.stat().st_mtime_ns
        again = synthesize(recipe_of(sources, tmp_path / "set"))
        assert again.to_dict() == first.to_dict() and table.stat().st_mtime_ns == before

    def test_another_recipe_needs_another_folder(self, sources, tmp_path):
        synthesize(recipe_of(sources, tmp_path / "set"))
        with pytest.raises(ValueError, match="holds another synthesis, which differs in seed: choose another output"):
            synthesize(recipe_of(sources, tmp_path / "set", seed=1))
        (tmp_path / "full").mkdir()
        (tmp_path / "full/thesis.tex").write_text("do not lose me")
        with pytest.raises(FileExistsError, match="is not empty: a data set is written into a folder of its own"):
            synthesize(recipe_of(sources, tmp_path / "full"))


class TestNothingLeft:
    def test_an_empty_join_counts_and_writes_nothing(self, sources, tmp_path, capsys):
        empty = tmp_path / "map.yaml"
        empty.write_text("categories:\n  dog:\n    pictures: {coco: [dog]}\n    sounds: {vggsound: [cat meowing]}\n")
        (tmp_path / "recipe.yaml").write_text(
            yaml.safe_dump(settings(sources, category_map=str(empty), output=str(tmp_path / "set"), sounds=[
                settings(sources)["sounds"][0]]))
        )  # fmt: skip
        assert main(["synthesize", str(tmp_path / "recipe.yaml")]) == 1
        error = capsys.readouterr().err
        assert "No triplet is left" in error and "Traceback" not in error
        assert "category that is seen but not heard: dog" in error
        assert "not linked, vggsound (sounds): " in error and "bee, wasp, etc. buzzing (4)" in error
        assert not (tmp_path / "set").exists()

    def test_pictures_that_all_turn_out_damaged(self, sources, tmp_path):
        shutil.copytree(sources / "coco", tmp_path / "coco")
        whole = {picture: picture.read_bytes() for picture in (tmp_path / "coco/images").iterdir()}
        for picture, content in whole.items():
            picture.write_bytes(content[:200])
        pictures = [
            {"kind": "coco", "annotations": f"{tmp_path}/coco/instances.json", "images": f"{tmp_path}/coco/images"}
        ]
        with pytest.raises(EmptyJoin, match=r"(?s)No triplet could be made.*unreadable picture"):
            synthesize(recipe_of(sources, tmp_path / "set", pictures=pictures))
        assert not list((tmp_path / "set").iterdir())
        for picture, content in whole.items():
            picture.write_bytes(content)
        assert synthesize(recipe_of(sources, tmp_path / "set", pictures=pictures)).made["train"] > 0


def test_damaged_files_are_left_out_and_counted(sources, tmp_path):
    shutil.copytree(sources / "coco", tmp_path / "coco")
    pictures = sorted((tmp_path / "coco/images").iterdir())
    pictures[0].write_bytes(pictures[0].read_bytes()[:300])
    made.resized(pictures[1], (32, 64))
    pictures[2].unlink()
    source = {"kind": "coco", "annotations": f"{tmp_path}/coco/instances.json", "images": f"{tmp_path}/coco/images"}
    report = synthesize(recipe_of(sources, tmp_path / "set", pictures=[source], splits={"train": 50}))
    counts = report.left_out.counts
    assert counts["unreadable picture"] in (2, 3) and counts["picture of another size than its annotation says"] in (
        2,
        3,
    )
    assert counts["coco: missing picture"] == 1
    assert len(open_dataset(tmp_path / "set", "train")) == report.made["train"]


def test_a_broken_png_ends_no_run(sources, tmp_path):
    """As a picture, of which the header is whole, and as a mask."""
    shutil.copytree(sources / "mine", tmp_path / "mine")
    for path in (tmp_path / "mine/images").rglob("*.jpg"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".png"))
        path.unlink()
    broken = [sorted((tmp_path / "mine" / side / "dog").iterdir())[k] for side, k in (("images", 0), ("masks", 1))]
    for path in broken:
        content = path.read_bytes()
        place = content.index(b"IDAT") + 4
        path.write_bytes(content[:place] + bytes(40) + content[place + 40 :])
    recipe = recipe_of(sources, tmp_path / "set", pictures=[f"{tmp_path}/mine"], splits={"train": 20})
    counts = synthesize(recipe).left_out.counts
    assert counts["unreadable picture"] == counts["unreadable mask"] == 1
    assert len(list((tmp_path / "set/images").iterdir())) > 2


@pytest.mark.parametrize("name", ["published", "composed"])
def test_the_recipes_that_users_copy_lack_nothing_but_the_data(name):
    path = Path(__file__).parent.parent / f"examples/recipes/synthesize-{name}.yaml"
    recipe = SynthesisRecipe.load(path, {})
    with pytest.raises(FileNotFoundError, match="/data/"):
        synthesize(recipe)


def test_the_published_recipe_is_the_default():
    recipe = SynthesisRecipe(pictures=["a"], sounds=["b"])
    assert recipe.splits == {"train": 52_609, "validate": 5_000, "test": 5_000}
    assert (recipe.layout, recipe.mixtures, recipe.silent, recipe.noise) == ("avs-synthetic", 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pictures": []}, "needs `pictures`"),
        ({"layout": "folder"}, "layout must be one of avs-synthetic, manifest, webdataset, hub"),
        ({"masks": "rle"}, "masks: rle stands in the rows of a manifest"),
        ({"silent": 0.1}, "choose layout: manifest, webdataset or hub"),
        ({"noise": 2, "layout": "hub"}, "noise is a share between 0 and 1"),
        ({"noise_snr": [3]}, "noise_snr is a range of decibels"),
        ({"mixture_snr": [3, 1]}, "goes from low to high"),
        ({"seconds": 1}, "seconds must reach to the end of the second example"),
        ({"splits": {"train": 0}}, "splits says how many triplets"),
        ({"max_per_category": 0}, "shard_size and max_per_category are at least 1"),
        ({"min_aera": 0.1}, "no field 'min_aera'; did you mean 'min_area'"),
        ({"pictures": [{"kind": "cooc"}]}, "a set of the kind 'cooc': choose one of coco, lvis, open-images, folder"),
        ({"pictures": [{"kind": "coco", "annotation": "x"}]}, "has no 'annotation' (did you mean 'annotations'?)"),
        ({"pictures": [{"kind": "coco", "annotations": "x"}]}, "a set of the kind coco needs images"),
        (
            {"sounds": [{"kind": "vggsound", "table": "x", "clips": "/lost"}]},
            "There is no folder '/lost' for the sounds",
        ),
        ({"category_map": "lost.yaml"}, "or take the shipped one: category_map: builtin"),
        ({"categories": ["unicorn"]}, "has no category 'unicorn'; it has bee, bell, car, dog"),
    ],
)
def test_wrong_recipes_say_what_is_wrong_and_write_nothing(sources, tmp_path, capsys, changes, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings(sources, output=str(tmp_path / "set"), **changes)))
    assert main(["synthesize", str(path)]) == 1
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("layout", ["avs-synthetic", "manifest"])
def test_what_comes_out_trains_without_edits(sources, tmp_path, capsys, layout):
    output = tmp_path / "set"
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings(sources, output=str(output), layout=layout)))
    assert main(["synthesize", str(path)]) == 0
    assert "made" in capsys.readouterr().out
    arguments = ["--base", "builtin:demo", "--adapter", "audio_encoder=builtin:demo-audio", "--image-size", "64"]
    arguments += ["--max-steps", "2", "--validation", "validate", "--workers", "0", "--device", "cpu"]
    assert main(["train", "--data", str(output), *arguments, "--output", str(tmp_path / "adapter")]) == 0
    assert (tmp_path / "adapter/adapter_model.safetensors").is_file()
