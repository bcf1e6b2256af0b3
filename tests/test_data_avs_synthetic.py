import os
import pickle
from collections import OrderedDict
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from data_sets import JPEG_ERROR, assert_same_clip, one_source
from torch.utils.data import DataLoader

from sam_av.audio import frame_windows
from sam_av.data import Clip, DataProblems, open_dataset, write_dataset
from sam_av.data.avs_synthetic import SOUNDS, read_sound_table

SETTINGS = {"frames": 2, "length": 12, "categories": ("dog", "bell", "car", "bee"), "objects": (1, 2)}


def pairs(split):
    return one_source(split, **SETTINGS)


def as_read(clip: Clip) -> Clip:
    """The second frame of a clip, at the second example of its sound."""
    return replace(
        clip, frames=clip.frames[1:], times=np.array([0.96]), masks=clip.masks[1:], annotated=np.ones(1, bool)
    )


@pytest.fixture
def synthetic(tmp_path):
    clips = chain(pairs("train"), pairs("validate"), pairs("test"))
    return write_dataset(clips, tmp_path / "synthetic", "avs-synthetic")


def digests(clips, epoch: int) -> list[float]:
    clips.set_epoch(epoch)
    return [float(np.abs(clip.waveform).sum()) for clip in clips]


def only_sound(clip: Clip) -> float:
    return float(np.abs(clip.waveform).sum())


def test_validate_and_test_read_back_what_was_written(synthetic):
    for split in ("validate", "test"):
        for read, written in zip(open_dataset(synthetic, split), pairs(split), strict=True):
            assert_same_clip(read, as_read(written), JPEG_ERROR)


def test_training_draws_a_sound_of_the_class(synthetic):
    clips, written = open_dataset(synthetic, "train"), list(pairs("train"))
    assert set(clips.categories) == {clip.category for clip in written}
    for read, own in zip(clips, written, strict=True):
        assert_same_clip(replace(read, waveform=own.waveform * 0), replace(as_read(own), waveform=own.waveform * 0), 30)
        heard = [clip.category for clip in written if np.abs(read.waveform - clip.waveform).max() < 1e-4]
        assert heard == [own.category]


def test_the_picture_hears_the_second_example(synthetic):
    clip = open_dataset(synthetic, "test")[0]
    window = frame_windows(clip.waveform, clip.times, "example")[0]
    np.testing.assert_array_equal(window, clip.waveform[15_360 : 15_360 + 15_600])


def test_draws_depend_on_seed_epoch_and_number_alone(synthetic):
    first = digests(open_dataset(synthetic, "train"), epoch=0)
    again = open_dataset(synthetic, "train")
    assert digests(again, epoch=1) != first
    assert digests(again, epoch=0) == first
    assert digests(open_dataset(synthetic, "train", seed=1), epoch=0) != first
    assert [only_sound(again[k]) for k in reversed(range(len(again)))] == first[::-1]


def test_workers_that_live_on_draw_what_this_process_draws(synthetic):
    clips = open_dataset(synthetic, "train")
    loader = DataLoader(clips, batch_size=None, num_workers=2, collate_fn=only_sound, persistent_workers=True)
    epochs = []
    for epoch in range(3):
        clips.set_epoch(epoch)
        epochs.append(list(loader))
    assert epochs == [digests(open_dataset(synthetic, "train"), epoch) for epoch in range(3)]
    assert epochs[0] != epochs[1]


class Trap:
    def __reduce__(self):
        return (os.mkdir, (os.environ["TRAP"],))


@pytest.mark.parametrize("table", [Trap(), {0: Trap()}, {0: ["a", Trap()]}])
def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path, monkeypatch, table):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    path = tmp_path / "table.pkl"
    path.write_bytes(pickle.dumps(table))
    with pytest.raises(ValueError, match=r"is no plain table \(it asks for \w+.mkdir\), and nothing of it was run"):
        read_sound_table(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "table", [OrderedDict({0: ["a"]}), np.arange(3), [["a"]], {0: "a"}, {0: [1.5]}, {0: ("a",)}, {"dog": ["a"]}, None]
)
def test_a_table_of_anything_but_plain_containers_is_refused(tmp_path, table):
    path = tmp_path / "table.pkl"
    path.write_bytes(pickle.dumps(table))
    with pytest.raises(ValueError, match=r"table.pkl' (is no plain table|must hold a dict of class ids and lists)"):
        read_sound_table(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"hello", pickle.dumps({0: ["a"]})[:-4]])
def test_a_damaged_table_is_refused(tmp_path, content):
    (tmp_path / "table.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"table.pkl' is no plain table"):
        read_sound_table(tmp_path / "table.pkl")


def test_plain_tables_of_any_protocol_are_read(tmp_path):
    for protocol in range(6):
        (tmp_path / "table.pkl").write_bytes(pickle.dumps({0: ["a", "b"], "7": ["c", 12]}, protocol))
        assert read_sound_table(tmp_path / "table.pkl") == {0: ["a", "b"], 7: ["c", "12"]}


def test_a_class_without_a_sound_spoils_its_rows(synthetic):
    table = read_sound_table(synthetic / SOUNDS)
    gone = table.pop(0)
    (synthetic / SOUNDS).write_bytes(pickle.dumps(table))
    with pytest.raises(DataProblems, match=rf"bad row \({len(gone)}\)\n.*has no sound in {SOUNDS}"):
        open_dataset(synthetic, "train")


def test_sounds_that_are_not_there_are_reported_and_not_drawn(synthetic):
    written = list(pairs("train"))
    category = next(c.category for c in written if sum(c.category == other.category for other in written) > 1)
    gone = next(clip.id for clip in written if clip.category == category)
    (synthetic / "audios" / f"{gone}.wav").unlink()
    with pytest.raises(DataProblems, match=rf"missing file \(1\)\n.*wanted audios/{gone}.wav"):
        open_dataset(synthetic, "train")
    with pytest.warns(UserWarning, match=r"left out: missing file \(1\)"):
        clips = open_dataset(synthetic, "train", skip_bad=True)
    assert len(clips) == len(written)
    assert gone not in [path.stem for path in clips.sounds[category]]


def test_a_name_cannot_lead_out_of_the_folder(synthetic):
    table = synthetic / "annotations.csv"
    table.write_text(table.read_text().replace("test-0-000000,test-0-000000", "test-0-000000,../../secret"))
    with pytest.raises(DataProblems, match=r"bad row \(1\)\n.*leads out of"):
        open_dataset(synthetic, "test")
    (synthetic / SOUNDS).write_bytes(pickle.dumps({0: ["../../secret"]}))
    with pytest.raises(DataProblems, match=r"class 0 in category_for_vggsound_audios.pkl: .*leads out of"):
        open_dataset(synthetic, "train")


def test_a_table_with_too_few_columns_is_an_error(synthetic):
    (synthetic / "annotations.csv").write_text("id,image,split\na,b,train\n")
    with pytest.raises(ValueError, match="has 3 columns, id, image, split; it should have 9"):
        open_dataset(synthetic, "train")
