"""VGGish (Hershey et al. 2017, arXiv 1609.09430), the audio encoder of AVSBench and SAMA-AVS."""

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..builtin import builtin_folder
from ..weights import check_tensors, read_tensors
from .encoders import AudioEncoder, AudioFrontEnd, register_audio_encoder
from .log_mel import log_mel_windows

LOG_MEL = AudioFrontEnd(log_mel_windows)

_WIDTHS, _HIDDEN = (64, 128, 256, 512), 4096
_DEMO_WIDTHS, _DEMO_HIDDEN = (8, 16, 32, 64), 128
_FILE = "vggish-10086976.pth"  # torch.hub checks the download against the digits in its name
_URL = f"https://github.com/harritaylor/torchvggish/releases/download/v0.1/{_FILE}"


class VGGish(AudioEncoder):
    """Log-mel examples (B, 1, 96, 64) -> embeddings (B, 128), as they leave the last ReLU (no PCA).

    Parameters have torchvggish's names, so its weights load as they are. A bare `VGGish()` has random weights.

    Args:
        widths: channels of the four stages of convolutions; as published by default.
        hidden: width of the two hidden layers behind them.
    """

    def __init__(self, widths: tuple[int, int, int, int] = _WIDTHS, hidden: int = _HIDDEN) -> None:
        super().__init__(audio_dim=128, front_end=LOG_MEL)
        first, second, third, fourth = widths
        self.features = nn.Sequential(
            *_convolution(1, first), nn.MaxPool2d(2),
            *_convolution(first, second), nn.MaxPool2d(2),
            *_convolution(second, third), *_convolution(third, third), nn.MaxPool2d(2),
            *_convolution(third, fourth), *_convolution(fourth, fourth), nn.MaxPool2d(2),
        )  # fmt: skip
        self.embeddings = nn.Sequential(
            nn.Linear(fourth * 6 * 4, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, self.audio_dim), nn.ReLU(),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """(B, 1, 96, 64) -> (B, 128)."""
        if features.ndim != 4 or tuple(features.shape[1:]) != (1, 96, 64):
            raise ValueError(
                f"VGGish takes log-mel examples (B, 1, 96, 64), not {tuple(features.shape)}; SamAVProcessor and "
                "log_mel_examples make them of a waveform."
            )
        maps = self.features(features)  # (B, 512, 6, 4), or narrower
        # The weights come from TensorFlow, whose channels are last when the maps are flattened.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))

    @classmethod
    def from_pretrained(cls, weights: str | Path | None = None, **sizes: Any) -> Self:
        """VGGish with the weights of a `.pth` or `.safetensors` file, by default the published ones.

        Those come from torch.hub's cache, or are downloaded into it (288 MB). `sizes` are `widths` and `hidden`, where
        the file is of a narrower one.
        """
        with torch.device("meta"):
            encoder = cls(**sizes)
        if weights is None:
            state, encoder.name = _published_weights(), "vggish"
        else:
            state = read_tensors(Path(weights).expanduser())
        check_tensors(state, encoder.state_dict(), f"'{weights or _FILE}'")
        encoder.load_state_dict({key: tensor.float() for key, tensor in state.items()}, assign=True)
        return encoder.eval()


def _load_builtin(source: str | Path | None) -> VGGish:
    """The demo's narrow VGGish by what follows "builtin:" in its name, or from a local copy of its weights."""
    if isinstance(source, Path) or (source and Path(source).suffix):
        return VGGish.from_pretrained(source, widths=_DEMO_WIDTHS, hidden=_DEMO_HIDDEN)
    name = f"builtin:{source or ''}"
    encoder = _load_builtin(builtin_folder(name) / "model.safetensors")
    encoder.name = name
    return encoder


def _convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1), nn.ReLU(inplace=True)]


def _published_weights() -> dict[str, Tensor]:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    if cached.is_file():
        return read_tensors(cached)
    try:
        return torch.hub.load_state_dict_from_url(_URL, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no connection, no such page, no room on the disk; a wrong hash
        raise FileNotFoundError(
            f"The weights of VGGish are not on this machine and could not be downloaded ({error}). Get {_URL} where "
            f"there is a connection and put it at {cached}, or say where it is: "
            f'audio_encoder="/path/to/{_FILE}" (VGGish.from_pretrained("/path/to/{_FILE}")).'
        ) from error


register_audio_encoder("vggish", VGGish.from_pretrained, lambda _source: LOG_MEL)
register_audio_encoder("builtin", _load_builtin, lambda _source: LOG_MEL)
