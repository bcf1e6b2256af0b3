"""`sam-av demo` as a user runs it, and what it leaves: a film to play, a strip to look at."""

import re
import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image

from sam_av import builtin
from sam_av.audio import frame_windows, read_audio
from sam_av.cli import main
from sam_av.data.scenes.scene import EXAMPLE_SECONDS
from sam_av.demo import FPS, change_sound, draw_scene

SECONDS = 5.76


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of a run that may not connect to anything, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    script = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a connection was tried')\n"
        "socket.socket.connect = refuse\n"
        "from sam_av.cli import main\n"
        f"sys.exit(main(['demo', '--output', {str(folder / 'out')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


@pytest.fixture(scope="module")
def scene():
    return draw_scene()


def ious(text):
    """The two scores in the output."""
    return [float(number) for number in re.search(r"IoU (\d\.\d\d) .* (\d\.\d\d) with the bee", text).groups()]


def test_it_says_what_it_did_and_where(demo):
    folder, text = demo
    assert sorted(path.name for path in folder.iterdir()) == ["demo.mp4", "strip.png"]
    assert "builtin:demo-sama on a scene that it has never seen: a clock, a bee, a bell, a car and a kettle." in text
    assert all(0 <= iou <= 1 for iou in ious(text)) and "means of 72 frames each" in text
    assert str(folder / "demo.mp4") in text and str(folder / "strip.png") in text


def test_the_film_plays_anywhere(demo):
    with av.open(demo[0] / "demo.mp4") as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (video.codec_context.name, video.codec_context.pix_fmt, audio.codec_context.name) == (
            "h264", "yuv420p", "aac",
        )  # fmt: skip
        assert (video.width, video.height, video.average_rate) == (544, 656, FPS)
        assert float(video.duration * video.time_base) == pytest.approx(SECONDS)
        assert float(audio.duration * audio.time_base) == pytest.approx(SECONDS, abs=0.07)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video)]
    assert np.abs(frames[40].astype(int) - frames[100]).mean() > 2


def test_the_film_has_the_sound_of_the_scene(demo, scene):
    clip = change_sound(scene, "bell", "bee")
    heard = read_audio(demo[0] / "demo.mp4").numpy()[: len(clip.waveform)]
    assert np.corrcoef(heard, clip.waveform[: len(heard)])[0, 1] > 0.95


def test_the_strip_shows_the_picture_and_two_more(demo):
    with Image.open(demo[0] / "strip.png") as strip:
        assert strip.size == (1024, 470) and strip.mode == "RGB"
        pixels = np.asarray(strip)
    picture, *masked = (pixels[122:442, left : left + 320].astype(int) for left in (24, 352, 680))
    assert all(np.abs(picture - other).mean() > 10 for other in masked)


def test_every_frame_hears_one_of_the_two_sounds_alone(scene):
    clip = change_sound(scene, "bell", "bee")
    windows = frame_windows(clip.waveform, clip.times, "example").numpy()
    examples = (clip.times / EXAMPLE_SECONDS + 1e-9).astype(int)
    for category, frames in (("bell", slice(0, 72)), ("bee", slice(72, 144))):
        alone = scene.sound(category)
        (thing,) = (thing for thing in scene.objects if thing.category == category)
        np.testing.assert_array_equal(clip.binary_masks()[frames], thing.masks[frames])
        for window, example in zip(windows[frames], examples[frames].clip(max=4), strict=True):
            start = example * 15_360
            same = np.isclose(window, alone[start : start + 15_600], atol=1e-6).mean()
            assert same > 0.96, "but for where the sound fades in or out"


def test_without_the_adapters_an_error_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(builtin, "_SHELVES", builtin._SHELVES[:1])
    assert main(["demo", "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "There is no 'builtin:demo-sama' in this installation of sam-av" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_the_trained_adapter_follows_the_sound(demo):
    """Needs the trained adapter in adapters/demo-sama."""
    assert min(ious(demo[1])) > 0.6
