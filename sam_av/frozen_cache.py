"""The frozen networks, run once for a whole training: what they give is kept, and samples are made of that."""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from . import __version__
from .data import ClipEntry
from .digest import digest, digest_tensors
from .frozen_store import FrozenStore, KeptClip, MemoryStore, ShardFolder, clips_in_a_shard
from .model import SamAV
from .samples import ClipSamples, Sample, SampleMaker, collate

MEMORY = "memory"


class FrozenSamples(Dataset[Sample]):
    """The samples of `ClipSamples`, with what the frozen networks give in place of what they take.

    `image_embeddings` or `image_tokens` (T', ...) stand for `pixel_values`, embeddings (T', audio_dim) for `audio`.
    Where one of both cannot be kept it is made from the clip as before; where both are, no clip is decoded any more.
    `freeze` makes these.
    """

    def __init__(self, samples: ClipSamples, store: FrozenStore) -> None:
        self.samples = samples
        self.store = store

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Sample:
        maker, epoch = self.samples.maker, self.samples.clips.epoch
        clip_id, frames = self.store.frames(number)
        # All annotated frames are kept, and no others: the choice among them is the choice among those of the clip.
        chosen = maker.choose(clip_id, np.ones(len(frames), dtype=bool), epoch).tolist()
        kept = self.store.rows(number, chosen)
        if "mask_labels" in kept:
            return {**kept, "frames": [frames[row] for row in chosen]}
        made = self.samples[number]
        if "audio" not in kept:  # then it is the pictures that are kept
            del made["pixel_values"]
        return {**made, **kept}


def freeze(
    model: SamAV,
    samples: ClipSamples,
    where: str,
    *,
    accelerator: Accelerator,
    workers: int = 0,
    batch_size: int = 8,
) -> FrozenSamples:
    """Runs the frozen networks on all annotated frames of all clips, and gives samples that need them no more.

    All processes must call this, before they train. What is kept is exactly what the networks give, in their dtype. In
    a folder it is found again by all that it depends on, so that another model, size or state of the data never gets
    it, and a filling that was stopped goes on.

    Args:
        model: the model whose active adapter is trained.
        samples: what would be trained on without this.
        where: "memory", or a folder, which may hold what was kept of other trainings.
        accelerator: of the training.
        workers: processes that decode clips, for each training process.
        batch_size: frames that go through the frozen networks together.
    """
    root = Path(where).expanduser()
    if where == MEMORY and accelerator.num_processes > 1:
        raise ValueError(
            f"cache: each of {accelerator.num_processes} processes would need all clips in a memory of its own. Name a "
            "folder that they share."
        )
    if where != MEMORY and root.is_file():
        raise ValueError(f"cache: '{root}' is a file; name a folder, or {MEMORY}.")
    filling = _Filling(model, samples, _FrozenParts.of(model, samples), accelerator, workers, batch_size)
    if where == MEMORY:
        return FrozenSamples(samples, _fill_memory(filling))
    about = _describe(model, samples, filling.parts, accelerator)
    return FrozenSamples(samples, _fill_folder(filling, ShardFolder(root / digest(about), len(samples)), about))


@dataclass(frozen=True)
class _FrozenParts:
    """What is the same each time that a clip comes up: one of both at least."""

    pictures: bool
    sounds: bool

    @classmethod
    def of(cls, model: SamAV, samples: ClipSamples) -> "_FrozenParts":
        """What may be kept for a training; an error that says why where that is nothing."""
        augmentation, clips = samples.maker.augmentation, samples.clips
        spoils_pictures = spoils_sounds = ""
        if augmentation.changes_pictures:
            spoils_pictures = "augmentation changes the pictures"
        elif model.frozen_layers == 0:
            spoils_pictures = "the image encoder hears (adapter_layers) or trains (LoRA) from its first layer on"
        if augmentation.changes_sound:
            spoils_sounds = "augmentation changes the sounds"
        elif clips.draws_sounds:
            spoils_sounds = f"{clips.name} ({clips.split}) draws other sounds in each epoch"
        if spoils_pictures and spoils_sounds:
            raise ValueError(
                f"cache: nothing of this training can be kept, because {spoils_pictures}, and {spoils_sounds}. Leave "
                "cache out."
            )
        return cls(pictures=not spoils_pictures, sounds=not spoils_sounds)

    def __str__(self) -> str:
        return " and ".join(part for part, kept in vars(self).items() if kept)


