"""What the page takes and what it refuses, before anything is decoded."""

import numpy as np
import pytest
from films import save_film
from PIL import Image
from scipy.io import wavfile

from sam_av.app.limits import Limits

LIMITS = Limits(seconds=3, megabytes=0.2, masks=20)


def sound(path, seconds):
    wavfile.write(path, 16_000, np.zeros(round(16_000 * seconds), np.int16))
    return path


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi"])
def test_videos_of_every_usual_kind(tmp_path, ending):
    assert LIMITS.check_video(save_film(tmp_path / f"film.{ending}")) == pytest.approx(2, abs=0.3)


def test_a_video_that_is_too_long(tmp_path):
    film = save_film(tmp_path / "film.mp4", frames=60)
    with pytest.raises(ValueError, match=r"lasts 6 s or more, and this page takes up to 3 s.*sam-av segment"):
        LIMITS.check_video(film)


def test_files_that_are_too_large(tmp_path):
    film = save_film(tmp_path / "film.mp4")
    for check in (Limits(megabytes=0.001).check_video, Limits(megabytes=0.001).check_sound):
        with pytest.raises(ValueError, match=r"has 0 MB, and this page takes up to 0.001 MB"):
            check(film)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind" * 100])
def test_what_is_no_video(tmp_path, content):
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a video: it is broken, cut off, or of a kind"):
        LIMITS.check_video(tmp_path / "film.mp4")


def test_a_video_that_is_sound_alone(tmp_path):
    with pytest.raises(ValueError, match="has no picture"):
        LIMITS.check_video(sound(tmp_path / "sound.wav", 1))


def test_a_video_of_too_many_pixels(tmp_path):
    film = save_film(tmp_path / "film.mp4", frames=1, size=(2400, 4200))
    with pytest.raises(ValueError, match="is 4200 x 2400 pixels: scale it down"):
        Limits().check_video(film)


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.txt", "list.ffconcat"])
@pytest.mark.parametrize(
    "form",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{film}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {film}\n",
    ],
)
def test_lists_that_would_have_ffmpeg_read_other_files_of_the_server(tmp_path, name, form):
    """Somebody who guesses a path must not get to see what is there."""
    save_film(tmp_path / "secret.mp4")
    (tmp_path / name).write_text(form.format(film="secret.mp4"))
    for check in (LIMITS.check_video, LIMITS.check_sound):
        with pytest.raises(ValueError, match="cannot be read as a"):
            check(tmp_path / name)


def test_sounds(tmp_path):
    LIMITS.check_sound(sound(tmp_path / "short.wav", 2))
    LIMITS.check_sound(save_film(tmp_path / "film.mp4"))
    with pytest.raises(ValueError, match="lasts 4 s or more, and this page takes up to 3 s"):
        Limits(seconds=3).check_sound(sound(tmp_path / "long.wav", 5.2))
    with pytest.raises(ValueError, match="has no sound"):
        LIMITS.check_sound(save_film(tmp_path / "mute.mp4", sound=None))


def test_pictures(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "picture.png")
    LIMITS.check_picture(tmp_path / "picture.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        LIMITS.check_picture(tmp_path / "broken.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match="is 9000 x 9000 pixels"):
        LIMITS.check_picture(tmp_path / "huge.png")


def test_masks():
    LIMITS.check_masks(2.0, 10)
    LIMITS.check_masks(None, 25)
    with pytest.raises(ValueError, match="choose fewer a second"):
        LIMITS.check_masks(2.1, 10)


def test_limits_are_more_than_nothing():
    with pytest.raises(ValueError, match="A limit of seconds is more than 0, not -1"):
        Limits(seconds=-1)
