import json

import numpy as np
import pytest
from pycocotools import mask as coco

from sam_av.data.shapes import box_of, draw_shape, encode_mask, parse_shape

SIZE = (20, 30)


def blob(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SIZE) > 0.6


def test_an_encoded_mask_is_plain_data_and_comes_back():
    for mask in (blob(), np.zeros(SIZE, bool), np.ones(SIZE, bool)):
        encoded = json.loads(json.dumps(encode_mask(mask)))
        np.testing.assert_array_equal(draw_shape(parse_shape(encoded), SIZE), mask)


def test_uncompressed_run_lengths_are_read():
    mask = np.zeros(SIZE, bool)
    mask[5:9, 3] = True
    counts = [3 * 20 + 5, 4, 30 * 20 - 3 * 20 - 9]
    np.testing.assert_array_equal(draw_shape(parse_shape({"size": [20, 30], "counts": counts}), SIZE), mask)


def test_polygons_cover_what_coco_draws():
    square, triangle = [2, 3, 12, 3, 12, 13, 2, 13], [20.5, 1, 28, 1, 28, 9.25]
    drawn = draw_shape(parse_shape([square, triangle]), SIZE)
    expected = coco.decode(coco.merge(coco.frPyObjects([square, triangle], *SIZE)))
    np.testing.assert_array_equal(drawn, expected)
    assert drawn[5, 5]
    assert not drawn[1, 1]


def test_one_polygon_may_stand_without_its_list():
    square = [2, 3, 12, 3, 12, 13, 2, 13]
    np.testing.assert_array_equal(draw_shape(parse_shape(square), SIZE), draw_shape(parse_shape([square]), SIZE))


def test_fewer_than_three_corners_cover_nothing():
    assert not draw_shape(parse_shape([[1, 1, 9, 9]]), SIZE).any()
    assert not draw_shape(parse_shape([]), SIZE).any()


def test_the_box_of_a_mask_is_that_of_coco():
    mask = np.zeros(SIZE, bool)
    mask[3:7, 11:12] = True
    assert box_of(mask) == [11.0, 3.0, 1.0, 4.0]
    assert box_of(blob()) == coco.toBbox(coco.encode(np.asfortranarray(blob(), np.uint8))).tolist()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mask.png", "a list of polygons or a run-length encoding, not 'mask.png'"),
        ({"counts": "1"}, r"has 'size' and 'counts'; this one has \['counts'\]"),
        ({"size": [2, 2], "counts": [1.5, 2.5]}, "a text or a list of whole numbers"),
        ([1, 2, 3, 4, 5, 6, 7], "a flat list of finite numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "a flat list of finite numbers"),
        ([[[1, 2], [3, 4], [5, 6]]], "a flat list of finite numbers"),
        ([["a", "b"]], "a polygon is a list of numbers"),
    ],
)
def test_what_is_no_shape_is_an_error(value, message):
    with pytest.raises(ValueError, match=message):
        parse_shape(value)


@pytest.mark.parametrize("counts", [[10, 5], [10, 500], [10, 600], "05", "zzzz", encode_mask(blob())["counts"][:-3]])
def test_run_lengths_that_do_not_fill_the_frame_are_damaged(counts):
    with pytest.raises(ValueError, match=r"covers -?\d+ pixels of 600: it is damaged"):
        draw_shape(parse_shape({"size": [20, 30], "counts": counts}), SIZE)


def test_a_run_length_encoding_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"is of size \[30, 20\], its frame is \(20, 30\)"):
        draw_shape(parse_shape({"size": [30, 20], "counts": [600]}), SIZE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"size": None, "counts": []}, "is height and width, not None"),
        ({"size": [4, 0], "counts": "04"}, "is height and width"),
        ({"size": [4, 4], "counts": "\u00e9"}, "letters that it never has"),
    ],
)
def test_run_lengths_that_cannot_be_any(value, message):
    with pytest.raises(ValueError, match=message):
        parse_shape(value)
