"""Finds clips that are in several splits: by their ids, and by what their pictures and sounds hold."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b, file_digest
from pathlib import Path

from .dataset import ClipEntry
from .media import read_waveform
from .problems import Problem

_TAIL = 4096
_SHOWN = 4

Entries = Sequence[ClipEntry]


def file_prints(entry: ClipEntry) -> dict[str, bytes]:
    """Short digests of the pictures and of the sound of a clip: of the sizes and the last bytes of their files."""
    return {part: _digest_of_tails(files) for part, files in _parts(entry).items()}


def find_overlaps(clips: Iterable[tuple[ClipEntry, dict[str, bytes]]]) -> list[Problem]:
    """The clips that are in several splits, each group of the same ones once.

    Args:
        clips: each with its prints, as of `file_prints`; or of all that it holds, where it has no files.
    """
    alike: dict[tuple[str, str | bytes], list[ClipEntry]] = defaultdict(list)
    for entry, prints in clips:
        if any(entry.files()):  # other clips may be called by their numbers, which begin anew in each split
            alike["id", entry.id].append(entry)
        for part, digest in prints.items():
            alike[part, digest].append(entry)
    shared: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for (part, _), entries in alike.items():
        if not _in_several_splits(entries):
            continue
        for group in [entries] if part == "id" else _with_same_content(part, entries):
            if _in_several_splits(group):
                shared[tuple((str(entry.split), entry.id) for entry in group)].append(part)
    return [_describe(clips, parts) for clips, parts in shared.items()]


def _in_several_splits(entries: Entries) -> bool:
    return len({entry.split for entry in entries}) > 1


def _with_same_content(part: str, entries: Entries) -> Iterable[Entries]:
    """Clips alike at first sight, parted by all that their files hold. Silence is no sound that clips could share."""
    groups = defaultdict(list)
    for entry in entries:
        files = _parts(entry).get(part, ())
        groups[tuple(_digest(path) for path in files)].append(entry)
    for group in groups.values():
        files = _parts(group[0]).get(part, ())
        if part != "sound" or not files or read_waveform(files[0]).any():
            yield group


def _parts(entry: ClipEntry) -> dict[str, tuple[Path, ...]]:
    """The files of a clip that make it what it is; those of masks may well be alike."""
    pictures = (entry.video,) if entry.video else entry.pictures
    sound = (entry.audio,) if entry.audio and entry.audio != entry.video else ()
    return {part: files for part, files in (("pictures", pictures), ("sound", sound)) if files}


def _digest_of_tails(files: Iterable[Path]) -> bytes:
    digest = blake2b(digest_size=16)
    for path in files:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL, 0))
            digest.update(size.to_bytes(8, "little") + file.read())
    return digest.digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "blake2b").digest()


def _describe(clips: tuple[tuple[str, str], ...], parts: list[str]) -> Problem:
    first, *others = [f"{split}/{name}" for split, name in clips]
    more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
    return Problem(
        "in several splits", first, f"has the same {' and '.join(parts)} as {', '.join(others[:_SHOWN])}{more}"
    )
