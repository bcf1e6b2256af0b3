"""The interface of every data set: an index made without decoding, and clips that are decoded when asked for."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .clip import Clip, InstanceTrack
from .disk import Disk
from .media import read_binary_mask, read_picture, read_waveform
from .problems import DataProblems, Problem, problems_of, summarize
from .shapes import Shape, draw_shape
from .video import read_frames

Masks = np.ndarray | list[InstanceTrack] | None

PICTURE_TIME = 0.48
"""Seconds at which a picture without a time stands in its sound: amid the first 0.96 s, so that it hears them."""


@dataclass(frozen=True)
class TrackEntry:
    """One sounding thing of a clip: its class, its id, and for each frame its shape, None where it is silent."""

    category: str
    id: int
    shapes: tuple[Shape | None, ...]


@dataclass(frozen=True)
class ClipEntry:
    """What is known of a clip before anything of it is decoded.

    Attributes:
        id: as in `Clip`, like `split` and `category`.
        pictures: the files of its frames; or
        video: the file that holds them.
        audio: the file of its sound, which may be the video.
        times: (T,) seconds of the frames; None takes one frame a second from the whole video.
        masks: for each frame the file or the shape of its mask, None where there is no truth; or
        tracks: what sounds in it, where all frames have a truth; or neither.
        size: (height, width) of the frames, where the metadata gives it.
    """

    id: str
    split: str | None = None
    category: str | None = None
    pictures: tuple[Path, ...] = ()
    video: Path | None = None
    audio: Path | None = None
    times: tuple[float, ...] | None = None
    masks: tuple[Path | Shape | None, ...] = ()
    tracks: tuple[TrackEntry, ...] | None = None
    size: tuple[int, int] | None = None

    def files(self) -> Iterator[Path]:
        """All files that the clip needs."""
        yield from self.pictures
        yield from (path for path in (self.video, self.audio) if path is not None)
        yield from (mask for mask in self.masks if isinstance(mask, Path))


@dataclass
class Index:
    """The entries of a data set, and what stands in the way of others, as both are gathered from its metadata."""

    disk: Disk | None = None
    entries: list[ClipEntry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)

    def add(self, entry: ClipEntry) -> None:
        """Takes an entry up and looks whether its files are there."""
        if entry.id in self._ids:
            self.report("two of a name", entry.id, "this id stands in the metadata more than once")
        self._ids.add(entry.id)
        self.entries.append(entry)
        if self.disk is not None:
            self.report("missing file", entry.id, *self.disk.missing(entry.files()))

    def report(self, kind: str, clip: str, *details: str) -> None:
        """Notes faults of a clip."""
        self.problems += [Problem(kind, clip, detail) for detail in details]

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        """What is wrong with the metadata that the `with` block reads is noted under this name."""
        try:
            yield
        except ValueError as error:
            self.report("bad row", name, str(error))


class ClipDataset(Dataset[Clip]):
    """Clips by their number. Opening one decodes nothing; workers may read it side by side.

    What is wrong is found as early as it can be: missing files when it is opened, undecodable ones by `verify`, all of
    them in one `DataProblems`. With `skip_bad` the spoilt clips are left out and listed in `left_out` instead.

    Attributes:
        name: the name of the data set.
        split: the part of it that this is.
        categories: its classes; class id k in a mask is `categories[k - 1]`, and 0 is no class.
        entries: what is known of each clip, in order.
        left_out: the faults of the clips that were left out.
        seed: of what is drawn at random at each access, together with the epoch and the number of the clip.
    """

    _mask_type: type = bool  # of a pixel of a mask

    def __init__(
        self,
        name: str,
        split: str,
        index: Index,
        *,
        categories: Sequence[str] | None = None,
        seed: int = 0,
        skip_bad: bool = False,
    ) -> None:
        self.name = name
        self.split = split
        if categories is None:
            categories = sorted({entry.category for entry in index.entries if entry.category is not None})
        self.categories = tuple(categories)
        self.seed = seed
        self.entries = index.entries
        self.left_out: list[Problem] = []
        self._skip_bad = skip_bad
        # Shared, so that the workers which a DataLoader keeps alive between epochs see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self.settle(index.problems)
        if not self.entries:
            raise ValueError(f"{self._title}: there is no clip in it.")

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Clip:
        return self._read(range(len(self))[index])

    def __iter__(self) -> Iterator[Clip]:
        return (self[index] for index in range(len(self)))

    @property
    def epoch(self) -> int:
        """Which epoch it is."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch it is, before its clips are asked for; what is drawn at random depends on it."""
        self._epoch.fill_(epoch)

    @property
    def draws_sounds(self) -> bool:
        """Whether a clip has another sound in another epoch, so that nothing made of its sound can be kept."""
        return False

    def content(self) -> list[object]:
        """What tells this data from other data of the same name: entries, and the sizes and times of their files."""
        files = [path for entry in self.entries for path in entry.files() if path.is_file()]
        stats = [(str(path), path.stat()) for path in files]
        versions = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
        return [self.name, self.split, self.seed, self.categories, self.entries, versions]

    def verify(self, workers: int = 0) -> None:
        """Decodes every clip once and raises `DataProblems` with all that cannot be used, or leaves those out."""
        found = DataLoader(_Faults(self), batch_size=None, num_workers=workers)
        self.settle([fault for faults in tqdm(found, desc=f"Checking {self.name}", unit="clip") for fault in faults])

    def _read(self, index: int) -> Clip:
        entry = self.entries[index]
        with self._faults("unreadable picture", entry):
            frames, times = self._frames(entry)
        with self._faults("unreadable sound", entry):
            waveform = read_waveform(self._sound(index))
        with self._faults("bad mask", entry):
            masks, annotated = self._masks(entry, frames.shape[:3])
        with self._faults("bad clip", entry):
            return Clip(frames, times, waveform, masks, annotated, entry.id, entry.category, entry.split)

    def _frames(self, entry: ClipEntry) -> tuple[np.ndarray, np.ndarray]:
        """The frames (T, H, W, 3) and their times (T,)."""
        if entry.video is not None:
            return read_frames(entry.video, entry.times)
        pictures = [read_picture(path) for path in entry.pictures]
        height, width = entry.size or pictures[0].shape[:2]
        for path, picture in zip(entry.pictures, pictures, strict=True):
            if picture.shape[:2] != (height, width):
                raise ValueError(
                    f"'{path}' is {picture.shape[1]} x {picture.shape[0]} pixels; wanted {width} x {height}, as "
                    f"{'the metadata says' if entry.size else 'the first frame is'}."
                )
        return np.stack(pictures), np.array(entry.times, dtype=np.float64)

    def _sound(self, index: int) -> Path:
        """The file of the sound of a clip."""
        entry = self.entries[index]
        if entry.audio is None:
            raise ValueError(f"There is no sound for the clip '{entry.id}'.")
        return entry.audio

    def _masks(self, entry: ClipEntry, shape: tuple[int, ...]) -> tuple[Masks, np.ndarray]:
        """The masks of the frames, of shape (T, H, W), and which of them are truth, (T,) bool."""
        size = (shape[1], shape[2])
        if entry.tracks is not None:
            drawn = [np.stack([draw_shape(shape or [], size) for shape in track.shapes]) for track in entry.tracks]
            tracks = [InstanceTrack(t.category, t.id, masks) for t, masks in zip(entry.tracks, drawn, strict=True)]
            return tracks, np.ones(shape[0], dtype=bool)
        annotated = np.array([mask is not None for mask in entry.masks] or [False] * shape[0])
        if not annotated.any():
            return None, annotated
        empty: np.ndarray = np.zeros(size, dtype=self._mask_type)
        return np.stack([empty if mask is None else self.read_mask(mask, size) for mask in entry.masks]), annotated

    def read_mask(self, mask: Path | Shape, size: tuple[int, int]) -> np.ndarray:
        """The mask of one frame, (H, W)."""
        return self._read_mask_file(mask, size) if isinstance(mask, Path) else draw_shape(mask, size)

    def _read_mask_file(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        return read_binary_mask(path, size)

    def _faults(self, kind: str, entry: ClipEntry) -> AbstractContextManager[None]:
        return problems_of(kind, entry.id, self._title)

    @property
    def _title(self) -> str:
        return f"{self.name} ({self.split})"

    def settle(self, problems: Sequence[Problem]) -> None:
        """Ends with an error, or without the clips that have problems."""
        if not problems:
            return
        if not self._skip_bad:
            advice = "Mend them, or pass skip_bad=True to go on without what they spoil."
            raise DataProblems(self._title, problems, advice)
        self.left_out += problems
        spoilt = {problem.clip for problem in problems}
        self.entries = [entry for entry in self.entries if entry.id not in spoilt]
        if not self.entries:
            raise DataProblems(f"{self._title}: no clip is left", problems)
        warnings.warn(f"{self._title}, left out: {summarize(problems)}", stacklevel=3)


class _Faults(Dataset[list[Problem]]):
    """What goes wrong with each clip when it is decoded."""

    def __init__(self, clips: ClipDataset) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> list[Problem]:
        try:
            self._clips[index]
        except DataProblems as error:
            return error.problems
        return []
