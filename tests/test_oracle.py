"""The SAM oracle against segment-anything itself, on a base of an unusual size."""

from dataclasses import replace

import numpy as np
import torch
from conftest import GOLDEN, make_sam
from evaluated import MemoryDataset
from segment_anything import SamAutomaticMaskGenerator

from sam_av.cli import main
from sam_av.data import open_dataset, write_dataset
from sam_av.evaluate import evaluate
from sam_av.oracle import SamOracle, build_segment_anything
from sam_av.sam import from_segment_anything, to_segment_anything

# A random SAM thinks little of its masks, and they all overlap: nothing is filtered out.
EVERYTHING = {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


def scenes(count=3):
    return open_dataset(f"scenes:{count}", "test", size=64, frames=1, silence=0, absent=0)


def test_the_built_sam_computes_what_segment_anything_does(golden):
    """The golden outputs come from segment-anything's own classes."""
    expected = golden("segment_anything_tiny")
    state = torch.load(GOLDEN / "segment_anything_tiny.pth", weights_only=True)
    sam = build_segment_anything(from_segment_anything(state))
    prompts = {"point_coords": expected["point_coords"], "point_labels": expected["point_labels"]}
    with torch.no_grad():
        (output,) = sam([{"image": expected["image"], "original_size": (384, 512), **prompts}], multimask_output=True)
    assert torch.allclose(output["iou_predictions"], expected["points.iou"], atol=1e-5)
    assert torch.allclose(output["low_res_logits"], expected["points.low_res_logits"], atol=1e-4)
    assert torch.equal(output["masks"], expected["points.masks"] > 0)


def test_any_base_keeps_its_weights():
    sam = make_sam(image_size=96)
    built = build_segment_anything(sam).state_dict()
    expected = to_segment_anything(sam)
    assert built.keys() == expected.keys() and all(torch.equal(built[key], expected[key]) for key in built)


def test_takes_the_mask_that_is_most_like_the_truth():
    sam, clip = make_sam(), scenes()[0]
    generator = SamAutomaticMaskGenerator(build_segment_anything(sam), **EVERYTHING)
    logits = SamOracle(sam, **EVERYTHING).predict(clip, (64, 64))
    for frame, truth, chosen in zip(clip.frames, clip.binary_masks(), (logits > 0).numpy(), strict=True):
        masks = [record["segmentation"] for record in generator.generate(frame)]
        ious = [(mask & truth).sum() / (mask | truth).sum() for mask in masks]
        assert len(masks) > 1 and max(ious) > 0
        assert np.array_equal(chosen, masks[int(np.argmax(ious))])


def test_where_nothing_sounds_it_chooses_nothing():
    clip = scenes()[0]
    silent = replace(clip, masks=np.zeros_like(clip.binary_masks()))
    assert (SamOracle(make_sam(), **EVERYTHING).predict(silent, (32, 32)) < 0).all()


def test_its_table_is_better_than_any_one_mask(tmp_path):
    data, sam = scenes(2), make_sam()
    report = evaluate(SamOracle(sam, **EVERYTHING), data, tmp_path / "oracle", protocol="dataset")

    class AlwaysFirst(SamOracle):
        def _most_alike(self, frame, truth):
            return self._generator.generate(frame)[0]["segmentation"]

    first = evaluate(AlwaysFirst(sam, **EVERYTHING), data, tmp_path / "first", protocol="dataset")
    assert report.scores["miou"] > first.scores["miou"] > 0
    assert (report.input_size, report.method) == (64, "SAM oracle on the given base")


def test_a_frame_without_any_mask(tmp_path):
    """SAM's own settings leave nothing of what a random SAM proposes; that is an empty prediction."""
    oracle = SamOracle(make_sam(), points_per_side=2, pred_iou_thresh=1e9)
    report = evaluate(oracle, MemoryDataset(list(scenes(1))), tmp_path, protocol="dataset")
    assert report.scores["miou"] == 0


def test_command(tmp_path, capsys):
    make_sam().save_pretrained(tmp_path / "base")
    write_dataset(scenes(1), tmp_path / "data", "folder")
    arguments = ["--method", "sam-oracle", "--output", str(tmp_path / "out"), "--workers", "0"]
    assert main(["evaluate", str(tmp_path / "base"), str(tmp_path / "data"), *arguments]) == 0
    assert "SAM oracle" in capsys.readouterr().out
