"""Augmentation of training clips: mirrored and recoloured frames, noise and masked stretches in the sound."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torchaudio.functional as audio_functional
from torch import Tensor
from torchvision.transforms.v2 import functional as vision_functional


@dataclass(frozen=True)
class Augmentation:
    """What is done at random to a clip each time it comes up; by default nothing, as published.

    Attributes:
        flip: probability that the frames and their masks are mirrored.
        colour: how far brightness, contrast and saturation stray from 1; 0.4 is strong.
        spec_mask: share of the time and of the bands of a spectrogram that SpecAugment blanks out, at most.
        noise_snr: white noise this many decibels below the sound, or up to 20 dB fainter; 0 is as loud as the sound.
    """

    flip: float = 0.0
    colour: float = 0.0
    spec_mask: float = 0.0
    noise_snr: float | None = None

    def __post_init__(self) -> None:
        for name, highest in (("flip", 1.0), ("colour", 1.0), ("spec_mask", 1.0)):
            if not 0 <= getattr(self, name) <= highest:
                raise ValueError(f"augmentation: {name} lies between 0 and {highest:g}, not {getattr(self, name)}.")

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> "Augmentation":
        """From the names in a recipe."""
        known = [f.name for f in fields(cls)]
        if unknown := [name for name in settings if name not in known]:
            raise ValueError(f"augmentation has no '{unknown[0]}': choose among {', '.join(known)}.")
        return cls(**settings)

    @property
    def changes_pictures(self) -> bool:
        """Whether what the image encoder gives for a frame may not be kept."""
        return self.flip > 0 or self.colour > 0

    @property
    def changes_sound(self) -> bool:
        """Whether what the audio encoder gives for a sound may not be kept."""
        return self.spec_mask > 0 or self.noise_snr is not None

    # All below draw from torch's global generator, which the caller seeds.

    def pictures(self, frames: np.ndarray, masks: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Frames (T, H, W, 3) uint8 and masks (T, H, W), all of a clip alike."""
        if self.flip and torch.rand(()) < self.flip:
            frames = frames[:, :, ::-1]
            masks = None if masks is None else masks[:, :, ::-1]
        if self.colour:
            pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
            for adjust in (
                vision_functional.adjust_brightness,
                vision_functional.adjust_contrast,
                vision_functional.adjust_saturation,
            ):
                pixels = adjust(pixels, 1 + self.colour * (2 * torch.rand(()).item() - 1))
            frames = pixels.permute(0, 2, 3, 1).numpy()
        return frames, masks

    def waveform(self, sound: np.ndarray) -> np.ndarray:
        """A waveform (n,) float32; silence stays silent."""
        if self.noise_snr is None or not sound.any():
            return sound
        snr = torch.tensor(self.noise_snr + 20 * torch.rand(()).item())
        return audio_functional.add_noise(torch.from_numpy(sound), torch.randn(len(sound)), snr).numpy()

    def spectrogram(self, features: Tensor) -> Tensor:
        """Spectrograms (B, ..., time, bands), each blanked out at a place of its own with its mean."""
        if not self.spec_mask:
            return features
        blanked = []
        for spectrogram in features:
            for axis in (spectrogram.ndim - 2, spectrogram.ndim - 1):
                widest = int(self.spec_mask * spectrogram.shape[axis])
                spectrogram = audio_functional.mask_along_axis(spectrogram, widest, spectrogram.mean().item(), axis)
            blanked.append(spectrogram)
        return torch.stack(blanked)
