"""model.segment on single pictures: files and arrays, prompts, thresholds, scores."""

import numpy as np
import pytest
import torch
from conftest import make_model
from PIL import Image
from scipy.io import wavfile

from sam_av.data.media import read_picture
from sam_av.predict import MaskSettings, frame_mask


def picture():
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


def sound():
    return np.random.default_rng(1).uniform(-1, 1, 32_000).astype(np.float32)


def test_picture_and_sound():
    model = make_model()
    (frame,) = model.segment(picture(), sound())
    assert frame.mask.shape == frame.logits.shape == (48, 80) and frame.mask.dtype == bool
    inputs = model.processor(picture(), sound(), 16_000)
    logits = model(inputs["pixel_values"], inputs["audio"]).mask_logits
    (mask,) = model.processor.post_process_masks(logits, [(48, 80)])
    assert np.array_equal(frame.mask, mask.numpy())
    assert frame.time == 0


def test_files(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "frame.png")
    wavfile.write(tmp_path / "sound.wav", 16_000, sound())
    model = make_model()
    (from_files,) = model.segment(tmp_path / "frame.png", tmp_path / "sound.wav")
    (from_arrays,) = model.segment(picture(), sound())
    assert np.allclose(from_files.logits, from_arrays.logits, atol=1e-4)


def test_options_matter():
    model = make_model()
    (plain,) = model.segment(picture(), sound())
    (clicked,) = model.segment(picture(), sound(), points=[[40, 24]], point_labels=[1])
    (boxed,) = model.segment(picture(), sound(), box=[10, 10, 40, 40])
    (later,) = model.segment(picture(), sound(), time=0.96)
    assert later.time == 0.96
    for other in (clicked, boxed, later):
        assert not np.allclose(other.logits, plain.logits)
    (greedy,) = model.segment(picture(), sound(), threshold=0.01)
    assert greedy.mask.sum() > plain.mask.sum()


@pytest.mark.parametrize("form", [np.array, torch.tensor, lambda values: torch.tensor(values, dtype=torch.int32)])
def test_clicks_and_boxes_in_any_form(form):
    model = make_model()
    plain = {"points": [[40, 24], [5, 6]], "point_labels": [1, 0], "box": [10, 10, 40, 40]}
    (wanted,) = model.segment(picture(), sound(), **plain)
    (found,) = model.segment(picture(), sound(), **{name: form(value) for name, value in plain.items()})
    np.testing.assert_array_equal(found.logits, wanted.logits)


def test_labels_without_clicks_change_nothing():
    model = make_model()
    (plain,) = model.segment(picture(), sound())
    (labelled,) = model.segment(picture(), sound(), points={5: [[40, 24]]}, point_labels=[1])
    np.testing.assert_array_equal(labelled.logits, plain.logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": [40, 24]}, r"points are \(N, 2\): a click is x, y, not \[40, 24\]"),
        ({"points": {0: [[1, 2, 3]]}}, "a click is x, y, not"),
        ({"points": []}, "a click is x, y, not"),
        ({"points": [[1, 2], [3]]}, "a click is x, y, not"),
        ({"points": [[1, float("nan")]]}, "a click is x, y, not"),
        ({"points": "here"}, "a click is x, y, not 'here'"),
        ({"points": [[1, 2]], "point_labels": [1, 0]}, "1 points do not go with 2 labels"),
        ({"points": {1: [[1, 2]], 2: [[1, 2], [3, 4]]}, "point_labels": [1]}, "2 points do not go with 1 labels"),
        ({"points": [[1, 2]], "point_labels": [2]}, "label is 1 on the object or 0 beside it"),
        ({"box": [[1, 2, 3, 4]]}, r"box is \(4,\): left, top, right, bottom, not"),
        ({"threshold": [0.5, 0.6]}, "threshold is one number, not"),
    ],
)
def test_bad_prompts_are_told_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        MaskSettings(**settings)


def test_score_is_the_mean_probability_inside():
    probability = torch.full((100, 100), 0.1)
    probability[:10, :10] = torch.linspace(0.6, 0.8, 100).reshape(10, 10)
    frame = frame_mask(1.5, np.zeros((100, 100, 3), np.uint8), probability.logit(), 0.5)
    assert frame.time == 1.5 and frame.mask.sum() == 100
    assert frame.score == pytest.approx(0.7, abs=1e-4)


def test_score_of_an_almost_empty_mask_is_zero():
    probability = torch.full((100, 100), 0.1)
    probability[0, :9] = 0.99
    assert frame_mask(0, np.zeros((100, 100, 3), np.uint8), probability.logit(), 0.5).score == 0


def test_bad_sources(tmp_path):
    model = make_model()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    for source, error, message in (
        (tmp_path / "lost.png", FileNotFoundError, "no picture '"),
        (tmp_path / "broken.png", ValueError, "cannot be read as a picture"),
    ):
        with pytest.raises(error, match=message):
            model.segment(source, sound())
    with pytest.raises(ValueError, match="needs the sound"):
        model.segment(picture())
    with pytest.raises(FileNotFoundError, match=r"lost.wav"):
        model.segment(picture(), tmp_path / "lost.wav")
    with pytest.raises(ValueError, match="takes one picture"):
        model.segment([picture(), picture()], sound())
    with pytest.raises(ValueError, match="between 0 and 1"):
        model.segment(picture(), sound(), threshold=50)


def test_pictures_as_they_are_looked_at(tmp_path):
    """A camera held upright, and a 16-bit grey picture."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "turned.jpg", exif=exif)
    (frame,) = make_model().segment(tmp_path / "turned.jpg", sound())
    assert frame.mask.shape == (80, 48)
    grey = np.linspace(0, 65535, 64 * 64, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert np.abs(read_picture(tmp_path / "deep.png")[..., 0] - grey / 257.0).max() <= 1


def test_time_of_a_picture_without_one():
    (frame,) = make_model(audio_window="causal").segment(picture(), sound())
    assert frame.time == 2.0