class _WholeClips(Dataset[tuple[int, str, Sample]]):
    """For each clip its number, its id, and what of all its annotated frames goes into the frozen networks."""

    def __init__(self, samples: ClipSamples, parts: _FrozenParts) -> None:
        self.clips = samples.clips
        self.maker = SampleMaker(samples.maker.processor, frames_per_clip=sys.maxsize)
        self.parts = parts

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> tuple[int, str, Sample]:
        clip = self.clips[number]
        sample = self.maker(clip, self.clips.epoch)
        if not self.parts.pictures:
            del sample["pixel_values"]
        if not self.parts.sounds:
            del sample["audio"]
        if not (self.parts.pictures and self.parts.sounds):  # then the clip is decoded each time, with its masks
            del sample["mask_labels"]
        return number, clip.id, sample


class _Filling:
    """Turns clips into what is kept of them."""

    def __init__(
        self,
        model: SamAV,
        samples: ClipSamples,
        parts: _FrozenParts,
        accelerator: Accelerator,
        workers: int,
        batch_size: int,
    ) -> None:
        self.model = model
        self.parts = parts
        self.entries = samples.clips.entries
        self.accelerator = accelerator
        self._clips = _WholeClips(samples, parts)
        self._workers = workers
        self._batch_size = batch_size

    def first(self) -> KeptClip:
        """What is kept of the first clip, which tells how large the others will be."""
        (kept,) = self._encode([self._clips[0]])
        return kept

    def clips(self, numbers: Sequence[int]) -> Iterable[KeptClip]:
        """What is kept of these clips, in their order."""
        return tqdm(
            self._stream(numbers),
            desc=f"Encoding the frozen part: {self.parts}",
            unit="clip",
            total=len(numbers),
            disable=not self.accelerator.is_main_process,
        )

    def _stream(self, numbers: Sequence[int]) -> Iterator[KeptClip]:
        """Frames of several clips go through the networks together."""
        loader: DataLoader[tuple[int, str, Sample]] = DataLoader(
            self._clips, sampler=numbers, batch_size=None, num_workers=self._workers if numbers else 0
        )
        waiting: list[tuple[int, str, Sample]] = []
        for clip in loader:
            waiting.append(clip)
            if sum(len(sample["frames"]) for _, _, sample in waiting) >= self._batch_size:
                yield from self._encode(waiting)
                waiting = []
        if waiting:
            yield from self._encode(waiting)

    def _encode(self, clips: list[tuple[int, str, Sample]]) -> Iterator[KeptClip]:
        joined = collate([sample for _, _, sample in clips])
        rows = range(0, len(joined["frames"]), self._batch_size)
        batches = [self._run(joined, slice(start, start + self._batch_size)) for start in rows]
        tensors = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        if "mask_labels" in joined:
            tensors["mask_labels"] = joined["mask_labels"]
        counts = [len(sample["frames"]) for _, _, sample in clips]
        shares = {name: tensor.split(counts) for name, tensor in tensors.items()}
        for place, (number, clip_id, sample) in enumerate(clips):
            own = {name: share[place].clone() for name, share in shares.items()}  # not a view of the whole batch
            yield KeptClip(number, clip_id, sample["frames"], own)

    @torch.no_grad()
    def _run(self, joined: Sample, rows: slice) -> dict[str, Tensor]:
        """What the frozen networks give for some rows, as in the training: also under its autocast."""
        device = self.model.device
        found: dict[str, Tensor] = {}
        with self.accelerator.autocast():
            if self.parts.pictures:
                found |= self.model.encode_frozen(joined["pixel_values"][rows].to(device))
            if self.parts.sounds:
                found["audio"] = self.model.encode_audio(joined["audio"][rows].to(device))
        return {name: tensor.cpu() for name, tensor in found.items()}


