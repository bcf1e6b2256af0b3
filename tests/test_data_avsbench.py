import csv
import pickle
import shutil
from dataclasses import replace
from itertools import chain
from time import perf_counter

import numpy as np
import pytest
from data_sets import assert_same_clip, cut_off, one_source, save_mask, scenes, truth_of
from PIL import Image

from sam_av.data import DataProblems, open_dataset, write_dataset
from sam_av.data.avsbench import AVSBenchMS3, AVSBenchS4

FRAMES = "s4_data/visual_frames"


@pytest.fixture(scope="module")
def s4(tmp_path_factory):
    clips = chain(one_source("train"), one_source("val"))
    return write_dataset(clips, tmp_path_factory.mktemp("s4"), "avsbench-s4")


@pytest.fixture
def damaged(s4, tmp_path):
    """A copy of S4 to do damage to."""
    return shutil.copytree(s4, tmp_path / "s4")


@pytest.fixture
def ms3(tmp_path):
    return write_dataset(chain(scenes("train"), scenes("test")), tmp_path / "ms3", "avsbench-ms3")


def first_file(root, pattern):
    return sorted(root.glob(pattern))[0]


def test_s4_reads_back_what_was_written(s4):
    clips = open_dataset(s4, "val")
    assert (clips.name, clips.split, len(clips)) == ("avsbench-s4", "val", 3)
    assert clips.categories == tuple(sorted({clip.category for clip in one_source("val")}))
    for read, written in zip(clips, one_source("val"), strict=True):
        assert_same_clip(read, written)


def test_s4_training_clips_have_a_truth_for_their_first_frame(s4):
    for read, written in zip(open_dataset(s4, "train"), one_source("train"), strict=True):
        assert_same_clip(read, truth_of(written, [True, False, False, False, False]))


def test_ms3_reads_back_what_was_written(ms3):
    for split in ("train", "test"):
        for read, written in zip(open_dataset(ms3, split), scenes(split), strict=True):
            assert_same_clip(read, replace(written, category=None))


def test_masks_are_binary_whatever_their_mode_and_values(damaged):
    truth = one_source("val")[0].masks[0]
    path = first_file(damaged, "s4_data/gt_masks/val/*/val-0-000000/*_1.png")
    for image in (
        Image.fromarray(truth.astype(np.uint8)),
        Image.fromarray(truth),
        Image.fromarray(truth[..., None] * np.array([0, 128, 3], np.uint8)),
        Image.fromarray(truth.astype(np.uint8) * 255).convert("RGBA"),
        Image.fromarray(truth.astype(np.uint16) * 40_000),
        Image.fromarray(truth.astype(np.uint8) * 255).convert("P"),
    ):
        image.save(path)
        np.testing.assert_array_equal(AVSBenchS4(damaged, "val")[0].masks[0], truth)


def test_a_pickled_log_mel_is_never_opened(damaged):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    clip = one_source("val")[0]
    pickles = damaged / f"s4_data/audio_log_mel/val/{clip.category}"
    pickles.mkdir(parents=True)
    (pickles / f"{clip.id}.pkl").write_bytes(pickle.dumps(Trap()))
    assert_same_clip(AVSBenchS4(damaged, "val")[0], clip)

    first_file(damaged, f"s4_data/audio_wav/val/*/{clip.id}.wav").unlink()
    with pytest.raises(DataProblems, match=r"missing file \(1\)"):
        AVSBenchS4(damaged, "val")


def test_missing_files_are_all_listed_before_anything_is_decoded(damaged):
    first, second, _ = one_source("val")
    shutil.rmtree(damaged / FRAMES / "val" / first.category / first.id)
    for wav in damaged.glob("s4_data/audio_wav/val/*/*.wav"):
        wav.unlink()
    mask = f"s4_data/gt_masks/val/{second.category}/{second.id}/{second.id}_4.png"
    (damaged / mask).unlink()
    with pytest.raises(DataProblems, match=r"avsbench-s4 \(val\): missing file \(5\)") as error:
        open_dataset(damaged, "val")
    problems = error.value.problems
    assert [problem.kind for problem in problems] == ["missing file"] * 5
    folder = f"{FRAMES}/val/{first.category}/{first.id}"
    wanted = f"wanted {folder}/{first.id}_1.png and 4 more beside it; that folder is empty or not there"
    assert problems[0].detail == wanted
    detail = next(problem.detail for problem in problems if problem.clip == second.id and "gt_masks" in problem.detail)
    assert f"wanted {mask}; that folder holds {second.id}_1.png, {second.id}_2.png" in detail
    assert "skip_bad=True" in str(error.value)


def test_skip_bad_goes_on_and_reports(damaged):
    spoilt = one_source("val")[1]
    first_file(damaged, f"s4_data/audio_wav/val/*/{spoilt.id}.wav").unlink()
    with pytest.warns(UserWarning, match=rf"avsbench-s4 \(val\), left out: missing file \(1\)\n.*{spoilt.id}"):
        clips = open_dataset(damaged, "val", skip_bad=True)
    assert [entry.id for entry in clips.entries] == ["val-0-000000", "val-0-000002"]
    assert [problem.clip for problem in clips.left_out] == [spoilt.id]
    assert_same_clip(clips[1], one_source("val")[2])


