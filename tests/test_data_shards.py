from itertools import chain

import numpy as np
import pytest
from data_sets import scenes

from sam_av.data.media import read_binary_mask, read_picture
from sam_av.data.shards import encode_png, in_shards


def test_clips_are_gathered_by_their_splits_as_they_come():
    train, test = list(scenes(frames=1, length=5)), list(scenes("test", frames=1, length=2))
    order = [train[0], test[0], train[1], train[2], test[1], train[3], train[4]]
    shards = list(in_shards(order, lambda clip: clip.id[-1], size=2))
    assert shards == [
        ("train", 0, ["0", "1"]), ("test", 0, ["0", "1"]), ("train", 1, ["2", "3"]), ("train", 2, ["4"]),
    ]  # fmt: skip


def test_no_more_is_drawn_than_a_shard_needs():
    def clips():
        yield from scenes(frames=1, length=2)
        raise AssertionError("one clip too many was asked for")

    assert next(in_shards(clips(), lambda clip: clip.id, size=2))[:2] == ("train", 0)
    with pytest.raises(ValueError, match="A shard holds at least 1 clip, not 0"):
        next(in_shards(chain(), lambda clip: clip.id, size=0))


def test_pictures_are_kept_to_the_bit():
    clip = scenes(frames=1)[0]
    np.testing.assert_array_equal(read_picture(encode_png(clip.frames[0])), clip.frames[0])
    np.testing.assert_array_equal(read_binary_mask(encode_png(clip.masks[0]), (64, 64)), clip.masks[0])
