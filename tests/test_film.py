"""`sam-av segment`: what it writes, read back by tools of others; stops, resuming, folders, and bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from accelerate.state import AcceleratorState
from conftest import make_model
from data_sets import cut_off
from films import FPS, picture, save_film, tone
from PIL import Image
from pycocotools import mask as coco
from scipy.io import wavfile

from sam_av import SamAV
from sam_av.audio import read_audio
from sam_av.cli import main
from sam_av.film.clips import find_clips
from sam_av.film.outputs import MaskRows
from sam_av.film.run import segment_to_folder
from sam_av.film.timeline import Bins, Timeline
from sam_av.viz import overlay

ADAPTER = "builtin:demo-sama"


@pytest.fixture(autouse=True)
def _forget_the_device():
    """accelerate keeps the first device for good; where there is a GPU, `--device cpu` would come too late."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return save_film(tmp_path_factory.mktemp("film") / "film.mp4", 24)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "masks.jsonl").read_text().splitlines()]


def blocks(pixels):
    """The means of blocks of 8 x 8 pixels of a picture (48, 80, 3)."""
    return pixels.reshape(6, 8, 10, 8, 3).mean(axis=(1, 3))


def command(*arguments):
    return [
        sys.executable,
        "-m",
        "sam_av.cli",
        "segment",
        *map(str, arguments),
        "--adapter",
        ADAPTER,
        "--device",
        "cpu",
    ]


def wait_for_rows(folder, count, process, seconds=60):
    """Until so many masks are in a folder that another process fills."""
    deadline = time.monotonic() + seconds
    while not (folder / "masks.jsonl").is_file() or (folder / "masks.jsonl").read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def made(model, film, tmp_path_factory):
    """A folder with all forms, and what they are of."""
    folder = tmp_path_factory.mktemp("made") / "out"
    report = segment_to_folder(model, film, folder, formats=["overlay", "png", "timeline"], show_progress=False)
    assert report.finished and report.frames == 24 and all(path.exists() for path in report.files)
    return folder, list(model.segment(film))


class TestOutputs:
    """Each form by a tool that sam-av is not: FFmpeg, Pillow, pycocotools."""

    def test_the_rows_are_the_masks(self, made):
        folder, frames = made
        for k, (row, frame) in enumerate(zip(rows_of(folder), frames, strict=True)):
            np.testing.assert_array_equal(coco.decode(row["segmentation"]), frame.mask)
            assert (row["frame"], row["carried"]) == (k, False)
            assert row["time"] == pytest.approx(k / FPS, abs=1e-3)
            assert row["score"] == pytest.approx(frame.score, abs=1e-5)
            assert row["area"] == pytest.approx(frame.mask.mean(), abs=1e-5)

    def test_the_pngs_are_the_masks(self, made):
        folder, frames = made
        assert sorted(path.name for path in (folder / "masks").iterdir()) == [f"{k:06d}.png" for k in range(24)]
        for k, frame in enumerate(frames):
            with Image.open(folder / "masks" / f"{k:06d}.png") as image:
                assert image.mode == "L"
                np.testing.assert_array_equal(np.asarray(image), 255 * frame.mask)

    def test_the_overlay_is_the_film_with_its_masks_and_its_sound(self, made, film):
        folder, frames = made
        with av.open(folder / "overlay.mp4") as container:
            (video,), (track,) = container.streams.video, container.streams.audio
            assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (track.codec_context.name, track.rate, track.layout.nb_channels) == ("aac", 44_100, 2)
            shown = list(container.decode(video=0))
        np.testing.assert_allclose([frame.time for frame in shown], [frame.time for frame in frames], atol=1e-3)
        for k in (0, 12, 23):
            pixels = shown[k].to_ndarray(format="rgb24").astype(int)
            assert pixels.shape == (48, 80, 3)
            drawn = overlay(frames[k].picture, frames[k].mask)  # fine edges are lost: colours have half the resolution
            assert np.abs(blocks(pixels) - blocks(drawn)).mean() < 6
            assert np.abs(blocks(pixels) - blocks(frames[k].picture)).mean() > 30
        original, kept = read_audio(film).numpy(), read_audio(folder / "overlay.mp4").numpy()
        length = min(len(original), len(kept)) - 2000
        assert abs(len(original) - len(kept)) < 1600
        assert np.corrcoef(original[2000:length], kept[2000:length])[0, 1] > 0.98

    def test_the_timeline_is_a_picture(self, made):
        with Image.open(made[0] / "timeline.png") as image:
            assert image.size == (1600, 592)
            assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 500

    def test_the_record_says_what_it_is_of(self, made):
        record = json.loads((made[0] / "run.json").read_text())
        assert record["source"]["name"] == "film.mp4" and record["finished"] and record["frames"] == 24

    def test_nothing_else_is_left(self, made):
        assert sorted(path.name for path in made[0].iterdir()) == [
            "masks", "masks.jsonl", "overlay.mp4", "run.json", "timeline.png",
        ]  # fmt: skip


