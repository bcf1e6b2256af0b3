"""A frozen base that hosts named adapters, of which one is active: add, switch, disable, delete, count."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import torch
from peft import LoraConfig
from torch import Tensor, nn

from .audio import AudioEncoder
from .config import SamAVConfig
from .fingerprint import fingerprint
from .footing import Footing
from .lora import ENCODER_QKV, activate_lora, add_lora, has_lora
from .sam import Base, resize
from .trained import TrainedParts


class AdapterHost(nn.Module):
    """A frozen SAM, a frozen audio encoder, and adapters by name.

    The frozen networks stay as they came: each adapter has a decoder of its own, so switching moves no weight.
    `state_dict()` holds what adapters train and nothing frozen, so that any training loop's checkpoints stay small.
    """

    def __init__(self, base: Base, audio_encoder: AudioEncoder | None = None, *, image_size: int | None = None) -> None:
        super().__init__()
        self.base_name, self.base_revision = base.name, base.revision
        self.base_encoder_only = base.encoder_only
        self.base_fingerprint = fingerprint(base.sam.vision_encoder)
        self.sam = resize(base.sam, image_size or base.sam.config.vision_config.image_size)
        self.audio_encoder = audio_encoder
        self.adapters = nn.ModuleDict()
        self.active_adapter = ""
        self._adapter_enabled = True
        self.sam.requires_grad_(False)
        if audio_encoder is not None:
            audio_encoder.requires_grad_(False)
        self.register_state_dict_post_hook(_leave_out_frozen)
        self.register_load_state_dict_pre_hook(_keep_frozen)
        self.eval()

    @property
    def config(self) -> SamAVConfig:
        """The configuration of the active adapter."""
        return self._parts().config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.sam.vision_encoder.patch_embed.projection.weight.device

    def train(self, mode: bool = True) -> "AdapterHost":
        """Puts the adapters into training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        self.sam.eval()
        for name, module in self.sam.named_modules():
            if "lora_" in name:  # its dropout trains with the adapter
                module.train(mode)
        if self.audio_encoder is not None:
            self.audio_encoder.eval()
        return self

    # ----------------------------------------------------------------------------------------------------- adapters

    def add_adapter(self, name: str, config: SamAVConfig | None = None) -> None:
        """Puts a new, untrained adapter beside the others and makes it the active one."""
        self._check_name(name)
        config = copy.deepcopy(config) if config is not None else SamAVConfig()
        self._install(name, self._new_parts(config))

    def add_lora(self, config: LoraConfig | None = None) -> None:
        """Puts LoRA on the frozen image encoder for the active adapter; by default rank 8 on qkv."""
        if has_lora(self.sam, self.active_adapter):
            raise ValueError(f"The adapter '{self.active_adapter}' has LoRA already.")
        add_lora(
            self.sam,
            self.active_adapter,
            config or LoraConfig(r=8, lora_alpha=16, target_modules=ENCODER_QKV),
        )
        self.set_adapter(self.active_adapter)

    def set_adapter(self, name: str) -> None:
        """Makes the adapter `name` the active one: it runs, and it alone takes gradients."""
        self._require(name)
        for other in self.adapters:
            self._parts(other).set_trainable(other == name)
        activate_lora(self.sam, name if self._adapter_enabled else None)
        self.active_adapter = name

    def delete_adapter(self, name: str) -> None:
        """Forgets the adapter `name`, which must not be the active one."""
        self._require(name)
        if name == self.active_adapter:
            raise ValueError(f"'{name}' is the active adapter: switch to another with set_adapter before deleting it.")
        del self.adapters[name]
        if has_lora(self.sam, name):
            self.sam.delete_adapter(name)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside, the model is the base SAM as it came: sound is ignored, clicks and boxes work."""
        if self.base_encoder_only:
            raise RuntimeError(
                "This model was read from a SAMA-AVS checkpoint, which has no SAM to fall back to: pass the SAM that "
                "it was trained on to from_sama_checkpoint(..., base=...)."
            )
        enabled, self._adapter_enabled = self._adapter_enabled, False
        activate_lora(self.sam, None)
        try:
            yield
        finally:
            self._adapter_enabled = enabled
            activate_lora(self.sam, self.active_adapter if enabled else None)

    def merge_adapter(self) -> NoReturn:
        """Audio adapters cannot be merged into the base; this says why."""
        raise RuntimeError(
            "Audio adapters cannot be merged into the base: what they add depends on the sound of each frame, so no "
            "fixed weights could take their place. Publish the adapter; it holds a few megabytes."
        )

    merge_and_unload = merge_adapter

    def _parts(self, name: str | None = None) -> TrainedParts:
        """The parts of the adapter `name`, by default of the active one."""
        name = self.active_adapter if name is None else name
        self._require(name)
        parts = self.adapters[name]
        assert isinstance(parts, TrainedParts)
        return parts

    def _require(self, name: str) -> None:
        if name not in self.adapters:
            raise ValueError(f"There is no adapter '{name}'; this model has: {', '.join(self.adapters) or 'none'}.")

    def _check_name(self, name: str) -> None:
        if not name or "." in name or hasattr(nn.ModuleDict, name):
            raise ValueError(
                f"An adapter's name is a non-empty text without a dot, and no word of Python, not {name!r}."
            )
        if name in self.adapters:
            raise ValueError(f"There is an adapter '{name}' already: choose another name or delete it first.")

    def _install(self, name: str, parts: TrainedParts) -> None:
        if self.base_encoder_only and parts.positional_embedding is None:
            raise ValueError(
                "This model was read from a SAMA-AVS checkpoint, which brings no whole SAM for other adapters to stand "
                "on: pass the SAM that it was trained on to from_sama_checkpoint(..., base=...)."
            )
        self.adapters[name] = parts.to(self.device)
        self.set_adapter(name)

    def _new_parts(self, config: SamAVConfig) -> TrainedParts:
        """Fresh parts for `config`, once it is sure that they belong on these frozen networks."""
        footing = self._footing()
        footing.check(config)
        footing.describe(config)
        if config.decoder_norm_eps is None:
            config.decoder_norm_eps = self.sam.config.mask_decoder_config.layer_norm_eps
        return TrainedParts(config, self.sam)

    def _footing(self) -> Footing:
        vision, encoder = self.sam.config.vision_config, self.audio_encoder
        footing = Footing(
            base_name=self.base_name,
            base_revision=self.base_revision,
            base_fingerprint=self.base_fingerprint,
            width=vision.hidden_size,
            depth=vision.num_hidden_layers,
            image_size=vision.image_size,
        )
        if encoder is None:
            return footing
        return replace(
            footing,
            encoder_name=encoder.name,
            encoder_fingerprint=fingerprint(encoder),
            audio_dim=encoder.audio_dim,
        )

    # ------------------------------------------------------------------------------------------------------- counts

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """Trainable parameters, and all of them: the frozen networks and the active adapter."""
        weights = [*self._parts().parameters(), *self.sam.parameters()]
        if self.audio_encoder is not None:
            weights += self.audio_encoder.parameters()
        trainable = sum(weight.numel() for weight in weights if weight.requires_grad)
        return trainable, sum(weight.numel() for weight in weights)

    def print_trainable_parameters(self) -> None:
        """Prints the audio adapter's share of the model as the paper counts it, then everything that is trained."""
        print(self.describe_parameters())

    def describe_parameters(self) -> str:
        """What `print_trainable_parameters` prints."""
        adapter = self._parts().num_audio_parameters()
        frozen: list[Any] = [
            self.sam.vision_encoder, self.sam.mask_decoder, self.sam.prompt_encoder.no_mask_embed, self.audio_encoder
        ]  # fmt: skip
        paper = sum(
            weight.numel()
            for part in frozen if part is not None
            for name, weight in part.named_parameters() if "lora_" not in name
        )  # fmt: skip
        trainable, total = self.get_nb_trainable_parameters()
        return (
            f"audio adapter params: {adapter:,} || model as the paper counts it: {paper:,} || "
            f"{100 * adapter / paper:.4f}%\n"
            f"trainable params: {trainable:,} || all params: {total:,} || trainable%: {100 * trainable / total:.4f}"
        )


def _frozen_tensors(host: AdapterHost) -> dict[str, Tensor]:
    """What neither trains nor belongs to an adapter, by its name in the full state dict."""
    frozen: dict[str, Tensor] = {}
    for prefix, network in (("sam.", host.sam), ("audio_encoder.", host.audio_encoder)):
        if network is None:
            continue
        for name, weight in network.named_parameters(remove_duplicate=False):
            if "lora_" not in name and not weight.requires_grad:
                frozen[prefix + name] = weight
        frozen.update({prefix + name: buffer for name, buffer in network.named_buffers()})
    return frozen


def _leave_out_frozen(host: nn.Module, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    assert isinstance(host, AdapterHost)
    for name in _frozen_tensors(host):
        state.pop(prefix + name, None)


def _keep_frozen(host: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """What a state dict leaves out of the frozen networks stays as it is, also under `strict=True`."""
    assert isinstance(host, AdapterHost)
    for name, weight in _frozen_tensors(host).items():
        state.setdefault(prefix + name, weight.detach())
