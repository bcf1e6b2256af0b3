"""What a training step takes: clips as tensors of their annotated frames, in batches dealt out to processes."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from .audio.log_mel import SAMPLING_RATE
from .augment import Augmentation
from .data import Clip, ClipDataset
from .processor import SamAVProcessor

Sample = dict[str, Any]
"""Tensors with a row for each frame, and "frames", which names these."""


class SampleMaker:
    """Turns a clip into the tensors of some of its annotated frames, the same for the same clip and epoch.

    Args:
        processor: of the model that is trained.
        frames_per_clip: how many annotated frames are drawn at most.
        augmentation: what is done to the clip.
        seed: of what is drawn at random, together with the epoch and the clip's id.
    """

    def __init__(
        self,
        processor: SamAVProcessor,
        *,
        frames_per_clip: int = 1,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.processor = processor
        self.frames_per_clip = frames_per_clip
        self.augmentation = augmentation or Augmentation()
        self.seed = seed

    def __call__(self, clip: Clip, epoch: int) -> Sample:
        """`pixel_values` (T', 3, S, S), `audio` (T', ...), `mask_labels` (T', S, S) and the names of the frames."""
        chosen = self.choose(clip.id, clip.annotated, epoch)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._seed_of(clip.id, epoch))
            masks = clip.binary_masks()[chosen] if clip.annotated.any() else None
            frames, masks = self.augmentation.pictures(clip.frames[chosen], masks)
            inputs = self.processor(
                list(frames),
                self.augmentation.waveform(clip.waveform),
                SAMPLING_RATE,
                times=clip.times[chosen],
                masks=[None] * len(chosen) if masks is None else list(masks),
            )
            audio = self.augmentation.spectrogram(inputs["audio"])
        return {
            "pixel_values": inputs["pixel_values"],
            "audio": audio,
            "mask_labels": inputs["mask_labels"],
            "frames": [f"{clip.id} at {time:.2f} s" for time in clip.times[chosen]],
        }

    def choose(self, clip_id: str, annotated: np.ndarray, epoch: int) -> np.ndarray:
        """The numbers of the frames to take, in order. A clip without annotation gives its first, which has no loss."""
        candidates = np.flatnonzero(annotated)
        if len(candidates) <= self.frames_per_clip:
            return candidates if len(candidates) else np.array([0])
        rng = np.random.default_rng(self._seed_of(clip_id, epoch))
        return np.sort(rng.choice(candidates, self.frames_per_clip, replace=False))

    def _seed_of(self, clip_id: str, epoch: int) -> int:
        return zlib.crc32(f"{self.seed}/{epoch}/{clip_id}".encode())


class ClipSamples(Dataset[Sample]):
    """The samples of a data set's clips, by the clips' numbers."""

    def __init__(self, clips: ClipDataset, maker: SampleMaker) -> None:
        self.clips = clips
        self.maker = maker

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> Sample:
        return self.maker(self.clips[number], self.clips.epoch)


def collate(samples: Sequence[Sample]) -> Sample:
    """One batch of the frames of all samples."""
    joined: Sample = {"frames": [name for sample in samples for name in sample["frames"]]}
    for key, value in samples[0].items():
        if isinstance(value, Tensor):
            joined[key] = torch.cat([sample[key] for sample in samples])
    return joined


class ShuffledBatches(Sampler[list[int]]):
    """One process's batches of clip numbers, shuffled anew in each epoch and from any batch on.

    The processes together take the batches that one process would with as many times the batch size. What does not fill
    the last of these is filled up from the start of the epoch, so that all have equally many batches.
    """

    def __init__(self, clips: int, batch_size: int, *, seed: int, rank: int = 0, world: int = 1) -> None:
        self.clips = clips
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.first = 0

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return -(-self.clips // (self.batch_size * self.world))

    def start(self, epoch: int, first: int = 0) -> None:
        """Says which epoch comes next, and from which of its batches on."""
        self.epoch, self.first = epoch, first

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.clips)
        together = self.batch_size * self.world
        order = np.resize(order, len(self) * together)
        for batch in range(self.first, len(self)):
            start = batch * together + self.rank * self.batch_size
            yield order[start : start + self.batch_size].tolist()
