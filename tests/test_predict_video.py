"""model.segment on videos and live streams: which frames, which sound, and what becomes of damaged ones."""

import threading

import numpy as np
import pytest
import torch
from conftest import make_model
from data_sets import cut_off
from films import FPS, picture, save_film, tone
from PIL import Image
from scipy.io import wavfile

from sam_av.audio import frame_windows, read_audio
from sam_av.data.video import read_frames
from sam_av.frames import Frame
from sam_av.predict import MaskSettings, segment_frames


@pytest.fixture(scope="module")
def model():
    return make_model()


def expected(model, path, times, rule="example", audio=None):
    """The logits of frames at some times, as the processor and the model give them for the whole film at once."""
    frames, _ = read_frames(path, times)
    windows = frame_windows(read_audio(audio or path), np.asarray(times), rule)
    with torch.no_grad():
        pixels = model.processor(list(frames))["pixel_values"]
        logits = model(pixels, model.processor.front_end(windows)).mask_logits
    return [
        full.numpy()
        for full in model.processor.post_process_masks(logits, [frames.shape[1:3]] * len(frames), binarize=False)
    ]


def assert_as_expected(found, logits):
    assert len(found) == len(logits)
    for frame, wanted in zip(found, logits, strict=True):
        np.testing.assert_allclose(frame.logits, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.mkv", {}),
        ("a.mov", {"codec": "mpeg4", "sound": "pcm_s16le"}),
        ("a.webm", {"codec": "libvpx-vp9", "sound": "libopus", "rate": 48_000}),
    ],
)
def test_every_frame_of_a_film_with_its_sound(tmp_path, model, name, options):
    path = save_film(tmp_path / name, 21, **options)
    found = list(model.segment(path))
    times = [k / FPS for k in range(21)]
    np.testing.assert_allclose([frame.time for frame in found], times, atol=0.002)
    assert_as_expected(found, expected(model, path, times))
    np.testing.assert_array_equal(found[7].picture, read_frames(path, [0.7])[0][0])
    assert not any(frame.carried for frame in found)


@pytest.mark.parametrize("rule", ["centered", "causal"])
def test_the_window_can_be_chosen(tmp_path, model, rule):
    path = save_film(tmp_path / "a.mp4", 12)
    assert_as_expected(
        list(model.segment(path, window=rule)), expected(model, path, [k / FPS for k in range(12)], rule)
    )


def test_a_gif_with_a_sound_of_its_own(tmp_path, model):
    pictures = [Image.fromarray(picture(k)) for k in range(8)]
    durations = [100, 300, 100, 100, 500, 100, 100, 100]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=durations)
    wavfile.write(tmp_path / "a.wav", 16_000, tone(2))
    found = list(model.segment(tmp_path / "a.gif", tmp_path / "a.wav"))
    times = np.cumsum([0, *durations[:-1]]) / 1000
    np.testing.assert_allclose([frame.time for frame in found], times)
    assert_as_expected(found, expected(model, tmp_path / "a.gif", times.tolist(), audio=tmp_path / "a.wav"))


def test_frames_of_a_variable_rate_keep_their_times(tmp_path, model):
    times = [0.0, 0.04, 0.5, 0.54, 1.3, 1.9]
    path = save_film(tmp_path / "a.mkv", times=times)
    found = list(model.segment(path))
    np.testing.assert_allclose([frame.time for frame in found], times, atol=0.001)
    assert_as_expected(found, expected(model, path, times))


def test_a_chosen_frame_rate(tmp_path, model):
    path = save_film(tmp_path / "a.mp4", 25)
    found = list(model.segment(path, fps=2))
    assert [frame.time for frame in found] == [0, 0.5, 1, 1.5, 2]
    assert_as_expected(found, expected(model, path, [0, 0.5, 1, 1.5, 2]))
    faster = list(model.segment(path, fps=20))
    assert len(faster) == 50 and faster[1].time == 0.05