def _fill_memory(filling: _Filling) -> MemoryStore:
    free = psutil.virtual_memory().available
    _check_room(_estimate(filling.first(), filling.entries), free, "memory", "Name a folder (cache: <folder>)")
    return MemoryStore(filling.clips(range(len(filling.entries))))


def _fill_folder(filling: _Filling, folder: ShardFolder, about: dict[str, Any]) -> ShardFolder:
    """The folder, ready to be read; what has not been written yet is written by all processes."""
    (ready,) = broadcast_object_list([folder.open()])  # the main process says it for all
    if not ready:
        _write_missing(filling, folder, about)
    if not folder.open():
        raise ValueError(
            f"cache: '{folder.folder}' lacks what other processes have written: all of them must share one folder."
        )
    return folder


def _write_missing(filling: _Filling, folder: ShardFolder, about: dict[str, Any]) -> None:
    """Writes the shards that are not there, each process its own, and then the index."""
    accelerator, first = filling.accelerator, filling.first()
    per_shard = clips_in_a_shard(first)
    missing = folder.missing(per_shard)
    folder.folder.mkdir(parents=True, exist_ok=True)
    needed = _estimate(first, [filling.entries[number] for number in chain.from_iterable(missing.values())])
    free = shutil.disk_usage(folder.folder).free
    _check_room(needed, free, f"'{folder.folder}'", "Name a folder on a larger disk")
    accelerator.wait_for_everyone()  # all have looked what is missing and how much room there is

    mine = [shard for shard in missing if shard % accelerator.num_processes == accelerator.process_index]
    clips = filling.clips([number for shard in mine for number in missing[shard]])
    for shard, kept in groupby(clips, key=lambda clip: clip.number // per_shard):
        folder.write(shard, kept)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process and not folder.missing(per_shard):
        folder.write_index(per_shard, about)
    accelerator.wait_for_everyone()


def _estimate(first: KeptClip, entries: Iterable[ClipEntry]) -> int:
    """How many bytes these clips will take, by the frames of the first one."""
    like_first = len(first.frames)
    frames = sum(_annotated_frames(entry) or like_first for entry in entries)
    return frames * first.bytes // like_first


def _annotated_frames(entry: ClipEntry) -> int:
    """As far as that is known before a clip is decoded, and 0 where it is not."""
    if entry.tracks is not None:
        return len(entry.times or ())
    return sum(mask is not None for mask in entry.masks)


def _check_room(needed: int, free: int, place: str, advice: str) -> None:
    if needed > free:
        raise ValueError(
            f"cache: what the frozen networks give for these clips takes about {needed / 1e9:,.1f} GB, but {place} has "
            f"{free / 1e9:,.1f} GB free. {advice}, take fewer clips (fraction) or a smaller image_size, or leave cache "
            "out."
        )


def _describe(model: SamAV, samples: ClipSamples, parts: _FrozenParts, accelerator: Accelerator) -> dict[str, Any]:
    """All that the kept tensors depend on, as plain data."""
    config, encoder = model.config, model.sam.vision_encoder
    about: dict[str, Any] = {
        "sam-av": __version__,
        "data": f"{samples.clips.name} ({samples.clips.split}) {digest(*samples.clips.content())}",
        "parts": str(parts),
        "image_size": config.image_size,
        "resize": config.resize,
        "image_mean": config.image_mean,
        "image_std": config.image_std,
        "audio_window": config.audio_window,
        "precision": accelerator.mixed_precision,
    }
    if parts.pictures:
        about["image_encoder"] = [model.sam.config.vision_config.to_dict(), *_weights(encoder)]
        about["frozen_layers"] = model.frozen_layers
    if parts.sounds and (hearing := model.audio_encoder) is not None:
        about["audio_encoder"] = [type(hearing).__qualname__, hearing.window_samples, *_weights(hearing)]
    return about


def _weights(network: torch.nn.Module) -> tuple[str, str]:
    """What tells the weights of a network, every value of them, and the dtype that it computes in."""
    one_by_one = (digest_tensors({name: tensor}) for name, tensor in sorted(network.state_dict().items()))
    return digest(*one_by_one), " ".join(sorted({str(weight.dtype) for weight in network.parameters()}))
