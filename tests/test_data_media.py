import os
import sys

import av
import numpy as np
import pytest
from data_sets import cut_off, save_wav
from PIL import EpsImagePlugin, Image

from sam_av.app.limits import Limits
from sam_av.data.media import read_binary_mask, read_class_ids, read_picture, read_waveform

SIZE = (8, 12)


def ramp(height: int = 8, width: int = 12) -> np.ndarray:
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def tone(seconds: float = 1.0, rate: int = 16_000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def save_sound(path, samples: np.ndarray, codec: str, form: str, rate: int) -> None:
    """Writes (channels, n) with a codec of FFmpeg."""
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        packed = np.ascontiguousarray(samples.T.reshape(1, -1)).astype({"flt": "<f4", "u8": "u1", "s32": "<i4"}[form])
        frame = av.AudioFrame.from_ndarray(packed, format=form, layout=layout)
        frame.rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode()])


# Pictures


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "CMYK"])
def test_pictures_of_any_mode_are_rgb(tmp_path, mode):
    ending = "tif" if mode == "CMYK" else "png"
    Image.fromarray(ramp()).convert(mode).save(tmp_path / f"a.{ending}")
    picture = read_picture(tmp_path / f"a.{ending}")
    assert (picture.shape, picture.dtype) == ((*SIZE, 3), np.uint8)


def test_a_picture_is_turned_as_its_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(ramp()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), np.rot90(ramp(), -1))


def test_pictures_in_memory_and_decoded_ones_are_read_alike(tmp_path):
    Image.fromarray(ramp()).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes(), Image.fromarray(ramp())):
        np.testing.assert_array_equal(read_picture(source), ramp())


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif"])
def test_cut_off_pictures_are_errors_that_name_them(tmp_path, ending):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"a.{ending}")
    cut_off(tmp_path / f"a.{ending}")
    with pytest.raises(ValueError, match=rf"a.{ending}' \([\d,]+ bytes\) cannot be read as a picture"):
        read_picture(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a.png' \({len(content)} bytes\) cannot be read as a picture"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="There is no picture"):
        read_picture(tmp_path / "b.png")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Ghostscript is a shell script")
def test_postscript_under_another_name_starts_no_program(tmp_path, monkeypatch):
    """A picture may come from a stranger, and Pillow would have Ghostscript draw it."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch '{tmp_path}/started'\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # Pillow looks for it once
    Image.fromarray(ramp()).save(tmp_path / "a.png", format="EPS")
    with pytest.raises(ValueError, match=r"a.png' \([\d,]+ bytes\) cannot be read as a picture"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        read_picture((tmp_path / "a.png").read_bytes())
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        Limits().check_picture(tmp_path / "a.png")
    assert not (tmp_path / "started").exists()
    with pytest.raises(OSError), Image.open(tmp_path / "a.png") as image:
        image.load()
    assert (tmp_path / "started").exists(), "the stand-in is what Pillow would start"


# Masks


def test_transparent_and_black_are_no_mask(tmp_path):
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[0] = (255, 0, 0, 255)
    pixels[1] = (255, 0, 0, 0)
    pixels[2] = (0, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    mask = read_binary_mask(tmp_path / "a.png", SIZE)
    assert mask[0].all()
    assert not mask[1:].any()


def test_a_palette_that_can_be_read_in_two_ways(tmp_path):
    """By its colours the mask is one thing, by its indices another."""
    image = Image.fromarray(np.eye(*SIZE, dtype=np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"read in two ways: save it as plain black and white"):
        read_binary_mask(tmp_path / "a.png", SIZE)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_binary_mask(tmp_path / "a.png", SIZE), np.eye(*SIZE, dtype=bool))


def test_a_jpeg_is_no_mask(tmp_path):
    Image.fromarray(ramp()).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="is a JPEG, which blurs its edges: save it as PNG"):
        read_binary_mask(tmp_path / "a.jpg", SIZE)


def test_class_ids_are_grey_values_or_indices_of_a_palette(tmp_path):
    ids = np.arange(96, dtype=np.uint8).reshape(SIZE) % 5
    grey, palette = Image.fromarray(ids), Image.fromarray(ids)
    palette.putpalette(np.random.default_rng(0).integers(0, 255, 15, dtype=np.uint8).tolist())
    for image in (grey, palette, Image.fromarray(ids.astype(np.uint16))):
        image.save(tmp_path / "a.png")
        read = read_class_ids(tmp_path / "a.png", SIZE, classes=4)
        np.testing.assert_array_equal(read, ids)
        assert read.dtype == np.uint8


def test_colours_and_unknown_classes_are_no_class_ids(tmp_path):
    Image.fromarray(ramp()).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"is a colour picture \(RGB\); wanted class ids"):
        read_class_ids(tmp_path / "a.png", SIZE, classes=70)
    Image.fromarray(np.full(SIZE, 71, np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="holds the class id 71, but there are 70 classes"):
        read_class_ids(tmp_path / "a.png", SIZE, classes=70)


# Sounds


@pytest.mark.parametrize(
    ("codec", "form", "rate", "channels", "error"),
    [
        ("pcm_u8", "u8", 16_000, 1, 1 / 100),
        ("pcm_s24le", "s32", 16_000, 1, 1 / 10_000),
        ("pcm_f32le", "flt", 16_000, 2, 1e-7),
        ("pcm_f32le", "flt", 44_100, 1, 0.01),
        ("pcm_s24le", "s32", 8_000, 2, 0.01),
    ],
)
def test_wavs_of_any_depth_rate_and_channels_are_read(tmp_path, codec, form, rate, channels, error):
    sound = tone(rate=rate)
    scaled = {"flt": sound, "u8": (sound * 127 + 128).round(), "s32": (sound * (2**31 - 1)).round()}[form]
    save_sound(tmp_path / "a.wav", np.stack([scaled] * channels), codec, form, rate)
    read = read_waveform(tmp_path / "a.wav")
    assert (read.shape, read.dtype) == ((16_000,), np.float32)
    assert np.abs(read - tone())[100:-100].max() < error


def test_a_cut_off_sound_is_an_error(tmp_path):
    save_wav(tmp_path / "a.wav", (tone() * 30_000).astype(np.int16))
    cut_off(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r"a.wav' .*damaged or cut off"):
        read_waveform(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sound_that_is_not_finite_is_an_error(tmp_path, value):
    sound = tone()
    sound[99] = value
    save_sound(tmp_path / "a.wav", sound[None], "pcm_f32le", "flt", 16_000)
    with pytest.raises(ValueError, match=r"a.wav' holds NaN or infinite samples"):
        read_waveform(tmp_path / "a.wav")


def test_an_empty_sound_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"a.wav' \(0 bytes\) cannot be decoded"):
        read_waveform(tmp_path / "a.wav")
