"""AVSS scores against a plain loop over frames and classes, written from the definition."""

import math

import pytest
import torch

from sam_av.metrics import AVSS

CLASSES = 6


def plain_class_scores(predictions, labels, num_classes=CLASSES):
    """(N, H, W) class ids -> lists per class: IoU, F and the number of frames that have the class."""
    ious, fs, frames = [], [], []
    for number in range(num_classes):
        iou = f = count = 0.0
        for prediction, label in zip(predictions == number, labels == number, strict=True):
            hits = (prediction & label).sum().item()
            predicted, true = prediction.sum().item(), label.sum().item()
            union = predicted + true - hits
            count += union > 0
            iou += hits / (2.2e-16 + union)
            precision = hits / predicted if predicted else math.nan
            recall = hits / true if true else math.nan
            weight = 0.3 * precision + recall
            f += 1.3 * precision * recall / weight if weight > 0 else 0.0
        ious.append(iou / count if count else 0.0)
        fs.append(f / count if count else 0.0)
        frames.append(count)
    return ious, fs, frames


def mean(values):
    return sum(values) / len(values)


def random_batch(frames=4, seed=0):
    """Logits (N, 6, 12, 12) and labels in which class 5 is never true and class 4 is nowhere."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (frames, 12, 12), generator=generator)
    labels[0] = labels[0].clamp(max=1)
    logits = torch.randn(frames, CLASSES, 12, 12, generator=generator)
    logits.scatter_add_(1, labels[:, None], torch.full((frames, 1, 12, 12), 1.5))
    logits[:, 4] = -9.0
    return logits, labels


def test_scores_equal_the_plain_loop():
    logits, labels = random_batch()
    scores = AVSS(CLASSES).update(logits, labels).compute()
    ious, fs, frames = plain_class_scores(logits.argmax(1), labels)
    assert frames[4] == 0 and frames[5] > 0 == ious[5], "the batch is meant to have such classes"
    assert scores["miou"] == pytest.approx(mean(ious), abs=1e-12)
    assert scores["f_score"] == pytest.approx(mean(fs), abs=1e-12)
    assert scores["miou_without_background"] == pytest.approx(mean(ious[1:]), abs=1e-12)
    assert scores["miou_reference_nobg"] == pytest.approx(mean(ious[:-1]), abs=1e-12)
    assert scores["per_class"] == [
        {"class": number, "frames": frames[number], "iou": pytest.approx(iou), "f_score": pytest.approx(f)}
        for number, (iou, f) in enumerate(zip(ious, fs, strict=True))
    ]


def test_classes_are_averaged_over_their_frames():
    """Class 1 is right in one frame and missed in another; class 2 is in one frame only. Worked by hand."""
    labels = torch.tensor([[[1, 0]], [[1, 0]], [[2, 0]]])
    predictions = torch.tensor([[[1, 0]], [[0, 0]], [[2, 0]]])
    scores = AVSS(3).update(predictions, labels).compute()
    assert [row["iou"] for row in scores["per_class"]] == pytest.approx([(1 + 0.5 + 1) / 3, 0.5, 1.0])
    # Background of frame 1: precision 1/2, recall 1.
    assert scores["per_class"][0]["f_score"] == pytest.approx((1 + 1.3 * 0.5 / (0.3 * 0.5 + 1) + 1) / 3)


def test_class_ids_and_batches_make_no_difference():
    logits, labels = random_batch()
    whole = AVSS(CLASSES).update(logits, labels).compute()
    parts = AVSS(CLASSES)
    for frame in range(4):
        parts.update(logits[frame : frame + 1].argmax(1).to(torch.uint8), labels[frame : frame + 1].to(torch.uint8))
    scores = parts.compute()
    assert scores["miou"] == pytest.approx(whole["miou"], abs=1e-12)
    assert scores["f_score"] == pytest.approx(whole["f_score"], abs=1e-12)
    assert (scores["frames"], scores["batches"], whole["batches"]) == (4, 4, 1)


def test_padded_frames_are_left_out_or_counted():
    logits, labels = random_batch()
    labels[2:] = 0
    valid = torch.tensor([True, True, False, False])
    kept = AVSS(CLASSES).update(logits, labels, valid=valid).compute()
    assert kept == AVSS(CLASSES).update(logits[:2], labels[:2]).compute()
    assert kept["frames"] == 2
    counted = AVSS(CLASSES, count_padded=True).update(logits, labels, valid=valid).compute()
    assert counted["miou"] == pytest.approx(mean(plain_class_scores(logits.argmax(1), labels)[0]), abs=1e-12)
    assert counted["frames"] == 4
    assert abs(counted["miou"] - kept["miou"]) > 1e-3


def test_a_batch_of_padding_adds_nothing():
    logits, labels = random_batch()
    metric = AVSS(CLASSES).update(logits, labels).update(logits, labels, valid=torch.zeros(4, dtype=torch.bool))
    assert metric.compute() == {**AVSS(CLASSES).update(logits, labels).compute(), "batches": 2}


def test_nan_logits():
    logits, labels = random_batch()
    logits[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="found NaN"):
        AVSS(CLASSES).update(logits, labels)


def test_wrong_number_of_classes():
    logits, labels = random_batch()
    with pytest.raises(ValueError, match=r"logits \(N, 71, H, W\) or integer class ids"):
        AVSS().update(logits, labels)


def test_shapes_that_do_not_fit():
    logits, labels = random_batch()
    with pytest.raises(ValueError, match="of the same frames and size"):
        AVSS(CLASSES).update(logits, labels[:, :6])
    with pytest.raises(ValueError, match="valid must flag each of the 4 frames"):
        AVSS(CLASSES).update(logits, labels, valid=torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize("value", [-1, CLASSES])
def test_labels_out_of_range(value):
    logits, labels = random_batch()
    labels[0, 0, 0] = value
    with pytest.raises(ValueError, match="labels must be integer class ids from 0 to 5"):
        AVSS(CLASSES).update(logits, labels)


def test_compute_before_update():
    with pytest.raises(RuntimeError, match=r"call update\(\)"):
        AVSS().compute()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_tensors():
    logits, labels = random_batch()
    assert AVSS(CLASSES).update(logits.cuda(), labels).compute() == AVSS(CLASSES).update(logits, labels).compute()
