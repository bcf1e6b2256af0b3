"""The vanilla SAM oracle: of SAM's automatic masks, the one that is most like the truth. It hears nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn
from transformers import SamModel

from .data import Clip
from .fingerprint import fingerprint
from .predictions import to_logits
from .sam import load_base, to_segment_anything


class SamOracle:
    """An upper bound for class-agnostic SAM: for each frame the automatic mask with the highest IoU with the truth.

    Where the truth is empty no mask has any overlap with it, and none is chosen.

    Args:
        base: as in `SamAV.from_base`.
        device: where SAM runs.
        **options: of `segment_anything.SamAutomaticMaskGenerator`, whose defaults are SAM's own.
    """

    training_categories: Sequence[str] = ()

    def __init__(self, base: str | Path | nn.Module, *, device: str | torch.device = "cpu", **options: Any) -> None:
        loaded = load_base(base)
        self.name = f"SAM oracle on {loaded.name or 'the given base'}"
        self.image_size: int | None = loaded.sam.config.vision_config.image_size
        self._identity = {"base": fingerprint(loaded.sam.vision_encoder), "mask generator": options}
        self._generator = SamAutomaticMaskGenerator(build_segment_anything(loaded.sam).to(device), **options)

    def identity(self) -> dict[str, Any]:
        """See `Predictor`."""
        return self._identity

    def predict(self, clip: Clip, size: tuple[int, int]) -> Tensor:
        """See `Predictor`."""
        truths = clip.binary_masks()
        chosen = [self._most_alike(clip.frames[k], truths[k]) for k in np.flatnonzero(clip.annotated)]
        return to_logits(torch.from_numpy(np.stack(chosen)).float(), size)

    def _most_alike(self, frame: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The automatic mask (H, W) of the frame that is most like the truth (H, W), or an empty one."""
        best, best_iou = np.zeros_like(truth), 0.0
        for record in self._generator.generate(frame):
            mask = record["segmentation"]
            iou = (mask & truth).sum() / (mask | truth).sum()
            if iou > best_iou:
                best, best_iou = mask, iou
        return best


def build_segment_anything(sam: SamModel) -> Sam:
    """A live `segment_anything.Sam` with the sizes and weights of `sam`."""
    vision, prompt, decoder = sam.config.vision_config, sam.config.prompt_encoder_config, sam.config.mask_decoder_config
    grid = vision.image_size // vision.patch_size
    model = Sam(
        image_encoder=ImageEncoderViT(
            img_size=vision.image_size,
            patch_size=vision.patch_size,
            embed_dim=vision.hidden_size,
            depth=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            mlp_ratio=vision.mlp_dim / vision.hidden_size,
            out_chans=vision.output_channels,
            qkv_bias=vision.qkv_bias,
            norm_layer=lambda width: nn.LayerNorm(width, eps=vision.layer_norm_eps),
            use_abs_pos=vision.use_abs_pos,
            use_rel_pos=vision.use_rel_pos,
            window_size=vision.window_size,
            global_attn_indexes=tuple(vision.global_attn_indexes),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=prompt.hidden_size,
            image_embedding_size=(grid, grid),
            input_image_size=(vision.image_size, vision.image_size),
            mask_in_chans=prompt.mask_input_channels,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=decoder.hidden_size,
            transformer=TwoWayTransformer(
                depth=decoder.num_hidden_layers,
                embedding_dim=decoder.hidden_size,
                num_heads=decoder.num_attention_heads,
                mlp_dim=decoder.mlp_dim,
                attention_downsample_rate=decoder.attention_downsample_rate,
            ),
            num_multimask_outputs=decoder.num_multimask_outputs,
            iou_head_depth=decoder.iou_head_depth,
            iou_head_hidden_dim=decoder.iou_head_hidden_dim,
        ),
    )
    model.load_state_dict(to_segment_anything(sam))
    return model.eval()
