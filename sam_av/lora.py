"""LoRA on the frozen image encoder beside the audio adapters: real PEFT, through transformers' own integration."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors.torch import save_file
from transformers import SamModel

from .weights import check_tensors, read_tensors

# SAM's queries, keys and values are one Linear.
ENCODER_QKV = r"vision_encoder.*attn\.qkv"
CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
_PEFT_PREFIX = "base_model.model."


def has_lora(sam: SamModel, name: str) -> bool:
    """Whether the adapter `name` has LoRA weights inside `sam`."""
    return name in getattr(sam, "peft_config", {})


def add_lora(sam: SamModel, name: str, config: LoraConfig) -> None:
    """Puts untrained LoRA weights for the adapter `name` into the image encoder, in float32."""
    _check_config(sam, config)
    sam.add_adapter(config, adapter_name=name)
    for key, weight in sam.named_parameters():
        if "lora_" in key:
            weight.data = weight.data.float()


def load_lora(sam: SamModel, name: str, folder: Path) -> None:
    """Reads LoRA weights for the adapter `name` from a PEFT folder."""
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False
    add_lora(sam, name, config)
    try:
        read_lora(sam, name, folder)
    except ValueError:
        sam.delete_adapter(name)
        raise


def read_lora(sam: SamModel, name: str, folder: Path) -> None:
    """Reads the weights in a PEFT folder into the LoRA that the adapter `name` has."""
    path = folder / WEIGHTS_NAME
    weights = {key.removeprefix(_PEFT_PREFIX): value for key, value in read_tensors(path).items()}
    check_tensors(weights, get_peft_model_state_dict(sam, adapter_name=name), f"'{path}'")
    set_peft_model_state_dict(sam, weights, adapter_name=name)


def _check_config(sam: SamModel, config: LoraConfig) -> None:
    """Refuses what would change the base itself, or adapt what the audio adapter has a trained copy of."""
    if config.bias != "none" or config.modules_to_save:
        raise ValueError(
            "LoRA beside an audio adapter needs bias='none' and no modules_to_save: the base stays frozen."
        )
    targets = [key for key, _ in sam.named_modules() if key and check_target_module_exists(config, key)]
    if not targets or not all(key.startswith("vision_encoder.") for key in targets):
        outside = [key for key in targets if not key.startswith("vision_encoder.")]
        raise ValueError(
            f"LoRA goes on the image encoder: target_modules must match modules of vision_encoder and no others, but "
            f"{config.target_modules!r} matches {outside[:3] or 'nothing'}. Try target_modules=r'{ENCODER_QKV}'."
        )


def lora_files(
    sam: SamModel, name: str, base_name: str | None, dtype: torch.dtype
) -> dict[str, Callable[[Path], object]]:
    """The files that PEFT would write for the adapter `name`, each with the function that writes it.

    `PeftModel.from_pretrained` reads them.
    """
    config = copy.copy(sam.peft_config[name])
    config.base_model_name_or_path = base_name
    if isinstance(config.target_modules, set):
        config.target_modules = sorted(config.target_modules)  # the same file from every run
    weights = {
        _PEFT_PREFIX + key: value.detach().to("cpu", dtype).contiguous()
        for key, value in get_peft_model_state_dict(sam, adapter_name=name).items()
    }
    return {
        CONFIG_NAME: lambda path: config.save_pretrained(str(path.parent)),
        WEIGHTS_NAME: lambda path: save_file(weights, path, metadata={"format": "pt"}),
    }


def activate_lora(sam: SamModel, name: str | None) -> None:
    """Switches the LoRA weights of the adapter `name` on and every other off; None switches all off."""
    if not getattr(sam, "_hf_peft_config_loaded", False):
        return
    if name is not None and has_lora(sam, name):
        sam.enable_adapters()
        sam.set_adapter(name)
    else:
        sam.disable_adapters()
