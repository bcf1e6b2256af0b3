"""Sound in parts: resampled and cut into windows as the whole waveform is."""

import numpy as np
import pytest
import torch
import torchaudio
from scipy.io import wavfile

from sam_av.audio import Listener, frame_windows, read_audio, stream_audio, to_mono_16k
from sam_av.audio.resample import StreamResampler, open_resampler, resample


def in_parts(sound, seed=0):
    """Cuts a sound into parts of all kinds of lengths."""
    rng, start = np.random.default_rng(seed), 0
    while start < len(sound):
        length = int(rng.choice([1, 7, 500, 1024, 9_000]))
        yield sound[start : start + length]
        start += length


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_resampling_in_parts_is_resampling_the_whole(rate):
    sound = torch.randn(3 * rate + 123)
    resampler = StreamResampler(rate, 16_000)
    parts = [resampler.push(part) for part in in_parts(sound)]
    heard = torch.cat([*parts, resampler.flush()])
    whole = torchaudio.functional.resample(sound, rate, 16_000)
    assert heard.shape == whole.shape
    torch.testing.assert_close(heard, whole, atol=1e-5, rtol=0)


def test_a_sound_shorter_than_the_filter():
    resampler = StreamResampler(44_100, 16_000)
    heard = torch.cat([resampler.push(torch.ones(5)), resampler.flush()])
    torch.testing.assert_close(heard, torchaudio.functional.resample(torch.ones(5), 44_100, 16_000))


@pytest.mark.parametrize("rate", [11_127, 44_099, 96_001])
def test_rates_that_have_nothing_in_common(rate, tmp_path):
    """A filter with weights for each phase would take up to 6 GB, and minutes."""
    sound, expected = (
        torch.sin(2 * torch.pi * 1_000 * torch.arange(2 * each, dtype=torch.float64) / each).float()
        for each in (rate, 16_000)
    )
    wavfile.write(tmp_path / "sound.wav", rate, sound.numpy())
    resampler = open_resampler(rate, 16_000)
    parts = torch.cat([*(resampler.push(part) for part in in_parts(sound)), resampler.flush()])
    for heard in (to_mono_16k(sound, rate), read_audio(tmp_path / "sound.wav"), parts):
        assert heard.shape == (32_000,)
        # The same frequency, and in time.
        torch.testing.assert_close(heard[200:-200], expected[200:-200], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("rate", "target"), [(11_127, 16_000), (44_099, 16_000), (48_000, 44_099)])
def test_no_large_filter_is_made(monkeypatch, rate, target):
    monkeypatch.setattr(torchaudio.transforms, "Resample", None)
    monkeypatch.setattr(torchaudio.functional, "resample", None)
    open_resampler(rate, target)
    assert len(resample(torch.zeros(rate), rate, target)) == target


def test_usual_rates_go_through_the_filter():
    for rate in (8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000):
        assert isinstance(open_resampler(rate, 16_000), StreamResampler)


@pytest.mark.parametrize("rule", ["example", "centered", "causal"])
@pytest.mark.parametrize("seconds", [0.3, 0.975, 7.03, 60])
@pytest.mark.parametrize("fps", [25, 1, 0.11])
def test_windows_are_those_of_the_whole_waveform(rule, seconds, fps):
    """Frames go on behind the end of the sound, and are asked for in batches of four."""
    sound = torch.randn(round(seconds * 16_000))
    times = np.arange(0, seconds + 4, 1 / fps)
    listener = Listener(in_parts(sound), rule, 15_600)
    for start in range(0, len(times), 4):
        batch = times[start : start + 4]
        assert torch.equal(listener.windows(batch.tolist()), frame_windows(sound, batch, rule))


def test_what_is_held_stays_small():
    listener = Listener((torch.ones(16_000) for _ in range(3_000)), "example", 15_600)
    for time in (0.0, 1.0, 2_000.0, 2_000.04, 2_990.0):
        assert bool((listener.windows([time]) == 1).all())
        assert len(listener._held) < 20 * 16_000


def test_sound_that_streams_is_the_sound_that_is_read(tmp_path):
    from test_audio_decode import tones, write

    path = write(tmp_path / "a.mp4", "aac", tones(5, 44_100, 2), video="mpeg4")
    parts = list(stream_audio(path))
    assert max(map(len, parts)) < 16_000
    assert torch.equal(torch.cat(parts), read_audio(path))
