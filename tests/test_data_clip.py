from dataclasses import replace

import numpy as np
import pytest

from sam_av.data import Clip, InstanceTrack

T, H, W = 3, 4, 5


def make_clip(**changes) -> Clip:
    fields = {
        "frames": np.zeros((T, H, W, 3), np.uint8),
        "times": np.arange(T, dtype=float),
        "waveform": np.zeros(16_000, np.float32),
        "masks": np.zeros((T, H, W), bool),
        "annotated": np.ones(T, bool),
        "id": "street",
    }
    return Clip(**{**fields, **changes})


def track(id: int, row: int) -> InstanceTrack:
    masks = np.zeros((T, H, W), bool)
    masks[1:, row] = True
    return InstanceTrack("dog", id, masks)


def test_a_valid_clip_keeps_its_fields():
    clip = make_clip(category="dog", split="train")
    assert (len(clip), clip.id, clip.category, clip.split) == (T, "street", "dog", "train")


def test_a_clip_cannot_be_made_wrong_by_replacing_a_field():
    with pytest.raises(ValueError, match=r"'street': times must be \(3,\)"):
        replace(make_clip(), times=np.arange(2.0))


def test_binary_masks_of_bool_masks_are_the_masks():
    masks = np.random.default_rng(0).random((T, H, W)) > 0.5
    np.testing.assert_array_equal(make_clip(masks=masks).binary_masks(), masks)


def test_binary_masks_of_class_ids_are_all_but_the_background():
    ids = np.random.default_rng(0).integers(0, 3, (T, H, W), dtype=np.uint8)
    found = make_clip(masks=ids).binary_masks()
    assert found.dtype == bool
    np.testing.assert_array_equal(found, ids != 0)


def test_binary_masks_of_tracks_are_their_union():
    found = make_clip(masks=[track(1, 0), track(2, 3)]).binary_masks()
    assert not found[0].any()
    assert found[1:, [0, 3]].all()
    assert not found[1:, 1:3].any()


def test_no_tracks_are_a_silent_clip():
    found = make_clip(masks=[]).binary_masks()
    assert found.shape == (T, H, W)
    assert not found.any()


def test_binary_masks_of_an_unannotated_clip_are_an_error():
    clip = make_clip(masks=None, annotated=np.zeros(T, bool))
    with pytest.raises(ValueError, match="'street' has no masks"):
        clip.binary_masks()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((T, H, W), np.uint8)}, r"frames must be \(T, H, W, 3\) uint8 .*found \(3, 4, 5\)"),
        ({"frames": np.zeros((T, H, W, 3), np.float32)}, r"frames must be .*float32"),
        ({"frames": np.zeros((0, H, W, 3), np.uint8)}, r"at least one frame"),
        ({"times": np.arange(T)}, r"times must be \(3,\) seconds as floats.*int64"),
        ({"times": np.array([0.0, 1.0, 1.0])}, "times must be finite and increase"),
        ({"times": np.array([0.0, np.nan, 1.0])}, "times must be finite and increase"),
        ({"annotated": np.ones(T)}, r"annotated must be \(3,\) bool.*float64"),
        ({"waveform": np.zeros((2, 16_000), np.float32)}, r"mono at 16 kHz.*found \(2, 16000\)"),
        ({"waveform": np.zeros(16_000)}, r"waveform must be \(n,\) float32.*float64"),
        ({"waveform": np.zeros(0, np.float32)}, "give zeros for silence"),
        ({"waveform": np.array([0, 0, np.nan, np.inf], np.float32)}, "2 samples .*NaN or infinite, .*0.000 s"),
        ({"masks": np.zeros((T, H, W + 1), bool)}, r"masks must be \(3, 4, 5\).*found \(3, 4, 6\)"),
        ({"masks": np.zeros((T, H, W), np.int64)}, r"masks must be .*int64"),
        ({"masks": None}, "3 frames are marked as annotated"),
        ({"masks": [track(1, 0), track(1, 1)]}, r"ids of their own, found \[1, 1\]"),
        ({"masks": [InstanceTrack("dog", 7, np.zeros((T, H), bool))]}, r"track 7 \(dog\) must be \(3, 4, 5\) bool"),
    ],
)
def test_errors_say_what_was_wanted_and_what_was_found(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        make_clip(**changes)
    assert "'street'" in str(error.value)


def test_unknown_names_of_the_package_are_attribute_errors():
    import sam_av.data

    with pytest.raises(AttributeError, match="no attribute 'Clap'"):
        sam_av.data.Clap  # noqa: B018
    assert sam_av.data.__all__ == dir(sam_av.data)
