"""What a model found in a visitor's video or picture, kept so that the threshold moves without running it again."""

import json
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..audio.decode import stream_channels
from ..data.media import read_picture
from ..data.video import VideoReader
from ..data.video_writer import VideoWriter
from ..predict import EMPTY_SHARE, FrameMask, is_picture_file
from .limits import Limits
from .looks import dimmed, fit

if TYPE_CHECKING:
    from ..model import SamAV

_MAP_SIDE = 256  # of a kept probability map: SAM's own masks have no more
_FACTS, _MAPS = "run.json", "probabilities.npy"


@dataclass(frozen=True)
class Run:
    """The probabilities that a model gave for the frames of one source, in a folder that no visitor reaches.

    Attributes:
        folder: the folder, as `record` left it; what is drawn is written there, too.
    """

    folder: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What `record` wrote: source, sound, times, size, threshold."""
        return json.loads((self.folder / _FACTS).read_text(encoding="utf-8"))

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(T, h, w) uint8, 255 for a probability of 1; on the disk."""
        return np.load(self.folder / _MAPS, mmap_mode="r")

    @property
    def source(self) -> Path:
        """The video or picture."""
        return self.folder / self.facts["source"]

    @property
    def times(self) -> list[float]:
        """Of the frames that the model ran on, in seconds."""
        return self.facts["times"]

    @property
    def threshold(self) -> float:
        """The adapter's own."""
        return self.facts["threshold"]

    @property
    def is_video(self) -> bool:
        """Whether the source is a video."""
        return not is_picture_file(self.source)

    def nearest(self, time: float) -> int:
        """The number of the frame nearest to a time."""
        return int(np.abs(np.array(self.times) - time).argmin())

    def draw(self, number: int, threshold: float) -> np.ndarray:
        """A frame with its mask, (H, W, 3) uint8."""
        picture = read_picture(self.folder / _picture_name(number))
        return dimmed(picture, self._mask(number, threshold, picture.shape[:2]))

    def measure(self, number: int, threshold: float) -> tuple[float, float]:
        """The share of a frame that its mask covers, and its score: mean probability inside, 0 where it is empty."""
        map = self.probabilities[number]
        inside = map[map > 255 * threshold]
        score = float(inside.mean()) / 255 if inside.size >= EMPTY_SHARE * map.size else 0.0
        return inside.size / map.size, score

    def write_video(self, threshold: float) -> Path:
        """The video with its masks and the sound that was heard; each mask stays until the next one."""
        path = self._named("masks.mp4")
        with (
            VideoReader(self.source) as video,
            VideoWriter(
                path,
                video.rate or 25,
                stream_channels(self.folder / self.facts["sound"]),
                pixel_aspect=video.pixel_aspect,
            ) as written,
        ):
            for time, frame in video.frames():
                picture = fit(frame)
                number = max(int(np.searchsorted(self.times, time + 1e-6)) - 1, 0)
                mask = self._mask(number, threshold, picture.shape[:2])
                written.write(dimmed(picture, mask), time)
        return path

    def write_picture(self, threshold: float) -> Path:
        """The picture with its mask."""
        path = self._named("mask-on-picture.png")
        Image.fromarray(self.draw(0, threshold)).save(path)
        return path

    def write_masks(self, threshold: float) -> Path:
        """A zip of PNGs, a mask for each frame that the model ran on, in the source's own size."""
        path = self._named("masks.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for number, time in enumerate(self.times):
                mask = Image.fromarray(self._mask(number, threshold, self.facts["size"]))
                with archive.open(f"{number:05d}-{time:.3f}s.png", "w") as file:
                    mask.save(file, "PNG")
        return path

    def forget(self) -> None:
        """Deletes all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _mask(self, number: int, threshold: float, size: tuple[int, int]) -> np.ndarray:
        """(H, W) bool."""
        map = torch.from_numpy(np.array(self.probabilities[number]))[None, None].float()
        full = F.interpolate(map, size=size, mode="bilinear", align_corners=False)[0, 0]
        return (full > 255 * threshold).numpy()

    def _named(self, name: str) -> Path:
        """A path in a new folder: what a visitor downloads has a plain name, and nothing that is read is replaced."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / name


def record(
    model: "SamAV", source: Path, sound: Path | None, folder: Path, limits: Limits, *, rate: float
) -> Iterator[FrameMask]:
    """Runs a model on a video or a picture, and gives each mask as it comes; at the end `Run(folder)` has them all.

    Whoever stops asking, or meets an error, leaves no folder behind.

    Args:
        model: the model.
        source: the video or picture.
        sound: its sound; None for the video's own.
        folder: is made, and holds copies of both, since uploads may be cleared away meanwhile.
        limits: what may be asked for; files are held against them before FFmpeg reads on.
        rate: masks a second of a video.
    """
    is_video = not is_picture_file(source)
    if is_video:
        limits.check_masks(limits.check_video(source), rate)
    else:
        limits.check_picture(source)
    if sound is not None:
        limits.check_sound(sound)
    folder.mkdir(parents=True)
    try:
        source, sound = _keep(source, folder, "source"), None if sound is None else _keep(sound, folder, "sound")
        times: list[float] = []
        maps: list[np.ndarray] = []
        size: tuple[int, ...] = ()
        for found in model.segment(source, sound, mask_fps=rate if is_video else None):
            limits.check_length(source, found.time)
            if found.carried:
                continue
            limits.check_masks(len(times) / rate, rate)
            size = found.mask.shape
            Image.fromarray(fit(found.picture)).save(folder / _picture_name(len(times)), quality=90)
            times.append(found.time)
            maps.append(_shrink(torch.from_numpy(found.logits)))
            yield found
        np.save(folder / _MAPS, np.stack(maps))
        facts = {
            "source": source.name,
            "sound": (sound or source).name,
            "times": times,
            "size": size,
            "threshold": model.config.threshold,
        }
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _picture_name(number: int) -> str:
    return f"{number:05d}.jpg"


def _keep(path: Path, folder: Path, name: str) -> Path:
    kept = folder / f"{name}{path.suffix.lower()}"
    shutil.copyfile(path, kept)
    return kept


def _shrink(logits: Tensor) -> np.ndarray:
    """Logits (H, W) -> probabilities (h, w) uint8."""
    scale = min(1.0, _MAP_SIDE / max(logits.shape))
    size = tuple(max(1, round(side * scale)) for side in logits.shape)
    small = F.interpolate(logits[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return (255 * small.sigmoid()).round().to(torch.uint8).numpy()
