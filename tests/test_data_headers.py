"""Headers against the readers, which decode."""

import av
import numpy as np
import pytest
from data_sets import cut_off, save_wav, scenes
from PIL import ExifTags, Image
from test_data_video import save_video

from sam_av.data.headers import picture_size, sound_seconds, video_header
from sam_av.data.media import read_picture, read_waveform
from sam_av.data.video import read_frames
from sam_av.data.writing import write_video


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def save_sound(path, seconds: float, codec: str) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        samples = noise(1, 2 * round(seconds * 16_000)).view(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


class TestPictures:
    @pytest.mark.parametrize("ending", ["png", "jpg"])
    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_size_is_that_of_the_decoded_picture(self, tmp_path, ending, orientation):
        path, exif = tmp_path / f"a.{ending}", Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(noise(30, 50, 3)).save(path, exif=exif)
        assert picture_size(path) == read_picture(path).shape[:2]

    @pytest.mark.parametrize("ending", ["png", "jpg"])
    @pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
    def test_a_cut_off_picture_is_in_doubt(self, tmp_path, ending, share):
        path = tmp_path / f"a.{ending}"
        Image.fromarray(noise(30, 50, 3)).save(path)
        cut_off(path, share)
        assert picture_size(path) is None

    def test_other_formats_and_missing_files_are_in_doubt(self, tmp_path):
        Image.fromarray(noise(30, 50, 3)).save(tmp_path / "a.webp")
        assert picture_size(tmp_path / "a.webp") is None
        assert picture_size(tmp_path / "b.png") is None


class TestSounds:
    @pytest.mark.parametrize("rate", [16_000, 44_100])
    @pytest.mark.parametrize("shape", [(70_001,), (70_001, 2)])
    def test_length_of_a_wav(self, tmp_path, rate, shape):
        save_wav(tmp_path / "a.wav", noise(*shape).astype(np.int16), rate)
        assert sound_seconds(tmp_path / "a.wav") == 70_001 / rate

    @pytest.mark.parametrize(
        ("ending", "codec"), [("flac", "flac"), ("mp3", "libmp3lame"), ("m4a", "aac"), ("opus", "libopus")]
    )
    def test_length_of_other_formats(self, tmp_path, ending, codec):
        path = tmp_path / f"a.{ending}"
        save_sound(path, 3.3, codec)
        decoded = len(read_waveform(path)) / 16_000
        assert sound_seconds(path) == pytest.approx(decoded, abs=0.1)

    @pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
    def test_a_cut_off_wav_is_in_doubt(self, tmp_path, share):
        save_wav(tmp_path / "a.wav", np.ones(16_000))
        cut_off(tmp_path / "a.wav", share)
        assert sound_seconds(tmp_path / "a.wav") is None


class TestVideos:
    def test_size_and_ends(self, tmp_path):
        clip, path = scenes()[0], tmp_path / "a.mkv"
        write_video(path, clip)
        header = video_header(path)
        assert header.size == read_frames(path, [0.0])[0].shape[1:3]
        assert header.picture_end == pytest.approx(clip.times[-1], abs=0.01)
        assert header.sound_end == len(clip.waveform) / 16_000 == sound_seconds(path)

    @pytest.mark.parametrize("turn", [0, 90, 180, 270])
    def test_size_as_the_camera_was_held(self, tmp_path, turn):
        path = tmp_path / "a.mp4"
        save_video(path, 20, turn=turn)
        assert video_header(path).size == read_frames(path, [0.0])[0].shape[1:3]
        assert video_header(path).picture_end == pytest.approx(2.0)
        assert video_header(path).sound_end is None

    @pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.8])
    def test_a_cut_off_video_is_in_doubt(self, tmp_path, share):
        write_video(tmp_path / "a.mkv", scenes()[0])
        cut_off(tmp_path / "a.mkv", share)
        assert video_header(tmp_path / "a.mkv") is None

    def test_a_sound_has_no_size(self, tmp_path):
        save_sound(tmp_path / "a.flac", 2, "flac")
        assert video_header(tmp_path / "a.flac").size is None
