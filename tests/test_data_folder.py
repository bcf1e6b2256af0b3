import shutil
from itertools import chain

import av
import numpy as np
import pytest
from data_sets import assert_same_clip, cut_off, save_mask, save_wav, scenes
from torch.utils.data import DataLoader

from sam_av.data import DataProblems, open_dataset, write_dataset
from sam_av.data.folder import FolderDataset
from sam_av.data.writing import write_picture, write_waveform

WAVE = (8_000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)


@pytest.fixture
def folder(tmp_path):
    return write_dataset(chain(scenes("train"), scenes("test")), tmp_path / "mine", "folder")


def save_mp4(path, seconds: int, rate: int = 25, sound: bool = True):
    """A video as a phone makes it: H.264, and AAC if it has sound. Its brightness rises by 5 from frame to frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=rate)
        video.height, video.width, video.pix_fmt = 32, 48, "yuv420p"
        audio = container.add_stream("aac", rate=44_100, layout="stereo") if sound else None
        for number in range(seconds * rate):
            picture = np.full((32, 48, 3), 20 + 5 * (number % 40), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio is not None:
            tone = np.sin(np.arange(seconds * 44_100) / 20).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]) / 4, format="fltp", layout="stereo")
            frame.rate = 44_100
            container.mux([*audio.encode(frame), *audio.encode()])


def save_masks(root, name: str, numbers: list[str]):
    for k, number in enumerate(numbers):
        mask = np.zeros((32, 48), np.uint8)
        mask[k] = 255
        save_mask(root / "masks" / name / f"{number}.png", mask)


def shades(frames: np.ndarray) -> list[int]:
    return [round((int(frame.mean()) - 20) / 5) for frame in frames]


def test_it_reads_back_what_was_written(folder):
    for split in ("train", "test"):
        clips = open_dataset(folder, split)
        assert clips.name == "mine"
        for read, written in zip(clips, scenes(split), strict=True):
            assert_same_clip(read, written)


def test_workers_read_what_this_process_reads(folder):
    clips = open_dataset(folder, "train")
    loader = DataLoader(clips, batch_size=None, num_workers=2, collate_fn=lambda clip: clip)
    for read, written in zip(loader, scenes("train"), strict=True):
        assert_same_clip(read, written)


def test_a_video_of_a_phone_goes_with_masks_at_seconds(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=2)
    save_masks(tmp_path, "dog", ["0", "dog_0001", "1.52"])
    clip = FolderDataset(tmp_path, "anything")[0]
    np.testing.assert_array_equal(clip.times, [0.0, 1.0, 1.52])
    assert shades(clip.frames) == [0, 25, 38]
    assert [int(mask.any(axis=1).argmax()) for mask in clip.masks] == [0, 1, 2]
    assert abs(len(clip.waveform) - 32_000) < 1_600
    assert (clip.id, clip.category, clip.split) == ("dog", None, "anything")


def test_a_mask_is_of_a_frame_number_at_the_fps_that_is_told(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=2)
    save_masks(tmp_path, "dog", ["frame-00003", "frame-00040"])
    clip = open_dataset(tmp_path, "train", fps=25)[0]
    np.testing.assert_allclose(clip.times, [0.12, 1.6])
    assert shades(clip.frames) == [3, 0]


def test_a_sound_beside_the_video_goes_before_its_track(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=2)
    save_masks(tmp_path, "dog", ["0"])
    save_wav(tmp_path / "audio" / "dog.wav", WAVE)
    np.testing.assert_array_equal(FolderDataset(tmp_path, "train")[0].waveform, WAVE.astype(np.float32) / 32_768)


def test_pictures_go_with_sounds_and_masks_by_name(tmp_path):
    clip = scenes()[0]
    for k, name in enumerate(("a", "b")):
        write_picture(tmp_path / "images" / f"{name}.png", clip.frames[k])
        write_picture(tmp_path / "masks" / f"{name}.png", clip.masks[k])
        write_waveform(tmp_path / "audio" / f"{name}.wav", clip.waveform)
    (tmp_path / "splits.csv").write_text("name,split,category\nb,train,dog\na,test,cat\n")
    clips = open_dataset(tmp_path, "train")
    assert [(clip.id, clip.category) for clip in clips] == [("b", "dog")]
    np.testing.assert_array_equal(clips[0].frames[0], clip.frames[1])
    np.testing.assert_array_equal(clips[0].masks[0], clip.masks[1])
    np.testing.assert_array_equal(clips[0].times, [0.48])


def test_without_masks_nothing_is_annotated_and_a_video_is_read_each_second(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=3)
    clip = open_dataset(tmp_path, "train")[0]
    np.testing.assert_array_equal(clip.times, [0.0, 1.0, 2.0])
    assert clip.masks is None
    assert not clip.annotated.any()


def test_a_video_without_an_audio_track_is_a_problem_that_says_so(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=1, sound=False)
    save_masks(tmp_path, "dog", ["0"])
    clips = open_dataset(tmp_path, "train")
    with pytest.raises(DataProblems, match=r"unreadable sound \(1\)\n.*dog.mp4' has no audio track") as error:
        clips.verify()
    assert "Pass its sound as a file of its own" in str(error.value)


def test_a_cut_off_video_is_a_problem(folder):
    cut_off(folder / "videos" / "train-0-000001.mkv", 0.3)
    with pytest.raises(DataProblems, match=r"unreadable (picture|sound) \(1\)\n.*train-0-000001.mkv"):
        open_dataset(folder, "train").verify()


def test_a_mask_after_the_end_of_the_video_is_a_problem(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=2)
    save_masks(tmp_path, "dog", ["0", "7"])
    with pytest.raises(DataProblems, match=r"dog.mp4' ends at 2.00 s; a frame was wanted at 7 s"):
        open_dataset(tmp_path, "train")[0]


def test_names_that_do_not_meet_are_all_listed(folder):
    (folder / "videos" / "train-0-000000.mkv").rename(folder / "videos" / "renamed.mkv")
    shutil.rmtree(folder / "masks" / "train-0-000001")
    (folder / "masks" / "train-0-000002" / "notes.txt").touch()
    with pytest.raises(DataProblems) as error:
        open_dataset(folder, "train")
    found = {(problem.kind, problem.clip): problem.detail for problem in error.value.problems}
    assert found.keys() == {
        ("in no split", "renamed"),
        ("missing file", "train-0-000000"),
        ("masks of nothing", "train-0-000000"),
        ("bad row", "train-0-000001"),
        ("bad row", "train-0-000002"),
    }
    assert "wanted masks/train-0-000001/<number>.png" in found["bad row", "train-0-000001"]
    assert "notes.txt should be a PNG whose name ends in the number" in found["bad row", "train-0-000002"]
    with pytest.raises(DataProblems, match="no clip is left"):
        open_dataset(folder, "train", skip_bad=True)


def test_two_masks_of_one_frame_and_two_files_of_one_name_are_problems(tmp_path):
    save_mp4(tmp_path / "videos" / "dog.mp4", seconds=1)
    save_masks(tmp_path, "dog", ["0", "00"])
    write_picture(tmp_path / "images" / "dog.png", np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(DataProblems, match=r"two of a name \(1\), bad row \(1\)") as error:
        open_dataset(tmp_path, "train")
    assert "are of the same frame" in str(error.value)


def test_what_systems_hide_in_folders_is_passed_over(folder):
    for name in ("videos/.DS_Store", "masks/.DS_Store", "masks/train-0-000000/.DS_Store"):
        (folder / name).touch()
    assert len(open_dataset(folder, "train")) == 3


def test_wrong_folders_and_tables_say_what_should_be_there(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lacks videos, and holds nothing.*\n  videos/<name>.mp4"):
        FolderDataset((tmp_path / "empty").mkdir() or tmp_path / "empty", "train")
    with pytest.raises(ValueError, match=r"no split 'val'; it has 'train' \(3 clips\), 'test' \(3 clips\)"):
        open_dataset(folder, "val")
    table = folder / "splits.csv"
    table.write_text(table.read_text().replace("category", "catgory"))
    with pytest.raises(ValueError, match=r"splits.csv' has an unknown field 'catgory'; did you mean 'category'\?"):
        open_dataset(folder, "train")
    table.write_text("name,part\n")
    with pytest.raises(ValueError, match=r"splits.csv' lacks the columns split"):
        open_dataset(folder, "train")


def test_decimal_seconds_behind_a_name(folder):
    masks = sorted((folder / "masks").iterdir())[0]
    first = sorted(masks.glob("*.png"))[0]
    first.rename(masks / f"{masks.name}_0.5.png")
    dataset = FolderDataset(folder, "train" if "train" in masks.name else "test")
    clip = next(clip for clip in dataset if clip.id == masks.name)
    assert 0.5 in clip.times.tolist()


def test_a_name_that_stands_twice_in_the_table(folder):
    table = folder / "splits.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[-1]]) + "\n")
    with pytest.raises(DataProblems, match="two of a name"):
        FolderDataset(folder, "test")
