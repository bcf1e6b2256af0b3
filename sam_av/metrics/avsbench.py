"""The scores of AVSBench's binary tasks (S4, MS3), mIoU (MJ) and F-score (MF), under each protocol in use.

All scores are made of exact pixel counts. A frame's counts, those at MF's 255 thresholds too, come from one
histogram of its scores, not from 255 passes over its pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple, Self

import torch
from torch import Tensor

from .base import BatchMetric, Row, check_not_nan, f_score


@dataclass(frozen=True)
class Protocol:
    """How a number is made. Numbers of different protocols do not belong in one table.

    Attributes:
        name: what tables call it.
        sigmoid_for_f: whether MF's thresholds meet sigmoid(logits), or raw logits. IoU always takes the sigmoid.
        size: the side in pixels at which logits and masks are compared; None: as the masks are given.
        videos_per_batch: the batch over which MF averages its curves; without influence where pooled.
        pooled: one score from the counts of the whole set, instead of the mean of the batches' scores.
    """

    name: str
    sigmoid_for_f: bool
    size: int | None
    videos_per_batch: int
    pooled: bool


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # The benchmark's own evaluation, and published practice.
        Protocol("avsbench", sigmoid_for_f=True, size=224, videos_per_batch=4, pooled=False),
        # The evaluation released with SAMA-AVS.
        Protocol("sama", sigmoid_for_f=False, size=1024, videos_per_batch=1, pooled=False),
        # IoU from intersections and unions, F from the counts at each threshold, summed over all frames. Frames
        # with empty truth are among them: what is predicted there counts against both.
        Protocol("dataset", sigmoid_for_f=True, size=None, videos_per_batch=4, pooled=True),
    )
}

# In float32, as the benchmark has them: the last one rounds to 1.0. Made on the CPU; devices may round otherwise.
THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255, dtype=torch.float32, device="cpu")


class Counts(NamedTuple):
    """Pixel counts of N frames, int64 on the CPU: enough for every score of every protocol."""

    pixels: Tensor  # (N,) all pixels
    true: Tensor  # (N,) of the truth
    intersection: Tensor  # (N,) of truth and prediction
    union: Tensor  # (N,)
    hits: Tensor  # (N, 255) of the truth, at or above each threshold
    predicted: Tensor  # (N, 255) at or above each threshold

    def frames(self, chosen: Tensor) -> "Counts":
        """The counts of the chosen frames, by indices or by a mask over N."""
        return Counts(*(count[chosen] for count in self))


class Scores(NamedTuple):
    """mIoU and F-score, each in [0, 1]."""

    miou: float
    f_score: float


def mask_iou(logits: Tensor, masks: Tensor) -> float:
    """mIoU (MJ) of one batch by `avsbench`: logits (N, H, W), masks (N, H, W) of bool or 0 and 1."""
    return _batch_scores(count_pixels(logits, masks, PROTOCOLS["avsbench"])).miou


def f_measure(logits: Tensor, masks: Tensor) -> float:
    """F-score (MF) of one batch by `avsbench`: logits (N, H, W), masks (N, H, W) of bool or 0 and 1."""
    return _batch_scores(count_pixels(logits, masks, PROTOCOLS["avsbench"])).f_score


class AVSBench(BatchMetric):
    """mIoU and F-score over a set. One update is one batch, and MF depends on what is in it.

    `protocol` is a name of `PROTOCOLS`, which also says the size and the batch to evaluate with; logits and
    masks come here at that size. About 4 KB of counts are kept per frame, so that every table is exact.

        metric = AVSBench()
        for logits, masks in batches:  # 4 videos of 5 frames, 224 px
            metric.update(logits, masks)
        metric.compute()  # {"miou": ..., "f_score": ..., "frames": ..., "batches": ...}

    Where processes share the work, each passes `index`, the batch's place in the whole set, and one of them
    calls `AVSBench().merge(states)` with the gathered `state()` of all.
    """

    def __init__(self, protocol: str = "avsbench") -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"There is no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}.")
        super().__init__(protocol=protocol)
        self.protocol = PROTOCOLS[protocol]

    def update(
        self,
        logits: Tensor,
        masks: Tensor,
        *,
        videos: Sequence[str] | None = None,
        categories: Sequence[str] | None = None,
        index: int | None = None,
    ) -> Self:
        """Count one batch: logits (N, H, W), masks (N, H, W) of bool or 0 and 1; returns the metric itself.

        `videos` and `categories` name each of the N frames for the tables. `index` is the number of the batch,
        by default counted from 0.
        """
        counts = count_pixels(logits, masks, self.protocol)
        record = {
            "counts": counts._asdict(),
            "videos": _names("videos", videos, len(logits)),
            "categories": _names("categories", categories, len(logits)),
        }
        self._add(index, record)
        return self

    def compute(self) -> dict[str, float]:
        """The scores over all batches: {"miou", "f_score", "frames", "batches"}."""
        batches = [Counts(**record["counts"]) for record in self._ordered_records()]
        if self.protocol.pooled:
            scores = _pooled_scores(_joined(batches))
        else:
            per_batch = [_batch_scores(batch) for batch in batches]
            scores = Scores(fmean(batch.miou for batch in per_batch), fmean(batch.f_score for batch in per_batch))
        frames = sum(len(batch.pixels) for batch in batches)
        return {**scores._asdict(), "frames": frames, "batches": len(batches)}

    def per_category(self) -> list[Row]:
        """A row {"category", "frames", "miou", "f_score"} per category, scored as `per_video` scores a video."""
        return self._table("categories", "category")

    def per_video(self) -> list[Row]:
        """A row {"video", "frames", "miou", "f_score"} per video, in the order of the batches.

        mIoU is the mean of the frames' IoUs, and F takes the row's frames as one batch, however they were
        batched; under a pooled protocol both come from the counts summed over the row's frames.
        """
        return self._table("videos", "video")

    def _table(self, key: str, label: str) -> list[Row]:
        records = self._ordered_records()
        if any(record[key] is None for record in records):
            raise RuntimeError(f"A table by {label} needs the names: pass {key}= to every update().")
        members: dict[str, list[int]] = {}
        for frame, name in enumerate(name for record in records for name in record[key]):
            members.setdefault(name, []).append(frame)
        everything = _joined([Counts(**record["counts"]) for record in records])
        score = _pooled_scores if self.protocol.pooled else _batch_scores
        return [
            {label: name, "frames": len(frames), **score(everything.frames(torch.tensor(frames)))._asdict()}
            for name, frames in members.items()
        ]


def count_pixels(logits: Tensor, masks: Tensor, protocol: Protocol) -> Counts:
    """The counts of a batch: logits (N, H, W), masks (N, H, W) of bool or 0 and 1, on any device."""
    logits, masks = _checked(logits, masks)
    thresholds = THRESHOLDS.to(logits.device)
    # A frame at a time: its intermediate tensors stay in the processor's cache, which makes it several times faster.
    histogram = torch.stack(
        [
            _histogram(logit.flatten(), mask.flatten(), thresholds, protocol.sigmoid_for_f)
            for logit, mask in zip(logits, masks, strict=True)
        ]
    ).cpu()
    areas = histogram.sum(-1)
    pixels = areas.sum((1, 2))
    # Pixels that reach the threshold k are those in the bins from k + 1 up.
    reached = histogram.sum(1).flip(-1).cumsum(-1).flip(-1)[..., 1:]
    return Counts(
        pixels=pixels,
        true=areas[:, :, 1].sum(1),
        intersection=areas[:, 1, 1],
        union=pixels - areas[:, 0, 0],
        hits=reached[:, 1].clone(),
        predicted=reached.sum(1),
    )


def _histogram(logits: Tensor, mask: Tensor, thresholds: Tensor, sigmoid_for_f: bool) -> Tensor:
    """One frame's logits and mask, flat -> pixels by prediction, truth and number of thresholds reached (2, 2, 256)."""
    probabilities = logits.sigmoid()
    scores = probabilities if sigmoid_for_f else logits
    last, size = len(thresholds) - 1, len(thresholds) + 1
    # The thresholds are a regular grid up to rounding. So arithmetic finds the nearest; a score reaches all before
    # it and none after it, and only with the nearest itself it has to be compared exactly.
    nearest = scores.mul(last).add_(0.5).clamp_(0, last).int()
    bins = nearest + (scores >= thresholds.index_select(0, nearest))
    bins.add_(mask, alpha=size).add_(probabilities > 0.5, alpha=2 * size)
    return torch.bincount(bins, minlength=4 * size).view(2, 2, size)