def test_a_picture_and_its_sound(tmp_path, model):
    Image.fromarray(picture(3, 47, 81)).save(tmp_path / "a.png")
    wavfile.write(tmp_path / "a.wav", 16_000, tone(2))
    report = segment_to_folder(
        model, tmp_path / "a.png", tmp_path / "out", tmp_path / "a.wav", formats=["overlay", "png"]
    )
    assert {path.name for path in report.files} == {"overlay.png", "mask.png", "masks.jsonl"}
    (frame,) = model.segment(tmp_path / "a.png", tmp_path / "a.wav")
    with Image.open(tmp_path / "out" / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image) > 0, frame.mask)
    with Image.open(tmp_path / "out" / "overlay.png") as image:
        assert image.size == (81, 47)


def test_what_sounds_now(tmp_path, model, film):
    report = segment_to_folder(model, film, tmp_path / "out", time=1.5)
    assert report.finished and report.frames == 1 and (tmp_path / "out" / "overlay.png").is_file()


def test_frames_of_a_variable_rate_and_carried_masks(tmp_path, model):
    times = [0.0, 0.04, 0.5, 0.54, 1.3, 1.9]
    path = save_film(tmp_path / "a.mkv", times=times)
    segment_to_folder(model, path, tmp_path / "out", mask_fps=1)
    with av.open(tmp_path / "out" / "overlay.mp4") as container:
        np.testing.assert_allclose([frame.time for frame in container.decode(video=0)], times, atol=2e-3)
    assert [row["carried"] for row in rows_of(tmp_path / "out")] == [False, True, True, True, False, True]


def test_turned_films_and_odd_sizes_keep_their_shape(tmp_path, model):
    segment_to_folder(model, save_film(tmp_path / "turned.mov", 3, turn=-90), tmp_path / "turned", formats=["overlay"])
    odd = save_film(tmp_path / "odd.mkv", 3, size=(47, 81), codec="ffv1", form="bgr0")
    segment_to_folder(model, odd, tmp_path / "odd", formats=["overlay"])
    for name, size in (("turned", (48, 80)), ("odd", (82, 48))):
        with av.open(tmp_path / name / "overlay.mp4") as container:
            assert (container.streams.video[0].width, container.streams.video[0].height) == size


