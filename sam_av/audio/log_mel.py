"""The VGGish front end: 0.96 s of 16 kHz sound as a log-mel picture of 96 frames and 64 bands."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

SAMPLING_RATE = 16_000
WINDOW_SAMPLES = 15_600
"""What one example hears: 96 frames, one every 160 samples, each 400 long."""
EXAMPLE_HOP = 15_360
"""From the start of one example to the start of the next: 96 frames, 0.96 s."""

_FRAME, _HOP, _FFT = 400, 160, 512
_BANDS, _LOWEST_HZ, _HIGHEST_HZ = 64, 125.0, 7500.0
_LOG_OFFSET = 0.01
_EXAMPLES_AT_ONCE = 256  # four minutes of sound; bounds the memory that a long waveform takes


def log_mel_examples(waveform_16k: Tensor | np.ndarray) -> Tensor:
    """The log-mel examples of a mono waveform (n,) in -1..1 at 16 kHz -> (examples, 1, 96, 64) float32.

    Example k is that of the 15,600 samples from 15,360 k on; what does not fill an example at the end is left out.
    """
    waveform = torch.as_tensor(waveform_16k)
    if waveform.ndim != 1 or not waveform.is_floating_point():
        raise ValueError(
            f"log_mel_examples needs one mono waveform (n,) of floats in -1..1, not {tuple(waveform.shape)} "
            f"{waveform.dtype}: to_mono_16k makes it so."
        )
    if len(waveform) < WINDOW_SAMPLES:
        return torch.empty(0, 1, 96, _BANDS, device=waveform.device)
    windows = waveform.unfold(0, WINDOW_SAMPLES, EXAMPLE_HOP)
    return torch.cat([log_mel_windows(some) for some in windows.split(_EXAMPLES_AT_ONCE)])


def log_mel_windows(windows: Tensor) -> Tensor:
    """One log-mel example for each window of sound: (B, 15600) -> (B, 1, 96, 64) float32."""
    if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES:
        raise ValueError(f"Windows of sound must be (B, {WINDOW_SAMPLES}), not {tuple(windows.shape)}.")
    # In float32 the FFT's rounding shows in the quiet bands (2e-5 after the logarithm). MPS has nothing finer.
    dtype = torch.float32 if windows.device.type == "mps" else torch.float64
    frames = windows.to(dtype).unfold(1, _FRAME, _HOP)  # (B, 96, 400)
    hann = torch.hann_window(_FRAME, dtype=dtype, device=windows.device)
    magnitude = torch.fft.rfft(frames * hann, n=_FFT).abs()  # (B, 96, 257)
    mel = magnitude @ torch.as_tensor(_mel_matrix(), dtype=dtype, device=windows.device)
    return torch.log(mel + _LOG_OFFSET).float().unsqueeze(1)


@cache
def _mel_matrix() -> np.ndarray:
    """The weight of each FFT bin in each mel band: (257, 64) float64."""
    from transformers.audio_utils import mel_filter_bank  # takes a second to import, and decoding alone never needs it

    # VGGish's triangles are straight in mel. torchaudio.functional.melscale_fbanks draws them straight in Hz, which
    # is off by up to 0.0044. "kaldi" is the scale 1127 ln(1 + f / 700), which HTK uses as well.
    return mel_filter_bank(
        num_frequency_bins=_FFT // 2 + 1,
        num_mel_filters=_BANDS,
        min_frequency=_LOWEST_HZ,
        max_frequency=_HIGHEST_HZ,
        sampling_rate=SAMPLING_RATE,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
