"""An adapter on disk: config.json, adapter_model.safetensors, README.md, and lora/ where there is one.

Format version 1 promises: config.json is `SamAVConfig`; the tensors are those of `TrainedParts.state_dict()`, that is
`audio_adapter.first.<layer>.*`, `audio_adapter.shared.*`, `audio_prompt.*`, `mask_decoder.*` under the names of
transformers' SamMaskDecoder, `no_mask_embed.weight`, and `positional_embedding` only where it differs from the base's.
No weight of the frozen encoders is among them. Later versions of sam-av read version 1.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import SamModel

from .card import render_card
from .config import SamAVConfig
from .hub import check_public_name, fetch_folder, write_whole
from .lora import has_lora, lora_files
from .trained import TrainedParts
from .weights import check_tensors, read_tensors

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
CARD_NAME = "README.md"
LORA_FOLDER = "lora"


def save_adapter(
    folder: Path,
    parts: TrainedParts,
    sam: SamModel,
    name: str,
    *,
    counts: str,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes the adapter `name` into `folder`, file by file and whole; a README that is there already is kept."""
    check_public_name(parts.config.base_model_name_or_path)
    tensors = {key: value.detach().to("cpu", dtype).contiguous() for key, value in parts.state_dict().items()}
    writers: dict[str, Callable[[Path], object]] = {
        CONFIG_NAME: lambda path: path.write_text(parts.config.to_json(), encoding="utf-8"),
        WEIGHTS_NAME: lambda path: save_file(tensors, path, metadata={"format": "pt"}),
    }
    if not (folder / CARD_NAME).exists():
        text = render_card(parts.config, counts)
        writers[CARD_NAME] = lambda path: path.write_text(text, encoding="utf-8")
    if has_lora(sam, name):
        for file, write in lora_files(sam, name, parts.config.base_model_name_or_path).items():
            writers[f"{LORA_FOLDER}/{file}"] = write
    else:
        shutil.rmtree(folder / LORA_FOLDER, ignore_errors=True)  # an earlier save's would be loaded with these weights
    write_whole(folder, writers)


fetch_adapter = partial(fetch_folder, patterns=[CONFIG_NAME, WEIGHTS_NAME, f"{LORA_FOLDER}/*"], what="the adapter")


def read_config(folder: Path) -> SamAVConfig:
    """The configuration of the adapter in `folder`."""
    path = folder / CONFIG_NAME
    if not path.is_file():
        found = sorted(entry.name for entry in folder.iterdir())[:8]
        raise FileNotFoundError(
            f"'{folder}' is not a sam-av adapter: it has no {CONFIG_NAME}. Found: {found or 'nothing'}."
        )
    return SamAVConfig.from_json_file(path)


def read_parts(folder: Path, parts: TrainedParts) -> None:
    """Reads the weights in `folder` into `parts`, which must be made from the configuration beside them."""
    path = folder / WEIGHTS_NAME
    load_parts(parts, read_tensors(path), source=f"'{path}'")


def load_parts(parts: TrainedParts, tensors: dict[str, Tensor], *, source: str) -> None:
    """Loads every tensor of an adapter into `parts`, none missing and none left over."""
    if "positional_embedding" in tensors:
        parts.positional_embedding = torch.empty_like(tensors["positional_embedding"], dtype=torch.float32)
    check_tensors(tensors, parts.state_dict(), source)
    parts.load_state_dict(tensors)