class TestStopping:
    def test_ctrl_c_leaves_whole_files_and_the_run_is_taken_up_again(self, tmp_path, capsys):
        path = save_film(tmp_path / "long.mp4", 300)
        arguments = command(path, "--output", tmp_path / "out", "--formats", "overlay", "timeline", "png")
        running = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        wait_for_rows(tmp_path / "out", 20, running)
        running.send_signal(signal.SIGINT)
        said, bar = running.communicate(timeout=60)
        assert running.returncode == 130 and "--resume goes on" in said and "Traceback" not in bar
        done = rows_of(tmp_path / "out")
        assert 20 <= len(done) < 300
        with av.open(tmp_path / "out" / "overlay.mp4") as container:
            assert len(list(container.decode(video=0))) == len(done)
            assert container.streams.audio
        assert (tmp_path / "out" / "timeline.png").is_file()
        assert not json.loads((tmp_path / "out" / "run.json").read_text())["finished"]

        before = (tmp_path / "out" / "masks.jsonl").read_bytes()
        for more, message in (
            ([], "holds the masks of an earlier run: go on with it (--resume)"),
            (["--resume", "--mask-fps", "2"], "differs from the earlier one in settings"),
        ):
            assert main([*arguments[3:], *more]) == 1
            assert message in capsys.readouterr().err
        assert (tmp_path / "out" / "masks.jsonl").read_bytes() == before

    def test_a_killed_run_is_taken_up_again_to_the_same_masks(self, tmp_path, model, monkeypatch):
        path = save_film(tmp_path / "a.mp4", 40)
        segment_to_folder(model, path, tmp_path / "whole", mask_fps=2)
        shutil.copytree(tmp_path / "whole", tmp_path / "killed")
        (tmp_path / "killed" / "overlay.mp4").unlink()
        lines = (tmp_path / "whole" / "masks.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "killed" / "masks.jsonl").write_bytes(b"".join(lines[:23]) + lines[23][:30])
        runs = []
        forward = model.forward
        monkeypatch.setattr(
            model, "forward", lambda *a, **b: (runs.append(len(a or b["pixel_values"])), forward(*a, **b))[1]
        )
        report = segment_to_folder(model, path, tmp_path / "killed", mask_fps=2, resume=True)
        assert report.finished and report.frames == 40
        assert sum(runs) == 4, "of the eight masks the first four are kept"
        for name in ("masks.jsonl", "timeline.png", "overlay.mp4"):
            assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name

    def test_a_finished_run_gets_another_form_without_the_model(self, tmp_path, model, film):
        segment_to_folder(model, film, tmp_path / "out", formats=[])
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks.jsonl", "run.json"]
        before = rows_of(tmp_path / "out")
        segment_to_folder(model, film, tmp_path / "out", formats=["png"], resume=True)
        assert len(list((tmp_path / "out" / "masks").iterdir())) == 24 and rows_of(tmp_path / "out") == before

    def test_overwrite(self, tmp_path, model, film):
        segment_to_folder(model, film, tmp_path / "out", formats=["png"])
        segment_to_folder(model, film, tmp_path / "out", formats=["timeline"], fps=1, overwrite=True)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks.jsonl", "run.json", "timeline.png"]
        assert len(rows_of(tmp_path / "out")) == 3

    @pytest.mark.parametrize("record", [None, "not JSON", '{"epochs": 3}'])
    def test_files_of_others_stay(self, tmp_path, model, film, record):
        """`masks` is also the folder of the true masks of a data set, and others call their files run.json, too."""
        truth = tmp_path / "set" / "masks" / "dog" / "0.png"
        truth.parent.mkdir(parents=True)
        Image.fromarray(picture(0)).save(truth)
        if record is not None:
            (tmp_path / "set" / "run.json").write_text(record)
        before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()}
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(FileExistsError, match=r"not of sam-av segment \(.*masks\): choose another folder"):
                segment_to_folder(model, film, tmp_path / "set", formats=["png"], **options)
        assert {path: path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file()} == before

    def test_another_film_or_sound_of_the_same_name_and_size_is_not_resumed(self, tmp_path, model, film):
        path, sound = tmp_path / "a.mp4", tmp_path / "a.wav"
        shutil.copy(film, path)
        wavfile.write(sound, 16_000, tone(3))
        segment_to_folder(model, path, tmp_path / "out", sound, formats=[])
        wavfile.write(sound, 16_000, tone(3)[::-1].copy())
        with pytest.raises(ValueError, match="differs from the earlier one in audio"):
            segment_to_folder(model, path, tmp_path / "out", sound, formats=[], resume=True)
        wavfile.write(sound, 16_000, tone(3))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match="differs from the earlier one in source"):
            segment_to_folder(model, path, tmp_path / "out", sound, formats=[], resume=True)

    def test_smoothing_is_not_resumed(self, tmp_path, model, film):
        with pytest.raises(ValueError, match="smoothing cannot be resumed"):
            segment_to_folder(model, film, tmp_path / "out", smoothing=0.5, resume=True)


