"""What is wrong with one clip: what headers tell, and where they leave a doubt, what its reader says."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from math import ceil
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from ..audio.log_mel import EXAMPLE_HOP, WINDOW_SAMPLES
from .avs_synthetic import TIME, AVSSynthetic
from .clip import SAMPLE_RATE, Clip
from .dataset import ClipDataset, ClipEntry
from .headers import picture_size, sound_seconds, video_header
from .media import read_picture, read_waveform
from .overlap import file_prints
from .problems import DataProblems, Problem
from .shapes import Shape
from .video import read_frames

Mask = Path | Shape


@dataclass
class Findings:
    """What was found in one clip.

    Attributes:
        frames: how many it has.
        faults: what must be mended.
        remarks: what may be as it should be.
        prints: of its pictures and its sound, short digests that differ only if what they hold differs.
    """

    frames: int = 0
    faults: list[Problem] = field(default_factory=list)
    remarks: list[Problem] = field(default_factory=list)
    prints: dict[str, bytes] = field(default_factory=dict)


class ClipChecks(Dataset[Findings]):
    """The findings in each clip of a data set, and in each sound that the training of AVS-Synthetic draws from.

    Attributes:
        entries: what is checked.
    """

    def __init__(self, dataset: ClipDataset, quick: bool) -> None:
        self._dataset = dataset
        self._quick = quick
        drawn = dataset.sounds if isinstance(dataset, AVSSynthetic) else {}
        pool = sorted({path for paths in drawn.values() for path in paths})
        sounds = [ClipEntry(f"audios/{path.name}", dataset.split, audio=path, times=(TIME,)) for path in pool]
        self.entries = [*dataset.entries, *sounds]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Findings:
        entry = self.entries[index]
        if any(entry.files()):
            return _FileCheck(self._dataset, entry, self._quick).findings
        try:
            return _check_decoded(self._dataset[index])
        except DataProblems as error:
            return Findings(faults=error.problems)


class _FileCheck:
    """Looks at the files of a clip."""

    def __init__(self, dataset: ClipDataset, entry: ClipEntry, quick: bool) -> None:
        self.dataset = dataset
        self.entry = entry
        self.quick = quick
        self.findings = Findings()
        self.header = video_header(entry.video) if entry.video else None
        size, times = self._look_at_video(entry.video) if entry.video else self._look_at_pictures()
        if entry.audio is not None:
            self._look_at_sound(entry.audio, times)
        if size is not None:
            self._look_at_masks(size)
        if entry.pictures or entry.video:
            self.findings.frames = len(times)
        if not self.findings.faults:
            self.findings.prints = file_prints(entry)

    def _look_at_pictures(self) -> tuple[tuple[int, int] | None, Sequence[float]]:
        """The (height, width) of the frames, as far as it is known, and their times."""
        size = self.entry.size
        for path in self.entry.pictures:
            found = picture_size(path)
            if found is None:
                with self._faults("unreadable picture"):
                    height, width, _ = read_picture(path).shape
                    found = height, width
            if found is not None:
                size = size or found
                self._compare(f"'{path}'", found, size, "the metadata" if self.entry.size else "the first frame")
        return size, self.entry.times or ()

    def _look_at_video(self, path: Path) -> tuple[tuple[int, int] | None, Sequence[float]]:
        """The same of a video."""
        header, times = self.header, self.entry.times
        if header is not None and header.size and header.picture_end >= (times[-1] if times else 0):
            return header.size, range(max(ceil(header.picture_end), 1)) if times is None else times
        with self._faults("unreadable picture"):
            frames, seconds = read_frames(path, times)
            return (frames.shape[1], frames.shape[2]), seconds.tolist()
        return None, times or ()

    def _look_at_sound(self, path: Path, times: Sequence[float]) -> None:
        of_video = self.header.sound_end if self.header else None
        seconds = of_video if path == self.entry.video else sound_seconds(path)
        if seconds is None:
            with self._faults("unreadable sound"):
                seconds = len(read_waveform(path)) / SAMPLE_RATE
        if seconds is not None and len(times):
            _compare_sound(self.findings, self.entry.id, seconds, times[-1])

    def _look_at_masks(self, size: tuple[int, int]) -> None:
        judged = [(k, [self._is_empty(mask, k, size) for mask in masks]) for k, masks in self._truths()]
        if not self.quick:
            _note_empty(self.findings, self.entry.id, [k for k, are_empty in judged if all(are_empty)])

    def _is_empty(self, mask: Mask, number: int, size: tuple[int, int]) -> bool:
        """Whether a mask is known to be empty; notes what is wrong with it."""
        found = _declared_size(mask)
        name = f"'{mask}'" if isinstance(mask, Path) else f"the mask of frame {number}"
        if found is not None and (not self._compare(name, found, size, "its frame") or self.quick):
            return False
        with self._faults("bad mask"):
            return not self.dataset.read_mask(mask, size).any()
        return False

    def _truths(self) -> Iterator[tuple[int, list[Mask]]]:
        """The annotated frames, counted from 1, each with its masks."""
        for k, mask in enumerate(self.entry.masks, start=1):
            if mask is not None:
                yield k, [mask]
        if self.entry.tracks is not None:
            for k, _ in enumerate(self.entry.pictures):
                shapes = (track.shapes[k] for track in self.entry.tracks)
                yield k + 1, [shape for shape in shapes if shape is not None]

    def _compare(self, what: str, found: tuple[int, int], wanted: tuple[int, int], source: str) -> bool:
        """Whether a size is that of the frame; notes it if not."""
        if found != wanted:
            sizes = f"{found[1]} x {found[0]} pixels; {source} says {wanted[1]} x {wanted[0]}"
            self.findings.faults.append(Problem("size mismatch", self.entry.id, f"{what} is {sizes}"))
        return found == wanted

    @contextmanager
    def _faults(self, kind: str) -> Iterator[None]:
        """What the reader cannot read in the `with` block is a fault of the clip."""
        try:
            yield
        except (OSError, ValueError) as error:
            self.findings.faults.append(Problem(kind, self.entry.id, str(error)))


def _declared_size(mask: Mask) -> tuple[int, int] | None:
    """The (height, width) of a mask, as far as it can be known without decoding it."""
    if isinstance(mask, Path):
        return picture_size(mask)
    if isinstance(mask, dict) and len(mask["size"]) == 2:
        height, width = mask["size"]
        return height, width
    return None


def _check_decoded(clip: Clip) -> Findings:
    """What there is to say of a clip that could be decoded."""
    findings = Findings(frames=len(clip))
    _compare_sound(findings, clip.id, len(clip.waveform) / SAMPLE_RATE, clip.times[-1])
    if clip.masks is not None:
        sounding = clip.binary_masks().any(axis=(1, 2))
        _note_empty(findings, clip.id, (np.flatnonzero(clip.annotated & ~sounding) + 1).tolist())
    findings.prints["pictures"] = blake2b(clip.frames.tobytes()).digest()
    if clip.waveform.any():
        findings.prints["sound"] = blake2b(clip.waveform.tobytes()).digest()
    return findings


def _compare_sound(findings: Findings, clip: str, seconds: float, time: float) -> None:
    """Notes a sound that ends before the 0.96 s example of the last frame, which is at `time`."""
    samples = round(seconds * SAMPLE_RATE)
    wanted = round(time * SAMPLE_RATE) // EXAMPLE_HOP * EXAMPLE_HOP + WINDOW_SAMPLES
    if samples < WINDOW_SAMPLES:
        detail = f"its {seconds:.2f} s of sound are less than one window of {WINDOW_SAMPLES / SAMPLE_RATE:.3f} s"
        findings.faults.append(Problem("sound too short", clip, detail))
    elif samples < wanted:
        detail = (
            f"its sound ends at {seconds:.2f} s; the example of the frame at {time:g} s ends at "
            f"{wanted / SAMPLE_RATE:.2f} s, so the last whole one is heard again"
        )
        findings.remarks.append(Problem("short sound", clip, detail))


def _note_empty(findings: Findings, clip: str, frames: list[int]) -> None:
    if frames:
        detail = f"nothing sounds in frame{'s' * (len(frames) > 1)} {', '.join(map(str, frames))}"
        findings.remarks.append(Problem("empty mask", clip, detail))
