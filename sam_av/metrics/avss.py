"""The scores of AVSBench-semantic (AVSS): mIoU and F-score over 71 classes, of which 0 is the background."""

from typing import Self, TypedDict

import torch
from torch import Tensor

from .base import BatchMetric, Row, check_not_nan, f_score


class AVSSScores(TypedDict):
    """What `AVSS.compute` returns.

    Attributes:
        miou: mean over all classes, the background among them.
        f_score: likewise.
        miou_without_background: the mean without class 0.
        miou_reference_nobg: the mean without the last class, which the benchmark's own evaluation calls "noBg".
        frames: how many were counted.
        batches: in how many updates.
        per_class: a row {"class", "frames", "iou", "f_score"} for each class.
    """

    miou: float
    f_score: float
    miou_without_background: float
    miou_reference_nobg: float
    frames: int
    batches: int
    per_class: list[Row]


class AVSS(BatchMetric):
    """mIoU and F-score over classes; the size of a batch has no influence.

    For each frame and class IoU and F (0/0 counts as 0) are summed over the frames and divided by the number of
    frames where the class is predicted or true; a class that is nowhere scores 0. The scores are means over all
    classes.

    Videos shorter than their neighbours are padded with frames that have no picture and no truth. `update` is
    told which by `valid`, and they are left out. The benchmark's released evaluation counts them as frames whose
    truth is all background, so what a model makes of a blank picture enters its scores; `count_padded=True` does
    the same, to compare with its numbers (the labels of padded frames must then be 0).
    """

    def __init__(self, num_classes: int = 71, *, count_padded: bool = False) -> None:
        super().__init__(num_classes=num_classes, count_padded=count_padded)
        self.num_classes = num_classes
        self.count_padded = count_padded

    def update(
        self, predictions: Tensor, labels: Tensor, *, valid: Tensor | None = None, index: int | None = None
    ) -> Self:
        """Count one batch: logits (N, C, H, W) or class ids (N, H, W), and labels (N, H, W) of class ids.

        `valid` (N,) is False for padded frames. `index` is the number of the batch, by default counted from 0.
        Returns the metric itself.
        """
        predictions = self._class_ids(predictions)
        if predictions.shape != labels.shape or labels.numel() == 0:
            raise ValueError(
                "Predictions and labels must be of the same frames and size, at least one frame; found, as "
                f"(N, H, W), predictions {tuple(predictions.shape)} and labels {tuple(labels.shape)}."
            )
        if valid is not None and valid.shape != labels.shape[:1]:
            raise ValueError(f"valid must flag each of the {len(labels)} frames; found shape {tuple(valid.shape)}.")
        labels = labels.to(predictions.device)
        if valid is not None and not self.count_padded:
            kept = valid.to(predictions.device, torch.bool)
            predictions, labels = predictions[kept], labels[kept]
        for name, ids in (("predictions", predictions), ("labels", labels)):
            if ids.is_floating_point() or (ids.numel() and not 0 <= ids.min() <= ids.max() < self.num_classes):
                raise ValueError(
                    f"{name} must be integer class ids from 0 to {self.num_classes - 1}; found {ids.dtype} from "
                    f"{ids.min()} to {ids.max()}. Check num_classes, and leave out frames without annotation."
                )
        self._add(index, self._summed(predictions, labels))
        return self

    def compute(self) -> AVSSScores:
        """The scores over all frames, and a row {"class", "frames", "iou", "f_score"} for each class.

        `miou_without_background` is the mean without class 0. `miou_reference_nobg` is what the benchmark's
        released evaluation prints under the name "noBg": it drops the last class and keeps the background.
        """
        records = self._ordered_records()
        present, iou, f = (
            torch.stack([record[key] for record in records]).sum(0) for key in ("present", "iou", "f_score")
        )
        # A class that no frame has is 0/0 here, and counts as 0.
        iou, f = (iou / present).nan_to_num(0.0), (f / present).nan_to_num(0.0)
        columns = zip(present.tolist(), iou.tolist(), f.tolist(), strict=True)
        return AVSSScores(
            miou=iou.mean().item(),
            f_score=f.mean().item(),
            miou_without_background=iou[1:].mean().item(),
            miou_reference_nobg=iou[:-1].mean().item(),
            frames=sum(record["frames"] for record in records),
            batches=len(records),
            per_class=[
                {"class": number, "frames": frames, "iou": class_iou, "f_score": class_f}
                for number, (frames, class_iou, class_f) in enumerate(columns)
            ],
        )

    def _class_ids(self, predictions: Tensor) -> Tensor:
        """(N, C, H, W) logits -> (N, H, W) class ids; class ids as they are."""
        if predictions.ndim == 3 and not predictions.is_floating_point():
            return predictions
        if predictions.ndim != 4 or predictions.shape[1] != self.num_classes:
            raise ValueError(
                f"Predictions must be logits (N, {self.num_classes}, H, W) or integer class ids (N, H, W); "
                f"found {predictions.dtype} of {tuple(predictions.shape)}. Check num_classes."
            )
        best, ids = predictions.max(1)  # of values with a NaN among them, the NaN is the largest
        check_not_nan(best)
        return ids

    def _summed(self, predictions: Tensor, labels: Tensor) -> dict[str, Tensor | int]:
        """Class ids (N, H, W) twice -> per class the frames that have it, and sums of IoU and F over them."""
        n, c = len(labels), self.num_classes
        first_bin = c * torch.arange(n, device=labels.device)[:, None, None]

        def areas(ids: Tensor, frame: Tensor) -> Tensor:
            """Pixels per frame and class, (N, C) on the CPU."""
            return torch.bincount((ids + frame).flatten(), minlength=n * c).view(n, c).cpu()

        predicted, true = areas(predictions, first_bin), areas(labels, first_bin)
        agreeing = predictions == labels
        hits = areas(labels[agreeing], first_bin.expand_as(labels)[agreeing])
        union = predicted + true - hits
        return {
            "frames": n,
            "present": (union > 0).sum(0),
            "iou": (hits.double() / union.clamp_min(1)).sum(0),
            "f_score": f_score(hits, predicted, true).sum(0),
        }