def test_skip_bad_with_nothing_left_is_an_error(damaged):
    shutil.rmtree(damaged / "s4_data/audio_wav/val")
    with pytest.raises(DataProblems, match=r"no clip is left: missing file \(3\)"):
        open_dataset(damaged, "val", skip_bad=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_verify_decodes_everything_and_lists_what_cannot_be_used(damaged, workers):
    picture, sound, mask = (clip.id for clip in one_source("val"))
    cut_off(first_file(damaged, f"{FRAMES}/val/*/{picture}/*_3.png"))
    cut_off(first_file(damaged, f"s4_data/audio_wav/val/*/{sound}.wav"))
    save_mask(first_file(damaged, f"s4_data/gt_masks/val/*/{mask}/*_5.png"), np.zeros((32, 64), np.uint8))
    clips = open_dataset(damaged, "val")
    with pytest.raises(
        DataProblems, match=r"unreadable picture \(1\), unreadable sound \(1\), bad mask \(1\)"
    ) as error:
        clips.verify(workers)
    assert [problem.clip for problem in error.value.problems] == [picture, sound, mask]
    assert "64 x 32 pixels, its frame 64 x 64" in error.value.problems[2].detail

    tolerant = open_dataset(damaged, "train", skip_bad=True)
    tolerant.verify(workers)
    assert tolerant.left_out == []


def test_verify_with_skip_bad_leaves_out_what_cannot_be_used(damaged):
    first_file(damaged, f"{FRAMES}/val/*/val-0-000000/*_3.png").write_bytes(b"")
    clips = open_dataset(damaged, "val", skip_bad=True)
    with pytest.warns(UserWarning, match=r"unreadable picture.*_3.png' \(0 bytes\)"):
        clips.verify()
    assert [clip.id for clip in clips] == ["val-0-000001", "val-0-000002"]


def test_frames_of_several_sizes_are_a_problem(damaged):
    save_mask(first_file(damaged, f"{FRAMES}/val/*/val-0-000000/*_2.png"), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(DataProblems, match="64 x 32 pixels; wanted 64 x 64, as the first frame is"):
        open_dataset(damaged, "val")[0]


def test_wrong_roots_say_what_should_be_there_and_where_it_is(s4, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*\n  s4_meta_data.csv"):
        AVSBenchS4(tmp_path / "nowhere", "val")
    with pytest.raises(FileNotFoundError, match=rf"lacks s4_meta_data.csv, s4_data, .*'{s4}': pass that folder\?"):
        AVSBenchS4(s4 / "s4_data", "val")
    with pytest.raises(FileNotFoundError, match="is no avsbench-ms3 data set: it lacks ms3_meta_data.csv"):
        AVSBenchMS3(s4, "val")


def test_a_table_without_a_column_names_it(damaged):
    table = damaged / "s4_meta_data.csv"
    table.write_text(table.read_text().replace("category", "class"))
    with pytest.raises(ValueError, match="lacks the columns category; its first line names name, start, class, split"):
        open_dataset(damaged, "val")


def test_an_unknown_split_names_those_that_there_are(s4):
    with pytest.raises(ValueError, match=r"no split 'valid'; it has 'train' \(3 clips\), 'val' \(3 clips\)"):
        open_dataset(s4, "valid")


def test_an_id_cannot_lead_out_of_the_folder(damaged):
    with (damaged / "s4_meta_data.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["../../../../../../etc/passwd", 0, "dog", "val"])
    with pytest.raises(DataProblems, match=r"bad row \(1\).*\n.*leads out of") as error:
        open_dataset(damaged, "val")
    assert len(error.value.problems) == 1


def test_clips_that_do_not_fit_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="holds 5 frames, one a second from 0 on; it has them at"):
        write_dataset(one_source(frames=4), tmp_path / "a", "avsbench-s4")
    with pytest.raises(ValueError, match="has no category"):
        write_dataset(scenes(silence=1, absent=0), tmp_path / "b", "avsbench-s4")
    with pytest.raises(ValueError, match="belongs to no split"):
        write_dataset([replace(one_source()[0], split=None)], tmp_path / "c", "avsbench-s4")
    with pytest.raises(ValueError, match="cannot name a file"):
        write_dataset([replace(one_source()[0], id="../up")], tmp_path / "d", "avsbench-s4")


@pytest.mark.slow
def test_ten_thousand_clips_are_indexed_in_seconds(tmp_path):
    rows = ["name,start,category,split"]
    for number in range(10_000):
        name, place = f"clip{number:05d}", f"test/dog/clip{number:05d}"
        rows.append(f"{name},0,dog,test")
        for kind in ("visual_frames", "gt_masks"):
            folder = tmp_path / "s4_data" / kind / place
            folder.mkdir(parents=True)
            for k in range(5):
                (folder / f"{name}_{k + 1}.png").touch()
        (tmp_path / "s4_data/audio_wav/test/dog").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"s4_data/audio_wav/test/dog/{name}.wav").touch()
    (tmp_path / "s4_meta_data.csv").write_text("\n".join(rows))
    start = perf_counter()
    clips = open_dataset(tmp_path, "test")
    seconds = perf_counter() - start
    assert len(clips) == 10_000
    assert seconds < 10
    print(f"10,000 clips of S4 were indexed in {seconds:.2f} s")
