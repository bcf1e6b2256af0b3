"""The arguments by which every verb that runs an adapter is told how to load it, and the loading."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import SamAV


def add_model_arguments(parser: argparse._ActionsContainer) -> None:
    """Adds what an adapter stands on, and where and how it runs; `adapter` itself is the verb's own."""
    parser.add_argument("--base", help="the adapter's base, instead of the one that it names")
    parser.add_argument("--audio-encoder", help="local weights of the adapter's audio encoder")
    parser.add_argument("--batch-size", type=int, default=4, help="frames that run together (default: %(default)s)")
    parser.add_argument("--device", help="cuda, mps, cpu; by default the best that there is")
    parser.add_argument(
        "--dtype",
        choices=["auto", "float32", "bfloat16", "float16"],
        default="auto",
        help="of the frozen image encoder (default: %(default)s: bfloat16 on CUDA, else float32)",
    )


def load_model(options: argparse.Namespace, device: Any) -> "SamAV":
    """The adapter of the options on a device."""
    import torch

    from ..model import SamAV

    return SamAV.from_pretrained(
        options.adapter,
        base=options.base,
        audio_encoder=options.audio_encoder,
        device=device,
        dtype="auto" if options.dtype == "auto" else getattr(torch, options.dtype),
    )
