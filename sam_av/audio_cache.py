"""Embeddings of a frozen audio encoder, and a folder that keeps them so that each sound is encoded once."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from .audio import AudioEncoder, frame_windows
from .digest import digest
from .fingerprint import fingerprint
from .hub import write_whole
from .weights import read_tensors


def embed_audio(encoder: AudioEncoder, waveform: np.ndarray, times: np.ndarray, rule: str) -> Tensor:
    """What the frames at `times` (T,) hear of a waveform (n,) at 16 kHz: embeddings (T, audio_dim).

    `rule` is the `audio_window` of an adapter's configuration.
    """
    encoder.warn_if_random()
    features = encoder.front_end(frame_windows(waveform, times, rule, encoder.window_samples))
    weight = next(encoder.parameters(), features)
    with torch.no_grad():
        return encoder(features.to(weight.device, weight.dtype))


class AudioCache:
    """A folder of embeddings, one file for each sound and the moments at which it is heard.

    A file is found by what the embeddings depend on: the encoder's fingerprint and class, the samples of the waveform,
    the times and the window rule. So a file of another encoder, or of a sound that has changed, is never read. Files
    appear whole, so that several processes may share the folder, and it may be deleted at any time.
    """

    def __init__(self, folder: str | Path, encoder: AudioEncoder) -> None:
        weights = fingerprint(encoder)
        if weights is None:
            raise ValueError("This audio encoder has no weights to be known by, so its embeddings cannot be kept.")
        self.encoder = encoder
        kind = type(encoder).__name__
        self.folder = Path(folder).expanduser() / f"{kind}-{digest(kind, weights, encoder.window_samples)}"

    def embed(self, waveform: np.ndarray, times: np.ndarray, rule: str) -> Tensor:
        """As `embed_audio`, of the encoder of this cache."""
        name = f"{digest(waveform.tobytes(), times.astype(np.float64).tobytes(), rule)}.safetensors"
        device = next(self.encoder.parameters()).device
        if (self.folder / name).is_file():
            return read_tensors(self.folder / name)["embeddings"].to(device)
        embeddings = embed_audio(self.encoder, waveform, times, rule)
        kept = {"embeddings": embeddings.cpu().contiguous()}
        write_whole(self.folder, {name: lambda path: save_file(kept, path)})
        return embeddings
