"""Reading sound: files of each format as PyAV writes them, damaged ones, and arrays."""

import struct
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from sam_av.audio import read_audio, to_mono_16k

FREQUENCIES = (440.0, 660.0, 880.0, 1100.0, 1320.0, 1540.0)


def tones(seconds: float, rate: int, channels: int) -> np.ndarray:
    """(channels, n) float32: a rising tone of its own on each channel, without a click at its ends."""
    t = np.arange(round(seconds * rate)) / rate
    fade = np.minimum(1, 20 * np.minimum(t, seconds - t))
    return np.stack([0.6 * fade * np.sin(2 * np.pi * (f + 200 * t) * t) for f in FREQUENCIES[:channels]]).astype(
        np.float32
    )


def write(
    path: Path,
    codec: str | None,
    sound: np.ndarray | None,
    rate: int = 44_100,
    layout: str = "stereo",
    *,
    video: str | None = None,
    delay: float = 0.0,
    **options: str,
) -> Path:
    """A media file with a sound track, a video track of two seconds, or both."""
    with av.open(path, "w", options=options) as container:
        tracks = []
        if video is not None:
            picture_track = container.add_stream(video, rate=10, width=64, height=64, pix_fmt="yuv420p")
            pictures = [av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 * i, np.uint8)) for i in range(20)]
            tracks.append((picture_track, pictures))
        if sound is not None:
            track = container.add_stream(codec, rate=rate, layout=layout)
            if codec == "vorbis":
                track.codec_context.options = {"strict": "experimental"}
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, round(delay * rate)
            track.codec_context.open()
            cut = av.AudioResampler(track.format.name, layout, rate, frame_size=track.codec_context.frame_size or 1024)
            tracks.append((track, cut.resample(frame) + cut.resample(None)))
        for track, frames in tracks:
            for frame in [*frames, None]:
                container.mux(track.encode(frame))
    return path


