"""What can go wrong amid a training, told so that a person can act: losses that are no numbers, too little memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from ..model import SamAV
from ..recipe import Recipe
from ..samples import Sample

# What the allocators say; torch has a type of error for that of CUDA only.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class NotFinite(RuntimeError):  # noqa: N818 - it says what is wrong
    """The loss was NaN or infinite."""

    @classmethod
    def of(cls, model: SamAV, batches: Sequence[Sample], step: int, saved: Path | None) -> Self:
        """The error for the step that took these batches; `saved`: where the state before it has been kept."""
        frames = [name for batch in batches for name in _spoilt_frames(model, batch)]
        blamed = f"The frames {', '.join(frames)} give it" if frames else "No frame of this process gives it alone"
        return cls(
            f"The loss of step {step:,}, or its gradient, is NaN or infinite. {blamed}: look at them, or train anew "
            "with a lower learning_rate or with max_grad_norm. "
            + (f"The state before that step is kept in '{saved}'." if saved else "The last checkpoint is still good.")
        )


@torch.no_grad()
def _spoilt_frames(model: SamAV, batch: Sample) -> list[str]:
    """The frames of a batch whose own loss is not finite."""
    model.eval()  # in which the loss is this process's own affair
    spoilt = []
    for row, name in enumerate(batch["frames"]):
        inputs = {key: value[row : row + 1].to(model.device) for key, value in batch.items() if key != "frames"}
        loss = model(**inputs).loss
        if not bool(loss.isfinite()):
            spoilt.append(name)
    return spoilt


def explain_memory(error: BaseException, recipe: Recipe, model: SamAV) -> str | None:
    """What to change where an error says that memory ran out, and by how much; None for any other error."""
    told = str(error).lower()
    if not isinstance(error, torch.OutOfMemoryError) and not any(words in told for words in _OUT_OF_MEMORY):
        return None
    size = model.config.image_size or 0
    advice = []
    if recipe.batch_size > 1:
        advice.append(
            f"batch_size {recipe.batch_size} -> {recipe.batch_size // 2} with accumulation {recipe.accumulation} -> "
            f"{2 * recipe.accumulation}, which takes half of the memory"
        )
    elif recipe.frames_per_clip > 1:
        advice.append(f"frames_per_clip {recipe.frames_per_clip} -> {recipe.frames_per_clip // 2}")
    if not recipe.activation_checkpointing and model.config.adapts_encoder:
        advice.append(
            "activation_checkpointing: true, which keeps one tensor for each encoder layer instead of about ten, for a "
            "third more time"
        )
    if size > 256:
        advice.append(f"image_size {size} -> {size // 2}, a quarter of the pixels")
    frames = recipe.batch_size * recipe.frames_per_clip
    return (
        f"Memory ran out with {frames} frames of {size} px at a time on {model.device}. Change one of: "
        + "; ".join(advice or ["a smaller base, or a machine with more memory"])
        + "."
    )
