"""The threshold above which a pixel belongs to the mask, chosen on a validation split."""

from collections.abc import Iterable, Sequence
from statistics import fmean

import torch
from torch import Tensor

from .data import Clip
from .predict import EMPTY_SHARE
from .predictors import Predictor

GRID = tuple(round(0.05 * k, 2) for k in range(1, 20))


def calibrate_threshold(predictor: Predictor, clips: Iterable[Clip], grid: Sequence[float] = GRID) -> float:
    """The threshold of the grid at which the mean IoU over the annotated frames of all clips is highest.

    Where nothing sounds, an empty mask counts as 1 and any other as 0, so clips of silence and of sounds without a
    source in the picture pull the threshold up as far as their share of the clips says. Of equal thresholds the one
    nearest to 0.5 is taken. The predictor runs once over the clips; nothing of them is kept.
    """
    thresholds = sorted(grid, key=lambda threshold: abs(threshold - 0.5))
    scores: list[list[float]] = [[] for _ in thresholds]
    for clip in clips:
        truths = torch.from_numpy(clip.binary_masks()[clip.annotated])
        probabilities = predictor.predict(clip, clip.frames.shape[1:3]).sigmoid().cpu()
        for kept, threshold in zip(scores, thresholds, strict=True):
            kept += _frame_scores(probabilities > threshold, truths).tolist()
    if not scores[0]:
        raise ValueError("A threshold is chosen on annotated frames, and none of these clips has one.")
    return max(zip(thresholds, scores, strict=True), key=lambda pair: fmean(pair[1]))[0]


def _frame_scores(masks: Tensor, truths: Tensor) -> Tensor:
    """The score (T,) of each of the masks (T, H, W)."""
    pixels = (1, 2)
    union = (masks | truths).sum(pixels).clamp(min=1)
    rightly_empty = masks.float().mean(pixels) < EMPTY_SHARE
    return torch.where(truths.any(2).any(1), (masks & truths).sum(pixels) / union, rightly_empty.float())
