"""SamAV: audio adapters on a frozen Segment Anything model, run, saved and shared."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from huggingface_hub import CommitInfo
from torch import nn

from .audio import AudioEncoder, resolve_audio_encoder
from .config import SamAVConfig
from .fingerprint import fingerprint
from .lora import has_lora, load_lora, read_lora
from .network import AudioVisualNetwork
from .processor import SamAVProcessor
from .publish import naming_faults, upload
from .sam import load_base
from .sama_checkpoint import read_sama_checkpoint
from .storage import (
    LORA_FOLDER,
    fetch_adapter,
    has_lora_files,
    load_parts,
    read_config,
    read_parts,
    save_adapter,
)

if TYPE_CHECKING:
    from .predict import FrameMask


class SamAV(AudioVisualNetwork):
    """Masks of what sounds: a frozen SAM and audio encoder, and one or more named adapters, of which one is active.

    Build it with `from_base` (untrained adapters), `from_pretrained` (published ones) or `from_sama_checkpoint`.
    """

    # ------------------------------------------------------------------------------------------------- construction

    @classmethod
    def from_base(
        cls,
        base: str | Path | nn.Module,
        config: SamAVConfig | None = None,
        *,
        audio_encoder: AudioEncoder | str | Path | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> Self:
        """Untrained adapters on a frozen base.

        Args:
            base: a Hub id, a folder in transformers format, a segment-anything `.pth`, a live `SamModel` (which is
                frozen) or a live `segment_anything.Sam`.
            config: what kind of adapter; SAMA-AVS as published by default.
            audio_encoder: an encoder, a file with its weights, or None for the one that `config` names, which is
                fetched where it is published unless it is in the cache of torch.hub or of the Hub.
            revision: branch, tag or commit of the base on the Hub; so `token`, `cache_dir` and `local_files_only`.
            device: None takes CUDA, MPS or CPU in that order.
            dtype: of the frozen image encoder; "auto" is bfloat16 on a CUDA device that has it, float32 elsewhere.
        """
        config = SamAVConfig() if config is None else config
        device, dtype = _placement(device, dtype)
        loaded = load_base(base, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
        encoder = resolve_audio_encoder(audio_encoder, config.audio_encoder)
        model = cls(loaded, encoder, image_size=config.image_size)
        model.add_adapter("default", config)
        return model._place(device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        base: str | Path | nn.Module | None = None,
        audio_encoder: AudioEncoder | str | Path | None = None,
        revision: str | None = None,
        subfolder: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> Self:
        """A published adapter, from a Hub repository or a folder, on the base that it names.

        `base`, in any form that `from_base` takes, stands in for that name; it must have the same weights. `revision`
        and `subfolder` are the adapter's.
        """
        device, dtype = _placement(device, dtype)
        download: dict[str, Any] = {
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
        }
        folder = fetch_adapter(name_or_path, revision=revision, subfolder=subfolder, **download)
        config = read_config(folder)
        base_revision = None
        if base is None:
            base, base_revision = config.base_model_name_or_path, config.base_revision
        if base is None:
            raise ValueError(
                f"The adapter '{name_or_path}' names no public base: pass the one it was trained on as base=..."
            )
        loaded = load_base(base, revision=base_revision, **download)
        encoder = resolve_audio_encoder(audio_encoder, config.audio_encoder)
        model = cls(loaded, encoder, image_size=config.image_size)
        model._load_folder(folder, config, "default")
        return model._place(device, dtype)

    @classmethod
    def from_sama_checkpoint(
        cls,
        path: str | Path,
        *,
        audio_encoder: AudioEncoder | str | Path | None = None,
        base: str | Path | nn.Module | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
    ) -> Self:
        """The authors' released SAMA-AVS checkpoint, one full state dict.

        It brings the image encoder, and mostly the audio encoder, but no prompt encoder: for clicks, boxes and
        `disable_adapter` pass the SAM that it was trained on as `base`.
        """
        device, dtype = _placement(device, dtype)
        checkpoint = read_sama_checkpoint(Path(path).expanduser())
        encoder = checkpoint.audio_encoder if audio_encoder is None else resolve_audio_encoder(audio_encoder, "vggish")
        checkpoint.config.base_fingerprint = fingerprint(checkpoint.base.sam.vision_encoder)
        loaded = checkpoint.base if base is None else load_base(base)
        model = cls(loaded, encoder, image_size=checkpoint.config.image_size)
        if torch.equal(
            checkpoint.tensors["positional_embedding"], loaded.sam.shared_image_embedding.positional_embedding
        ):
            del checkpoint.tensors["positional_embedding"]
        parts = model._new_parts(checkpoint.config)
        load_parts(parts, checkpoint.tensors, source=f"'{path}'")
        model._install("default", parts)
        return model._place(device, dtype)

    def load_adapter(
        self,
        name_or_path: str | Path,
        name: str,
        *,
        revision: str | None = None,
        subfolder: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> None:
        """Loads another adapter of the same frozen networks beside the present ones and makes it the active one."""
        self._check_name(name)
        folder = fetch_adapter(
            name_or_path,
            revision=revision,
            subfolder=subfolder,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        self._load_folder(folder, read_config(folder), name)

    def load_weights(self, folder: str | Path) -> None:
        """Puts the weights that lie in `folder` into the active adapter, which must be of the same form."""
        folder = Path(folder).expanduser()
        read_parts(folder, self._parts())
        if has_lora(self.sam, self.active_adapter):
            read_lora(self.sam, self.active_adapter, folder / LORA_FOLDER)

    def _load_folder(self, folder: Path, config: SamAVConfig, name: str) -> None:
        parts = self._new_parts(config)
        read_parts(folder, parts)
        if has_lora_files(folder):
            load_lora(self.sam, name, folder / LORA_FOLDER)
        self._install(name, parts)

    def _place(self, device: torch.device, dtype: torch.dtype) -> Self:
        self.to(device)
        # Of the frozen networks the image encoder alone costs enough to be worth half precision.
        for key, weight in self.sam.named_parameters():
            frozen_encoder = key.startswith("vision_encoder.") and "lora_" not in key
            weight.data = weight.data.to(dtype if frozen_encoder else torch.float32)
        return self

    # ------------------------------------------------------------------------------------------------------- to use

    @property
    def processor(self) -> SamAVProcessor:
        """The processor that makes this model's inputs and brings its masks back to the size of the picture."""
        return SamAVProcessor(self.config, self.audio_encoder.front_end if self.audio_encoder is not None else None)

    def segment(self, source: Any, audio: Any = None, **options: Any) -> "Iterator[FrameMask]":
        """Masks of what sounds in `source`; see `sam_av.predict.segment` for what may be passed."""
        from .predict import segment  # it is about models, so it is imported when one is there

        return segment(self, source, audio, **options)

    # ---------------------------------------------------------------------------------------------------- to share

    def save_pretrained(
        self, folder: str | Path, *, dtype: torch.dtype | None = None, is_main_process: bool = True
    ) -> None:
        """Writes the active adapter into `folder`: config.json, adapter_model.safetensors, README.md, and lora/.

        Args:
            folder: where to; a README.md that is there already is kept.
            dtype: of the files, float32 by default.
            is_main_process: whether this process writes. Where weights are sharded (FSDP) all must call this.
        """
        self._save(Path(folder).expanduser(), dtype, is_main_process=is_main_process)

    def _save(
        self, folder: Path, dtype: torch.dtype | None, repo_id: str | None = None, is_main_process: bool = True
    ) -> None:
        save_adapter(
            folder,
            self._parts(),
            self.sam,
            self.active_adapter,
            counts=self.describe_parameters(),
            dtype=dtype,
            repo_id=repo_id,
            is_main_process=is_main_process,
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        dtype: torch.dtype | None = None,
        commit_message: str = "Upload sam-av adapter",
        create_pr: bool = False,
    ) -> CommitInfo:
        """Uploads the active adapter to a Hub repository, which is created where there is none.

        An existing README.md is kept. `revision` is the branch to push to, created where there is none.
        """
        self.check_publishable()
        with tempfile.TemporaryDirectory() as folder:
            self._save(Path(folder), dtype, repo_id)
            return upload(
                Path(folder),
                repo_id,
                subfolder=subfolder,
                revision=revision,
                private=private,
                token=token,
                commit_message=commit_message,
                create_pr=create_pr,
            )

    def check_publishable(self) -> None:
        """Raises where others could not use the active adapter, since its base or audio encoder has no public name."""
        if faults := naming_faults(self.config, has_audio_encoder=self.audio_encoder is not None):
            raise ValueError("\n".join(faults))


def _placement(device: str | torch.device | None, dtype: str | torch.dtype) -> tuple[torch.device, torch.dtype]:
    """The device to use, and the dtype of the frozen image encoder on it."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(device)
    if dtype == "auto":
        dtype = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype is 'auto' or a torch.dtype such as torch.bfloat16, not {dtype!r}.")
    return device, dtype
