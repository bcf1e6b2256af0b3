"""Predictions as files: the layout, both ways of naming, and what is wrong with a file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluated import MemoryDataset
from PIL import Image

from sam_av.cli import main
from sam_av.data import Clip, open_dataset, write_dataset
from sam_av.evaluate import evaluate
from sam_av.metrics import AVSS
from sam_av.predictions import ClassIdFolder, MaskFolder, save_predictions


def a_clip(annotated=(True, False, True), name="dog"):
    return Clip(
        frames=np.zeros((3, 8, 12, 3), np.uint8),
        times=np.arange(3.0),
        waveform=np.zeros(48_000, np.float32),
        masks=np.zeros((3, 8, 12), bool),
        annotated=np.array(annotated),
        id=name,
    )


def write_grey(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def test_layout(tmp_path):
    """One PNG for each annotated frame, numbered among all frames from 0; 255 is probability 1."""
    logits = torch.tensor([-torch.inf, torch.inf])[:, None, None].expand(2, 8, 12)
    save_predictions(tmp_path, a_clip(), logits)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")} == {"dog/0.png", "dog/2.png"}
    assert (np.asarray(Image.open(tmp_path / "dog/0.png")) == 0).all()
    assert (np.asarray(Image.open(tmp_path / "dog/2.png")) == 255).all()


def test_what_is_written_reads_back_on_the_same_side_of_one_half(tmp_path):
    half = torch.tensor(0.5)
    beside = torch.stack([torch.nextafter(half, torch.tensor(end)) for end in (0.0, 1.0)])
    logits = torch.cat([torch.tensor([-30.0, -1e-8, 0.0, 1e-8, 30.0]), beside.logit(), torch.randn(89)])
    logits = logits.reshape(1, 8, 12)
    clip = a_clip((True, False, False))
    save_predictions(tmp_path, clip, logits)
    read = MaskFolder(tmp_path).predict(clip, (8, 12))
    assert torch.equal(read.sigmoid() > 0.5, logits.sigmoid() > 0.5)
    assert torch.allclose(read.sigmoid(), logits.sigmoid(), atol=1 / 255)


@pytest.mark.parametrize("pattern", ["dog/{}.png", "dog_{}.png"])
def test_both_namings(tmp_path, pattern):
    for k, grey in ((0, 51), (2, 204)):
        write_grey(tmp_path / pattern.format(k), np.full((8, 12), grey))
    read = MaskFolder(tmp_path).predict(a_clip(), (8, 12)).sigmoid()
    assert torch.allclose(read[0], torch.tensor(0.2)) and torch.allclose(read[1], torch.tensor(0.8))


def test_other_sizes_are_resized_as_probabilities(tmp_path):
    """Halfway between a pixel of 0 and one of 1 the probability is one half."""
    write_grey(tmp_path / "dog/0.png", [[0, 255]])
    read = MaskFolder(tmp_path).predict(a_clip((True, False, False)), (1, 4)).sigmoid()
    assert torch.allclose(read, torch.tensor([[[0, 0.25, 0.75, 1]]]))


def test_class_ids(tmp_path):
    ids = torch.arange(96).reshape(1, 8, 12) % 71
    clip = a_clip((True, False, False))
    save_predictions(tmp_path, clip, ids)
    folder = ClassIdFolder(tmp_path, 70)
    assert torch.equal(folder.predict(clip, (8, 12)), ids)
    assert torch.equal(folder.predict(clip, (16, 24)), ids.repeat_interleave(2, 1).repeat_interleave(2, 2))
    with pytest.raises(ValueError, match="class id 70"):
        ClassIdFolder(tmp_path, 5).predict(clip, (8, 12))


def test_missing_files(tmp_path):
    for k in (1, 2, 3):  # counted from 1, as the truth of AVSBench is
        write_grey(tmp_path / f"dog/{k}.png", np.zeros((8, 12)))
    message = r"frame 0 of clip 'dog' \(frames are counted from 0\).* found 1\.png, 2\.png, 3\.png"
    with pytest.raises(FileNotFoundError, match=message):
        MaskFolder(tmp_path).predict(a_clip(), (8, 12))
    with pytest.raises(FileNotFoundError, match="There is no folder of predictions"):
        MaskFolder(tmp_path / "lost")


def test_files_that_are_no_masks(tmp_path):
    clip = a_clip((True, False, False))
    write_grey(tmp_path / "colour/0.png", np.zeros((8, 12, 3)))
    with pytest.raises(ValueError, match="of the mode RGB; wanted 8-bit grey"):
        MaskFolder(tmp_path).predict(replace(clip, id="colour"), (8, 12))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/0.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        MaskFolder(tmp_path).predict(replace(clip, id="broken"), (8, 12))


def test_an_id_does_not_lead_out_of_the_folder(tmp_path):
    clip = a_clip((True, False, False), name="a/../../dog")
    with pytest.raises(ValueError, match="leads out"):
        save_predictions(tmp_path / "masks", clip, torch.zeros(1, 8, 12))
    with pytest.raises(ValueError, match="leads out"):
        (tmp_path / "masks").mkdir()
        MaskFolder(tmp_path / "masks").predict(clip, (8, 12))
    assert not list(tmp_path.rglob("*.png"))


class TestClassProtocol:
    @pytest.fixture
    def data(self, tmp_path):
        scenes = open_dataset("scenes:3", "test", size=64, frames=5, masks="classes")
        return open_dataset(write_dataset(scenes, tmp_path / "avss", "avss", categories=scenes.categories), "test")

    def test_equals_the_metric(self, tmp_path, data):
        """Predictions are the truth of the frame before, as class-id PNGs."""
        metric = AVSS(1 + len(data.categories))
        for clip in data:
            ids = torch.from_numpy(np.roll(clip.masks, 1, axis=0)).long()
            save_predictions(tmp_path / "ids", clip, ids)
            metric.update(ids, torch.from_numpy(clip.masks).long())
        expected = metric.compute()
        arguments = ["--method", "predictions", "--protocol", "avss", "--output", str(tmp_path / "out")]
        assert main(["evaluate", str(tmp_path / "ids"), str(tmp_path / "avss"), *arguments]) == 0
        report = evaluate(
            ClassIdFolder(tmp_path / "ids", len(data.categories)), data, tmp_path / "out", protocol="avss"
        )
        for name in ("miou", "f_score", "miou_without_background", "miou_reference_nobg", "frames"):
            assert report.scores[name] == pytest.approx(expected[name], abs=1e-12)
        assert [row["category"] for row in report.per_category] == ["background", *data.categories]
        assert [row["miou"] for row in report.per_category] == [row["iou"] for row in expected["per_class"]]
        assert [row["video"] for row in report.per_video] == [clip.id for clip in data]
        assert "Without the background" in (tmp_path / "out" / "results.md").read_text()
        assert (tmp_path / "out" / "sheet.png").is_file()

    def test_needs_class_ids_on_both_sides(self, tmp_path, data):
        for clip in data:
            save_predictions(tmp_path / "ids", clip, torch.from_numpy(clip.masks).long())
        with pytest.raises(ValueError, match="evaluate a folder of class-id PNGs"):
            evaluate(MaskFolder(tmp_path / "ids"), data, tmp_path / "1", protocol="avss")
        with pytest.raises(ValueError, match="scores logits; these predictions are class ids"):
            evaluate(ClassIdFolder(tmp_path / "ids", 70), data, tmp_path / "2")
        binary = MemoryDataset([replace(clip, masks=clip.binary_masks()) for clip in data])
        with pytest.raises(ValueError, match="needs a truth of class ids"):
            evaluate(ClassIdFolder(tmp_path / "ids", 70), binary, tmp_path / "3", protocol="avss")


def test_masks_of_zero_and_one_are_not_taken_for_almost_nothing(tmp_path):
    clip = a_clip((True, False, False))
    write_grey(tmp_path / "dog/0.png", np.eye(8, 12))
    with pytest.raises(ValueError, match=r"hold only 0 and 1, but 255 stands for probability 1: multiply them by 255"):
        MaskFolder(tmp_path).predict(clip, (8, 12))


def test_clips_without_predictions_are_named_before_the_run(tmp_path):
    clips = [a_clip(name=name) for name in ("dog", "cat", "bell")]
    write_grey(tmp_path / "predictions/dog/0.png", np.zeros((8, 12)))
    write_grey(tmp_path / "predictions/bell_0.png", np.zeros((8, 12)))
    with pytest.raises(FileNotFoundError, match="no prediction for 1 of 3 clips: cat"):
        evaluate(MaskFolder(tmp_path / "predictions"), MemoryDataset(clips), tmp_path / "out")
