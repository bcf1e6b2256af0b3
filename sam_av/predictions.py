"""Predictions as files: a folder with one PNG for each annotated frame, written and read in one layout.

The mask of frame k of a clip, counted from 0 over all frames of the clip, is `<id>/<k>.png`. `<id>_<k>.png` is read as
well; `<id>/<k>.png` is what is written.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .data import Clip
from .data.disk import Disk
from .data.media import PICTURE_FORMATS, read_class_ids
from .digest import digest_files
from .hub import write_whole


class MaskFolder:
    """Somebody's masks in a folder: grey PNGs in which 255 is probability 1 and 0 is probability 0, of any size.

    Binary masks are such PNGs, too, of 0 and 255.
    """

    training_categories: Sequence[str] = ()
    image_size: int | None = None

    def __init__(self, folder: str | Path) -> None:
        self._disk = Disk(folder)
        if not self._disk.root.is_dir():
            raise FileNotFoundError(f"There is no folder of predictions '{self._disk.root}'.")
        self.name = f"predictions in {self._disk.root.name}"

    def identity(self) -> dict[str, Any]:
        """See `Predictor`."""
        return {"predictions": digest_files(sorted(self._disk.root.rglob("*.png")))}

    def predict(self, clip: Clip, size: tuple[int, int]) -> Tensor:
        """See `Predictor`."""
        files = [self._file(clip.id, k) for k in annotated_frames(clip)]
        frames = [_read_grey(path) for path in files]
        if 0 < max(frame.max().item() for frame in frames) < 1.5 / 255:
            raise ValueError(
                f"The predictions of clip '{clip.id}', such as '{files[0]}', hold only 0 and 1, but 255 stands for "
                "probability 1: multiply them by 255. Class ids need --protocol avss."
            )
        return torch.cat([to_logits(frame[None], size) for frame in frames])

    def require(self, clips: Sequence[str]) -> None:
        """Raises where clips have no prediction at all, before a long run finds them one by one."""
        apart = {name.rpartition("_")[0] for name in self._disk.names(self._disk.root)}
        missing = [clip for clip in clips if clip not in apart and not self._disk.names(self._disk.path(clip))]
        if missing:
            raise FileNotFoundError(
                f"'{self._disk.root}' has no prediction for {len(missing):,} of {len(clips):,} clips: "
                f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}. Wanted {prediction_name('<clip>', 0)} "
                "and so on for each of them."
            )

    def _file(self, clip: str, frame: int) -> Path:
        wanted = [prediction_name(clip, frame), f"{clip}_{frame}.png"]
        for path in map(self._disk.path, wanted):
            if self._disk.has(path):
                return path
        names = self._disk.names(self._disk.path(clip)) or self._disk.names(self._disk.root)
        found = ", ".join(sorted(names)[:6]) or "nothing"
        raise FileNotFoundError(
            f"'{self._disk.root}' lacks the prediction of frame {frame} of clip '{clip}' (frames are counted from 0): "
            f"wanted {' or '.join(wanted)}, found {found}{', ...' if len(names) > 6 else ''}."
        )


class ClassIdFolder(MaskFolder):
    """Somebody's class ids in a folder: PNGs whose palette index or grey value is the class id, 0 the background.

    Args:
        folder: the folder.
        classes: how many there are beside the background; ids end there.
    """

    def __init__(self, folder: str | Path, classes: int) -> None:
        super().__init__(folder)
        self._classes = classes

    def predict(self, clip: Clip, size: tuple[int, int]) -> Tensor:
        """Class ids (T', *size) of the annotated frames."""
        return torch.cat([self._read(self._file(clip.id, k), size) for k in annotated_frames(clip)])

    def _read(self, path: Path, size: tuple[int, int]) -> Tensor:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            own_size = (image.height, image.width)
        ids = torch.from_numpy(read_class_ids(path, own_size, self._classes))
        return resize_nearest(ids[None], size).long()


def save_predictions(folder: Path, clip: Clip, predictions: Tensor) -> None:
    """Writes the logits or class ids (T', H, W) of a clip's annotated frames as `MaskFolder` or `ClassIdFolder` reads.

    A pixel is above 0.5 in the file exactly where its probability is.
    """
    if predictions.is_floating_point():
        # Rounding half down: 0.5 itself, which is no mask, becomes 127, and all above it at least 128.
        predictions = (predictions.float().sigmoid().double() * 255 - 0.5).ceil()
    pictures = map(Image.fromarray, predictions.cpu().to(torch.uint8).numpy())
    writers: dict[str, Callable[[Path], object]] = {
        prediction_name(clip.id, k): picture.save for k, picture in zip(annotated_frames(clip), pictures, strict=True)
    }
    for name in writers:
        Disk(folder).path(name)  # an id comes from the data set's metadata and must not lead out of the folder
    write_whole(folder, writers)


def annotated_frames(clip: Clip) -> list[int]:
    """The numbers of the frames that have a truth."""
    return np.flatnonzero(clip.annotated).tolist()


def prediction_name(clip: str, frame: int) -> str:
    """The place of a frame's prediction in the folder."""
    return f"{clip}/{frame}.png"


def to_logits(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Probabilities (N, h, w) -> logits (N, *size), resized bilinearly; those of 0 and 1 are infinite."""
    if tuple(probabilities.shape[1:]) != size:
        probabilities = F.interpolate(probabilities[None], size=size, mode="bilinear", align_corners=False)[0]
    return probabilities.clamp(0, 1).logit()


def resize_nearest(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks or class ids (N, h, w) uint8 -> (N, *size)."""
    return F.interpolate(masks[None], size=size, mode="nearest-exact")[0]


def _read_grey(path: Path) -> Tensor:
    """The probabilities (H, W) in a grey picture."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            if image.mode not in ("1", "L"):
                raise ValueError(
                    f"The prediction '{path}' is a picture of the mode {image.mode}; wanted 8-bit grey (L), 255 for "
                    "probability 1. For class ids use --protocol avss."
                )
            return torch.from_numpy(np.array(image.convert("L"))).float() / 255
    except (OSError, SyntaxError) as error:  # SyntaxError is what Pillow says of a broken PNG
        raise ValueError(f"The prediction '{path}' cannot be read as a picture: {error}") from error
