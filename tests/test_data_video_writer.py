"""Written videos, read back: what is in them, that they are whole, and that any player takes them."""

from fractions import Fraction

import av
import numpy as np
import pytest

from sam_av.audio import read_audio
from sam_av.audio.decode import SoundPart
from sam_av.data.video import VideoReader
from sam_av.data.video_writer import VideoWriter

COLOURS = [(250, 40, 60), (30, 200, 80), (20, 60, 240), (240, 230, 20), (128, 128, 128)]


def picture(colour, height=48, width=64):
    return np.full((height, width, 3), colour, np.uint8)


def tone(seconds, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16_000)) / 16_000)).astype(np.float32)


def write(path, pictures, fps=25, waveform=None):
    with VideoWriter(path, fps, waveform) as video:
        for each in pictures:
            video.write(each)
    return path


def test_pictures_and_sound_come_back(tmp_path):
    path = write(tmp_path / "film.mp4", [picture(COLOURS[k // 25]) for k in range(125)], waveform=tone(5))
    with av.open(path) as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (audio.codec_context.name, audio.rate, audio.layout.nb_channels) == ("aac", 16_000, 1)
        assert (video.frames, video.average_rate, video.duration * video.time_base) == (125, 25, 5)
        assert audio.duration * audio.time_base == pytest.approx(5, abs=0.07)
    with VideoReader(path) as reader:
        for k, colour in enumerate(COLOURS):
            assert np.abs(reader.at(k + 0.5).astype(int) - colour).max() <= 4
    heard = read_audio(path).numpy()[: 5 * 16_000]
    assert np.corrcoef(heard[2000:-2000], tone(5)[2000 : len(heard) - 2000])[0, 1] > 0.99


def test_the_table_of_contents_stands_first(tmp_path):
    data = write(tmp_path / "film.mp4", [picture(COLOURS[0])] * 5).read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_odd_sides_are_evened_and_keep_their_pictures(tmp_path):
    tall = picture((0, 0, 0), 33, 51)
    tall[:, 25:] = 255
    with VideoReader(write(tmp_path / "film.mp4", [tall] * 3)) as reader:
        back = reader.at(0.0)
    assert back.shape == (34, 52, 3)
    assert np.abs(back[:33, :51].astype(int) - tall).mean() < 3 and (back[:, 51] > 250).all()


def test_sound_is_cut_to_the_pictures_and_may_be_missing(tmp_path):
    path = write(tmp_path / "long.mp4", [picture(COLOURS[0])] * 10, fps=10, waveform=tone(9))
    assert len(read_audio(path)) == pytest.approx(16_000, abs=1100)
    with av.open(write(tmp_path / "mute.mp4", [picture(COLOURS[0])] * 3)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize(("fps", "exact"), [(30_000 / 1001, Fraction(30_000, 1001)), (12.5, Fraction(25, 2))])
def test_frame_rates_are_exact(tmp_path, fps, exact):
    with av.open(write(tmp_path / "film.mp4", [picture(COLOURS[0])] * 30, fps=fps)) as container:
        assert container.streams.video[0].average_rate == exact


def test_a_stopped_run_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write(tmp_path / "film.mp4", [picture(COLOURS[0])] * 3)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, 25) as video:
        video.write(picture(COLOURS[1]))
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_of_another_size_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"Frame 1 of .*film.mp4' is 60 x 48 pixels, the first one 64 x 48"):
        write(tmp_path / "film.mp4", [picture(COLOURS[0]), picture(COLOURS[0], 48, 60)])
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"as \.mp4, not 'film.avi'"):
        VideoWriter(tmp_path / "film.avi", 25)
    with pytest.raises(ValueError, match="more than 0 frames a second, not 0"):
        VideoWriter(tmp_path / "film.mp4", 0)
    with pytest.raises(ValueError, match="a video without a frame"):
        write(tmp_path / "film.mp4", [])
    assert not list(tmp_path.iterdir())


def test_frames_are_shown_from_their_own_times_on(tmp_path):
    times = [0.0, 0.1, 0.35, 0.4, 1.0, 1.0, 0.9]
    with VideoWriter(tmp_path / "film.mp4", fps=25) as video:
        for time in times:
            video.write(picture(COLOURS[0]), time)
    with av.open(tmp_path / "film.mp4") as container:
        found = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(found, [*times[:5], 1.0001, 1.0002], atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "rate", "written"),
    [(2, 44_100, (44_100, 2)), (6, 48_000, (48_000, 6)), (1, 11_025, (11_025, 1)), (3, 192_000, (96_000, 2))],
)
def test_sound_in_parts_keeps_its_rate_and_channels(tmp_path, channels, rate, written):
    seconds = np.arange(3 * rate) / rate
    sound = np.stack([0.3 * np.sin(2 * np.pi * 300 * (k + 1) * seconds) for k in range(channels)]).astype(np.float32)
    parts = (SoundPart(sound[:, start : start + 1000], rate) for start in range(0, sound.shape[1], 1000))
    with VideoWriter(tmp_path / "film.mp4", 10, parts) as video:
        for _ in range(20):
            video.write(picture(COLOURS[0]))
    with av.open(tmp_path / "film.mp4") as container:
        track = container.streams.audio[0]
        assert (track.rate, track.layout.nb_channels) == written
        assert float(track.duration * track.time_base) == pytest.approx(2, abs=0.1)
    heard = read_audio(tmp_path / "film.mp4").numpy()[:32_000]
    meant = np.interp(np.arange(len(heard)) / 16_000, seconds, sound.mean(axis=0))
    if channels != 3:  # becomes stereo by FFmpeg's own weights
        # AAC keeps only the low tones of the channel for low frequencies of 5.1.
        assert np.corrcoef(heard[2000:-2000], meant[2000:-2000])[0, 1] > (0.9 if channels == 6 else 0.98)


def test_sound_that_changes_on_the_way(tmp_path):
    parts = [SoundPart(tone(1)[None], 16_000), SoundPart(np.zeros((2, 48_000), np.float32), 48_000)]
    with VideoWriter(tmp_path / "film.mp4", 10, parts) as video:
        for _ in range(20):
            video.write(picture(COLOURS[0]))
    heard = read_audio(tmp_path / "film.mp4").numpy()
    assert np.abs(heard[2000:14_000]).max() > 0.4 and np.abs(heard[19_000:31_000]).max() < 0.02
    assert len(heard) == pytest.approx(32_000, abs=1500)


def test_pixels_that_are_not_square(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", 10, pixel_aspect=Fraction(16, 15)) as video:
        video.write(picture(COLOURS[0]))
    with VideoReader(tmp_path / "film.mp4") as reader:
        assert reader.pixel_aspect == Fraction(16, 15)
