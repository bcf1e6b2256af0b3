"""Sounds and their labels, from the tables of VGGSound, AudioSet and FSD50K."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..data.disk import Disk
from ..data.folder import SOUNDS, VIDEOS
from .pictures import file_id
from .tally import Tally

ENDINGS = (*SOUNDS, *VIDEOS)


@dataclass(eq=False, slots=True)
class SoundClip:
    """A clip of sound.

    Attributes:
        id: the name of the source and its own in it, joined so that it can name a file.
        path: the file, sound alone or a video.
        labels: all that the source says is heard in it.
        recording: what it was cut from, by a name that is the same in all sources; clips of one recording are alike,
            and go into one split.
        source: the name of the source.
        license: of the clip itself, where it is known.
    """

    id: str
    path: Path
    labels: tuple[str, ...]
    recording: str
    source: str
    license: str | None = None


class SoundSource(Protocol):
    """A set of labelled sounds. What cannot be used is in `tally`."""

    name: str
    vocabulary: str
    license: str | None
    tally: Tally

    def labels(self) -> Counter[str]:
        """The labels, and of how many clips each is."""

    def clips(self, wanted: Callable[[str], bool]) -> list[SoundClip]:
        """The clips with at least one wanted label whose files are there."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A clip as a table has it: its id, what its file may be called, its labels, its recording."""

    id: str
    stems: tuple[str, ...]
    labels: tuple[str, ...]
    recording: str
    license: str | None = None


class SoundTable:
    """What the sets with a table have in common: rows, and a folder in which their files are looked for.

    Args:
        clips: the folder of the sounds (.wav .flac .mp3 .m4a .ogg .opus, or videos).
        name: of the source, which begins the ids of its clips.
        vocabulary: whose names its labels are, for the category map.
        license: of the set.
    """

    def __init__(self, clips: str, *, name: str, vocabulary: str, license: str | None = None) -> None:
        self.name, self.vocabulary, self.license = name, vocabulary, license
        self.tally = Tally()
        disk = Disk(clips)
        if not disk.root.is_dir():
            raise FileNotFoundError(f"There is no folder '{clips}' for the sounds of '{name}'.")
        files = sorted(file for file in disk.names(disk.root) if file.lower().endswith(ENDINGS))
        self._files = {Path(file).stem: disk.root / file for file in files}

    def labels(self) -> Counter[str]:
        """See `SoundSource`."""
        return Counter(label for row in self._rows(Tally()) for label in row.labels)

    def clips(self, wanted: Callable[[str], bool]) -> list[SoundClip]:
        """See `SoundSource`."""
        found: dict[str, SoundClip] = {}
        for row in self._rows(self.tally):
            if not any(map(wanted, row.labels)):
                continue
            path = next((self._files[stem] for stem in row.stems if stem in self._files), None)
            if path is None:
                self.tally.add("missing sound", row.stems[0])
            elif row.id in found:
                self.tally.add("duplicate sound", row.id)
            else:
                name = file_id(self.name, row.id)
                found[row.id] = SoundClip(name, path, row.labels, row.recording, self.name, row.license or self.license)
        return list(found.values())

    def _rows(self, tally: Tally) -> Iterator[_Row]:
        raise NotImplementedError


class VGGSound(SoundTable):
    """VGGSound's table, which has no header: YouTube id, start second, label, split. Files are <id>_<start:06d>.*

    Args:
        table: `vggsound.csv`.
        clips: see `SoundTable`, also for what comes after it.
        splits: take these parts of it only: [train], [test].
    """

    def __init__(
        self,
        table: str,
        clips: str,
        *,
        splits: list[str] | None = None,
        name: str = "vggsound",
        vocabulary: str = "vggsound",
        license: str | None = None,
    ) -> None:
        super().__init__(clips, name=name, vocabulary=vocabulary, license=license)
        self._table, self._splits = _table(table), splits

    def _rows(self, tally: Tally) -> Iterator[_Row]:
        for cells in _cells(self._table):
            if len(cells) != 4 or not cells[1].isdigit():
                tally.add("bad row of sounds", ",".join(cells)[:60])
            elif self._splits is None or cells[3] in self._splits:
                stem = f"{cells[0]}_{int(cells[1]):06d}"
                yield _Row(stem, (stem,), (cells[2],), _of_youtube(cells[0]))