class TestDamage:
    def test_what_was_done_until_the_damage_is_kept(self, tmp_path, capsys):
        path = save_film(tmp_path / "a.mkv", 80)
        cut_off(path)
        with pytest.warns(UserWarning, match="damaged or cut off"):
            code = main(["segment", str(path), "--adapter", ADAPTER, "--output", str(tmp_path / "out")])
        said = capsys.readouterr().out
        assert code == 1 and "breaks off there" in said and "is damaged after" in said
        rows = rows_of(tmp_path / "out")
        assert 20 < len(rows) < 70
        with av.open(tmp_path / "out" / "overlay.mp4") as container:
            assert len(list(container.decode(video=0))) == len(rows)
        assert "damaged" in json.loads((tmp_path / "out" / "run.json").read_text())["damage"]

    @pytest.mark.parametrize("options", [{}, {"mask_fps": 0.5}], ids=["heard by every frame", "by a few"])
    def test_damage_in_the_sound(self, tmp_path, model, options):
        """The timeline hears on behind the last frame, and between those that the model runs on."""
        path = save_film(tmp_path / "a.mp4", 60)
        samples = tone(6)
        samples[40_000:] = np.nan
        wavfile.write(tmp_path / "a.wav", 16_000, samples)
        with pytest.warns(UserWarning, match="NaN or infinite samples"):
            report = segment_to_folder(model, path, tmp_path / "out", tmp_path / "a.wav", **options)
        assert "NaN or infinite samples" in report.damage and not report.finished
        assert 1 <= report.frames == len(rows_of(tmp_path / "out")) < 30
        with av.open(tmp_path / "out" / "overlay.mp4") as container:
            assert len(list(container.decode(video=0))) == report.frames
        assert (tmp_path / "out" / "timeline.png").is_file()

    def test_an_output_that_cannot_be_finished_takes_no_other_with_it(self, tmp_path, model, film, monkeypatch):
        def no_room(self):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Timeline, "_draw", no_room)
        with pytest.raises(OSError, match="No space left"):
            segment_to_folder(model, film, tmp_path / "out")
        with av.open(tmp_path / "out" / "overlay.mp4") as container:
            assert len(list(container.decode(video=0))) == 24
        assert not (tmp_path / "out" / "timeline.png").exists()

    def test_a_film_that_has_changed_is_no_damage_and_costs_no_file(self, tmp_path, model, film):
        """Of the same name and size, but its fourth frame is elsewhere: the folder is as before."""
        segment_to_folder(model, film, tmp_path / "out")
        rows = [json.loads(line) for line in (tmp_path / "out" / "masks.jsonl").read_text().splitlines()]
        rows[3]["time"] += 0.05
        (tmp_path / "out" / "masks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        record = json.loads((tmp_path / "out" / "run.json").read_text())
        (tmp_path / "out" / "run.json").write_text(json.dumps({**record, "finished": False}))  # else it is left alone
        names = ("masks.jsonl", "overlay.mp4", "timeline.png")
        before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
        threads = threading.active_count()
        with pytest.raises(ValueError, match="the film has changed. Run it anew"):
            segment_to_folder(model, film, tmp_path / "out", resume=True)
        assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before
        assert threading.active_count() == threads, "the thread that reads ahead has ended"

    @pytest.mark.filterwarnings("ignore:.*damaged or cut off")
    def test_a_film_that_breaks_off_is_resumed_to_the_same_end(self, tmp_path, model):
        cut_off(path := save_film(tmp_path / "a.mkv", 60))
        first = segment_to_folder(model, path, tmp_path / "out", formats=[])
        before = (tmp_path / "out" / "masks.jsonl").read_bytes()
        again = segment_to_folder(model, path, tmp_path / "out", formats=["overlay"], resume=True)
        assert (again.frames, again.damage) == (first.frames, first.damage) and first.damage
        assert (tmp_path / "out" / "masks.jsonl").read_bytes() == before

    def test_pictures_of_an_unknown_codec(self, tmp_path, capsys):
        path = save_film(tmp_path / "a.mkv", 3)
        path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_WHATEVER/1234"))
        assert main(["segment", str(path), "--adapter", ADAPTER, "--output", str(tmp_path / "out")]) == 1
        assert "coded in a way that this FFmpeg does not know" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_mistakes_give_one_line_and_write_nothing(self, tmp_path, capsys, film):
        mute = save_film(tmp_path / "mute.mp4", 3, sound=None)
        wavfile.write(tmp_path / "a.wav", 16_000, tone(1))
        sound = tmp_path / "sound.mka"
        sound.write_bytes((tmp_path / "a.wav").read_bytes())
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").touch()
        for arguments, message in (
            ([tmp_path / "lost.mp4"], "There is no video, picture or folder"),
            ([mute], "has no audio track: it holds video (h264)"),
            ([sound], "has no picture: it holds sound alone"),
            ([tmp_path / "empty"], "holds no video (.mp4"),
            ([film, "--fps", "0"], "fps is how many frames a second"),
            ([film, "--point", "3"], "--point takes X,Y or X,Y@SECONDS, not '3'"),
            ([film, "--box", "1,2,3"], "--box takes L,T,R,B"),
            ([film, "--threshold", "0.5,0.6"], "--threshold takes P"),
            ([film, "--threshold", "1.5"], "between 0 and 1, not 1.5"),
            ([film, "--time", "90"], "lasts 2.40 s; a frame was wanted at 90 s"),
            ([film, "--output", tmp_path / "file" / "out"], "cannot be written to"),
            ([film, "--audio", tmp_path / "lost.wav"], "no sound or video file"),
        ):
            output = [] if "--output" in arguments else ["--output", tmp_path / "out"]
            assert main(["segment", *map(str, [*arguments, *output]), "--adapter", ADAPTER]) == 1, message
            error = capsys.readouterr().err
            assert message in error and "Traceback" not in error
            assert not (tmp_path / "out").exists()


class TestFolders:
    @pytest.fixture
    def clips(self, tmp_path):
        folder = tmp_path / "clips"
        folder.mkdir()
        save_film(folder / "dog.mp4", 12)
        save_film(folder / "cat.webm", 8, codec="libvpx-vp9", sound="libopus", rate=48_000)
        Image.fromarray(picture(3)).save(folder / "bee.png")
        wavfile.write(folder / "bee.wav", 16_000, tone(2))
        (folder / "notes.txt").write_text("not a clip")
        return folder

    def test_each_clip_gets_its_folder_and_a_bad_one_stops_none(self, tmp_path, clips, capsys):
        (clips / "broken.mp4").write_bytes(b"nothing")
        Image.fromarray(picture(3)).save(clips / "mute.png")
        assert main(["segment", str(clips), "--adapter", ADAPTER, "--output", str(tmp_path / "out")]) == 1
        said = capsys.readouterr()
        assert "dog: masks of 12 frames" in said.out and "bee: masks of 1 frame," in said.out
        assert (
            "broken: " in said.err and "cannot be decoded" in said.err and "mute: segment needs the sound" in said.err
        )
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bee", "cat", "dog"]
        assert len(rows_of(tmp_path / "out" / "cat")) == 8

    def test_clips_of_one_name_have_their_paths(self, tmp_path, clips):
        (clips / "videos").mkdir()
        shutil.copy(clips / "dog.mp4", clips / "videos" / "dog.mp4")
        shutil.copy(clips / "bee.png", clips / "cat.png")
        names = {clip.name: clip.path for clip in find_clips(clips)}
        assert sorted(names) == ["bee", "cat.png", "cat.webm", "dog.mp4", "videos/dog.mp4"]
        assert names["videos/dog.mp4"] == clips / "videos" / "dog.mp4"

    def test_a_stop_before_the_first_mask_of_a_clip_and_the_rest_by_resuming(
        self, tmp_path, clips, capsys, monkeypatch
    ):
        arguments = ["segment", str(clips), "--adapter", ADAPTER, "--output", str(tmp_path / "out"), "--formats", "png"]
        entered, enter = [], MaskRows.__enter__

        def enter_and_stop_the_second(rows):
            entered.append(rows)
            if len(entered) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return enter(rows)

        monkeypatch.setattr(MaskRows, "__enter__", enter_and_stop_the_second)
        first, second, _ = [clip.name for clip in find_clips(clips)]
        assert main(arguments) == 143
        said = capsys.readouterr().out
        assert f"{first}: masks of" in said and f"{second}: stopped before its first mask." in said
        assert len(entered) == 2, "a stop ends all"
        assert sorted(path.name for path in (tmp_path / "out" / second).iterdir()) == ["run.json"]

        assert main([*arguments, "--resume"]) == 0
        assert len(entered) == 4, "the clip that was over is left alone"
        said = capsys.readouterr().out
        assert all(f"{name}: masks of" in said for name in ("dog", "cat", "bee"))
        shutil.rmtree(tmp_path / "out" / "cat" / "masks")
        assert main([*arguments, "--resume"]) == 0
        assert len(entered) == 5 and len(list((tmp_path / "out" / "cat" / "masks").iterdir())) == 8

    def test_the_layout_of_a_data_set(self, tmp_path, clips, model):
        for name, place in (("dog.mp4", "videos"), ("bee.png", "images"), ("bee.wav", "audio")):
            (tmp_path / "set" / place).mkdir(parents=True)
            shutil.move(clips / name, tmp_path / "set" / place / name)
        found = {clip.name: clip.audio for clip in find_clips(tmp_path / "set")}
        assert found == {"dog": None, "bee": tmp_path / "set" / "audio" / "bee.wav"}

    def test_processes_share_a_folder(self, tmp_path, clips):
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
        done = subprocess.run(
            [*launch, "-m", *command(clips, "--output", tmp_path / "out")[2:]],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bee", "cat", "dog"]
        assert len(rows_of(tmp_path / "out" / "dog")) == 12


def test_clicks_boxes_and_thresholds_of_the_command_line(tmp_path, film):
    arguments = ["--point", "40,24@1", "--background-point", "5,5@1", "--box", "1,2,60,40@2", "--threshold", "0.4"]
    assert main(["segment", str(film), "--adapter", ADAPTER, "--output", str(tmp_path / "out"), *arguments]) == 0
    model = SamAV.from_pretrained(ADAPTER, device="cpu")
    prompts = {"points": {1: [[40, 24], [5, 5]]}, "point_labels": {1: [1, 0]}, "box": {2: [1, 2, 60, 40]}}
    for row, frame in zip(rows_of(tmp_path / "out"), model.segment(film, threshold=0.4, **prompts), strict=True):
        assert (coco.decode(row["segmentation"]) != frame.mask).mean() < 0.001


def test_clicks_in_arrays_are_resumed_as_those_in_lists(tmp_path, model, film):
    segment_to_folder(model, film, tmp_path / "out", formats=[], points=np.array([[40, 24]]), threshold=np.float32(0.5))
    settings = {"points": [[40, 24]], "threshold": 0.5}
    assert segment_to_folder(model, film, tmp_path / "out", formats=["png"], resume=True, **settings).finished


def test_bins_are_means_whatever_they_were_merged_to():
    rng = np.random.default_rng(0)
    times, values = np.sort(rng.uniform(0, 700, 5_000)), rng.normal(size=(5_000, 2))
    bins = Bins(2, limit=64)
    for start in range(0, 5_000, 7):
        bins.add(times[start : start + 7], values[start : start + 7])
    middles, means = bins.means()
    assert 32 < len(middles) <= 64
    width = middles[1] - middles[0]
    for middle, mean in zip(middles, means, strict=True):
        inside = np.abs(times - middle) <= width / 2
        np.testing.assert_allclose(mean, values[inside].mean(axis=0))
