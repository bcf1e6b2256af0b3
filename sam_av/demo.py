"""`sam-av demo`: the whole road on a generated frame and its sound, offline."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import SamConfig, SamModel

from .audio import AudioEncoder
from .audio.vggish import LOG_MEL
from .config import SamAVConfig
from .data import Scenes, SceneSettings
from .hub import write_whole
from .model import SamAV
from .viz import overlay

_SIZE = 256


class _RandomAudioEncoder(AudioEncoder):
    """The mean log-mel spectrum through one random Linear."""

    def __init__(self) -> None:
        super().__init__(audio_dim=128, front_end=LOG_MEL)
        self.linear = torch.nn.Linear(64, 128)
        self.pretrained = True  # random on purpose, and said below

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, 1, 96, 64) -> (B, 128)."""
        return self.linear(features.mean(dim=(1, 2)))


def run_demo(folder: Path) -> str:
    """Runs a tiny random model on a generated scene, writes a picture strip into `folder`, and says what it did."""
    torch.manual_seed(0)
    model = SamAV.from_base(_tiny_sam(), SamAVConfig(), audio_encoder=_RandomAudioEncoder(), device="cpu")
    clip = Scenes(SceneSettings.demo(size=_SIZE), seed=0, length=1, split="test")[0]
    (result,) = model.segment(clip.frames[0], clip.waveform)
    truth = clip.binary_masks()[0]
    strip = np.concatenate(
        [clip.frames[0], overlay(clip.frames[0], truth), overlay(clip.frames[0], result.mask)], axis=1
    )
    write_whole(folder, {"strip.png": lambda path: Image.fromarray(strip).save(path)})
    overlap = (truth & result.mask).sum() / max(1, (truth | result.mask).sum())
    return (
        "A generated frame and its sound went through a tiny SAM with audio adapters, all with RANDOM weights:\n"
        f"the mask means nothing (IoU with the truth {overlap:.2f}), but the road from sound to mask is the real one.\n"
        f"{folder / 'strip.png'}: the frame | the truth | the random mask"
    )


def _tiny_sam() -> SamModel:
    config = SamConfig(
        vision_config={
            "image_size": _SIZE,
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "mlp_dim": 128,
            "window_size": 8,
            "global_attn_indexes": [1, 3],
            "output_channels": 64,
            "num_pos_feats": 32,
            "initializer_range": 0.02,
        },
        prompt_encoder_config={"hidden_size": 64, "image_size": _SIZE},
        mask_decoder_config={"hidden_size": 64, "mlp_dim": 128, "iou_head_hidden_dim": 64},
    )
    return SamModel(config).eval()
