"""SAM's image encoder, forward: ours against segment-anything and transformers. `python benchmarks/encoder.py`."""

from functools import partial

import bench
import segment_anything
import torch
from transformers import SamConfig, SamModel

from sam_av.sam import encode_image, to_segment_anything

SHAPES = {"vit-b": (768, 12, 12, [2, 5, 8, 11]), "vit-l": (1024, 24, 16, [5, 11, 17, 23]), "vit-h": (1280, 32, 16, [7, 15, 23, 31])}  # fmt: skip
# Counted multiply-adds at 1024 px on real tokens, in TFLOP; other sizes are not reported as a share of the ceiling.
TFLOP = {"vit-b": 0.936, "vit-l": 2.831, "vit-h": 5.632}


def transformers_encoder(model: str, size: int, implementation: str) -> torch.nn.Module:
    width, depth, heads, global_layers = SHAPES[model]
    vision = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads, "image_size": size}
    config = SamConfig(vision_config={**vision, "global_attn_indexes": global_layers, "initializer_range": 0.02})
    config._attn_implementation = implementation
    torch.manual_seed(0)
    return SamModel._from_config(config, attn_implementation=implementation).eval()


def candidates(model: str, size: int, device: str, dtype: torch.dtype) -> dict[str, object]:
    """Functions from pixels to embeddings, all with the same weights."""
    sdpa = transformers_encoder(model, size, "sdpa")
    eager = transformers_encoder(model, size, "eager")
    width, depth, heads, global_layers = SHAPES[model]
    published = segment_anything.modeling.ImageEncoderViT(
        img_size=size, embed_dim=width, depth=depth, num_heads=heads, window_size=14, global_attn_indexes=global_layers,
        use_rel_pos=True, out_chans=256, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    ).eval()  # fmt: skip
    prefix = "image_encoder."
    state = {key.removeprefix(prefix): w for key, w in to_segment_anything(sdpa).items() if key.startswith(prefix)}
    published.load_state_dict(state)
    published, sdpa, eager = (module.to(device, dtype) for module in (published, sdpa, eager))
    return {
        "segment-anything": published,
        "transformers eager": lambda pixels: eager.vision_encoder(pixels).last_hidden_state,
        "transformers sdpa": lambda pixels: sdpa.vision_encoder(pixels).last_hidden_state,
        "sam-av": partial(encode_image, sdpa.vision_encoder),
    }


@torch.no_grad()
def main():
    options = bench.arguments(__doc__).parse_args()
    device = options.device
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    ceiling = bench.matmul_ceiling(device, dtype)
    rows = []
    for size in options.sizes:
        pixels = torch.randn(options.batch, 3, size, size, device=device, dtype=dtype)
        calls = candidates(options.model, size, device, dtype)
        outputs = {name: call(pixels).float() for name, call in calls.items()}
        reference = outputs["segment-anything"]
        seconds = bench.interleaved_seconds({name: partial(call, pixels) for name, call in calls.items()}, options.repeats, device)  # fmt: skip
        for name, call in calls.items():
            peak = bench.added_peak(lambda call=call: torch.no_grad()(partial(call, pixels)), device)
            error = ((outputs[name] - reference).abs().max() / reference.abs().max()).item()
            share = f"{100 * TFLOP[options.model] * options.batch / seconds[name] / ceiling:.0f} %" if size == 1024 else ""
            rows.append(
                [size, name, f"{1000 * seconds[name]:.0f}", f"{seconds['segment-anything'] / seconds[name]:.2f}",
                 f"{seconds['transformers sdpa'] / seconds[name]:.2f}", f"{peak:.0f}", share, f"{error:.0e}"]
            )  # fmt: skip
    head = ["px", "encoder", "ms", "x segment-anything", "x transformers sdpa", "added peak, MiB", "of matmul ceiling", "error"]  # fmt: skip
    title = f"# Image encoder, forward: {options.model}, batch {options.batch}, {str(dtype).removeprefix('torch.')}"
    notes = f"{bench.machine(device)}; matmul ceiling {ceiling:.2f} TFLOP/s. Medians of {options.repeats} interleaved runs."
    bench.write(f"encoder-{options.model}-b{options.batch}-{device}", f"{title}\n\n{notes}\n\n{bench.table(head, rows)}")


if __name__ == "__main__":
    main()
