"""What can be evaluated: anything that turns a clip into masks; here a model, elsewhere files and the SAM oracle."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .audio_cache import AudioCache, embed_audio
from .data import Clip
from .digest import digest, digest_tensors

if TYPE_CHECKING:
    from .model import SamAV  # heavy, and not needed to score files


class Predictor(Protocol):
    """Something that turns a clip into the masks of what sounds.

    Attributes:
        name: what reports call it.
        image_size: the side in pixels at which it sees a frame, where that is known.
        training_categories: the categories that it saw in training, where they are known.
    """

    name: str
    image_size: int | None
    training_categories: Sequence[str]

    def identity(self) -> dict[str, Any]:
        """Plain data that differs whenever its predictions could; a run is resumed by the same predictor only."""

    def predict(self, clip: Clip, size: tuple[int, int]) -> Tensor:
        """Logits (T', *size) of the clip's T' annotated frames, or, for the protocol `avss`, their class ids."""


class ModelPredictor:
    """A `SamAV` with its active adapter, which predicts in evaluation mode and is left in it.

    Args:
        model: the model.
        name: what reports call it.
        batch_size: frames that go through the network together; it has no influence on the scores.
        cache: a folder for embeddings of the frozen audio encoder; see `AudioCache`.
    """

    def __init__(
        self, model: "SamAV", *, name: str | None = None, batch_size: int = 4, cache: str | Path | None = None
    ) -> None:
        if model.audio_encoder is None:
            raise ValueError(
                "Evaluation needs the adapter's audio encoder, but none is loaded: pass it as audio_encoder=... when "
                "loading the model."
            )
        self.model = model
        self.batch_size = batch_size
        self.name = name or f"{model.config.method} on {model.config.base_model_name_or_path or 'an unnamed base'}"
        self.image_size = model.config.image_size
        self.training_categories: Sequence[str] = tuple(model.config.card.training_categories)
        self._audio_encoder = model.audio_encoder
        self._cache = None if cache is None else AudioCache(cache, model.audio_encoder)

    def identity(self) -> dict[str, Any]:
        """See `Predictor`."""
        settings = {key: value for key, value in self.model.config.to_dict().items() if key != "card"}
        return {
            "adapter": digest(self.model.active_adapter, settings, digest_tensors(self.model.state_dict())),
            "base": self.model.base_fingerprint,
            "dtype": str(self.model.sam.vision_encoder.patch_embed.projection.weight.dtype),
        }

    @torch.inference_mode()
    def predict(self, clip: Clip, size: tuple[int, int]) -> Tensor:
        """See `Predictor`."""
        self.model.eval()
        chosen = np.flatnonzero(clip.annotated)
        embeddings = self._hear(clip, chosen)
        logits = []
        for start in range(0, len(chosen), self.batch_size):
            some = slice(start, start + self.batch_size)
            # Bytes are moved, and the device makes pixel values of them: a quarter of what those would be.
            frames = torch.from_numpy(clip.frames[chosen[some]]).to(self.model.device).permute(0, 3, 1, 2)
            output = self.model(self.model.processor(list(frames))["pixel_values"], embeddings[some])
            logits.append(self._bring_to(output.mask_logits, clip.frames.shape[1:3], size))
        return torch.cat(logits)

    def _hear(self, clip: Clip, chosen: np.ndarray) -> Tensor:
        """The audio embeddings (T', audio_dim) of the chosen frames."""
        rule = self.model.config.audio_window
        if self._cache is not None:
            return self._cache.embed(clip.waveform, clip.times[chosen], rule)
        return embed_audio(self._audio_encoder, clip.waveform, clip.times[chosen], rule)

    def _bring_to(self, logits: Tensor, frame_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Mask logits (B, S / 4, S / 4) -> (B, *size)."""
        # A squashed picture is brought to the wanted size in one step; of a padded one the padding is first cut off.
        first = size if self.model.config.resize == "squash" else frame_size
        masks = self.model.processor.post_process_masks(logits, [first] * len(logits), binarize=False)
        return F.interpolate(torch.stack(masks)[None], size=size, mode="bilinear", align_corners=False)[0]