def write_wav(path: Path, samples: bytes, *, channels: int, rate: int, bits: int, is_float: bool = False) -> Path:
    """A wav, byte by byte."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", 3 if is_float else 1, channels, rate, rate * width, width, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def assert_sounds_alike(heard: torch.Tensor, expected: np.ndarray, error: float) -> None:
    """Equal but for `error` of the amplitude, whatever delay and padding a codec has added."""
    assert heard.dtype == torch.float32 and heard.ndim == 1
    start = int(np.correlate(heard.numpy(), expected[:8_000])[:3_000].argmax())
    difference = heard.numpy()[start : len(expected)] - expected[: len(expected) - start]
    assert np.sqrt(np.mean(difference**2)) < error * np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "error"),
    [
        ("sound.wav", "pcm_s16le", 44_100, "stereo", 0.01),
        ("sound.wav", "pcm_f32le", 8_000, "mono", 0.01),
        ("sound.flac", "flac", 48_000, "5.1", 0.01),
        ("sound.mp3", "libmp3lame", 44_100, "stereo", 0.1),
        ("sound.ogg", "libopus", 48_000, "mono", 0.15),
    ],
)
def test_sound_files(tmp_path, name, codec, rate, layout, error):
    sound = tones(2, rate, av.AudioLayout(layout).nb_channels)
    heard = read_audio(write(tmp_path / name, codec, sound, rate, layout))
    assert_sounds_alike(heard, tones(2, 16_000, len(sound)).mean(axis=0), error)
    assert abs(len(heard) - 32_000) < 300


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [("clip.mp4", "aac", "mpeg4"), ("clip.mkv", "aac", "mpeg4"), ("clip.webm", "libopus", "libvpx")],
)
def test_videos(tmp_path, name, codec, video):
    path = write(tmp_path / name, codec, tones(2, 48_000, 2), 48_000, video=video)
    assert_sounds_alike(read_audio(path), tones(2, 16_000, 2).mean(axis=0), 0.15)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_wav_of_integers(tmp_path, bits):
    sound = tones(0.2, 16_000, 2).T.astype(np.float64)  # (n, 2): samples of a wav alternate between channels
    whole = np.round(sound * 2 ** (bits - 1)).astype(np.int64) + (128 if bits == 8 else 0)
    samples = b"".join(int(value).to_bytes(bits // 8, "little", signed=bits > 8) for value in whole.flat)
    path = write_wav(tmp_path / "pcm.wav", samples, channels=2, rate=16_000, bits=bits)
    np.testing.assert_allclose(read_audio(path), sound.mean(axis=1), atol=1.5 * 2.0 ** -min(bits, 22))


def test_wav_of_floats_is_read_bit_for_bit(tmp_path):
    sound = tones(0.2, 16_000, 1)[0] * 2  # beyond full scale
    path = write_wav(tmp_path / "f.wav", sound.tobytes(), channels=1, rate=16_000, bits=32, is_float=True)
    assert torch.equal(read_audio(path), torch.from_numpy(sound))


def test_mono_is_the_plain_mean_of_all_channels(tmp_path):
    """FFmpeg would add stereo at 0.707 each, and leave the low-frequency channel (the fourth) of 5.1 out."""
    for layout, channels in (("stereo", 2), ("5.1", 6)):
        for loud in range(channels):
            sound = np.zeros((channels, 1_600), np.float32)
            sound[loud] = 0.5
            path = write(tmp_path / "one.wav", "pcm_f32le", sound, 16_000, layout)
            np.testing.assert_allclose(read_audio(path), 0.5 / channels, atol=1e-6)


def test_another_target_rate(tmp_path):
    path = write(tmp_path / "sound.wav", "pcm_s16le", tones(1, 48_000, 1), 48_000, "mono")
    assert len(read_audio(path, sampling_rate=8_000)) == 8_000


def test_silence_stands_for_sound_that_starts_late(tmp_path):
    path = write(
        tmp_path / "late.mkv", "pcm_s16le", tones(1, 16_000, 1) + 0.1, 16_000, "mono", video="mpeg4", delay=0.5
    )
    heard = read_audio(path)
    assert len(heard) == 24_000
    assert not heard[:7_990].any()
    np.testing.assert_allclose(heard[8_000:], tones(1, 16_000, 1)[0] + 0.1, atol=1e-3)


def test_a_clock_that_starts_late_delays_nothing(tmp_path):
    path = write(tmp_path / "late.mkv", "pcm_s16le", tones(1, 16_000, 1), 16_000, "mono", delay=5.0)
    assert len(read_audio(path)) == 16_000


def test_channels_and_rate_may_change_on_the_way(tmp_path):
    options = {"write_xing": "0", "id3v2_version": "0"}
    first = write(tmp_path / "a.mp3", "libmp3lame", tones(1, 44_100, 1), 44_100, "mono", **options)
    second = write(tmp_path / "b.mp3", "libmp3lame", tones(1, 48_000, 2), 48_000, "stereo", **options)
    (tmp_path / "joined.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    heard = read_audio(tmp_path / "joined.mp3")
    assert abs(len(heard) - 32_000) < 3_000
    assert_sounds_alike(heard[:16_000], tones(1, 16_000, 1)[0][:13_000], 0.15)
    assert_sounds_alike(heard[-17_500:], tones(1, 16_000, 2).mean(axis=0)[:13_000], 0.15)


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [
        ("cut.wav", "pcm_s16le", None),
        ("cut.flac", "flac", None),
        ("cut.mp3", "libmp3lame", None),
        ("cut.mkv", "aac", "mpeg4"),
        ("cut.mp4", "aac", "mpeg4"),
    ],
)
def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path, name, codec, video):
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write(tmp_path / name, codec, tones(2, 44_100, 2), video=video, **options)
    with warnings.catch_warnings(action="error"):
        read_audio(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with pytest.warns(UserWarning, match=rf"{name}' seems damaged or cut off: only \d\.\d\d s of sound"):
        heard = read_audio(path)
    assert 12_000 < len(heard) < 24_000


def test_damage_in_the_middle_costs_only_that_stretch(tmp_path):
    path = write(tmp_path / "hurt.mp4", "aac", tones(2, 44_100, 2), movflags="faststart")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1_500] = b"\xff" * 1_500
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"hurt.mp4' seems damaged .* \([1-9]\d* damaged packets\)"):
        heard = read_audio(path)
    assert 28_000 < len(heard) < 32_500


def test_files_without_any_sound_to_decode(tmp_path):
    whole = write(tmp_path / "clip.mp4", "aac", tones(2, 44_100, 2), video="mpeg4").read_bytes()
    bad = {"empty.wav": b"", "text.mp3": b"<html>404: not found</html>" * 9, "headless.mp4": whole[: len(whole) // 2]}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}' \({len(content):,} bytes\) cannot be decoded"):
            read_audio(tmp_path / name)
    unknown = write_wav(tmp_path / "unknown.wav", bytes(40_000), channels=1, rate=16_000, bits=16)
    unknown.write_bytes(unknown.read_bytes().replace(b"\x10\0\0\0\x01\0", b"\x10\0\0\0\x77\x77"))
    with pytest.raises(ValueError, match=r"No sound can be decoded from the audio track of .*unknown.wav"):
        read_audio(unknown)


def test_a_video_without_an_audio_track(tmp_path):
    path = write(tmp_path / "silent.mp4", None, None, video="mpeg4")
    with pytest.raises(ValueError, match=r"silent.mp4' has no audio track: it holds video \(mpeg4\)"):
        read_audio(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no sound or video file"):
        read_audio(tmp_path / "nowhere.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_must_be_finite(tmp_path, value):
    sound = tones(0.2, 16_000, 1)[0]
    sound[100] = value
    path = write_wav(tmp_path / "f.wav", sound.tobytes(), channels=1, rate=16_000, bits=32, is_float=True)
    with pytest.raises(ValueError, match="NaN or infinite"):
        read_audio(path)
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_mono_16k(sound, 16_000)


# ------------------------------------------------------------------------------------------------- arrays and tensors


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_arrays_of_any_rate(rate):
    sound = tones(1, rate, 2)
    heard = to_mono_16k(sound, rate)
    assert heard.shape == (16_000,) and heard.dtype == torch.float32
    np.testing.assert_allclose(heard, tones(1, 16_000, 2).mean(axis=0), atol=0.01)
    torch.testing.assert_close(to_mono_16k(torch.from_numpy(sound.mean(axis=0)), rate), heard, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "samples"),
    [
        (np.uint8, [0, 64, 128, 255]),
        (np.int16, [-(2**15), -(2**14), 0, 2**15 - 256]),
        (np.int32, [-(2**31), -(2**30), 0, 2**31 - 2**24]),
    ],
)
def test_integers_are_scaled(dtype, samples):
    expected = [-1.0, -0.5, 0.0, 127 / 128]
    assert to_mono_16k(np.array(samples, dtype), 16_000).tolist() == expected
    assert to_mono_16k(torch.tensor(np.array([samples, samples], dtype)), 16_000).tolist() == expected


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), 16_000, r"must be \(n,\) or \(channels, n\), not \(2, 3, 4\)"),
        (np.zeros((16_000, 2), np.float32), 16_000, r"must be \(n,\) or \(channels, n\), not \(16000, 2\)"),
        (np.zeros(0, np.float32), 16_000, "is empty"),
        (np.zeros((0, 500), np.float32), 16_000, "is empty"),
        (np.zeros(500, np.int64), 16_000, "not torch.int64"),
        (np.zeros(500, bool), 16_000, "not torch.bool"),
        (np.zeros(500, np.float32), 0, "whole number of samples per second, not 0"),
        (np.zeros(500, np.float32), 44_100.5, "not 44100.5"),
    ],
)
def test_what_cannot_be_a_waveform(waveform, rate, message):
    with pytest.raises(ValueError, match=message):
        to_mono_16k(waveform, rate)


def test_a_gap_in_the_stream_is_silence(tmp_path):
    """A second of sound, a second in which nothing was sent, and a second of sound: what comes after keeps its time."""
    path = tmp_path / "gap.mkv"
    with av.open(path, "w") as container:
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for start in (0, 32_000):
            for offset in range(0, 16_000, 1_000):
                samples = np.full((1, 1_000), 8_000, np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.rate, frame.pts = 16_000, start + offset
                container.mux(track.encode(frame))
        container.mux(track.encode())
    sound = read_audio(path).numpy()
    assert len(sound) == 48_000
    assert (sound[:16_000] != 0).all() and not sound[16_000:32_000].any() and (sound[32_000:] != 0).all()


def test_a_file_and_its_samples_give_the_same_sound(tmp_path):
    sound = tones(1.0, 44_100, 2)
    path = write(tmp_path / "a.wav", "pcm_f32le", sound)
    assert torch.allclose(read_audio(path), to_mono_16k(sound, 44_100), atol=1e-6)


def test_a_reversed_array_is_a_waveform():
    sound = np.linspace(-1, 1, 16_000, dtype=np.float32)
    assert torch.equal(to_mono_16k(sound[::-1], 16_000), torch.from_numpy(sound).flip(0))
