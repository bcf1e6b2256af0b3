"""A training step of AP-SAM, with the frozen networks run in it or before. `python benchmarks/cached_training.py`."""

import copy
import tempfile
from collections.abc import Callable
from functools import partial

import bench
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from published import random_sam
from torch import Tensor

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish
from sam_av.data import open_dataset
from sam_av.frozen_cache import freeze
from sam_av.samples import ClipSamples, SampleMaker, collate

UNCACHED_THEIRS, UNCACHED, CACHED = "transformers sdpa, each step", "sam-av, each step", "kept in a folder"


class Training:
    """The three ways to one step, of the same model on the same batch."""

    def __init__(self, model: str, size: int, batch: int, folder: str, device: str) -> None:
        sam = random_sam(model, size)
        self.model = SamAV.from_base(
            sam, SamAVConfig(method="ap-sam", image_size=size), audio_encoder=VGGish(), device=device
        ).train()
        dtype = self.model.sam.vision_encoder.patch_embed.projection.weight.dtype
        self.theirs = copy.deepcopy(sam.vision_encoder).to(device, dtype)
        clips = open_dataset(f"scenes:{batch}", "train", frames=1)
        samples = ClipSamples(clips, SampleMaker(self.model.processor))
        self.device, self.numbers = device, range(batch)
        self.frozen = freeze(self.model, samples, folder, accelerator=Accelerator(cpu=device == "cpu"))
        self.batch = self.to_batch(samples)
        self.optimizer = torch.optim.AdamW([weight for weight in self.model.parameters() if weight.requires_grad])

    def to_batch(self, samples) -> dict[str, Tensor]:
        batch = collate([samples[number] for number in self.numbers])
        return send_to_device({key: value for key, value in batch.items() if key != "frames"}, self.device)

    def inputs(self, way: str) -> dict[str, Tensor]:
        """What the model takes. Reading what is kept is part of a step, decoding the clips is not."""
        if way == CACHED:
            return self.to_batch(self.frozen)
        if way == UNCACHED:
            return self.batch
        with torch.no_grad():
            pixels = self.batch["pixel_values"].to(self.theirs.patch_embed.projection.weight.dtype)
            embeddings = self.theirs(pixels).last_hidden_state
        return {"image_embeddings": embeddings, "audio": self.batch["audio"], "mask_labels": self.batch["mask_labels"]}

    def step(self, way: str) -> None:
        self.model(**self.inputs(way)).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def logits(self, way: str) -> Tensor:
        return self.model(**self.inputs(way)).mask_logits


def rows_of_size(options, size: int) -> list[list[object]]:
    with tempfile.TemporaryDirectory() as folder:
        training = Training(options.model, size, options.batch, folder, options.device)
        logits = {way: training.logits(way) for way in (UNCACHED_THEIRS, UNCACHED, CACHED)}
        calls: dict[str, Callable[[], object]] = {way: partial(training.step, way) for way in logits}
        seconds = bench.interleaved_seconds(calls, options.repeats, options.device)
    reference = logits[UNCACHED_THEIRS]
    return [
        [
            size,
            way,
            f"{1000 * seconds[way]:.0f}",
            f"{1 / seconds[way]:.3g}",
            f"{seconds[UNCACHED_THEIRS] / seconds[way]:.1f}",
            f"{((logits[way] - reference).abs().max() / reference.abs().max()).item():.0e}",
        ]
        for way in logits
    ]


def main():
    parser = bench.arguments(__doc__)
    parser.set_defaults(sizes=[1024])
    options = parser.parse_args()
    rows = [row for size in options.sizes for row in rows_of_size(options, size)]
    head = ["px", "frozen networks", "ms a step", "steps a second", "x transformers sdpa", "difference of logits"]
    dtype = "bfloat16 encoder" if options.device == "cuda" else "float32"
    bench.write(
        f"cached-training-{options.device}",
        f"# A training step of AP-SAM: {options.model}, batch {options.batch}, {dtype}\n\n"
        f"{bench.machine(options.device)}. Random weights. A step is the forward pass with VGGish, the loss, the "
        "backward pass and AdamW's step; it begins with tensors in memory where the frozen networks run in each step, "
        "and with reading the folder where what they give is kept. "
        f"Medians of {options.repeats} interleaved runs.\n\n" + bench.table(head, rows),
    )


if __name__ == "__main__":
    main()
