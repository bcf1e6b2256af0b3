"""Drawing: what is tinted, what is outlined, and where the pictures of a grid stand."""

import re

import numpy as np
import pytest
from PIL import Image

from sam_av.viz import PictureRow, class_colour, draw_sound, grid, outline, overlay, spectrogram, swap_strip


def frame(height=40, width=60, value=100):
    return np.full((height, width, 3), value, np.uint8)


def square():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    return mask


def test_overlay_tints_the_mask_alone():
    drawn = overlay(frame(), square())
    assert drawn.dtype == np.uint8 and drawn.shape == (40, 60, 3)
    assert (drawn[~square()] == 100).all()
    assert np.array_equal(drawn[20, 30], (0.5 * 100 + 0.5 * class_colour(1)).round())
    assert np.array_equal(drawn[10, 20], class_colour(1))  # its outline, in full


def test_overlay_of_nothing_is_the_frame():
    assert np.array_equal(overlay(frame(), np.zeros((40, 60), bool)), frame())


@pytest.mark.parametrize("size", [(20, 30), (60, 40), (40, 60, 1)])
def test_a_mask_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match=rf"{re.escape(str(size))} does not fit \(40, 60\)"):
        overlay(frame(), np.ones(size, bool))


def test_overlay_fades_what_is_outside():
    drawn = overlay(frame(value=200), square(), dim=0.5)
    assert (drawn[~square()] < 200).all()
    assert np.array_equal(drawn[square()], overlay(frame(value=200), square())[square()])


def test_classes_have_colours_of_their_own():
    ids = np.zeros((40, 60), np.uint8)
    ids[:, 20:40], ids[:, 40:] = 3, 7
    drawn = overlay(frame(), ids)
    assert np.array_equal(drawn[5, 30], (0.5 * 100 + 0.5 * class_colour(3)).round())
    assert np.array_equal(drawn[5, 50], (0.5 * 100 + 0.5 * class_colour(7)).round())
    assert (drawn[:, :20] == 100).all()
    assert len({tuple(class_colour(k)) for k in range(1, 71)}) == 70


def test_outline_equals_a_plain_loop():
    ids = np.random.default_rng(0).integers(0, 3, (12, 17))
    for thickness in (1, 2):
        expected = np.zeros(ids.shape, bool)
        for y in range(12):
            for x in range(17):
                around = ids[max(0, y - thickness) : y + thickness + 1, max(0, x - thickness) : x + thickness + 1]
                expected[y, x] = ids[y, x] > 0 and (around != ids[y, x]).any()
        assert np.array_equal(outline(ids, thickness), expected)


def test_grid_places_pictures_under_their_columns():
    rows = [PictureRow([frame(value=10), frame(value=200)], ["a clip", "a score"]) for _ in range(3)]
    sheet = np.asarray(grid("title", "subtitle", {"Best": rows, "Worst": rows[:1]}, ["frame", "truth"], side=60))
    for value in (10, 200):
        assert (sheet == value).all(axis=-1).sum() >= 4 * 40 * 60  # four rows of unscaled pictures
    left = np.flatnonzero((sheet == 10).all(axis=-1).any(axis=0))
    right = np.flatnonzero((sheet == 200).all(axis=-1).any(axis=0))
    assert left[0] < right[0] and left[-1] < right[-1]


def test_grid_cuts_long_captions_and_fits_odd_pictures():
    rows = [PictureRow([frame(), frame(90, 30, value=200)], ["x" * 500])]
    sheet = np.asarray(grid("y" * 500, "", {"Best": rows}, ["frame", "truth"], side=60))
    assert (sheet[:, -20:] == sheet[0, 0]).all()  # the margin stays free
    assert (sheet == 200).all(axis=-1).sum() > 300


def test_a_sound_is_drawn_as_high_as_it_is_loud():
    sheet = Image.new("RGB", (220, 60), "white")
    wave = np.sin(np.arange(16_000))
    waveform = np.concatenate([wave, 0.25 * wave, 0 * wave])
    draw_sound(sheet, (10, 5, 210, 55), waveform, [(255, 0, 0), (0, 0, 255)])
    drawn = np.asarray(sheet).astype(int).min(axis=2) < 128
    heights = drawn.sum(axis=0)
    assert heights[10:70].max() == 51 and 10 <= heights[85:135].max() <= 20 and 1 <= heights[150:210].max() <= 5
    assert not drawn[:, :10].any() and not drawn[:, 211:].any() and not drawn[:5].any() and not drawn[56:].any()
    reds, blues = (
        np.flatnonzero((np.asarray(sheet) == ink).all(axis=2).any(axis=0)) for ink in ((255, 0, 0), (0, 0, 255))
    )
    assert reds.max() < 112 and blues.min() > 107


def test_a_spectrogram_has_low_tones_below_and_a_line_for_each_example():
    log_mels = np.zeros((400, 64))
    log_mels[:, :8] = 5
    drawn = np.asarray(spectrogram(log_mels, (400, 64), seconds=4.0)).astype(int).sum(axis=2)
    assert drawn[60, 10] > 600 and drawn[10, 10] < 100  # loud below, silent above
    lines = np.flatnonzero(drawn[10] > 300)
    np.testing.assert_array_equal(lines, [96, 192, 288, 384])
    assert not (np.asarray(spectrogram(log_mels, (40, 64), seconds=4.0)).sum(axis=2)[10] > 300).any(), "too narrow"


def test_a_strip_of_swapped_sounds_shows_a_mask_for_each():
    other = np.roll(square(), 15, axis=1)
    strip = np.asarray(swap_strip(frame(), {"a bell": square(), "a bee": other}, "title", "subtitle", "scene"))
    for number in (1, 2):
        assert (np.abs(strip.astype(int) - class_colour(number)).sum(axis=-1) < 60).sum() > 100
    assert (strip == 100).all(axis=-1).sum() > 200 * 300  # the picture as it is
