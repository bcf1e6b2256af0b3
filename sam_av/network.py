"""The forward pass: frames and their sound through the frozen networks and the active adapter, to masks and loss."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.models.sam.modeling_sam import SamMaskDecoder
from transformers.utils import ModelOutput

from .adapter import AudioAdapter
from .host import AdapterHost
from .losses import mask_loss
from .prompt import AudioPrompt
from .sam import begin_encoding, decode_masks, encode_prompts, finish_encoding, grid_positions


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


class AudioVisualNetwork(AdapterHost):
    """An `AdapterHost` that runs: frames and sound in, masks out."""

    activation_checkpointing = False

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
        image_tokens: Tensor | None = None,
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
            image_tokens: (B, S / 16, S / 16, C) instead of `pixel_values`, where audio enters the encoder behind its
                first layers: what `encode_frozen` gave with the same `adapter_layers`.
            original_sizes: not used; with it, `model(**processor(...))` works.
        """
        running = self._running_parts()
        dtype = running.no_mask.dtype

        embedding = self.encode_audio(audio).to(dtype) if self._adapter_enabled else None
        frames = self._check_frames(pixel_values, image_tokens, image_embeddings)
        _check_batch(len(frames), audio=embedding, input_points=input_points, input_boxes=input_boxes)
        if image_embeddings is None:
            image_embeddings = finish_encoding(
                self.sam.vision_encoder,
                self._begin_encoding(frames) if image_tokens is None else frames,
                self.frozen_layers,
                running.adapter(embedding) if running.adapter is not None else None,
                checkpointing=self.activation_checkpointing and self.training,
            )

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

    def activation_checkpointing_enable(self, **_: Any) -> None:
        """Trades time for memory in training: encoder layers are run again in the backward pass, and keep less for it.

        transformers' Trainer passes options of its own, of which none is offered.
        """
        self.activation_checkpointing = True

    def activation_checkpointing_disable(self) -> None:
        """Keeps what the encoder layers compute for the backward pass, as is the default."""
        self.activation_checkpointing = False

    # The names that older releases of transformers' Trainer call.
    gradient_checkpointing_enable = activation_checkpointing_enable
    gradient_checkpointing_disable = activation_checkpointing_disable

    @property
    def frozen_layers(self) -> int:
        """How many of the image encoder's first layers stay as they are, whatever is heard and trained.

        All of them where sound enters the mask decoder only, and none where something trains in the encoder (LoRA).
        """
        encoder = self.sam.vision_encoder
        if any(weight.requires_grad for weight in encoder.parameters()):
            return 0
        if self._adapter_enabled and self.config.adapts_encoder:
            return self.config.layer_indices(len(encoder.layers))[0]
        return len(encoder.layers)

    def encode_frozen(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """What of the pixels' (B, 3, S, S) way stays as it is while the active adapter trains, for `forward` to take.

        That is `image_embeddings` (B, 256, S / 16, S / 16) where all layers of the encoder are frozen, `image_tokens`
        (B, S / 16, S / 16, C) where the first ones are, and nothing where none is.
        """
        pixels, layers = self._check_pixels(pixel_values), self.frozen_layers
        if layers == 0:
            return {}
        with torch.no_grad():
            tokens = self._begin_encoding(pixels)
            if layers < len(self.sam.vision_encoder.layers):
                return {"image_tokens": tokens}
            return {"image_embeddings": finish_encoding(self.sam.vision_encoder, tokens, layers)}

    def _begin_encoding(self, pixels: Tensor) -> Tensor:
        """The tokens (B, S / 16, S / 16, C) that leave the frozen layers.

        These run as they do without training, lean in memory, unless somebody asks for the gradient of the pixels.
        """
        layers = self.frozen_layers
        with torch.set_grad_enabled(torch.is_grad_enabled() and (layers == 0 or pixels.requires_grad)):
            return begin_encoding(self.sam.vision_encoder, pixels, layers)

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

    def _check_frames(
        self, pixel_values: Tensor | None, image_tokens: Tensor | None, image_embeddings: Tensor | None
    ) -> Tensor:
        """The one form in which the frames are given, once it is sure that it fits the active adapter."""
        given = {
            "pixel_values": pixel_values,
            "image_tokens": image_tokens,
            "image_embeddings": image_embeddings,
        }
        if len(names := [name for name, tensor in given.items() if tensor is not None]) > 1:
            raise ValueError(f"Pass {' or '.join(names)}, not both.")
        if image_embeddings is not None:
            return self._check_embeddings(image_embeddings)
        return self._check_pixels(pixel_values) if image_tokens is None else self._check_tokens(image_tokens)

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

    def _check_tokens(self, image_tokens: Tensor) -> Tensor:
        if not 0 < self.frozen_layers < len(self.sam.vision_encoder.layers):
            raise ValueError(
                "image_tokens cannot be passed in: they are for adapters whose sound enters the image encoder behind "
                "its first layers, and into which no LoRA goes. `encode_frozen` gives what this adapter takes."
            )
        vision = self.sam.config.vision_config
        grid = vision.image_size // vision.patch_size
        if tuple(image_tokens.shape[1:]) != (grid, grid, vision.hidden_size):
            raise ValueError(
                f"image_tokens must be (B, {grid}, {grid}, {vision.hidden_size}), not {tuple(image_tokens.shape)}."
            )
        return image_tokens

    def _check_embeddings(self, image_embeddings: Tensor) -> Tensor:
        if self._adapter_enabled and self.config.adapts_encoder:
            raise ValueError("image_embeddings cannot be passed in: this adapter brings audio into the image encoder.")
        vision = self.sam.config.vision_config
        grid = vision.image_size // vision.patch_size
        if tuple(image_embeddings.shape[1:]) != (vision.output_channels, grid, grid):
            raise ValueError(
                f"image_embeddings must be (B, {vision.output_channels}, {grid}, {grid}), not "
                f"{tuple(image_embeddings.shape)}."
            )
        return image_embeddings


def _check_batch(batch: int, **inputs: Tensor | None) -> None:
    for name, tensor in inputs.items():
        if tensor is not None and len(tensor) != batch:
            raise ValueError(f"{name} has a batch of {len(tensor)}, the frames one of {batch}: one each is needed.")
