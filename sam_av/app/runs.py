"""What a model found in a visitor's video or picture, kept so that the threshold moves without running it again."""

import json
import secrets
import shutil
import tempfile
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

from ..audio import stream_audio, stream_channels
from ..data.video import VideoReader
from ..data.video_writer import VideoWriter
from ..film.outputs import MaskRows, PictureFiles
from ..film.timeline import Timeline
from ..predict import FrameMask, frame_mask, is_picture_file
from .limits import Limits
from .looks import dimmed, fit

if TYPE_CHECKING:
    from ..model import SamAV

_MAP_SIDE = 256  # of a kept probability map: SAM's own masks have no more along either side
_FAINTEST = 0.5 / 255  # probability that 8 bits do not tell from 0, nor its complement from 1
_USUAL_RATE = 25  # frames a second of a video that does not say
_CLOSE = 1e-6  # seconds
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
        """What `record` wrote: source, sound, times, scores, size, threshold."""
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

    def surest(self) -> float:
        """The time of the frame whose mask has the highest score."""
        scores = self.facts["scores"]
        return self.times[scores.index(max(scores))]

    def nearest(self, time: float) -> int:
        """The number of the frame nearest to a time."""
        return int(np.abs(np.array(self.times) - time).argmin())

    def frame(self, number: int, threshold: float, size: tuple[int, int] | None = None) -> FrameMask:
        """A frame that the model ran on with its mask, at a size (H, W), or at the one at which the page shows it."""
        with Image.open(self.folder / _picture_name(number)) as picture:
            height, width = size or (picture.height, picture.width)
            pixels = np.asarray(picture.resize((width, height)))
        return frame_mask(self.times[number], pixels, self._logits(number, (height, width)), threshold)

    def write_timeline(self, threshold: float) -> Path:
        """The sheet of frames, sound, mask area and score over time."""
        path = self._named("timeline.png")
        with Timeline(path, "What sounds over time", stream_audio(self.folder / self.facts["sound"])) as timeline:
            for number in range(len(self.times)):
                timeline.write(self.frame(number, threshold))
        return path

    def write_video(self, threshold: float) -> Path:
        """The video with its masks and the sound that was heard; each mask stays until the next one."""
        path, sound = self._named("masks.mp4"), stream_channels(self.folder / self.facts["sound"])
        with (
            VideoReader(self.source) as video,
            VideoWriter(path, video.rate or _USUAL_RATE, sound, pixel_aspect=video.pixel_aspect) as written,
        ):
            shown, mask = -1, np.zeros(0, bool)
            for time, frame in video.frames():
                picture = fit(frame)
                number = max(int(np.searchsorted(self.times, time + _CLOSE)) - 1, 0)
                if number != shown:
                    logits = self._logits(number, picture.shape[:2])
                    shown, mask = number, frame_mask(time, picture, logits, threshold).mask
                written.write(dimmed(picture, mask), time)
        return path

    def write_picture(self, threshold: float) -> Path:
        """The picture with its mask."""
        path, frame = self._named("mask-on-picture.png"), self.frame(0, threshold)
        Image.fromarray(dimmed(frame.picture, frame.mask)).save(path)
        return path

    def write_masks(self, threshold: float) -> Path:
        """A zip with the masks that the model made, in the source's own size: PNGs, and JSON lines of run lengths."""
        path = self._named("masks.zip")
        with tempfile.TemporaryDirectory(dir=self.folder) as folder, zipfile.ZipFile(path, "w") as archive:
            rows, pictures = MaskRows(Path(folder, "masks.jsonl")), PictureFiles(Path(folder, "masks"), drawn=False)
            with rows, pictures:
                for number in range(len(self.times)):
                    frame = self.frame(number, threshold, tuple(self.facts["size"]))
                    rows.write(frame)
                    pictures.write(frame)
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))
        return path

    def forget(self) -> None:
        """Deletes all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _logits(self, number: int, size: tuple[int, int]) -> Tensor:
        """(H, W) float32."""
        map = torch.from_numpy(np.array(self.probabilities[number])).float() / 255
        return F.interpolate(map.logit(_FAINTEST)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]

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
        source = _keep(source, folder / "source")
        sound = None if sound is None else _keep(sound, folder / "sound")
        times: list[float] = []
        scores: list[float] = []
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
            scores.append(found.score)
            maps.append(_shrink(torch.from_numpy(found.logits)))
            yield found
        np.save(folder / _MAPS, np.stack(maps))
        facts = {
            "source": str(source.relative_to(folder)),
            "sound": str((sound or source).relative_to(folder)),
            "times": times,
            "scores": scores,
            "size": size,
            "threshold": model.config.threshold,
        }
        (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _picture_name(number: int) -> str:
    return f"{number:05d}.jpg"


def _keep(path: Path, folder: Path) -> Path:
    folder.mkdir()
    return shutil.copyfile(path, folder / path.name)


def _shrink(logits: Tensor) -> np.ndarray:
    """Logits (H, W) -> probabilities (h, w) uint8."""
    size = tuple(min(side, _MAP_SIDE) for side in logits.shape)  # square, as what SAM makes of a squashed picture
    small = F.interpolate(logits[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return (255 * small.sigmoid()).round().to(torch.uint8).numpy()
