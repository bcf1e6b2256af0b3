"""Losses on mask logits: the published BCE + soft IoU, and further terms: empty, dice, focal."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Pixels at full size whose losses are computed together: one frame of 1024 px.
_PIXELS = 1 << 20


def bce(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels: (N, H, W) -> (N,)."""
    return F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=(1, 2))


def soft_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - intersection / union of probabilities: (N, H, W) -> (N,).

    Zero where the truth is empty: there the term is the constant 1 (or 0 / 0), with nothing to learn from.
    """
    probabilities = logits.sigmoid()
    intersection = (probabilities * masks).sum(dim=(1, 2))
    union = (probabilities + masks).sum(dim=(1, 2)) - intersection
    present = masks.flatten(1).any(dim=1)
    return torch.where(present, 1 - intersection / torch.where(present, union, 1), 0)


def empty(logits: Tensor, masks: Tensor) -> Tensor:
    """What false alarms cost where the truth is empty, and zero elsewhere: (N, H, W) -> (N,).

    There the IoU has nothing to say, and a mask on a wrong object, which covers a small part of the picture, costs
    little BCE. This is the BCE over a tenth of the picture, so that an alarm weighs as much as a miss does.
    """
    return torch.where(masks.flatten(1).any(dim=1), 0, 10 * bce(logits, masks))


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - dice coefficient of probabilities, smoothed by one pixel: (N, H, W) -> (N,)."""
    probabilities = logits.sigmoid()
    overlap = (probabilities * masks).sum(dim=(1, 2))
    return 1 - (2 * overlap + 1) / (probabilities.sum(dim=(1, 2)) + masks.sum(dim=(1, 2)) + 1)


def focal(logits: Tensor, masks: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss, mean over pixels: (N, H, W) -> (N,)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    miss = 1 - torch.exp(-cross_entropy)  # 1 - the probability given to the true class
    weight = alpha * masks + (1 - alpha) * (1 - masks)
    return (weight * miss**gamma * cross_entropy).mean(dim=(1, 2))


TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "iou": soft_iou,
    "empty": empty,
    "dice": dice,
    "focal": focal,
}


def mask_loss(logits: Tensor, masks: Tensor, terms: str = "bce+iou", *, across_processes: bool = False) -> Tensor:
    """The mean loss over annotated frames: logits (B, h, w), masks (B, H, W) of any size -> a scalar.

    Logits are upsampled to the masks, bilinearly, a few frames at a time, and once more in the backward pass: between
    the two, only the small logits are kept. A mask is 0 where nothing sounds and positive where something does; a frame
    whose mask is all -1 is unannotated and carries no loss. A single pixel of -1 counts as 0.

    With `across_processes` the mean is over the annotated frames of all processes, which must then all make this call.
    The local sum is scaled so that the averaging of gradients, as distributed training does it, gives that mean.
    """
    if masks.ndim != 3 or len(masks) != len(logits):
        raise ValueError(f"mask_labels must be (B, H, W) with B = {len(logits)}, not {tuple(masks.shape)}.")
    masks = masks.to(logits.device, torch.float32)
    annotated = masks.flatten(1).ne(-1).any(dim=1)
    together = max(1, _PIXELS // masks[0].numel()) if len(masks) else 1
    per_frame = torch.cat(
        [
            checkpoint(_frame_losses, some_logits, some_masks, terms, use_reentrant=False, preserve_rng_state=False)
            for some_logits, some_masks in zip(logits.split(together), masks.split(together), strict=True)
        ]
    )
    total = torch.where(annotated, per_frame, 0).sum()

    count = annotated.sum().to(total.dtype)
    if across_processes and dist.is_available() and dist.is_initialized():
        dist.all_reduce(count)
        total = total * dist.get_world_size()
    return total / count.clamp(min=1)


def _frame_losses(logits: Tensor, masks: Tensor, terms: str) -> Tensor:
    """The loss of each frame: logits (N, h, w), masks (N, H, W) in float32 -> (N,)."""
    targets = masks.clamp(0, 1)  # masks may be stored as 0 and 255
    upsampled = F.interpolate(logits[:, None].float(), size=masks.shape[-2:], mode="bilinear", align_corners=False)[
        :, 0
    ]
    return torch.stack([TERMS[name](upsampled, targets) for name in terms.split("+")]).sum(dim=0)
