"""An adapter on disk: config.json, adapter_model.safetensors, README.md, and lora/ where there is one.

Format version 1 promises: config.json is `SamAVConfig`; the tensors are those of `TrainedParts.state_dict()`, that is
`audio_adapter.first.<layer>.*`, `audio_adapter.shared.*`, `audio_prompt.*`, `mask_decoder.*` under the names of
transformers' SamMaskDecoder, `no_mask_embed.weight`, and `positional_embedding` only where it differs from the base's.
No weight of the frozen encoders is among them. Later versions of sam-av read version 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import SamModel

from .card import render_card
from .config import SamAVConfig
from .hub import check_public_name, fetch_folder, write_whole
from .lora import CONFIG_NAME as LORA_CONFIG_NAME
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
    repo_id: str | None = None,
    is_main_process: bool = True,
) -> None:
    """Writes the adapter `name` into `folder`, file by file and whole; a README that is there already is kept.

    Sharded weights are gathered, for which all processes must call this; the main process alone writes.
    """
    dtype = dtype or torch.float32
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating torch.dtype such as torch.float16, not {dtype!r}.")
    config = parts.config
    check_public_name(config.base_model_name_or_path)
    refuse_foreign_config(folder)
    tensors = {key: _whole(value).to("cpu", dtype).contiguous() for key, value in parts.state_dict().items()}
    text, card = config.to_json_string(), render_card(config, counts, repo_id)
    lora = lora_files(sam, name, config.base_model_name_or_path, dtype) if has_lora(sam, name) else {}
    if not is_main_process:
        return
    writers: dict[str, Callable[[Path], object]] = {
        CONFIG_NAME: lambda path: path.write_text(text, encoding="utf-8"),
        WEIGHTS_NAME: lambda path: save_file(tensors, path, metadata={"format": "pt"}),
        **{f"{LORA_FOLDER}/{file}": write for file, write in lora.items()},
    }
    if not (folder / CARD_NAME).exists():
        writers[CARD_NAME] = lambda path: path.write_text(card, encoding="utf-8")
    write_whole(folder, writers)
    if not lora:  # what an earlier save left would be loaded with these weights
        for file in (LORA_CONFIG_NAME, WEIGHTS_NAME):
            (folder / LORA_FOLDER / file).unlink(missing_ok=True)


def _whole(tensor: Tensor) -> Tensor:
    """The tensor, put together where it is sharded among processes."""
    tensor = tensor.detach()
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def refuse_foreign_config(folder: Path) -> None:
    """Raises when `folder` holds another model's config.json, which saving an adapter there would replace."""
    path = folder / CONFIG_NAME
    if path.is_file() and "base_fingerprint" not in path.read_text(encoding="utf-8"):
        raise ValueError(
            f"'{path}' belongs to another model, which would be lost: save the adapter into another folder."
        )


def fetch_adapter(
    name_or_path: str | Path, *, subfolder: str | None = None, revision: str | None = None, **download: Any
) -> Path:
    """The folder of an adapter, on this disk or fetched from the Hub; `download` as in `fetch_folder`."""
    patterns = [CONFIG_NAME, WEIGHTS_NAME, f"{LORA_FOLDER}/*"]
    return fetch_folder(name_or_path, patterns, what="the adapter", subfolder=subfolder, revision=revision, **download)


def has_lora_files(folder: Path) -> bool:
    """Whether LoRA weights lie beside the adapter in `folder`."""
    return (folder / LORA_FOLDER / LORA_CONFIG_NAME).is_file()


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
