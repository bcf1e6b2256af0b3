"""What the page keeps of a run: enough to draw every threshold without the model."""

import io
import json
import zipfile

import av
import numpy as np
import pytest
from films import save_film
from PIL import Image
from scipy.io import wavfile

from sam_av import SamAV
from sam_av.app.limits import Limits
from sam_av.app.runs import Run, record
from sam_av.data import Scenes, SceneSettings
from sam_av.data.video_writer import VideoWriter


@pytest.fixture(scope="module")
def scene():
    return Scenes(SceneSettings(size=160, sources=(1, 1), silence=0, absent=0, switching=0), split="test").scene(1)


@pytest.fixture(scope="module")
def clip(scene):
    return scene.clip()


@pytest.fixture(scope="module")
def film(clip, tmp_path_factory):
    """Five seconds, of which each shows one frame, ten times."""
    path = tmp_path_factory.mktemp("film") / "Street & co.mp4"
    with VideoWriter(path, 10, clip.waveform) as video:
        for frame in clip.frames.repeat(10, axis=0):
            video.write(frame)
    return path


@pytest.fixture(scope="module")
def model():
    return SamAV.from_pretrained("builtin:demo-sama", device="cpu")


@pytest.fixture(scope="module")
def found(model, film, tmp_path_factory):
    """The masks as they came, and the run that was kept."""
    folder = tmp_path_factory.mktemp("shelf") / "run"
    return list(record(model, film, None, folder, Limits(), rate=1)), Run(folder)


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def test_the_masks_are_those_of_the_model(found, clip):
    frames, run = found
    assert run.times == pytest.approx([0, 1, 2, 3, 4]) and run.is_video
    for number, frame in enumerate(frames):
        again = run.frame(number, run.threshold)
        assert iou(again.mask, frame.mask) > 0.97, "8 bits are kept of each probability"
        assert again.time == frame.time and np.abs(again.picture.astype(int) - frame.picture).mean() < 4
    masks = [run.frame(number, run.threshold).mask for number in range(5)]
    assert np.mean([iou(mask, truth) for mask, truth in zip(masks, clip.binary_masks(), strict=True)]) > 0.5
    assert run.surest() == max(frames, key=lambda frame: frame.score).time
    assert [run.nearest(time) for time in (-1, 0.4, 0.6, 9)] == [0, 0, 1, 4]


def test_the_threshold_moves_without_the_model(found, model, monkeypatch):
    _, run = found
    monkeypatch.setattr(model, "forward", None)
    areas = [run.frame(0, threshold).mask.mean() for threshold in (0.05, 0.3, 0.5, 0.7, 0.95)]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1]


def test_the_video(found, clip):
    _, run = found
    with av.open(run.write_video(run.threshold)) as container:
        assert len(container.streams.audio) == 1
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])]
    assert len(shown) == 50 and shown[0].shape == (160, 160, 3)
    for number in range(5):
        mask = run.frame(number, run.threshold).mask
        change = shown[10 * number + 9].astype(int) - (0.55 * clip.frames[number] + 0.45 * 70)
        assert change[mask][:, 0].mean() > 40 and np.abs(change[~mask]).mean() < 10, "red on the mask, faded beside it"


def test_the_archive_of_masks(found):
    _, run = found
    path = run.write_masks(0.4)
    assert list(path.parent.iterdir()) == [path] and not list(run.folder.rglob("*.jsonl")), "what was packed is gone"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [*(f"masks/{k:06d}.png" for k in range(5)), "masks.jsonl"]
        rows = [json.loads(line) for line in archive.read("masks.jsonl").splitlines()]
        for number, row in enumerate(rows):
            with Image.open(io.BytesIO(archive.read(f"masks/{number:06d}.png"))) as image:
                mask = np.asarray(image) > 0
            assert mask.shape == (160, 160) and row["area"] == pytest.approx(mask.mean(), abs=1e-6)
            assert np.array_equal(mask, run.frame(number, 0.4).mask) and row["time"] == number


