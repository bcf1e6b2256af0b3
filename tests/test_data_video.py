from fractions import Fraction

import av
import numpy as np
import pytest
from data_sets import cut_off
from PIL import Image

from sam_av.data.video import VideoReader, read_frames

SIZE = (32, 48)


def shade(number: int) -> int:
    return 20 + 5 * (number % 40)


def save_video(path, count: int, rate=10, codec: str = "libx264", turn: int = 0, keys: int = 12, start: float = 0.0):
    """Writes grey frames whose shades tell their numbers; the left half is darker by 15."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = keys
        if turn:
            stream.set_display_rotation(turn)
        for number in range(count):
            picture = np.full((*SIZE, 3), shade(number), np.uint8)
            picture[:, : SIZE[1] // 2] -= 15
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 1000), round(1000 * (start + number / rate))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames these are, by their shade."""
    return [round((int(frame[SIZE[0] // 2, -4].mean()) - 20) / 5) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")]
)
def test_the_frames_nearest_to_the_times_are_read(tmp_path, name, codec):
    save_video(tmp_path / name, 25, codec=codec)
    frames, times = read_frames(tmp_path / name, [0.0, 0.32, 0.5, 1.06, 2.4])
    assert frames.shape == (5, *SIZE, 3)
    assert numbers(frames) == [0, 3, 5, 11, 24]
    np.testing.assert_array_equal(times, [0.0, 0.32, 0.5, 1.06, 2.4])


def test_a_gif_is_a_video(tmp_path):
    pictures = [Image.fromarray(np.full(SIZE, shade(number), np.uint8)) for number in range(40)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=250)
    assert numbers(read_frames(tmp_path / "a.gif", [0.0, 2.5, 9.75])[0]) == [0, 10, 39]


def test_without_times_there_is_a_frame_a_second_to_the_end(tmp_path):
    save_video(tmp_path / "a.mp4", 36)
    frames, times = read_frames(tmp_path / "a.mp4", None)
    np.testing.assert_array_equal(times, [0.0, 1.0, 2.0, 3.0])
    assert numbers(frames) == [0, 10, 20, 30]


def test_looking_for_key_frames_finds_the_same_frames_as_decoding_all(tmp_path):
    save_video(tmp_path / "a.mp4", 400, keys=25)
    wanted = [0.5, 7.3, 8.0, 20.1, 39.9]
    with VideoReader(tmp_path / "a.mp4") as video:
        every = {number / 10: video.at(number / 10) for number in range(400)}
    for frame, time in zip(read_frames(tmp_path / "a.mp4", wanted)[0], wanted, strict=True):
        np.testing.assert_array_equal(frame, every[time])


def test_times_count_from_the_start_of_the_file(tmp_path):
    save_video(tmp_path / "a.mkv", 20, start=3.0)
    assert numbers(read_frames(tmp_path / "a.mkv", [0.0, 1.0])[0]) == [0, 10]


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_video_is_turned_as_its_camera_was_held(tmp_path, turn):
    save_video(tmp_path / "plain.mp4", 1)
    save_video(tmp_path / "turned.mp4", 1, turn=turn)
    plain = read_frames(tmp_path / "plain.mp4", [0.0])[0][0]
    turned = read_frames(tmp_path / "turned.mp4", [0.0])[0][0]
    np.testing.assert_array_equal(turned, np.rot90(plain, turn // 90))


def test_a_time_beyond_the_end_is_an_error(tmp_path):
    save_video(tmp_path / "a.mp4", 20)
    assert len(read_frames(tmp_path / "a.mp4", [2.0])[0]) == 1
    with pytest.raises(ValueError, match=r"a.mp4' ends at 2.00 s; a frame was wanted at 2.5 s"):
        read_frames(tmp_path / "a.mp4", [0.0, 2.5])
    with pytest.raises(ValueError, match=r"a.mp4' ends at .* a frame was wanted at 60 s"):
        read_frames(tmp_path / "a.mp4", [0.0, 60.0])


def test_a_cut_off_video_is_an_error(tmp_path):
    save_video(tmp_path / "a.mp4", 50)
    cut_off(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match=r"a.mp4' \([\d,]+ bytes\) cannot be decoded"):
        read_frames(tmp_path / "a.mp4", [0.0])
    save_video(tmp_path / "a.mkv", 50)
    cut_off(tmp_path / "a.mkv")
    with pytest.raises(ValueError, match=r"a.mkv' (ends at|is damaged after)"):
        read_frames(tmp_path / "a.mkv", [0.0, 4.5])


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_what_is_no_video_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a.mp4' \({len(content)} bytes\) cannot be decoded"):
        read_frames(tmp_path / "a.mp4", [0.0])
    with pytest.raises(FileNotFoundError, match="There is no video"):
        read_frames(tmp_path / "b.mp4", [0.0])


def test_a_sound_is_no_video(tmp_path):
    with av.open(tmp_path / "a.mka", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
        frame.rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(ValueError, match="has no picture: it holds sound alone"):
        read_frames(tmp_path / "a.mka", [0.0])
