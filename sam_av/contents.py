"""What the files of an adapter hold, told without its base: which parts, how many parameters, whether all is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .adapter import AudioAdapter
from .config import SamAVConfig
from .prompt import AudioPrompt
from .storage import LORA_FOLDER, WEIGHTS_NAME, has_lora_files
from .weights import check_tensors, read_tensors

_POSITIONS = "positional_embedding"


@dataclass(frozen=True)
class Part:
    """A part of an adapter: how many tensors and parameters it has, and their bytes."""

    name: str
    tensors: int
    parameters: int
    bytes: int


def read_contents(folder: Path, config: SamAVConfig) -> dict[str, Tensor]:
    """The tensors of the adapter in `folder`, by their names, LoRA's behind "lora."; raises where they are not whole.

    The parts must be those of the method, none missing and none left over; of the audio MLPs each tensor is checked.
    """
    path = folder / WEIGHTS_NAME
    tensors = read_tensors(path)
    _check(tensors, config, f"'{path}'")
    if has_lora_files(folder):
        lora = read_tensors(folder / LORA_FOLDER / WEIGHTS_NAME)
        tensors |= {f"{LORA_FOLDER}.{name}": tensor for name, tensor in lora.items()}
    return tensors


def parts_of(tensors: Mapping[str, Tensor]) -> list[Part]:
    """The parts of an adapter, in the order in which they lie in its file, and their sum."""
    parts: dict[str, list[Tensor]] = {}
    for name, tensor in tensors.items():
        parts.setdefault(name.partition(".")[0], []).append(tensor)
    return [_part(name, some) for name, some in parts.items()] + [_part("all", list(tensors.values()))]


def describe_contents(tensors: Mapping[str, Tensor]) -> str:
    """The parts of an adapter as a table in plain text."""
    head = f"{'part':<20} {'tensors':>8} {'parameters':>12} {'bytes':>12}"
    rows = [f"{p.name:<20} {p.tensors:>8,} {p.parameters:>12,} {p.bytes:>12,}" for p in parts_of(tensors)]
    return "\n".join([head, *rows])


def _part(name: str, tensors: list[Tensor]) -> Part:
    return Part(name, len(tensors), sum(t.numel() for t in tensors), sum(t.nbytes for t in tensors))


def _check(tensors: Mapping[str, Tensor], config: SamAVConfig, source: str) -> None:
    wanted = {
        "audio_adapter": config.adapts_encoder,
        "no_mask_embed": config.adapts_encoder,
        "audio_prompt": config.prompts_decoder,
        "mask_decoder": config.train_mask_decoder,
    }
    found = {name.partition(".")[0] for name in tensors} - {_POSITIONS}
    missing = sorted(name for name, needed in wanted.items() if needed and name not in found)
    if missing or (stray := sorted(found - {name for name, needed in wanted.items() if needed})):
        fault = f"lacks {', '.join(missing)}" if missing else f"holds {', '.join(stray)}, which is no part of it"
        raise ValueError(f"{source} is not the file of an adapter of the method '{config.method}': it {fault}.")
    expected: dict[str, Tensor] = {}
    dims = (config.audio_dim or 0, config.adapter_hidden_dim)
    with torch.device("meta"):
        if config.adapts_encoder:
            width, depth = config.base_hidden_size or 0, config.base_num_layers or 0
            expected |= _named("audio_adapter", AudioAdapter(*dims, width, config.layer_indices(depth), depth))
        if config.prompts_decoder:
            width = len(tensors.get("audio_prompt.project.bias", ())) // config.prompt_tokens
            expected |= _named("audio_prompt", AudioPrompt(*dims, width, config.prompt_tokens))
    own = ("audio_adapter.", "audio_prompt.")
    check_tensors({name: tensor for name, tensor in tensors.items() if name.startswith(own)}, expected, source)


def _named(name: str, module: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor for key, tensor in module.state_dict().items()}
