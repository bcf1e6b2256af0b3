"""What many tests share: golden files, a tiny random SAM, a tiny audio encoder."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import SamConfig, SamModel

from sam_av import SamAV, SamAVConfig
from sam_av.audio import AudioEncoder, register_audio_encoder
from sam_av.audio.vggish import LOG_MEL

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden():
    """Reads a golden file by its name without the ending."""
    return lambda name: load_file(GOLDEN / f"{name}.safetensors")


def make_sam(image_size: int = 64, seed: int = 0, **vision) -> SamModel:
    """A SAM small enough for any test, with weights of a size that lets every part matter."""
    config = SamConfig(
        vision_config={
            "image_size": image_size,
            "patch_size": 8,
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "mlp_dim": 64,
            "window_size": 3,
            "global_attn_indexes": [1, 3],
            "output_channels": 32,
            "num_pos_feats": 16,
            **vision,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": image_size, "patch_size": 8},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32},
    )
    torch.manual_seed(seed)
    sam = SamModel(config).eval()
    for name, weight in sam.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(weight, std=1.0 if "positional_embedding" in name else 0.15)
    return sam


@pytest.fixture
def sam() -> SamModel:
    return make_sam()


class TinyAudioEncoder(AudioEncoder):
    """VGGish's front end and one Linear: the embedding of a log-mel's mean spectrum."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(audio_dim=128, front_end=LOG_MEL, name="tiny")
        self.pretrained = True
        torch.manual_seed(seed)
        self.linear = torch.nn.Linear(64, 128)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, 1, 96, 64) -> (B, 128)."""
        return self.linear(features.mean(dim=(1, 2))).relu()


register_audio_encoder("tiny", lambda source: TinyAudioEncoder(), lambda source: LOG_MEL)


def make_model(seed: int = 0, **settings) -> SamAV:
    """An untrained SamAV on the tiny SAM, with adapters strong enough to be seen."""
    sam = make_sam(seed=seed)
    torch.manual_seed(seed)
    model = SamAV.from_base(sam, SamAVConfig(**settings), audio_encoder=TinyAudioEncoder(), device="cpu")
    for part in (model.adapters["default"].audio_adapter, model.adapters["default"].audio_prompt):
        if part is not None:
            for weight in part.parameters():
                torch.nn.init.normal_(weight, std=0.1)
    return model
