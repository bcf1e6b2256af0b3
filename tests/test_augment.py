"""Augmentation: nothing by default, the masks go with the frames, and noise is as loud as it says."""

import numpy as np
import pytest
import torch

from sam_av.augment import Augmentation
from sam_av.data import Scenes

FRAMES = np.random.default_rng(0).integers(0, 255, (2, 8, 6, 3), dtype=np.uint8)
MASKS = FRAMES[..., 0] > 128


def test_by_default_nothing_is_done():
    plain = Augmentation()
    frames, masks = plain.pictures(FRAMES, MASKS)
    assert frames is FRAMES and masks is MASKS
    sound, features = np.ones(10, np.float32), torch.randn(2, 1, 96, 64)
    assert plain.waveform(sound) is sound and plain.spectrogram(features) is features
    assert not plain.changes_pictures and not plain.changes_sound


def test_masks_are_mirrored_with_their_frames():
    frames, masks = Augmentation(flip=1.0).pictures(FRAMES, MASKS)
    np.testing.assert_array_equal(frames, FRAMES[:, :, ::-1])
    np.testing.assert_array_equal(masks, MASKS[:, :, ::-1])


def test_colours_stray_and_masks_stay():
    torch.manual_seed(0)
    frames, masks = Augmentation(colour=0.4).pictures(FRAMES, MASKS)
    assert frames.dtype == np.uint8 and frames.shape == FRAMES.shape and (frames != FRAMES).mean() > 0.5
    np.testing.assert_array_equal(masks, MASKS)


def test_noise_is_as_many_decibels_below_the_sound_as_asked_for():
    torch.manual_seed(0)
    sound = Scenes(size=64, length=1, silence=0, absent=0, switching=0)[0].waveform
    noise = Augmentation(noise_snr=10).waveform(sound) - sound
    snr = 10 * np.log10((sound**2).sum() / (noise**2).sum())
    assert 10 - 0.1 <= snr <= 30.1
    silence = np.zeros(100, np.float32)
    assert Augmentation(noise_snr=10).waveform(silence) is silence


def test_stretches_of_a_spectrogram_are_blanked_out():
    torch.manual_seed(1)
    features = torch.randn(4, 1, 96, 64)
    masked = Augmentation(spec_mask=0.5).spectrogram(features)
    changed = (masked != features)[:, 0]
    assert masked.shape == features.shape and changed.any()
    whole_rows, whole_columns = changed.all(2).sum(1), changed.all(1).sum(1)
    assert (whole_rows <= 48).all() and (whole_columns <= 32).all()
    explained = changed.all(2)[:, :, None] | changed.all(1)[:, None, :]
    assert torch.equal(explained, changed)  # nothing but whole stretches


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"flips": 1.0}, "no 'flips': choose among flip"), ({"flip": 2.0}, "flip lies between 0 and 1, not 2")],
)
def test_wrong_settings_say_so(settings, words):
    with pytest.raises(ValueError, match=words):
        Augmentation.from_dict(settings)
