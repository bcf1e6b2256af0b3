"""Which sound a frame hears, against plain slicing of a waveform that is wide enough for every window."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sam_av.audio import frame_windows

WINDOW, HOP = 15_600, 15_360


def ramp(samples: int) -> torch.Tensor:
    """A waveform whose every sample is its own number, from 1."""
    return torch.arange(1, samples + 1, dtype=torch.float32)


def plain_windows(waveform: torch.Tensor, starts: list[int], length: int = WINDOW) -> torch.Tensor:
    margin = torch.zeros(100_000)
    wide = torch.cat([margin, waveform, margin])
    return torch.stack([wide[100_000 + start : 100_000 + start + length] for start in starts])


def test_avsbench_frame_k_hears_example_k():
    windows = frame_windows(ramp(80_000), [0.0, 1.0, 2.0, 3.0, 4.0], "example")
    assert torch.equal(windows, plain_windows(ramp(80_000), [HOP * k for k in range(5)]))


@pytest.mark.parametrize("as_times", [list, np.array, lambda k: torch.tensor(k, dtype=torch.float32)])
def test_the_start_of_an_example_belongs_to_it_whatever_the_rounding(as_times):
    numbers = [1, 3, 7, 49, 100, 391]
    times = as_times([k * 0.96 for k in numbers])
    starts = frame_windows(ramp(HOP * 400), times, "example")[:, 0] - 1
    assert starts.tolist() == [HOP * k for k in numbers]


def test_just_before_an_example_the_one_before_is_heard():
    starts = frame_windows(ramp(80_000), [0.9599, 1.9199], "example")[:, 0] - 1
    assert starts.tolist() == [0, HOP]


def test_frames_after_the_last_whole_example_repeat_it():
    waveform = ramp(3 * HOP)  # the third example lacks 240 samples
    windows = frame_windows(waveform, [-0.5, 1.0, 2.0, 9.0], "example")
    assert torch.equal(windows, plain_windows(waveform, [0, HOP, HOP, HOP]))


@pytest.mark.parametrize(("rule", "before"), [("centered", WINDOW // 2), ("causal", WINDOW)])
def test_windows_around_and_up_to_a_moment(rule, before):
    times = [0.0, 0.1, 1.25, 2.5, 3.1, 1e9, -1e9]
    moments = [0, 1_600, 20_000, 40_000, 49_600]
    expected = plain_windows(ramp(50_000), [moment - before for moment in moments])
    windows = frame_windows(ramp(50_000), times, rule)
    assert torch.equal(windows[:5], expected)
    assert not windows[5:].any()  # far outside of the sound


def test_a_stretch_of_long_sound_equals_all_of_it():
    waveform, times = ramp(400_000), np.linspace(0, 25, 60)
    whole = frame_windows(waveform, times, "centered")
    parts = [frame_windows(waveform, some, "centered") for some in np.array_split(times, 20)]
    assert torch.equal(torch.cat(parts), whole)


def test_another_window_length():
    windows = frame_windows(ramp(50_000), [1.0], "causal", window_samples=4_000)
    assert torch.equal(windows, plain_windows(ramp(50_000), [12_000], 4_000))


@pytest.mark.parametrize("rule", ["example", "centered", "causal"])
@pytest.mark.parametrize("samples", [0, 5_000])
@pytest.mark.filterwarnings("ignore:A waveform is shorter")
def test_short_sound_is_padded_with_silence(rule, samples):
    start = {"example": 0, "centered": 3_200 - WINDOW // 2, "causal": 3_200 - WINDOW}[rule]
    windows = frame_windows(ramp(samples), [0.2], rule)
    assert torch.equal(windows, plain_windows(ramp(samples), [start]))


def test_short_sound_warns_once_per_process():
    script = """
import warnings, torch
from sam_av.audio import frame_windows
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    for samples in (9000, 8000, 16000):
        frame_windows(torch.zeros(samples), [0.0], "example")
print(len(caught), caught[0].message)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 A waveform is shorter than one window (0.975 s)")


def test_unknown_rule_names_the_three():
    with pytest.raises(ValueError, match="'middle': choose one of example, centered, causal"):
        frame_windows(ramp(16_000), [0.0], "middle")


@pytest.mark.parametrize("times", [[], [[0.0]], [float("nan")]])
def test_times_must_be_a_row_of_seconds(times):
    with pytest.raises(ValueError, match=r"\(T,\) finite seconds"):
        frame_windows(ramp(16_000), times, "example")


def test_the_waveform_must_be_mono():
    with pytest.raises(ValueError, match=r"mono waveform \(n,\), not \(2, 16000\)"):
        frame_windows(torch.zeros(2, 16_000), [0.0], "example")
