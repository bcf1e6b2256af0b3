"""The authors' released SAMA-AVS checkpoints: one full state dict, taken apart into base, adapter and audio encoder."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .audio import VGGish
from .config import SamAVConfig
from .sam import Base, from_segment_anything
from .sam.checkpoint import to_transformers_key
from .weights import read_tensors

_GENERATOR = "image_encoder.prompt_generator."
_FIRST = re.compile(re.escape(_GENERATOR) + r"lightweight_mlp_(\d+)\.0\.(weight|bias)")
_SHARED = re.compile(re.escape(_GENERATOR) + r"shared_mlp\.(weight|bias)")
_POSITIONS = "pe_layer.positional_encoding_gaussian_matrix"
_AUDIO_ENCODER = "audio_encoder.audio_backbone."


@dataclass
class SamaCheckpoint:
    """A released checkpoint's parts: `tensors` are those of `TrainedParts`, by their names there."""

    base: Base
    tensors: dict[str, Tensor]
    audio_encoder: VGGish | None
    config: SamAVConfig


def is_sama_checkpoint(state: dict[str, Tensor]) -> bool:
    """Whether a state dict is SAMA-AVS's rather than a plain SAM's."""
    return f"{_GENERATOR}shared_mlp.weight" in state


def read_sama_checkpoint(path: Path) -> SamaCheckpoint:
    """Reads a released `.pth`; its positional matrix is its own random draw, and goes with the adapter."""
    state = read_tensors(path)
    if not is_sama_checkpoint(state):
        raise ValueError(
            f"'{path}' is not a SAMA-AVS checkpoint: it has no '{_GENERATOR}shared_mlp.weight'. A plain "
            "segment-anything checkpoint goes to SamAV.from_base."
        )
    tensors, frozen, sound = {}, {}, {}
    for key, tensor in state.items():
        if match := _FIRST.fullmatch(key):
            tensors[f"audio_adapter.first.{match[1]}.{match[2]}"] = tensor
        elif match := _SHARED.fullmatch(key):
            tensors[f"audio_adapter.shared.{match[1]}"] = tensor
        elif key == _POSITIONS:
            tensors["positional_embedding"] = tensor
        elif key.startswith(_AUDIO_ENCODER):
            sound[key.removeprefix(_AUDIO_ENCODER)] = tensor
        elif key.startswith("image_encoder."):
            frozen[key] = tensor
        else:
            tensors[to_transformers_key(key)] = tensor
            if key.startswith("mask_decoder."):
                frozen[key] = tensor  # gives the frozen model its decoder's sizes; the adapter has the trained weights
    layers = sorted(int(match[1]) for key in state if (match := _FIRST.fullmatch(key)) and match[2] == "weight")
    if _POSITIONS not in state or not layers:
        raise ValueError(
            f"'{path}' is an incomplete SAMA-AVS checkpoint: it lacks '{_POSITIONS}' or its first Linears."
        )
    sam = from_segment_anything(frozen, strict=False)
    hidden_dim, audio_dim = tensors[f"audio_adapter.first.{layers[0]}.weight"].shape
    config = SamAVConfig(
        method="sama",
        audio_dim=audio_dim,
        adapter_hidden_dim=hidden_dim,
        adapter_layers="all" if layers == list(range(sam.config.vision_config.num_hidden_layers)) else layers,
        image_size=sam.config.vision_config.image_size,
        decoder_norm_eps=sam.config.mask_decoder_config.layer_norm_eps,
    )
    config.card.checkpoint_license = "none stated by its authors"
    return SamaCheckpoint(Base(sam, encoder_only=True), tensors, _vggish(sound), config)


def _vggish(state: dict[str, Tensor]) -> VGGish | None:
    if not state:
        return None
    with torch.device("meta"):
        encoder = VGGish()
    encoder.load_state_dict(state, assign=True)
    encoder.name = "vggish"  # frozen in the released training; the fingerprint tells whether it was
    return encoder.eval()
