"""The VGGish front end against the golden examples and against a plain computation, frame by frame."""

import numpy as np
import pytest
import torch

from sam_av.audio import log_mel_examples, log_mel_windows


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(seed)) - 0.5


def plain_mel_matrix() -> np.ndarray:
    """(257, 64), written out from the definition of the triangles."""

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    weights = np.zeros((257, 64))
    for bin_ in range(1, 257):  # the DC bin stays zero
        position = mel(bin_ * 16_000 / 512)
        for band in range(64):
            left, centre, right = edges[band : band + 3]
            rising, falling = (position - left) / (centre - left), (right - position) / (right - centre)
            weights[bin_, band] = max(0, min(rising, falling))
    return weights


def plain_log_mel(waveform: np.ndarray) -> np.ndarray:
    """(n,) -> (examples, 96, 64)."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    mel = plain_mel_matrix()
    rows = []
    for frame in range(1 + (len(waveform) - 400) // 160):
        spectrum = np.fft.rfft(waveform[160 * frame : 160 * frame + 400] * hann, 512)
        rows.append(np.log(np.abs(spectrum) @ mel + 0.01))
    return np.stack([rows[start : start + 96] for start in range(0, len(rows) - 95, 96)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_golden_examples(golden, dtype):
    expected = golden("vggish")["log_mel_examples"]
    examples = log_mel_examples(golden("vggish")["waveform_16k"].to(dtype))
    assert examples.dtype == torch.float32
    torch.testing.assert_close(examples, expected, atol=1e-5, rtol=0)


def test_equals_the_plain_computation():
    waveform = noise(50_000)
    expected = plain_log_mel(waveform.double().numpy())
    assert expected.shape == (3, 96, 64)
    np.testing.assert_allclose(log_mel_examples(waveform.numpy())[:, 0], expected, atol=2e-6)


@pytest.mark.parametrize(("samples", "examples"), [(0, 0), (15_599, 0), (15_600, 1), (30_959, 1), (30_960, 2)])
def test_only_whole_examples_count(samples, examples):
    assert log_mel_examples(noise(samples)).shape == (examples, 1, 96, 64)


def test_example_k_is_the_window_at_15360_k():
    waveform = noise(80_000)
    windows = torch.stack([waveform[15_360 * k : 15_360 * k + 15_600] for k in range(5)])
    assert torch.equal(log_mel_examples(waveform), log_mel_windows(windows))


def test_long_sound_is_worked_off_in_parts():
    waveform = noise(15_360 * 257 + 240)
    examples = log_mel_examples(waveform)
    assert len(examples) == 257
    assert torch.equal(examples[-1:], log_mel_examples(waveform[15_360 * 256 :]))


@pytest.mark.parametrize("waveform", [torch.zeros(2, 16_000), torch.zeros(16_000, dtype=torch.int16)])
def test_what_is_not_a_mono_waveform_of_floats_is_refused(waveform):
    with pytest.raises(ValueError, match=r"to_mono_16k"):
        log_mel_examples(waveform)


def test_windows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"\(B, 15600\), not \(2, 16000\)"):
        log_mel_windows(torch.zeros(2, 16_000))
