"""The ablation that hears nothing: importing this gives configs the audio encoder "silenced"."""

import torch
from torch import Tensor, nn

from sam_av.audio import AudioEncoder, register_audio_encoder
from sam_av.audio.vggish import LOG_MEL


class SilencedEncoder(AudioEncoder):
    """Takes what VGGish takes and gives zeros, whatever is heard: log-mels (B, 1, 96, 64) -> (B, 128)."""

    def __init__(self) -> None:
        super().__init__(audio_dim=128, front_end=LOG_MEL, name="silenced")
        # Zeros as weights, not as a constant: an adapter and a cache of embeddings know an encoder by its weights.
        self.mute = nn.Parameter(torch.zeros(64, self.audio_dim))
        self.pretrained = True

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(1, 2)) @ self.mute


register_audio_encoder("silenced", lambda _source: SilencedEncoder(), lambda _source: LOG_MEL)