def test_masks_are_carried_between_runs_of_the_model(tmp_path, model):
    path = save_film(tmp_path / "a.mp4", 25)
    found = list(model.segment(path, mask_fps=1))
    assert [k for k, frame in enumerate(found) if not frame.carried] == [0, 10, 20]
    assert all(found[k].mask is found[10 * (k // 10)].mask for k in range(25))
    assert not np.array_equal(found[12].picture, found[10].picture) and found[12].time == pytest.approx(1.2)
    assert_as_expected(found[::10], expected(model, path, [0, 1, 2]))


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"batch_size": 4}, [4] * 6 + [1]),
        ({"batch_size": 3, "mask_fps": 2}, [3, 2]),
        ({"batch_size": 1, "mask_fps": 2}, [1] * 5),
    ],
)
def test_a_batch_is_of_frames_on_which_the_model_runs(tmp_path, model, monkeypatch, options, sizes):
    path, ran, forward = save_film(tmp_path / "a.mp4", 25), [], model.forward
    monkeypatch.setattr(model, "forward", lambda **inputs: (ran.append(len(inputs["audio"])), forward(**inputs))[1])
    assert len(list(model.segment(path, **options))) == 25
    assert ran == sizes


def test_few_frames_are_held_while_a_batch_fills(model):
    """The model runs on every 50th: two fit between those that may wait; none waits behind the last."""
    read, window = [], torch.zeros(model.processor.front_end.window_samples)

    def frames():
        for k in range(300):
            read.append(k)
            yield Frame(k / FPS, picture(k), window if k % 50 == 0 else None)

    waiting = []
    for k, _ in enumerate(segment_frames(model, frames(), MaskSettings(batch_size=8))):
        waiting.append(len(read) - k)
    assert len(waiting) == 300 and max(waiting) == 64


def test_turned_films_and_odd_sizes(tmp_path, model):
    turned = save_film(tmp_path / "turned.mp4", 3, turn=90)
    (first, *_) = model.segment(turned)
    assert first.picture.shape == (80, 48, 3) and first.mask.shape == (80, 48)
    odd = save_film(tmp_path / "odd.mkv", 3, size=(47, 81), codec="ffv1", form="bgr0")
    assert [frame.mask.shape for frame in model.segment(odd)] == [(47, 81)] * 3


def test_one_frame(tmp_path, model):
    path = save_film(tmp_path / "one.mp4", 1, seconds=1.0)
    (frame,) = model.segment(path)
    assert_as_expected([frame], expected(model, path, [0.0]))
    assert len(list(model.segment(path, fps=5))) == 1


def test_what_sounds_now(tmp_path, model):
    path = save_film(tmp_path / "a.mp4", 25)
    (frame,) = model.segment(path, time=1.7)
    assert frame.time == 1.7
    assert_as_expected([frame], expected(model, path, [1.7]))
    with pytest.raises(ValueError, match=r"a.mp4' lasts 2.50 s; a frame was wanted at 9 s"):
        model.segment(path, time=9)


def test_smoothing_is_an_average_over_the_past(tmp_path, model):
    path = save_film(tmp_path / "a.mp4", 12)
    plain, smooth = list(model.segment(path)), list(model.segment(path, smoothing=0.5))
    average = plain[0].logits
    for raw, frame in zip(plain, smooth, strict=True):
        weight = 0 if frame is smooth[0] else np.exp(-0.1 / 0.5)
        average = weight * average + (1 - weight) * raw.logits
        np.testing.assert_allclose(frame.logits, average, atol=1e-3)


def test_settings_hold_from_their_time_on(tmp_path, model):
    path = save_film(tmp_path / "a.mp4", 12)
    plain, clicked = list(model.segment(path)), list(model.segment(path, points=[[40, 24]]))
    mixed = list(model.segment(path, points={0.45: [[40, 24]], 0.85: None}, threshold={0.0: 0.5, 0.95: 0.2}))
    for k, frame in enumerate(mixed):
        np.testing.assert_allclose(frame.logits, (clicked if 5 <= k < 9 else plain)[k].logits, atol=1e-4)
        assert np.array_equal(frame.mask, frame.above(0.2 if k >= 10 else 0.5).mask)
    assert mixed[0].above(0.01).mask.sum() > mixed[0].mask.sum()


