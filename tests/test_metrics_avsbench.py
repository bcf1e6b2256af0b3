"""AVSBench's mIoU and F-score against the reference's values and against plain loops over the definition."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sam_av.metrics import PROTOCOLS, AVSBench, f_measure, mask_iou
from sam_av.metrics.avsbench import THRESHOLDS, count_pixels

GOLDEN = Path(__file__).parent / "golden"


# Plain twins: one frame and one threshold at a time.


def plain_counts(scores, masks):
    """(N, H, W) -> the true pixels and all pixels at or above each threshold, (N, 255) each."""
    hits = torch.zeros(len(scores), 255, dtype=torch.int64)
    predicted = torch.zeros_like(hits)
    for frame in range(len(scores)):
        for k in range(255):
            chosen = scores[frame] >= torch.linspace(0, 1 - 1e-10, 255)[k]
            hits[frame, k] = (chosen & masks[frame].bool()).sum()
            predicted[frame, k] = chosen.sum()
    return hits, predicted


def plain_curve(hits, predicted, true):
    curve = []
    for hit, chosen in zip(hits.tolist(), predicted.tolist(), strict=True):
        precision, recall = hit / (chosen + 1e-20), hit / (true + 1e-20)
        weight = 0.3 * precision + recall
        curve.append(1.3 * precision * recall / weight if weight else 0.0)
    return curve


def plain_f(scores, masks):
    hits, predicted = plain_counts(scores, masks)
    curves = [
        plain_curve(hits[frame], predicted[frame], masks[frame].sum().item())
        for frame in range(len(masks))
        if masks[frame].any()
    ]
    return max(sum(column) / len(curves) for column in zip(*curves, strict=True)) if curves else 0.0


def plain_iou(logits, masks):
    ious = []
    for logit, mask in zip(logits, masks.bool(), strict=True):
        prediction = logit.sigmoid() > 0.5
        if mask.any():
            ious.append((prediction & mask).sum().item() / ((prediction | mask).sum().item() + 1e-7))
        else:
            ious.append((~prediction).sum().item() / (mask.numel() + 1e-7))
    return sum(ious) / len(ious)


def random_batch(frames=4, size=24, seed=0, empty=(1,)):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(frames, size, size, generator=generator)
    masks = torch.rand(frames, size, size, generator=generator) < torch.sigmoid(logits - 1)
    masks[list(empty)] = False
    return logits, masks


@pytest.fixture(scope="module")
def golden():
    tensors = load_file(GOLDEN / "metrics.safetensors")
    batches = [(tensors[f"logits.{i}"], tensors[f"gt.{i}"]) for i in range(3)]
    return batches, json.loads((GOLDEN / "metrics.json").read_text())


def close(expected):
    return pytest.approx(expected, abs=1e-5)


def test_reference_per_batch(golden):
    batches, expected = golden
    for i, (logits, masks) in enumerate(batches):
        assert mask_iou(logits, masks) == close(expected[str(i)]["mask_iou"])
        assert f_measure(logits, masks) == close(expected[str(i)]["f_measure"])


def test_reference_mean_of_batches(golden):
    batches, expected = golden
    metric = AVSBench()
    for logits, masks in batches:
        metric.update(logits, masks)
    assert metric.compute() == {
        "miou": close(expected["mean_of_batches"]["mask_iou"]),
        "f_score": close(expected["mean_of_batches"]["f_measure"]),
        "frames": 12,
        "batches": 3,
    }


def test_reference_as_one_batch(golden):
    batches, expected = golden
    logits, masks = (torch.cat(parts) for parts in zip(*batches, strict=True))
    scores = AVSBench().update(logits, masks).compute()
    assert scores["miou"] == close(expected["all_as_one_batch"]["mask_iou"])
    assert scores["f_score"] == close(expected["all_as_one_batch"]["f_measure"])


def test_counts_equal_the_plain_loop_at_every_threshold():
    """Raw scores on each threshold, the next float on either side of it, and far outside."""
    assert THRESHOLDS[-1] == 1.0
    beside = [torch.nextafter(THRESHOLDS, torch.full_like(THRESHOLDS, to)) for to in (-math.inf, math.inf)]
    outside = torch.tensor([-math.inf, -3.0, -1e-38, -0.0, 2.0, 1e30, math.inf])
    scores = torch.cat([THRESHOLDS, *beside, outside, torch.full((28,), 1.0)])[None, None].expand(2, 1, -1)
    masks = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    counts = count_pixels(scores, masks, PROTOCOLS["sama"])
    hits, predicted = plain_counts(scores, masks)
    assert torch.equal(counts.hits, hits)
    assert torch.equal(counts.predicted, predicted)


@pytest.mark.parametrize("scale", [0.01, 5.0, 40.0])
def test_counts_equal_the_plain_loop_behind_a_sigmoid(scale):
    logits, masks = random_batch(size=40)
    logits *= scale
    probabilities = logits.sigmoid()
    if scale == 40.0:
        assert (probabilities == 1.0).any(), "the case is meant to reach the last threshold"
    counts = count_pixels(logits, masks, PROTOCOLS["avsbench"])
    hits, predicted = plain_counts(probabilities, masks)
    assert torch.equal(counts.hits, hits)
    assert torch.equal(counts.predicted, predicted)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_the_plain_loop(seed):
    logits, masks = random_batch(seed=seed)
    assert mask_iou(logits, masks) == pytest.approx(plain_iou(logits, masks), abs=1e-7)
    assert f_measure(logits, masks) == pytest.approx(plain_f(logits.sigmoid(), masks), abs=1e-12)


def test_iou_takes_the_sigmoid_above_a_half():
    """A logit so small that its sigmoid is 0.5 predicts nothing."""
    logits = torch.tensor([[[1e-9, 1.0, -1.0]]])
    assert mask_iou(logits, torch.tensor([[[False, True, False]]])) == 1.0


def test_sama_takes_raw_logits_for_f_only():
    logits, masks = random_batch()
    scores = AVSBench("sama").update(logits, masks).compute()
    assert scores["f_score"] == pytest.approx(plain_f(logits, masks), abs=1e-12)
    assert scores["miou"] == mask_iou(logits, masks)
    assert abs(scores["f_score"] - f_measure(logits, masks)) > 1e-3


def test_dataset_pools_the_counts():
    batches = [random_batch(seed=0), random_batch(frames=2, size=16, seed=1)]
    metric = AVSBench("dataset")
    intersection = union = true = 0
    hits = predicted = torch.zeros(255, dtype=torch.int64)
    for logits, masks in batches:
        metric.update(logits, masks)
        prediction = logits.sigmoid() > 0.5
        intersection += (prediction & masks).sum().item()
        union += (prediction | masks).sum().item()
        true += masks.sum().item()
        frame_hits, frame_predicted = plain_counts(logits.sigmoid(), masks)
        hits, predicted = hits + frame_hits.sum(0), predicted + frame_predicted.sum(0)
    scores = metric.compute()
    assert scores["miou"] == pytest.approx(intersection / union, abs=1e-12)
    assert scores["f_score"] == pytest.approx(max(plain_curve(hits, predicted, true)), abs=1e-12)


def test_dataset_does_not_depend_on_the_batches():
    logits, masks = random_batch()
    whole, parts = AVSBench("dataset").update(logits, masks), AVSBench("dataset")
    for frame in range(4):
        parts.update(logits[frame : frame + 1], masks[frame : frame + 1])
    assert parts.compute() == {**whole.compute(), "batches": 4}


def test_dataset_without_truth_or_prediction_is_zero():
    scores = AVSBench("dataset").update(torch.full((1, 4, 4), -9.0), torch.zeros(1, 4, 4)).compute()
    assert (scores["miou"], scores["f_score"]) == (0.0, 0.0)


def test_empty_truth_scores_the_pixels_left_empty():
    logits = torch.full((1, 10, 10), -4.0)
    logits[0, :3] = 4.0
    assert mask_iou(logits, torch.zeros(1, 10, 10)) == pytest.approx(0.7)


def test_a_batch_of_empty_frames_counts_as_zero_f():
    logits, masks = random_batch()
    metric = AVSBench().update(logits, masks).update(logits, torch.zeros_like(masks))
    assert metric.compute()["f_score"] == pytest.approx(f_measure(logits, masks) / 2)


def test_f_depends_on_the_batch():
    """The maximum is taken after the mean over frames, so two frames with other thresholds lose."""
    logits, masks = random_batch(frames=2, empty=())
    logits[1] = logits[1] / 4 - 2
    alone = [f_measure(logits[i : i + 1], masks[i : i + 1]) for i in range(2)]
    assert f_measure(logits, masks) < sum(alone) / 2 - 1e-3


def test_tables():
    first, second = random_batch(seed=0), random_batch(seed=1)
    metric = AVSBench()
    metric.update(*first, videos=["a", "a", "b", "b"], categories=["dog"] * 4)
    metric.update(*second, videos=["c"] * 4, categories=["cat", "cat", "dog", "dog"])
    by_video = metric.per_video()
    assert [(row["video"], row["frames"]) for row in by_video] == [("a", 2), ("b", 2), ("c", 4)]
    assert by_video[2]["miou"] == pytest.approx(mask_iou(*second))
    assert by_video[2]["f_score"] == pytest.approx(f_measure(*second))
    dog = [torch.cat([a, b[2:]]) for a, b in zip(first, second, strict=True)]
    cat = [part[:2] for part in second]
    assert metric.per_category() == [
        {"category": name, "frames": frames, "miou": mask_iou(*group), "f_score": f_measure(*group)}
        for name, frames, group in (("dog", 6, dog), ("cat", 2, cat))
    ]


def test_dataset_tables_pool_their_frames():
    logits, masks = random_batch()
    metric = AVSBench("dataset").update(logits, masks, videos=["a", "b", "b", "b"])
    alone = AVSBench("dataset").update(logits[1:], masks[1:]).compute()
    assert metric.per_video()[1] == {
        "video": "b",
        "frames": 3,
        "miou": alone["miou"],
        "f_score": alone["f_score"],
    }


def test_table_without_names():
    metric = AVSBench().update(*random_batch(), videos=["a"] * 4)
    with pytest.raises(RuntimeError, match="pass categories= to every update"):
        metric.per_category()


@pytest.mark.parametrize("names", ["abcd", ["a", "b"]])
def test_names_must_be_one_per_frame(names):
    with pytest.raises(ValueError, match="videos must be a list that names each of the 4 frames"):
        AVSBench().update(*random_batch(), videos=names)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_of_any_dtype(dtype):
    logits, masks = random_batch()
    assert mask_iou(logits, masks.to(dtype)) == mask_iou(logits, masks)
    assert f_measure(logits, masks.to(dtype)) == f_measure(logits, masks)


def test_half_precision_and_gradients():
    logits, masks = random_batch()
    half = logits.bfloat16().requires_grad_()
    assert f_measure(half, masks) == f_measure(half.detach().float(), masks)


@pytest.mark.parametrize("shapes", [((2, 8, 8), (2, 4, 4)), ((8, 8), (8, 8)), ((2, 1, 8, 8),) * 2, ((0, 8, 8),) * 2])
def test_shapes_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match=r"must have one shape \(N, H, W\)"):
        mask_iou(*(torch.zeros(shape) for shape in shapes))


def test_nan_logits():
    logits, masks = random_batch()
    logits[2, 0, 0] = math.nan
    with pytest.raises(ValueError, match="found NaN"):
        AVSBench().update(logits, masks)


@pytest.mark.parametrize("value", [-1.0, 255.0, 0.5])
def test_masks_that_are_no_masks(value):
    logits, masks = random_batch()
    masks = masks.float()
    masks[0, 0, 0] = value
    with pytest.raises(ValueError, match="masks must be bool, or 0 and 1"):
        f_measure(logits, masks)


def test_compute_before_update():
    with pytest.raises(RuntimeError, match=r"call update\(\)"):
        AVSBench().compute()


def test_unknown_protocol():
    with pytest.raises(ValueError, match="choose one of avsbench, sama, dataset"):
        AVSBench("avs-bench")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_tensors():
    logits, masks = random_batch()
    on_gpu = count_pixels(logits.cuda(), masks, PROTOCOLS["sama"])  # raw logits: no sigmoid that may round otherwise
    assert all(torch.equal(a, b) for a, b in zip(on_gpu, count_pixels(logits, masks, PROTOCOLS["sama"]), strict=True))
    assert f_measure(logits.cuda(), masks.cuda()) == close(f_measure(logits, masks))
