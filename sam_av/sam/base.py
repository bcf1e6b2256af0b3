"""Loading a frozen Segment Anything model from whatever a user has of it."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import nn
from transformers import SamModel

from ..builtin import is_builtin
from ..hub import fetch_folder, is_repo_id
from ..weights import read_tensors
from .checkpoint import from_segment_anything
from .resize import share

_CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Base:
    """A frozen SAM, the name under which others find it, and its commit on the Hub (None where it has none)."""

    sam: SamModel
    name: str | None = None
    revision: str | None = None
    # A SAMA-AVS checkpoint brings an image encoder, but neither the prompt encoder nor the decoder that SAM began with.
    encoder_only: bool = False


def load_base(
    base: str | Path | nn.Module,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Base:
    """A SAM from a Hub id, a built-in, a folder in transformers format, a segment-anything `.pth`, or a live model."""
    if isinstance(base, nn.Module):
        return _from_live_model(base)
    path = Path(base).expanduser()
    if path.suffix in _CHECKPOINT_SUFFIXES:
        return Base(from_segment_anything(read_tensors(path)))
    folder = fetch_folder(
        base,
        ["config.json", "*.safetensors", "*.safetensors.index.json"],
        what="the base",
        revision=revision,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
    )
    sam = _from_folder(folder, str(base))
    if path.is_dir():
        return Base(sam)
    # A snapshot's folder is named after its commit.
    return Base(sam, name=str(base), revision=None if is_builtin(base) else folder.name)


def _from_live_model(model: nn.Module) -> Base:
    if isinstance(model, SamModel):
        if getattr(model, "_hf_peft_config_loaded", False):
            raise ValueError(
                "The SamModel already carries PEFT adapters: merge or delete them before building a SamAV."
            )
        name = model.config._name_or_path
        if name and is_repo_id(name):
            return Base(share(model), name=name, revision=getattr(model.config, "_commit_hash", None))
        return Base(share(model))
    if hasattr(model, "image_encoder") and hasattr(model, "mask_decoder"):  # segment_anything.Sam
        return Base(from_segment_anything(model.state_dict()))
    raise TypeError(
        f"A base is a Hub id, a built-in, a folder, a segment-anything .pth, a SamModel or a segment_anything.Sam, "
        f"not {type(model).__name__}."
    )


def _from_folder(folder: Path, name: str) -> SamModel:
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise FileNotFoundError(f"The base '{name}' has no config.json: it is not a model in transformers format.")
    config = json.loads(config_file.read_text(encoding="utf-8"))
    if "base_fingerprint" in config:
        raise ValueError(f"'{name}' is a sam-av adapter, not a base: load it with SamAV.from_pretrained('{name}').")
    if config.get("model_type") != "sam":
        raise ValueError(f"'{name}' holds a model of type {config.get('model_type')!r}; a base must be of type 'sam'.")
    try:
        return SamModel.from_pretrained(folder, dtype="auto", local_files_only=True).eval()
    except (SafetensorError, OSError) as error:
        raise ValueError(f"The weights of the base '{name}' cannot be read: {error}") from error
