"""LoRA on the frozen image encoder beside the audio adapters: real PEFT, through transformers' own integration."""

import copy
from collections.abc import Callable
from pathlib import Path

from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from transformers import SamModel

from .weights import check_tensors, read_tensors

# SAM's queries, keys and values are one Linear.
ENCODER_QKV = r"vision_encoder.*attn\.qkv"
WEIGHTS_NAME = "adapter_model.safetensors"
_PEFT_PREFIX = "base_model.model."


def has_lora(sam: SamModel, name: str) -> bool:
    """Whether the adapter `name` has LoRA weights inside `sam`."""
    return name in getattr(sam, "peft_config", {})


def add_lora(sam: SamModel, name: str, config: LoraConfig) -> None:
    """Puts untrained LoRA weights for the adapter `name` into `sam`, in float32."""
    sam.add_adapter(config, adapter_name=name)
    _to_float32(sam)


def load_lora(sam: SamModel, name: str, folder: Path) -> None:
    """Reads LoRA weights for the adapter `name` from a PEFT folder."""
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = False
    add_lora(sam, name, config)
    path = folder / WEIGHTS_NAME
    weights = {key.removeprefix(_PEFT_PREFIX): value for key, value in read_tensors(path).items()}
    check_tensors(weights, get_peft_model_state_dict(sam, adapter_name=name), f"'{path}'")
    set_peft_model_state_dict(sam, weights, adapter_name=name)


def lora_files(sam: SamModel, name: str, base_name: str | None) -> dict[str, Callable[[Path], object]]:
    """The files that PEFT would write for the adapter `name`, each with the function that writes it.

    `PeftModel.from_pretrained` reads them.
    """
    config = copy.copy(sam.peft_config[name])
    config.base_model_name_or_path = base_name
    weights = {
        _PEFT_PREFIX + key: value.detach().cpu().contiguous()
        for key, value in get_peft_model_state_dict(sam, adapter_name=name).items()
    }
    return {
        "adapter_config.json": lambda path: config.save_pretrained(str(path.parent)),
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


def _to_float32(sam: SamModel) -> None:
    for key, weight in sam.named_parameters():
        if "lora_" in key:
            weight.data = weight.data.float()
