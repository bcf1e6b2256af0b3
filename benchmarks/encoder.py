"""SAM's image encoder, forward: ours against segment-anything and transformers. `python benchmarks/encoder.py`."""

from collections.abc import Callable
from functools import partial

import bench
import torch
from published import SHAPES, random_sam
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor

from sam_av.sam import encode_image, to_segment_anything

ENCODERS = ("segment-anything", "transformers eager", "transformers sdpa", "sam-av")


def build(encoder: str, model: str, size: int, device: str, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A function from pixels to embeddings; all encoders have the same weights."""
    width, depth, heads, global_layers, _ = SHAPES[model]
    sam = random_sam(model, size, "eager" if encoder == "transformers eager" else "sdpa").to(device, dtype)
    if encoder == "sam-av":
        return partial(encode_image, sam.vision_encoder)
    if encoder.startswith("transformers"):
        return lambda pixels: sam.vision_encoder(pixels).last_hidden_state
    published = ImageEncoderViT(
        img_size=size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        window_size=14,
        global_attn_indexes=global_layers,
        use_rel_pos=True,
        out_chans=256,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    state, prefix = to_segment_anything(sam), "image_encoder."
    published.load_state_dict({key.removeprefix(prefix): w for key, w in state.items() if key.startswith(prefix)})
    return published.eval().to(device, dtype)


def rows_of_size(options, size: int, dtype: torch.dtype, ceiling: float) -> list[list[object]]:
    device, model = options.device, options.model
    pixels = torch.randn(options.batch, 3, size, size, device=device, dtype=dtype)
    calls = {name: partial(build(name, model, size, device, dtype), pixels) for name in ENCODERS}
    outputs = {name: call().float() for name, call in calls.items()}
    seconds = bench.interleaved_seconds(calls, options.repeats, device)
    reference = outputs["segment-anything"]
    rows = []
    for name, call in calls.items():
        if device == "cuda":
            peak = bench.added_peak(call, device)
        else:
            peak = bench.in_fresh_process(
                "--peak-of", name, "--sizes", str(size), "--model", model, "--batch", str(options.batch)
            )
        error = ((outputs[name] - reference).abs().max() / reference.abs().max()).item()
        share = SHAPES[model][-1] * options.batch / seconds[name] / ceiling if size == 1024 else None
        rows.append(
            [
                size,
                name,
                f"{1000 * seconds[name]:.0f}",
                f"{seconds['segment-anything'] / seconds[name]:.2f}",
                f"{seconds['transformers sdpa'] / seconds[name]:.2f}",
                f"{peak:.0f}",
                "" if share is None else f"{share:.0%}",
                f"{error:.0e}",
            ]
        )
    return rows


@torch.no_grad()
def main():
    parser = bench.arguments(__doc__)
    parser.add_argument(
        "--peak-of", choices=ENCODERS, help="print one encoder's added peak of memory, and nothing else"
    )
    options = parser.parse_args()
    device = options.device
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    if options.peak_of:
        (size,) = options.sizes
        pixels = torch.randn(options.batch, 3, size, size)
        print(bench.added_peak(partial(build(options.peak_of, options.model, size, device, dtype), pixels), device))
        return
    ceiling = bench.matmul_ceiling(device, dtype)
    rows = [row for size in options.sizes for row in rows_of_size(options, size, dtype, ceiling)]
    head = ["px", "encoder", "ms", "x segment-anything", "x transformers sdpa", "added peak, MiB"]
    head += ["share of matmul ceiling", "error"]
    bench.write(
        f"encoder-{options.model}-b{options.batch}-{device}",
        f"# Image encoder, forward: {options.model}, batch {options.batch}, {str(dtype).removeprefix('torch.')}\n\n"
        f"{bench.machine(device)}; matmul ceiling {ceiling:.2f} TFLOP/s. Medians of {options.repeats} "
        "interleaved runs.\n\n" + bench.table(head, rows),
    )


if __name__ == "__main__":
    main()