class AudioSet(SoundTable):
    """AudioSet's tables: YouTube id, start and end second, ids of labels; comments begin with #.

    Files are called <id>, Y<id>, <id>_<start second> or <id>_<start in ms>, as the usual tools leave them.

    Args:
        table: `balanced_train_segments.csv` and the like.
        labels: `class_labels_indices.csv`, which has the names of the label ids.
        clips: see `SoundTable`, also for what comes after it.
    """

    def __init__(
        self,
        table: str,
        labels: str,
        clips: str,
        *,
        name: str = "audioset",
        vocabulary: str = "audioset",
        license: str | None = None,
    ) -> None:
        super().__init__(clips, name=name, vocabulary=vocabulary, license=license)
        self._table = _table(table)
        self._names = {cells[1]: cells[2] for cells in _cells(_table(labels)) if len(cells) == 3}

    def _rows(self, tally: Tally) -> Iterator[_Row]:
        for cells in _cells(self._table):
            if cells[0].startswith("#"):
                continue
            try:
                (start, _), labels = map(float, cells[1:3]), cells[3].split(",")
            except (IndexError, ValueError):
                tally.add("bad row of sounds", ",".join(cells)[:60])
                continue
            if unknown := [label for label in labels if label not in self._names]:
                tally.add("unknown label id", *(f"{cells[0]} ({label})" for label in unknown))
            second, stem = int(start), cells[0]
            stems = (f"{stem}_{second}", f"{stem}_{second:06d}", f"{stem}_{round(1000 * start)}", stem, f"Y{stem}")
            names = tuple(self._names[label] for label in labels if label in self._names)
            yield _Row(f"{stem}_{second:06d}", stems, names, _of_youtube(stem))


class FSD50K(SoundTable):
    """FSD50K's ground truth: fname, labels, mids and, in the part for development, split. Files are <fname>.wav.

    Args:
        table: `dev.csv` or `eval.csv`.
        clips: see `SoundTable`, also for what comes after it.
        info: `dev_clips_info_FSD50K.json` or that of eval, which has the licence of each clip.
        splits: take these parts of it only: [train], [val].
    """

    def __init__(
        self,
        table: str,
        clips: str,
        *,
        info: str | None = None,
        splits: list[str] | None = None,
        name: str = "fsd50k",
        vocabulary: str = "fsd50k",
        license: str | None = None,
    ) -> None:
        super().__init__(clips, name=name, vocabulary=vocabulary, license=license)
        self._table, self._splits = _table(table), splits
        self._facts: dict[str, Any] = json.loads(_table(info).read_text(encoding="utf-8")) if info else {}

    def _rows(self, tally: Tally) -> Iterator[_Row]:
        head: Sequence[str] = ()
        for cells in _cells(self._table):
            if not head:
                head = cells
                if not {"fname", "labels"} <= set(head):
                    raise ValueError(f"'{self._table}' is no table of FSD50K: its first line lacks fname and labels.")
            elif len(cells) != len(head):
                tally.add("bad row of sounds", ",".join(cells)[:60])
            else:
                row = dict(zip(head, cells, strict=True))
                if self._splits is None or row.get("split") in self._splits:
                    name = row["fname"]
                    license = self._facts.get(name, {}).get("license")
                    yield _Row(name, (name,), tuple(row["labels"].split(",")), f"{self.name}/{name}", license)


def _of_youtube(video: str) -> str:
    """The recording of a clip from YouTube: VGGSound and AudioSet have cut some videos both."""
    return f"youtube/{video}"


def _table(path: str) -> Path:
    table = Path(path).expanduser()
    if not table.is_file():
        raise FileNotFoundError(f"There is no table '{table}'.")
    return table


def _cells(path: Path) -> Iterable[list[str]]:
    """The rows of a CSV file that are not empty."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from (cells for cells in csv.reader(file, skipinitialspace=True) if cells)
