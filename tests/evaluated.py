"""What the tests of evaluation share: data sets in memory, and a predictor that is right to a known degree."""

import numpy as np
import torch
from torch.nn import functional as F

from sam_av.data import ClipDataset, ClipEntry
from sam_av.data.dataset import Index


class MemoryDataset(ClipDataset):
    """Clips that are there already."""

    def __init__(self, clips, categories=None):
        self.clips = {clip.id: clip for clip in clips}
        entries = [ClipEntry(id=clip.id, split="test", category=clip.category) for clip in clips]
        super().__init__("memory", "test", Index(entries=entries), categories=categories)

    def _read(self, index):
        return self.clips[self.entries[index].id]


class NoisyTruth:
    """Logits that know the truth, blurred by noise of their own for each clip."""

    name = "noisy truth"
    image_size = 64

    def __init__(self, training_categories=(), noise=2.0):
        self.training_categories = training_categories
        self.noise = noise
        self.asked = []

    def identity(self):
        return {"noise": self.noise}

    def predict(self, clip, size):
        self.asked.append(clip.id)
        truth = torch.from_numpy(clip.binary_masks()[clip.annotated]).float()
        generator = torch.Generator().manual_seed(sum(clip.id.encode()))
        logits = 2 * truth - 1 + self.noise * torch.randn(truth.shape, generator=generator)
        return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]


def truth_at(clip, size):
    """The truth of the annotated frames at a size, pixel by pixel: the one whose middle is nearest."""
    masks = clip.binary_masks()[clip.annotated]
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, masks.shape[1:], strict=True)
    )
    return torch.from_numpy(masks[:, rows][:, :, columns])
