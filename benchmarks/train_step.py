"""A training step of SAMA-AVS: ours against the published path, same weights. `python benchmarks/train_step.py`."""

import bench
import torch
from published import published_logits, published_loss, random_sam
from torch import Tensor

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish

PUBLISHED, SDPA, OURS, CHECKPOINTED = "published path", "transformers sdpa", "sam-av", "sam-av, checkpointed"
WAYS = (PUBLISHED, SDPA, OURS, CHECKPOINTED)


class Training:
    """One way to a training step; all ways have the same weights and the same batch."""

    def __init__(self, way: str, model: str, size: int, batch: int, device: str) -> None:
        self.is_ours = way in (OURS, CHECKPOINTED)
        sam = random_sam(model, size, "eager" if way == PUBLISHED else "sdpa")
        # As published, all is float32; ours is what a GPU gets by default, a frozen encoder in bfloat16.
        dtype = "auto" if self.is_ours else torch.float32
        config = SamAVConfig(image_size=size)
        self.model = SamAV.from_base(sam, config, audio_encoder=VGGish(), device=device, dtype=dtype).train()
        if way == CHECKPOINTED:
            self.model.activation_checkpointing_enable()
        generator = torch.Generator().manual_seed(1)
        pixels = torch.randn(batch, 3, size, size, generator=generator)
        audio = torch.randn(batch, 1, 96, 64, generator=generator)
        masks = (torch.rand(batch, size, size, generator=generator) > 0.8).float()
        self.pixels, self.audio, self.masks = (x.to(device) for x in (pixels, audio, masks))
        self.optimizer = torch.optim.AdamW([weight for weight in self.model.parameters() if weight.requires_grad])

    def loss(self) -> Tensor:
        if self.is_ours:
            return self.model(self.pixels, self.audio, self.masks).loss
        return published_loss(published_logits(self.model, self.pixels, self.audio), self.masks)

    def step(self) -> None:
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def forward(self) -> None:
        self.loss()

    def first_gradient(self) -> Tensor:
        """The gradients of the adapters before any step, in one row."""
        self.loss().backward()
        weights = self.model._parts().audio_adapter.parameters()
        row = torch.cat([weight.grad.flatten() for weight in weights])
        self.optimizer.zero_grad()
        return row


def rows_of_size(options, size: int) -> list[list[object]]:
    device = options.device
    ways = {way: Training(way, options.model, size, options.batch, device) for way in WAYS}
    gradients = {way: training.first_gradient() for way, training in ways.items()}
    steps, forwards = (
        bench.interleaved_seconds({way: getattr(ways[way], call) for way in WAYS}, options.repeats, device)
        for call in ("step", "forward")
    )
    if device == "cuda":
        peaks = {way: bench.added_peak(ways[way].step, device) for way in WAYS}
    else:
        shape = ["--sizes", str(size), "--model", options.model, "--batch", str(options.batch)]
        peaks = {way: bench.in_fresh_process("--peak-of", way, *shape) for way in WAYS}
    reference = gradients[PUBLISHED]
    return [
        [
            size,
            way,
            f"{1000 * steps[way]:.0f}",
            f"{steps[PUBLISHED] / steps[way]:.2f}",
            f"{steps[way] / forwards[way]:.2f}",
            f"{peaks[way]:.0f}",
            f"{peaks[PUBLISHED] / peaks[way]:.1f}",
            f"{((gradients[way] - reference).norm() / reference.norm()).item():.0e}",
        ]
        for way in WAYS
    ]


def main():
    parser = bench.arguments(__doc__)
    parser.add_argument("--peak-of", choices=WAYS, help="print one way's added peak of memory, and nothing else")
    options = parser.parse_args()
    if options.peak_of:
        training = Training(options.peak_of, options.model, *options.sizes, options.batch, options.device)
        print(bench.added_peak(training.step, options.device))
        return
    rows = [row for size in options.sizes for row in rows_of_size(options, size)]
    head = ["px", "way", "ms a step", "x published path", "step / forward", "added peak, MiB"]
    head += ["memory, published / this", "difference of gradients"]
    dtypes = "sam-av with a bfloat16 encoder, the others float32" if options.device == "cuda" else "float32"
    bench.write(
        f"train-step-{options.model}-b{options.batch}-{options.device}",
        f"# A training step of SAMA-AVS: {options.model}, batch {options.batch}, {dtypes}\n\n"
        f"{bench.machine(options.device)}. Random weights. A step is VGGish, the forward pass, the loss at the size of "
        "the input, the backward pass and AdamW's step. The published path has a bias for every pair of tokens and no "
        f"checkpointing. Medians of {options.repeats} interleaved runs; gradients are those of the adapters before the "
        "first step.\n\n" + bench.table(head, rows),
    )


if __name__ == "__main__":
    main()