def test_a_live_stream_hears_what_was_played(model):
    """The sound comes in parts of other lengths than the windows, some frames without any."""
    sound, parts, start = tone(3, 44_100), [], 0
    for k in range(20):
        length = 0 if k == 7 else 4_410 + 100 * k
        parts.append((picture(k), sound[start : start + length]))
        start += length
    shown = []

    def stream():
        for pair in parts:
            shown.append(pair)
            yield pair

    found = []
    for frame in model.segment(stream(), sampling_rate=44_100):
        found.append(frame)
        assert len(shown) == len(found), "no frame waits for the next one"
    times = np.cumsum([len(samples) for _, samples in parts]) / 44_100
    np.testing.assert_allclose([frame.time for frame in found], times)
    for k, frame in enumerate(found):
        (alone,) = model.segment(
            picture(k), sound[: round(times[k] * 44_100)], sampling_rate=44_100, time=times[k], window="causal"
        )
        # What was played last is resampled as if silence followed, now and then.
        assert np.abs(frame.logits - alone.logits).max() < 0.01 * np.abs(alone.logits).max()


def test_a_cut_off_film_gives_its_frames_and_then_the_error(tmp_path, model):
    path = save_film(tmp_path / "a.mkv", 60)
    cut_off(path)
    found = []
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match=r"a.mkv' is damaged after \d.\d\d s \(it should last"),
    ):
        for frame in model.segment(path, batch_size=4):
            found.append(frame)
    assert 15 < len(found) < 50 and found[-1].time == pytest.approx((len(found) - 1) / FPS, abs=0.2)


def test_leaving_early_ends_the_threads(tmp_path, model):
    before = threading.active_count()
    frames = model.segment(save_film(tmp_path / "a.mp4", 60))
    next(frames)
    frames.close()
    assert threading.active_count() == before


def test_mistakes_are_told_at_once(tmp_path, model):
    film, mute = save_film(tmp_path / "a.mp4", 3), save_film(tmp_path / "mute.mp4", 3, sound=None)
    (tmp_path / "text.mp4").write_text("no film")
    for error, message, source, options in (
        (ValueError, "mute.mp4' has no audio track.*Pass its sound as a file of its own", mute, {}),
        (ValueError, r"text.mp4' \(7 bytes\) cannot be decoded", tmp_path / "text.mp4", {}),
        (FileNotFoundError, "no video", tmp_path / "lost.mp4", {}),
        (FileNotFoundError, "lost.wav", film, {"audio": tmp_path / "lost.wav"}),
        (ValueError, "fps is how many frames a second, more than 0, not 0", film, {"fps": 0}),
        (ValueError, "time is in seconds from the start, not -1", film, {"time": -1}),
        (ValueError, "time is of one frame: leave out fps", film, {"time": 1, "fps": -5}),
        (ValueError, "time is of one frame: leave out fps and mask_fps", film, {"time": 1, "mask_fps": 2}),
        (ValueError, "mask_fps is how many", film, {"mask_fps": -1}),
        (ValueError, "no window rule 'middle': choose one of example", film, {"window": "middle"}),
        (ValueError, "smoothing is in seconds", film, {"smoothing": -1}),
        (ValueError, "batch_size is how many", film, {"batch_size": 0}),
        (ValueError, "between 0 and 1, not 5", film, {"threshold": {0: 5}}),
        (ValueError, "live stream has only the past", iter([]), {"window": "centered"}),
        (ValueError, "brings its own sound", iter([]), {"fps": 2}),
        (ValueError, "for videos; a picture is one frame", picture(0), {"fps": 2, "audio": tone(1)}),
    ):
        with pytest.raises(error, match=message):
            model.segment(source, **options)
