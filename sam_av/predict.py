"""Running a model on a user's own pictures and sounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature

from .audio import read_audio, to_mono_16k
from .audio.log_mel import SAMPLING_RATE
from .data.media import read_picture
from .processor import Picture

if TYPE_CHECKING:
    from .model import SamAV

# Fewer pixels than this share above the threshold count as an empty mask.
EMPTY_SHARE = 0.001


@dataclass(frozen=True, eq=False)
class FrameMask:
    """The mask of what sounds in one frame.

    Attributes:
        time: seconds from the start.
        mask: (H, W) bool, in the frame's own size.
        score: mean probability inside the mask; 0 when it covers less than 0.1 % of the frame.
        logits: (H, W) float32.
    """

    time: float
    mask: np.ndarray
    score: float
    logits: np.ndarray


def segment(
    model: "SamAV",
    source: str | Path | Picture,
    audio: str | Path | np.ndarray | Tensor | None = None,
    *,
    sampling_rate: int = 16_000,
    time: float | None = None,
    threshold: float | None = None,
    points: Any = None,
    point_labels: Any = None,
    box: Any = None,
) -> Iterator[FrameMask]:
    """The mask of what sounds in a picture, as an iterator of one `FrameMask`.

    Args:
        model: the model; its active adapter runs.
        source: the picture: a file, or a PIL image, array (H, W, 3) or tensor (3, H, W).
        audio: its sound: a file with an audio track, or a waveform (n,) or (channels, n).
        sampling_rate: of a waveform; files know their own.
        time: the moment of the picture in the sound, in seconds; by default as `SamAVProcessor` says.
        threshold: probability above which a pixel belongs to the mask; the adapter's own by default.
        points: (N, 2) clicks in pixels of the picture, with `point_labels` (N,), 1 on the object and 0 beside it.
        point_labels: see `points`.
        box: (4,) left, top, right, bottom in pixels of the picture.
    """
    if audio is None:
        raise ValueError("segment needs the sound of the picture: pass a file or a waveform as `audio`.")
    if isinstance(source, (list, tuple)) or getattr(source, "ndim", 3) > 3:
        raise ValueError("segment takes one picture: call it for each, or use the processor and the model for a batch.")
    processor = model.processor
    waveform = read_audio(audio) if isinstance(audio, (str, Path)) else to_mono_16k(audio, sampling_rate)
    moment = processor.moment_of(waveform) if time is None else time
    inputs = processor(
        read_picture(Path(source)) if isinstance(source, (str, Path)) else source,
        waveform,
        SAMPLING_RATE,
        times=[moment],
        input_points=None if points is None else [points],
        input_labels=None if point_labels is None else [point_labels],
        input_boxes=None if box is None else [box],
    )
    limit = model.config.threshold if threshold is None else threshold
    if not 0 < limit < 1:
        raise ValueError(f"threshold is a probability between 0 and 1, not {limit}.")
    return _run(model, inputs, moment, limit)


def _run(model: "SamAV", inputs: BatchFeature, moment: float, threshold: float) -> Iterator[FrameMask]:
    with torch.inference_mode():
        output = model(**inputs.to(model.device))
    (logits,) = model.processor.post_process_masks(output.mask_logits.cpu(), inputs["original_sizes"], binarize=False)
    yield frame_mask(moment, logits, threshold)


def frame_mask(time: float, logits: Tensor, threshold: float) -> FrameMask:
    """The mask and score of full-size logits (H, W)."""
    probability = logits.sigmoid()
    mask = probability > threshold
    score = probability[mask].mean().item() if mask.float().mean() >= EMPTY_SHARE else 0.0
    return FrameMask(time, mask.numpy(), score, logits.numpy())
