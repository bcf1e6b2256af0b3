"""Scenes to write, what they must read back as, and damage to do to files."""

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from sam_av.data import Clip, InstanceTrack, Scenes
from sam_av.data.writing import to_pcm

JPEG_ERROR = 30
"""The most by which a pixel of a scene differs after JPEG."""


def scenes(split: str = "train", **settings) -> Scenes:
    return Scenes(**{"size": 64, "length": 3, "split": split, **settings})


def one_source(split: str = "train", **settings) -> Scenes:
    """Scenes of one sounding class each."""
    return scenes(split, **{"sources": (1, 1), "silence": 0, "absent": 0, "switching": 0, **settings})


def truth_of(clip: Clip, annotated: list[bool]) -> Clip:
    """A clip with masks where it is annotated, and no more."""
    known = np.array(annotated)
    return replace(clip, annotated=known, masks=clip.masks * known[:, None, None])


def assert_same_clip(read: Clip, written: Clip, picture_error: int = 0) -> None:
    """The clips are the same, the sounds after both have been rounded to 16 bits."""
    assert (read.id, read.category, read.split) == (written.id, written.category, written.split)
    np.testing.assert_array_equal(read.times, written.times)
    np.testing.assert_array_equal(read.annotated, written.annotated)
    assert read.frames.shape == written.frames.shape
    assert np.abs(read.frames.astype(int) - written.frames).max() <= picture_error
    np.testing.assert_array_equal(read.waveform, to_pcm(written.waveform).astype(np.float32) / 32_768)
    if isinstance(written.masks, list):
        assert isinstance(read.masks, list)
        assert [track.category for track in read.masks] == [track.category for track in written.masks]
        for found, wanted in zip(read.masks, written.masks, strict=True):
            assert_same_track(found, wanted)
    else:
        assert isinstance(read.masks, np.ndarray)
        assert isinstance(written.masks, np.ndarray)
        assert read.masks.dtype == written.masks.dtype
        np.testing.assert_array_equal(read.masks, written.masks)


def assert_same_track(read: InstanceTrack, written: InstanceTrack) -> None:
    np.testing.assert_array_equal(read.masks, written.masks)


def cut_off(path: Path, share: float = 0.5) -> None:
    """Leaves a file with its beginning alone."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def save_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def save_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> None:
    """Writes int16 samples (n,) or (n, channels) as a wav."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.ndim if samples.ndim == 1 else samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
