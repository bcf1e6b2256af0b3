"""Tables and folders of sounds, the choice among them, and how they are dealt out."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import synthesis_sources as made
from data_sets import cut_off

from sam_av.data.writing import write_waveform
from sam_av.synthesis.categories import CategoryMap
from sam_av.synthesis.class_folders import SoundFolders
from sam_av.synthesis.dealing import Dealer, scale
from sam_av.synthesis.hearing import choose_sounds
from sam_av.synthesis.open_images import OpenImagesPictures
from sam_av.synthesis.recipe import SynthesisRecipe
from sam_av.synthesis.same_files import first_of_same
from sam_av.synthesis.sounds import FSD50K, AudioSet, VGGSound
from sam_av.synthesis.tally import Tally


def everything(_name: str) -> bool:
    return True


@pytest.fixture
def vggsound(tmp_path):
    made.write_vggsound(tmp_path, 5)
    return tmp_path


class TestTables:
    def test_vggsound(self, vggsound):
        source = VGGSound(str(vggsound / "vggsound.csv"), str(vggsound / "clips"))
        assert source.labels()["bee, wasp, etc. buzzing"] == 5
        clips = source.clips("bee, wasp, etc. buzzing".__eq__)
        assert len(clips) == 5 and all(clip.recording == f"youtube/{clip.path.stem[:-7]}" for clip in clips)
        only = VGGSound(str(vggsound / "vggsound.csv"), str(vggsound / "clips"), splits=["test"])
        assert only.labels().total() == 4

    def test_audioset(self, tmp_path):
        made.write_audioset(tmp_path, 2)
        source = AudioSet(str(tmp_path / "segments.csv"), str(tmp_path / "labels.csv"), str(tmp_path / "clips"))
        assert source.labels() == {"Music, any": 8, "Dog": 2, "Bee": 2, "Car": 2, "Bell": 2}
        assert [clip.labels for clip in source.clips("Dog".__eq__)] == [("Dog", "Music, any")] * 2
        text = (tmp_path / "segments.csv").read_text()
        (tmp_path / "segments.csv").write_text(text + 'as000000000, 0.0, 10.0, "/m/lost"\nbroken, x, y\n')
        source.clips(everything)
        assert source.tally.counts["unknown label id"] == source.tally.counts["bad row of sounds"] == 1

    def test_fsd50k(self, tmp_path):
        made.write_fsd50k(tmp_path, 2)
        paths = [str(tmp_path / name) for name in ("dev.csv", "clips")]
        source = FSD50K(*paths, info=str(tmp_path / "info.json"), splits=["train"])
        (clip, *others) = source.clips("dog".__eq__)
        assert not others and clip.labels == ("dog", "Animal") and "creativecommons" in clip.license
        with pytest.raises(ValueError, match="lacks fname and labels"):
            FSD50K(str(tmp_path / "info.json"), paths[1]).labels()

    def test_faults_are_counted(self, vggsound):
        table = vggsound / "vggsound.csv"
        first = table.read_text().splitlines()[0]
        table.write_text(table.read_text() + f"{first}\nlost,3,dog barking,train\nno,number,dog barking,train\nshort\n")
        source = VGGSound(str(table), str(vggsound / "clips"), license="CC BY 4.0")
        clips = source.clips(everything)
        assert len(clips) == 20 and all(clip.license == "CC BY 4.0" for clip in clips)
        assert source.tally.counts == {"missing sound": 1, "bad row of sounds": 2, "duplicate sound": 1}
        assert source.tally.examples["missing sound"] == ["lost_000003"]


class TestOpenImages:
    @pytest.fixture
    def open_images(self, tmp_path):
        """A function that opens the set, with its tables changed."""
        made.write_open_images(tmp_path, made.draw(3))

        def open_images(**changes) -> OpenImagesPictures:
            for name, change in changes.items():
                path = tmp_path / f"{name}.csv"
                path.write_text(change(path.read_text()))
            paths = {name: str(tmp_path / name) for name in ("masks", "images")}
            tables = {name: str(tmp_path / f"{name}.csv") for name in ("boxes", "classes")}
            return OpenImagesPictures(
                str(tmp_path / "masks.csv"), **paths, **tables, images_table=str(tmp_path / "images.csv")
            )

        return open_images

    def test_names_do_not_lead_out_of_the_folders(self, tmp_path, open_images):
        whole = open_images().things(everything)
        mask, image = Path(whole[0].outline).name, whole[-1].picture.path.stem
        (tmp_path / "outside.jpg").write_bytes(b"x")
        (tmp_path / "outside.png").write_bytes(b"x")
        source = open_images(
            masks=lambda text: text.replace(f"{mask},", "../outside.png,").replace(f",{image},", ",../outside,")
        )
        things = source.things(everything)
        lost = sum(thing.picture.path.stem == image for thing in whole)
        assert len(things) == len(whole) - 1 - lost
        assert source.tally.counts["name that leads out of the folder"] == 2

    def test_bad_rows_are_counted(self, open_images):
        whole = open_images().things(everything)
        source = open_images(
            masks=lambda text: text + "cut.png,short\n\n",
            boxes=lambda text: text + text.splitlines()[1].replace("/m/", "x,y,/m/") + "\n" + _with_bad_number(text),
            images=lambda text: text + "short\n",
        )
        assert len(source.things(everything)) == len(whole)
        assert source.tally.counts == {"bad row of masks": 1, "bad row of boxes": 2, "bad row of pictures": 1}
        assert source.tally.examples["bad row of masks"] == [f"masks.csv, line {len(whole) + 2}"]


def _with_bad_number(table: str) -> str:
    """The first row of a table of boxes with a word for its first number."""
    head, row = (line.split(",") for line in table.splitlines()[:2])
    row[head.index("XMin")] = "left"
    return ",".join(row) + "\n"


class TestChoice:
    @pytest.fixture
    def choose(self, tmp_path):
        (tmp_path / "map.yaml").write_text(made.map_text())
        made.write_sound_folders(tmp_path / "snd", 6)

        def choose(sources=None, **changes):
            tally = Tally()
            settings = {"splits": {"train": 8, "test": 2}, "workers": 0, **changes}
            recipe = SynthesisRecipe(pictures=["x"], sounds=["y"], **settings)
            sources = sources or [SoundFolders(str(tmp_path / "snd"))]
            heard = choose_sounds(sources, CategoryMap.load(tmp_path / "map.yaml"), everything, recipe, tally)
            return heard, tally

        return choose

    def test_short_and_damaged_sounds_are_counted(self, tmp_path, choose):
        files = sorted((tmp_path / "snd/dog").iterdir())
        write_waveform(files[0], np.ones(16_000, np.float32) / 2)
        cut_off(files[1], 0.01)
        heard, tally = choose()
        assert tally.counts == {"sound shorter than asked": 1, "unreadable sound": 1}
        assert "(1.00 s)" in tally.examples["sound shorter than asked"][0]
        assert sum(map(len, heard["dog"].values())) == 4
        _, tally = choose(seconds=10)
        assert tally.counts["sound shorter than asked"] == 23

    def test_ids_are_apart_where_names_read_alike(self, tmp_path, choose):
        (tmp_path / "map.yaml").write_text(
            "categories: {dog: {sounds: {folder: [dog-bark]}}, bee: {}, car: {}, bell: {}}\n"
        )
        folders = tmp_path / "snd"
        (folders / "dog/0.wav").rename(folders / "dog/bark-1.wav")
        (folders / "dog-bark").mkdir()
        (folders / "dog/1.wav").rename(folders / "dog-bark/1.wav")
        shutil.copy(folders / "dog/2.wav", folders / "dog/2.flac")  # one sound in two forms
        source = SoundFolders(str(folders))
        heard, _ = choose([source])
        assert source.tally.counts == {"two sounds of a name": 1}
        ids = [clip.id for parts in heard.values() for clips in parts.values() for clip in clips]
        assert len(ids) == len(set(ids)) == 24 and {"snd-dog-bark-1", "snd-dog-bark-1-2"} <= set(ids)

    def test_every_part_hears_every_category(self, choose):
        heard, _ = choose(splits={"train": 1000, "validate": 1, "test": 1})
        assert all(set(parts) == {"train", "validate", "test"} for parts in heard.values())

    def test_a_category_with_fewer_recordings_than_parts_is_left_out(self, tmp_path, choose):
        for path in sorted((tmp_path / "snd/bell").iterdir())[1:]:
            path.unlink()
        heard, tally = choose()
        assert set(heard) == {"dog", "bee", "car"}
        assert tally.examples["category with too few sounds for all parts"] == ["bell (none for test)"]

    def test_a_video_in_two_sets_is_one_recording(self, tmp_path, choose):
        """VGGSound and AudioSet have cut other stretches from the same videos."""
        made.write_vggsound(tmp_path / "vgg", 8)
        made.write_audioset(tmp_path / "as", 8)
        segments = tmp_path / "as/segments.csv"
        for k, line in enumerate((tmp_path / "vgg/vggsound.csv").read_text().splitlines()):
            video = line.split(",")[0]
            (tmp_path / f"as/clips/Yas{k:09d}.wav").rename(tmp_path / f"as/clips/Y{video}.wav")
            segments.write_text(segments.read_text().replace(f"as{k:09d}", video))
        vggsound = VGGSound(str(tmp_path / "vgg/vggsound.csv"), str(tmp_path / "vgg/clips"))
        audioset = AudioSet(str(segments), str(tmp_path / "as/labels.csv"), str(tmp_path / "as/clips"))
        heard, tally = choose([vggsound, audioset], splits={"train": 5, "test": 5})
        assert not tally.counts
        parts: dict[str, list[str]] = {}
        for part, clips in ((part, clips) for of_one in heard.values() for part, clips in of_one.items()):
            for clip in clips:
                parts.setdefault(clip.recording, []).append(part)
        assert len(parts) == 32 and all(len(found) == 2 and len(set(found)) == 1 for found in parts.values())

    def test_recordings_that_share_a_file_are_one_with_all_their_clips(self, tmp_path, choose):
        """One folder's clip is also in a video of which another clip is in no folder."""
        made.write_vggsound(tmp_path / "vgg", 8)
        table = tmp_path / "vgg/vggsound.csv"
        rows = [line.split(",", 2) for line in table.read_text().splitlines()]
        for k, (video, start, _) in enumerate(rows):  # videos of two clips, of which the second is the folder's, too
            name = f"video{k // 2}_{int(start):06d}.wav"
            (tmp_path / "vgg/clips" / f"{video}_{int(start):06d}.wav").rename(tmp_path / "vgg/clips" / name)
            if k % 2:
                category = made.CATEGORIES[k // 8]
                (tmp_path / "own" / category).mkdir(parents=True, exist_ok=True)
                (tmp_path / f"own/{category}/{k}.wav").write_bytes((tmp_path / "vgg/clips" / name).read_bytes())
        table.write_text("".join(f"video{k // 2},{start},{rest}\n" for k, (_, start, rest) in enumerate(rows)))
        own = SoundFolders(str(tmp_path / "own"))
        heard, tally = choose([own, VGGSound(str(table), str(tmp_path / "vgg/clips"))], splits={"train": 5, "test": 5})
        assert tally.counts == {"sound that is there already": 16}
        of_clip = {clip.path.stem: part for parts in heard.values() for part, of in parts.items() for clip in of}
        assert len(of_clip) == 32 and set(of_clip.values()) == {"train", "test"}
        for k, (_, start, _) in enumerate(rows):
            if not k % 2:
                assert of_clip[f"video{k // 2}_{int(start):06d}"] == of_clip[str(k + 1)]

    def test_a_sound_of_two_categories_is_of_none(self, tmp_path, choose):
        made.write_fsd50k(tmp_path / "fsd", 4)
        table = tmp_path / "fsd/dev.csv"
        table.write_text(table.read_text().replace('"dog,Animal"', '"dog,bee"', 1))
        _, tally = choose([FSD50K(str(table), str(tmp_path / "fsd/clips"))])
        assert tally.counts["sound of several categories"] == 1


class TestDealing:
    def test_parts_have_their_shares_of_every_category(self):
        dealer = Dealer({"train": 0.8, "test": 0.2, "none": 0.0})
        rng = np.random.default_rng(0)
        counts: dict[str, Counter[str]] = {"a": Counter(), "b": Counter()}
        for _ in range(1000):
            category = "a" if rng.random() < 0.03 else "b"
            counts[category][dealer.deal([category])] += 1
        for parts in counts.values():
            assert set(parts) == {"train", "test"}
            assert parts["test"] == pytest.approx(parts.total() / 5, abs=1)

    def test_numbers_that_are_too_large_shrink_in_proportion(self):
        assert scale({"train": 80, "validate": 10, "test": 10}, 200) == {"train": 80, "validate": 10, "test": 10}
        assert scale({"train": 80, "validate": 10, "test": 10}, 50) == {"train": 40, "validate": 5, "test": 5}
        assert sum(scale({"train": 52_609, "validate": 5_000, "test": 5_000}, 1_001).values()) == 1_001

    def test_same_files_are_found_whatever_their_ends(self, tmp_path):
        contents = {"a": b"x" * 20_000, "b": b"x" * 10_000 + b"y" + b"x" * 9_999, "c": b"x" * 20_000, "d": b"x"}
        paths = {name: tmp_path / name for name in contents}
        for name, content in contents.items():
            paths[name].write_bytes(content)
        found = first_of_same(paths.values())
        assert {path.name: first.name for path, first in found.items()} == {"a": "a", "b": "b", "c": "a", "d": "d"}
