"""SamAV: audio adapters on a frozen Segment Anything model, run, saved and shared."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor, nn
from transformers.models.sam.modeling_sam import SamMaskDecoder
from transformers.utils import ModelOutput

from .adapter import AudioAdapter
from .audio import AudioEncoder, resolve_audio_encoder
from .config import SamAVConfig
from .fingerprint import fingerprint
from .host import AdapterHost
from .lora import load_lora
from .losses import mask_loss
from .processor import SamAVProcessor
from .prompt import AudioPrompt
from .sam import decode_masks, encode_image, encode_prompts, grid_positions, load_base
from .sama_checkpoint import read_sama_checkpoint
from .storage import (
    CARD_NAME,
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


@dataclass
class SamAVOutput(ModelOutput):
    """What `SamAV` returns.

    Attributes:
        loss: scalar, when `mask_labels` were given.
        mask_logits: (B, S / 4, S / 4) in float32; above 0 is more likely mask than not.
        iou_scores: (B,) SAM's own guess of the mask's quality, which the published loss does not train.
        image_embeddings: (B, 256, S / 16, S / 16).
    """

    loss: Tensor | None = None
    mask_logits: Tensor | None = None
    iou_scores: Tensor | None = None
    image_embeddings: Tensor | None = None


class _RunningParts(NamedTuple):
    """The modules of one forward pass; `adapter` and `prompt` are None where no sound enters there."""

    decoder: SamMaskDecoder
    no_mask: Tensor
    positions: Tensor
    adapter: AudioAdapter | None = None
    prompt: AudioPrompt | None = None


class SamAV(AdapterHost):
    """Masks of what sounds: a frozen SAM and audio encoder, and one or more named adapters, of which one is active.

    Build it with `from_base` (untrained adapters), `from_pretrained` (published ones) or `from_sama_checkpoint`.
    """

    gradient_checkpointing = False

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
            audio_encoder: an encoder, a file with its weights, or None for the one that `config` names.
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

    # ------------------------------------------------------------------------------------------------------ forward

    def forward(
        self,
        pixel_values: Tensor | None = None,
        audio: Tensor | None = None,
        mask_labels: Tensor | None = None,
        *,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        original_sizes: Tensor | None = None,
    ) -> SamAVOutput:
        """One mask for each frame of the batch: of what sounds, and of what the clicks and boxes say.

        In training mode under `torch.distributed` the loss counts the annotated frames of all processes, which must
        then all run this.

        Args:
            pixel_values: (B, 3, S, S), normalised.
            audio: (B, audio_dim) embeddings, or the audio encoder's input: log-mels (B, 1, 96, 64) for VGGish.
            mask_labels: (B, H, W) of any size; a frame of -1 is unannotated.
            input_points: (B, N, 2) clicks, x and y in pixels of the S x S input.
            input_labels: (B, N), 1 for a click on the object, 0 for one beside it; all 1 when left out.
            input_boxes: (B, 4), left, top, right, bottom in pixels of the S x S input.
            image_embeddings: (B, 256, S / 16, S / 16) instead of `pixel_values`, where no audio enters the encoder.
            original_sizes: not used; with it, `model(**processor(...))` works.
        """
        running = self._running_parts()
        dtype = running.no_mask.dtype

        embedding = self.encode_audio(audio).to(dtype) if self._adapter_enabled else None
        if image_embeddings is None:
            pixels = self._check_pixels(pixel_values)
            _check_batch(len(pixels), audio=embedding)
            offsets = running.adapter(embedding) if running.adapter is not None else None
            image_embeddings = encode_image(
                self.sam.vision_encoder, pixels, offsets, checkpointing=self.gradient_checkpointing and self.training
            )
        else:
            self._check_embeddings(image_embeddings, pixel_values)
        _check_batch(len(image_embeddings), audio=embedding, input_points=input_points, input_boxes=input_boxes)

        if self.base_encoder_only and (input_points is not None or input_boxes is not None):
            raise ValueError(
                "Clicks and boxes need SAM's prompt encoder, which a SAMA-AVS checkpoint lacks: pass the SAM that it "
                "was trained on to from_sama_checkpoint(..., base=...)."
            )
        tokens = encode_prompts(self.sam.prompt_encoder, running.positions, input_points, input_labels, input_boxes)
        if running.prompt is not None:
            heard = running.prompt(embedding)
            tokens = heard if tokens is None else torch.cat([heard, tokens.to(heard.dtype)], dim=2)

        logits, iou = decode_masks(
            running.decoder,
            image_embeddings.to(dtype),
            grid_positions(running.positions, image_embeddings.shape[-1]).to(dtype),
            None if tokens is None else tokens.to(dtype),
            running.no_mask,
        )
        loss = None
        if mask_labels is not None:
            loss = mask_loss(logits, mask_labels, self.config.loss, across_processes=self.training)
        return SamAVOutput(
            loss=loss, mask_logits=logits.float(), iou_scores=iou.float(), image_embeddings=image_embeddings
        )

    def _running_parts(self) -> "_RunningParts":
        """What runs: the active adapter's parts where it has its own and is enabled, else the base's."""
        sam, parts = self.sam, self._parts() if self._adapter_enabled else None
        decoder, no_mask = sam.mask_decoder, sam.prompt_encoder.no_mask_embed.weight
        positions = sam.shared_image_embedding.positional_embedding
        if parts is None:
            return _RunningParts(decoder, no_mask, positions)
        if parts.mask_decoder is not None:
            decoder = parts.mask_decoder
        if parts.no_mask_embed is not None:
            no_mask = parts.no_mask_embed.weight
        if parts.positional_embedding is not None:
            positions = parts.positional_embedding
        return _RunningParts(decoder, no_mask, positions, parts.audio_adapter, parts.audio_prompt)

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Trades time for memory in training: each encoder layer is run again in the backward pass, not kept.

        The argument is transformers' Trainer's; only its `use_reentrant=False` way is offered.
        """
        self.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keeps what the encoder layers compute for the backward pass, as is the default."""
        self.gradient_checkpointing = False

    def encode_audio(self, audio: Tensor | None) -> Tensor:
        """Audio embeddings (B, audio_dim) of the audio encoder's input; embeddings pass through."""
        if audio is None:
            raise ValueError("This adapter needs `audio`: embeddings (B, audio_dim) or the audio encoder's input.")
        if audio.ndim < 2:
            raise ValueError(
                f"`audio` needs a batch axis: embeddings (B, {self.config.audio_dim}), not {tuple(audio.shape)}."
            )
        if audio.ndim == 2:
            if audio.shape[1] != self.config.audio_dim:
                raise ValueError(
                    f"2-D `audio` is taken for embeddings (B, {self.config.audio_dim}), but it has shape "
                    f"{tuple(audio.shape)}. Waveforms go through the processor first."
                )
            return audio
        if self.audio_encoder is None:
            raise ValueError(
                "No audio encoder is loaded: pass embeddings (B, audio_dim), or load one with audio_encoder=..."
            )
        self.audio_encoder.warn_if_random()
        with torch.no_grad():
            weight = next(self.audio_encoder.parameters(), audio)
            return self.audio_encoder(audio.to(weight.dtype))

    def _check_pixels(self, pixel_values: Tensor | None) -> Tensor:
        size = self.config.image_size
        if pixel_values is None:
            raise ValueError("Pass `pixel_values` (B, 3, S, S), as SamAVProcessor makes them.")
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (3, size, size):
            raise ValueError(
                f"pixel_values must be (B, 3, {size}, {size}) for this adapter, not {tuple(pixel_values.shape)}; "
                "SamAVProcessor makes them so."
            )
        if not pixel_values.is_floating_point() or len(pixel_values) == 0:
            raise ValueError(f"pixel_values must be normalised floats, at least one frame, not {pixel_values.dtype}.")
        return pixel_values

    def _check_embeddings(self, image_embeddings: Tensor, pixel_values: Tensor | None) -> None:
        if pixel_values is not None:
            raise ValueError("Pass pixel_values or image_embeddings, not both.")
        if self._adapter_enabled and self.config.adapts_encoder:
            raise ValueError("image_embeddings cannot be passed in: this adapter brings audio into the image encoder.")
        vision = self.sam.config.vision_config
        grid = vision.image_size // vision.patch_size
        if tuple(image_embeddings.shape[1:]) != (vision.output_channels, grid, grid):
            raise ValueError(
                f"image_embeddings must be (B, {vision.output_channels}, {grid}, {grid}), not "
                f"{tuple(image_embeddings.shape)}."
            )

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

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Writes the active adapter into `folder`: config.json, adapter_model.safetensors, README.md, and lora/.

        `dtype` is that of the files, float32 by default. A README.md that is there already is kept.
        """
        self._save(Path(folder).expanduser(), dtype)

    def _save(self, folder: Path, dtype: torch.dtype | None, repo_id: str | None = None) -> None:
        parts, name = self._parts(), self.active_adapter
        save_adapter(folder, parts, self.sam, name, counts=self._counts(), dtype=dtype, repo_id=repo_id)

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
        self._check_publishable()
        api = HfApi(token=token)
        try:
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        except HfHubHTTPError as error:
            raise PermissionError(
                f"The Hub does not let you write to '{repo_id}': log in (`hf auth login`). {error}"
            ) from error
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        card = f"{subfolder}/{CARD_NAME}" if subfolder else CARD_NAME
        with tempfile.TemporaryDirectory() as folder:
            self._save(Path(folder), dtype, repo_id)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                path_in_repo=subfolder,
                revision=revision,
                commit_message=commit_message,
                create_pr=create_pr,
                ignore_patterns=[CARD_NAME] if api.file_exists(repo_id, card, revision=revision) else None,
                delete_patterns=f"{LORA_FOLDER}/*",  # an earlier push's LoRA would be loaded with these weights
            )

    def _check_publishable(self) -> None:
        if self.config.base_model_name_or_path is None:
            raise ValueError(
                "The base has no name that others can resolve, so nobody could use this adapter. Set "
                "model.config.base_model_name_or_path to the Hub id of the base before pushing."
            )
        if self.audio_encoder is not None and self.config.audio_encoder is None:
            raise ValueError(
                "The audio encoder has no name that others can resolve, so nobody could use this adapter: register it "
                "(sam_av.audio.register_audio_encoder) and set its `name` before pushing."
            )


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


def _check_batch(batch: int, **inputs: Tensor | None) -> None:
    for name, tensor in inputs.items():
        if tensor is not None and len(tensor) != batch:
            raise ValueError(f"{name} has a batch of {len(tensor)}, the frames one of {batch}: one each is needed.")