def test_the_timeline(found):
    _, run = found
    with Image.open(run.write_timeline(0.5)) as sheet:
        assert sheet.width == 1600


def test_a_picture_with_its_sound(model, clip, tmp_path):
    Image.fromarray(clip.frames[0][:, :120]).save(tmp_path / "street.png")
    wavfile.write(tmp_path / "street.wav", 16_000, (32_767 * clip.waveform).astype(np.int16))
    (frame,) = record(
        model, tmp_path / "street.png", tmp_path / "street.wav", tmp_path / "run", Limits(masks=1), rate=25
    )
    run = Run(tmp_path / "run")
    assert not run.is_video and run.times == [frame.time]
    with Image.open(run.write_picture(0.5)) as drawn:
        assert drawn.size == (120, 160)


@pytest.mark.parametrize("size", [(1280, 320), (320, 1280)])
def test_a_long_picture_keeps_all_that_sam_tells_of_it(model, clip, tmp_path, size):
    Image.fromarray(clip.frames[0]).resize(size).save(tmp_path / "long.png")
    wavfile.write(tmp_path / "street.wav", 16_000, (32_767 * clip.waveform).astype(np.int16))
    (frame,) = record(model, tmp_path / "long.png", tmp_path / "street.wav", tmp_path / "run", Limits(), rate=1)
    run = Run(tmp_path / "run")
    assert run.probabilities.shape == (1, 256, 256) and frame.mask.any()
    assert iou(run.frame(0, run.threshold, frame.mask.shape).mask, frame.mask) > 0.97


def test_another_sound_moves_the_mask(model, film, found, scene, tmp_path):
    """Onto the object whose sound was swapped in."""
    other = scene.swap(scene.silent_objects[0])
    wavfile.write(tmp_path / "other.wav", 16_000, (32_767 * other.waveform).astype(np.int16))
    list(record(model, film, tmp_path / "other.wav", tmp_path / "run", Limits(), rate=1))
    run, before = Run(tmp_path / "run"), found[1]
    assert run.facts["sound"] == "sound/other.wav" and before.facts["sound"] == before.facts["source"]
    truths = other.binary_masks()
    now, then = (np.mean([iou(r.frame(k, r.threshold).mask, truths[k]) for k in range(5)]) for r in (run, before))
    assert now > 0.4 > then


@pytest.mark.parametrize("limits", [Limits(seconds=0.4), Limits(masks=2), Limits(megabytes=1e-4)])
def test_what_is_refused_leaves_nothing(model, film, tmp_path, limits):
    with pytest.raises(ValueError, match="this page"):
        list(record(model, film, None, tmp_path / "run", limits, rate=1))
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_does_not_say_how_long_it_is(model, tmp_path):
    """As browsers record them."""
    film = save_film(tmp_path / "recorded.webm", codec="libvpx", sound="libopus", rate=48_000, live="1")
    with av.open(film) as container:
        assert container.duration is None
    with pytest.raises(ValueError, match="lasts 1 s or more, and this page takes up to 0.7 s"):
        list(record(model, film, None, tmp_path / "run", Limits(seconds=0.7), rate=5))
    with pytest.raises(ValueError, match="more than the 5 masks"):
        list(record(model, film, None, tmp_path / "run", Limits(masks=5), rate=5))
    assert [path.name for path in tmp_path.iterdir()] == ["recorded.webm"]


def test_a_visitor_who_stops_leaves_nothing(model, film, tmp_path):
    masks = record(model, film, None, tmp_path / "run", Limits(), rate=1)
    next(masks)
    assert (tmp_path / "run").is_dir()
    masks.close()
    assert not (tmp_path / "run").exists()


def test_forgotten(model, film, tmp_path):
    list(record(model, film, None, tmp_path / "run", Limits(), rate=1))
    Run(tmp_path / "run").forget()
    assert not (tmp_path / "run").exists()
