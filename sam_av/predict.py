"""Running a model on a user's own pictures and sounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .audio import read_audio
from .processor import Picture

if TYPE_CHECKING:
    from .model import SamAV

# Fewer pixels than this share above the threshold count as an empty mask.
EMPTY_SHARE = 0.001


@dataclass(frozen=True)
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
    """Yields the mask of what sounds in a picture.

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
    processor = model.processor
    if audio is None:
        raise ValueError("segment needs the sound of the picture: pass a file or a waveform as `audio`.")
    if isinstance(audio, (str, Path)):
        audio, sampling_rate = read_audio(audio), 16_000
    inputs = processor(
        read_picture(source) if isinstance(source, (str, Path)) else source,
        audio,
        sampling_rate,
        times=None if time is None else [time],
        input_points=None if points is None else [points],
        input_labels=None if point_labels is None else [point_labels],
        input_boxes=None if box is None else [box],
    )
    sizes = inputs.pop("original_sizes")
    with torch.inference_mode():
        output = model(**inputs.to(model.device))
    (logits,) = processor.post_process_masks(output.mask_logits.cpu(), sizes, binarize=False)
    limit = model.config.threshold if threshold is None else threshold
    yield frame_mask(0.0 if time is None else time, logits, limit)


def frame_mask(time: float, logits: Tensor, threshold: float) -> FrameMask:
    """The mask and score of full-size logits (H, W)."""
    probability = logits.sigmoid()
    mask = probability > threshold
    score = probability[mask].mean().item() if mask.float().mean() >= EMPTY_SHARE else 0.0
    return FrameMask(time, mask.numpy(), score, logits.numpy())


def read_picture(path: str | Path) -> Image.Image:
    """A picture file, decoded whole."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no picture '{path}'.") from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"'{path}' cannot be read as a picture: {error}") from error