def _checked(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The logits in float32 and the masks as bool, on the logits' device."""
    if logits.ndim != 3 or logits.shape != masks.shape or logits.numel() == 0:
        raise ValueError(
            "logits and masks must have one shape (N, H, W), with at least one frame; found logits "
            f"{tuple(logits.shape)} and masks {tuple(masks.shape)}. Bring both to the evaluation's size first."
        )
    check_not_nan(logits)
    if masks.dtype != torch.bool:
        if not ((masks == 0) | (masks == 1)).all():
            raise ValueError(
                f"masks must be bool, or 0 and 1; found values from {masks.min()} to {masks.max()}. Binarise "
                "them (masks > 0), and leave out frames without annotation (-1)."
            )
        masks = masks.bool()
    return logits.detach().float(), masks.to(logits.device)


def _names(what: str, names: Sequence[str] | None, frames: int) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, str) or len(names) != frames:
        raise ValueError(
            f"{what} must be a list that names each of the {frames} frames; found {names!r}. Repeat a name for "
            "every frame that it belongs to."
        )
    return list(names)


def _batch_scores(counts: Counts) -> Scores:
    """The benchmark's scores of one batch. A batch in which every truth is empty has the F-score 0."""
    empty = counts.true == 0
    # Where nothing sounds, a frame's IoU is the share of its pixels that are rightly left empty. The benchmark's
    # 1e-7 in the denominator is left out: neither kind of union can be 0, and float32 mostly swallows it.
    intersection = torch.where(empty, counts.pixels - counts.union, counts.intersection)
    union = torch.where(empty, counts.pixels, counts.union)
    miou = (intersection.double() / union.double()).mean().item()
    if empty.all():
        return Scores(miou, 0.0)
    scored = counts.frames(~empty)
    curves = f_score(scored.hits, scored.predicted, scored.true[:, None])
    # First the mean over the frames, then the best threshold: one threshold serves the whole batch.
    return Scores(miou, curves.mean(0).max().item())


def _pooled_scores(counts: Counts) -> Scores:
    """The scores of the summed counts; 0 where there is neither truth nor prediction."""
    union = counts.union.sum().clamp_min(1)
    curve = f_score(counts.hits.sum(0), counts.predicted.sum(0), counts.true.sum())
    return Scores((counts.intersection.sum().double() / union).item(), curve.max().item())


def _joined(batches: Sequence[Counts]) -> Counts:
    return Counts(*(torch.cat(parts) for parts in zip(*batches, strict=True)))
