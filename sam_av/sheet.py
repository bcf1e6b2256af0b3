"""The picture sheet of an evaluation: its best and worst clips, each as frame, truth and prediction."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .data import Clip
from .predictions import annotated_frames, resize_nearest
from .report import Report
from .viz import PictureRow, grid, overlay

_CLIPS = 4
_DIM = 0.6


def draw_sheet(report: Report, read: Callable[[str], tuple[Clip, Tensor]]) -> Image.Image:
    """The sheet: up to four clips of each kind, by their IoU, from those in which something sounds.

    `read` gives for the id of a clip the clip and its predictions (T', H, W), logits or class ids.
    """
    sounding = [row for row in report.per_video if row["sounding"]] or report.per_video
    ranked = sorted(sounding, key=lambda row: row["miou"], reverse=True)
    half = min(_CLIPS, (len(ranked) + 1) // 2)
    best, worst = ranked[:half], ranked[half:][-_CLIPS:][::-1]
    chosen = {"Best": best, "Worst": worst} if worst else {"All there is": best}
    blocks = {name: [_row(row, *read(row["video"])) for row in rows] for name, rows in chosen.items()}
    data = f"{report.dataset} ({report.split}), protocol {report.protocol}"
    scores = f"MJ {100 * report.scores['miou']:.2f}, MF {100 * report.scores['f_score']:.2f}"
    return grid(f"{data}: {scores}", report.method, blocks, ["frame", "truth", "prediction"])


def _row(scores: dict[str, Any], clip: Clip, predictions: Tensor) -> PictureRow:
    """A clip as its frame with the most truth in it."""
    are_ids = not predictions.is_floating_point()
    truths = np.asarray(clip.masks) if are_ids else clip.binary_masks()
    frames = annotated_frames(clip)
    k = max(range(len(frames)), key=lambda k: np.count_nonzero(truths[frames[k]]))
    frame, truth = clip.frames[frames[k]], truths[frames[k]]
    predicted = (predictions[k] if are_ids else predictions[k] > 0).to("cpu", torch.uint8)
    drawn = resize_nearest(predicted[None], truth.shape)[0].numpy()
    return PictureRow(
        [frame, overlay(frame, truth, dim=_DIM), overlay(frame, drawn, dim=_DIM)],
        [
            f"{clip.id} · {clip.category}" if clip.category else clip.id,
            f"IoU {100 * scores['miou']:.1f}   F {100 * scores['f_score']:.1f}",
        ],
    )
