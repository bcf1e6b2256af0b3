"""The clip: pictures, the sound that goes with them, and the masks of what makes the sound."""

from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16_000
"""Samples per second of every waveform in this package."""


@dataclass(frozen=True, eq=False)
class InstanceTrack:
    """One sounding thing through a clip.

    Attributes:
        category: the name of its class.
        id: what tells it from the other tracks of its clip.
        masks: (T, H, W) bool, its visible part; empty in a frame where it is silent.
    """

    category: str
    id: int
    masks: np.ndarray


@dataclass(frozen=True, eq=False)
class Clip:
    """What every reader hands over and every user of data takes. Building one checks it.

    Attributes:
        frames: (T, H, W, 3) uint8, RGB.
        times: (T,) seconds from the start of the waveform, increasing.
        waveform: (n,) float32 at 16 kHz; silence is zeros.
        masks: (T, H, W) bool, what sounds; or (T, H, W) uint8, the class id of what sounds, 0 elsewhere; or a
            list of instance tracks; or None where nothing is annotated.
        annotated: (T,) bool, the frames whose masks are truth.
        id: a name that is unique within the data set.
        category: the class of the clip, where it has one.
        split: the part of the data set that it belongs to.
    """

    frames: np.ndarray
    times: np.ndarray
    waveform: np.ndarray
    masks: np.ndarray | list[InstanceTrack] | None
    annotated: np.ndarray
    id: str
    category: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        self._check_frames()
        self._check_waveform()
        self._check_masks()

    def __len__(self) -> int:
        return len(self.frames)

    def binary_masks(self) -> np.ndarray:
        """The union of all that sounds, (T, H, W) bool."""
        if self.masks is None:
            raise ValueError(f"Clip {self.id!r} has no masks: none of its frames is annotated.")
        if isinstance(self.masks, list):
            union = np.zeros(self.frames.shape[:3], dtype=bool)
            for track in self.masks:
                union |= track.masks
            return union
        return self.masks > 0

    def _check_frames(self) -> None:
        frames = self.frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or frames.size == 0:
            raise self._error("frames", "(T, H, W, 3) uint8 with at least one frame", frames)
        if self.times.shape != (len(frames),) or not np.issubdtype(self.times.dtype, np.floating):
            raise self._error("times", f"({len(frames)},) seconds as floats, one for each frame", self.times)
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise ValueError(f"Clip {self.id!r}: times must be finite and increase from frame to frame.")
        if self.annotated.shape != (len(frames),) or self.annotated.dtype != bool:
            raise self._error("annotated", f"({len(frames)},) bool, one for each frame", self.annotated)

    def _check_waveform(self) -> None:
        if self.waveform.ndim != 1 or self.waveform.dtype != np.float32:
            raise self._error("waveform", "(n,) float32, mono at 16 kHz (average the channels first)", self.waveform)
        if self.waveform.size == 0:
            raise ValueError(f"Clip {self.id!r}: the waveform is empty; give zeros for silence.")
        broken = np.flatnonzero(~np.isfinite(self.waveform))
        if broken.size:
            raise ValueError(
                f"Clip {self.id!r}: {broken.size} samples of the waveform are NaN or infinite, the first at "
                f"{broken[0] / SAMPLE_RATE:.3f} s; decode the sound again or leave the clip out."
            )

    def _check_masks(self) -> None:
        shape = self.frames.shape[:3]
        if self.masks is None:
            if self.annotated.any():
                raise ValueError(
                    f"Clip {self.id!r}: {int(self.annotated.sum())} frames are marked as annotated, yet masks is "
                    "None; give their masks or mark no frame."
                )
            return
        if isinstance(self.masks, list):
            for track in self.masks:
                if track.masks.shape != shape or track.masks.dtype != bool:
                    raise self._error(f"the masks of track {track.id} ({track.category})", f"{shape} bool", track.masks)
            ids = [track.id for track in self.masks]
            if len(set(ids)) < len(ids):
                raise ValueError(f"Clip {self.id!r}: instance tracks need ids of their own, found {ids}.")
        elif self.masks.shape != shape or self.masks.dtype not in (bool, np.uint8):
            raise self._error("masks", f"{shape}, bool or (class ids) uint8", self.masks)

    def _error(self, field: str, wanted: str, found: np.ndarray) -> ValueError:
        return ValueError(f"Clip {self.id!r}: {field} must be {wanted}; found {found.shape} {found.dtype}.")
