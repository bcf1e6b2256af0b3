"""SamAVProcessor: pictures and sound to the tensors that SamAV takes, and its masks back to the pictures' sizes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import BatchFeature

from .audio import AudioFrontEnd, frame_windows, load_front_end, to_mono_16k
from .audio.log_mel import SAMPLING_RATE
from .config import SamAVConfig
from .hub import write_whole
from .storage import CONFIG_NAME, fetch_adapter, read_config, refuse_foreign_config

Picture = Image.Image | np.ndarray | Tensor


class SamAVProcessor:
    """Makes a model's inputs as its adapter was trained on them.

    A picture is squashed to the square input, or, with `resize="pad"`, scaled by its longest side and padded with zeros
    to the right and below, as SAM does. Each picture goes with 0.96 s of sound, by the rule `audio_window`:

    - "example": the VGGish example number floor(t / 0.96), so that frame k of an AVSBench clip hears its k-th example;
    - "centered": the window around t;
    - "causal": the window that ends at t.
    """

    def __init__(self, config: SamAVConfig, front_end: AudioFrontEnd | None = None) -> None:
        if config.image_size is None:
            raise ValueError(
                "The configuration has no image_size yet: take the processor of a model (model.processor)."
            )
        self.config = config
        self.image_size = config.image_size
        self.front_end = front_end

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, subfolder: str | None = None, **download: Any) -> Self:
        """The processor of a published adapter; `download`: `revision`, `token`, `cache_dir`, `local_files_only`."""
        config = read_config(fetch_adapter(name_or_path, subfolder=subfolder, **download))
        return cls(config, load_front_end(config.audio_encoder) if config.audio_encoder is not None else None)

    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Writes config.json, which is the adapter's own: a processor is made from nothing else."""
        refuse_foreign_config(Path(folder))
        text = self.config.to_json_string()
        write_whole(Path(folder), {CONFIG_NAME: lambda path: path.write_text(text, encoding="utf-8")})

    # ------------------------------------------------------------------------------------------------ to the model

    def __call__(
        self,
        images: Picture | Sequence[Picture] | None = None,
        audio: Any = None,
        sampling_rate: int | None = None,
        *,
        times: Sequence[float] | None = None,
        masks: Any = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """One row for each picture.

        Args:
            images: one picture or several: PIL, arrays (H, W, 3), or tensors (3, H, W); uint8, or floats in 0..1.
                Tensors are processed on the device that they are on.
            audio: one waveform, (n,) or (channels, n), that all pictures share as the frames of one clip, or a list
                with one for each picture.
            sampling_rate: of `audio`, in Hz.
            times: when each picture is, in seconds. Left out, the frames of one clip are one second apart, and a single
                picture is the moment that its sound is about: its start for "example", its middle for "centered", its
                end for "causal".
            masks: (H, W) for each picture, positive on what sounds, or None (or -1 all over) for a picture without
                annotation; they come back as `mask_labels` (B, S, S).
            input_points: (B, N, 2) clicks, x and y in pixels of the pictures.
            input_labels: (B, N), 1 for a click on the object, 0 for one beside it; all 1 when left out.
            input_boxes: (B, 4), left, top, right, bottom in pixels of the pictures.
            return_tensors: "pt", or "np".

        Returns:
            `pixel_values` (B, 3, S, S), `original_sizes` (B, 2), `audio` as the audio encoder takes it, and what else
            was passed in.
        """
        if return_tensors not in ("pt", "np"):
            raise ValueError(f"return_tensors is 'pt' or 'np', not {return_tensors!r}.")
        data: dict[str, Tensor] = {}
        sizes: list[tuple[int, int]] = []
        if images is not None:
            pictures = [_to_channels_first(image) for image in _as_list(images)]
            if not pictures:
                raise ValueError("There is no picture: `images` is empty.")
            sizes = [(picture.shape[1], picture.shape[2]) for picture in pictures]
            data["pixel_values"] = torch.stack([self._to_pixel_values(picture) for picture in pictures])
            data["original_sizes"] = torch.tensor(sizes)
        if audio is not None:
            data["audio"] = self._hear(audio, sampling_rate, times, len(sizes) or None)
        if masks is not None:
            data["mask_labels"] = self._to_mask_labels(_as_list(masks, ndim=2), sizes)
        for name, coordinates in (("input_points", input_points), ("input_boxes", input_boxes)):
            if coordinates is not None:
                data[name] = self._to_input_frame(torch.as_tensor(coordinates, dtype=torch.float32), sizes)
        if input_labels is not None:
            data["input_labels"] = torch.as_tensor(input_labels)
            if not bool(torch.isin(data["input_labels"], torch.tensor([0, 1])).all()):
                raise ValueError(f"A click's label is 1 on the object or 0 beside it, not {input_labels}.")
        return BatchFeature(
            {key: value.numpy(force=True) for key, value in data.items()} if return_tensors == "np" else dict(data)
        )

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """The height and width that a picture has inside of the square input."""
        if self.config.resize == "squash":
            return self.image_size, self.image_size
        scale = self.image_size / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def _to_pixel_values(self, picture: Tensor) -> Tensor:
        """(3, H, W), uint8 or floats in 0..1 -> (3, S, S)."""
        size = self.scaled_size(picture.shape[1], picture.shape[2])
        if size != tuple(picture.shape[1:]):
            picture = _resized(picture, size)
        unit = picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
        mean, std = unit.new_tensor(self.config.image_mean), unit.new_tensor(self.config.image_std)
        return self._pad((unit - mean[:, None, None]) / std[:, None, None])

    def _to_mask_labels(self, masks: list[Any], sizes: list[tuple[int, int]]) -> Tensor:
        """(H, W) each, or None for a frame without annotation -> (B, S, S) int8, -1 where there is none."""
        if sizes and len(masks) != len(sizes):
            raise ValueError(
                f"There must be one mask for each picture, None without one: {len(masks)} for {len(sizes)}."
            )
        labels = torch.full((len(masks), self.image_size, self.image_size), -1, dtype=torch.int8)
        for row, mask in enumerate(masks):
            if mask is None:
                continue
            array = torch.from_numpy(np.array(mask.cpu() if isinstance(mask, Tensor) else mask))
            if array.ndim != 2 or (sizes and tuple(array.shape) != sizes[row]):
                wanted = sizes[row] if sizes else "(H, W)"
                raise ValueError(f"A mask must have its picture's size, {wanted}; this one is {tuple(array.shape)}.")
            if not bool((array == -1).all()):
                size = self.scaled_size(*array.shape)
                scaled = F.interpolate((array > 0)[None, None].to(torch.uint8), size=size, mode="nearest-exact")
                labels[row] = self._pad(scaled[0, 0])
        return labels

    def _pad(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[-2:]
        return F.pad(picture, (0, self.image_size - width, 0, self.image_size - height))

    def _to_input_frame(self, coordinates: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Points (B, N, 2) or boxes (B, 4) in pixels of the pictures -> in pixels of the square input."""
        if len(sizes) != len(coordinates):
            raise ValueError(
                f"Clicks and boxes need their pictures: {len(coordinates)} rows for {len(sizes)} pictures."
            )
        scaled = coordinates.clone().unflatten(-1, (-1, 2))
        for row, (height, width) in zip(scaled, sizes, strict=True):
            new_height, new_width = self.scaled_size(height, width)
            row *= torch.tensor([new_width / width, new_height / height])
        return scaled.flatten(-2)

    def _hear(
        self, audio: Any, sampling_rate: int | None, times: Sequence[float] | None, pictures: int | None
    ) -> Tensor:
        """The audio encoder's input, a row for each picture."""
        if self.front_end is None:
            raise ValueError("This adapter names no audio encoder: pass its embeddings to the model, not waveforms.")
        if sampling_rate is None:
            raise ValueError("Say at which rate the audio was recorded: sampling_rate=16000, 44100, ...")
        shared = not isinstance(audio, (list, tuple))
        if shared and pictures not in (None, 1) and np.ndim(audio) == 2 and len(audio) == pictures:
            raise ValueError(
                f"An array of {pictures} rows for {pictures} pictures may be channels or waveforms: pass a list of "
                "waveforms, or one waveform (n,)."
            )
        waveforms = [to_mono_16k(wave, sampling_rate) for wave in ([audio] if shared else audio)]
        rows = pictures or (len(times) if times is not None else len(waveforms))
        if times is None:
            alone = rows == 1 or not shared
            moments = [self.moment_of(wave) for wave in waveforms] if alone else [float(k) for k in range(rows)]
        else:
            moments = [float(time) for time in times]
        if len(moments) != rows or (not shared and len(waveforms) != rows):
            raise ValueError(
                f"{rows} pictures, {len(waveforms)} waveforms and {len(moments)} times do not go together: pass one "
                "waveform for all pictures or one for each, and one time for each."
            )
        longest = max(len(wave) for wave in waveforms) / SAMPLING_RATE
        if min(moments) > longest:
            raise ValueError(
                f"All pictures lie beyond the sound, which lasts {longest:.2f} s; the first is at {min(moments):.2f} s."
                " Times are in seconds."
            )
        window = self.front_end.window_samples
        if shared:
            windows = frame_windows(
                waveforms[0], torch.tensor(moments, dtype=torch.float64), self.config.audio_window, window
            )
        else:
            windows = torch.cat(
                [
                    frame_windows(wave, torch.tensor([moment], dtype=torch.float64), self.config.audio_window, window)
                    for wave, moment in zip(waveforms, moments, strict=True)
                ]
            )
        return self.front_end(windows)

    def moment_of(self, waveform: Tensor) -> float:
        """The moment of the sound (n,) at 16 kHz, in seconds, that a picture without a time is taken to be of."""
        seconds = len(waveform) / SAMPLING_RATE
        return {"example": 0.0, "centered": seconds / 2, "causal": seconds}[self.config.audio_window]

    # --------------------------------------------------------------------------------------------- from the model

    def post_process_masks(
        self,
        mask_logits: Tensor,
        original_sizes: Any,
        *,
        threshold: float | None = None,
        binarize: bool = True,
    ) -> list[Tensor]:
        """Mask logits (B, h, w) -> for each picture a mask (H, W) of its own size.

        Bool where the probability is above `threshold` (the adapter's own by default), or logits with `binarize=False`.
        """
        limit = _logit(self.config.threshold if threshold is None else threshold)
        masks = []
        for logits, (height, width) in zip(mask_logits, torch.as_tensor(original_sizes).tolist(), strict=True):
            full = logits[None, None].float()
            if self.config.resize == "pad":
                inner_height, inner_width = self.scaled_size(height, width)
                full = _upsample(full, (self.image_size, self.image_size))[..., :inner_height, :inner_width]
            full = _upsample(full, (height, width))[0, 0]
            masks.append(full > limit if binarize else full)
        return masks


def _logit(threshold: float) -> float:
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is a probability between 0 and 1, not {threshold}.")
    return torch.tensor(threshold).logit().item()


def _resized(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture (3, H, W) in another size, on its own device; bytes stay bytes, the same anywhere but for roundings."""
    if picture.dtype == torch.uint8 and picture.device.type != "cpu":  # whole numbers are resized on the CPU only
        return _resized(picture.float(), size).round().to(torch.uint8)
    return F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]


def _upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _as_list(items: Any, ndim: int = 3) -> list[Any]:
    """One picture (of `ndim` axes) or several, as a list."""
    if isinstance(items, Image.Image) or (hasattr(items, "ndim") and items.ndim == ndim):
        return [items]
    return list(items)


def _to_channels_first(image: Picture) -> Tensor:
    """A picture in any form -> (3, H, W), uint8 or floats in 0..1."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"A picture as an array must be (H, W, 3); this one is {image.shape}.")
        # A view with the channels last in memory: torch resizes it without a copy, and three times as fast.
        picture = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)
    elif isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"A picture as a tensor must be (3, H, W); this one is {tuple(image.shape)}.")
        picture = image
    else:
        raise TypeError(f"A picture is a PIL image, an array or a tensor, not {type(image).__name__}.")
    if picture.numel() == 0:
        raise ValueError(f"The picture is empty: {picture.shape[1]} x {picture.shape[2]} pixels.")
    if picture.dtype == torch.uint8:
        return picture
    if not picture.is_floating_point():
        raise ValueError(f"A picture must be uint8, or floats in 0..1; this one is {picture.dtype}.")
    if not bool(torch.isfinite(picture).all()):
        raise ValueError("The picture holds NaN or infinite values.")
    low, high = picture.min().item(), picture.max().item()
    if low < 0 or high > 1:
        raise ValueError(f"A picture of floats must lie in 0..1; this one runs from {low:.3g} to {high:.3g}.")
    return picture.float()
