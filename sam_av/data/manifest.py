"""Your own list: a JSONL or CSV file with a row for each clip, its paths relative to that file."""

import json
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from .clip import Clip
from .dataset import PICTURE_TIME, ClipDataset, ClipEntry, Index
from .disk import Disk, check_fields, read_table
from .shapes import Shape, encode_mask, parse_shape
from .writing import file_name, write_video

FIELDS = (
    "id", "image", "video", "audio", "mask", "masks", "rle", "polygon", "time", "times", "category", "split",
    "origin",
)  # fmt: skip
TREE = """\
manifest.jsonl (or .csv)     a row for each clip, with these fields (all but `image` or `video` may be left out):
  id                         a name of its own; by default that of the image or video
  image | video              the picture, or the video
  audio                      its sound; by default the track of the video
  time | times               seconds of the frame, or of the frames of a video, in increasing order
  mask | rle | polygon       the truth of that one frame: a PNG, a COCO run-length encoding, or COCO polygons
  masks                      or of each frame of `times`: a list of those, null where there is none
  category, split            of the clip; a row without a split is in all of them
  origin                     where the row comes from, in whatever form; nothing is made of it"""

NAMES = ("manifest.jsonl", "manifest.csv")
ENDINGS = (".jsonl", ".csv")

_LISTS = ("masks", "rle", "polygon", "times")


class ManifestDataset(ClipDataset):
    """The clips of a manifest, whose rows are as `TREE` says; in a CSV, lists and encodings are written as JSON.

    A picture without a `time` hears the first 0.96 s of its sound; a video without times is read at one frame a second.
    Paths stay inside the folder of the manifest.

    Args:
        path: the manifest, or the folder that holds it as manifest.jsonl or manifest.csv.
        split: the part to read.
        seed: see `ClipDataset`.
        skip_bad: see `ClipDataset`.
    """

    def __init__(self, path: str | Path, split: str, *, seed: int = 0, skip_bad: bool = False) -> None:
        path = Path(path).expanduser()
        if path.is_dir():
            path = next((path / name for name in NAMES if (path / name).is_file()), path / NAMES[0])
        if not path.is_file():
            raise FileNotFoundError(f"There is no manifest '{path}'.")
        disk = Disk(path.parent)
        index = Index(disk)
        seen: set[str] = set()
        splits: set[str] = set()
        for place, text in _read_rows(path):
            with index.row(place):
                row = _parse(text)
                splits.add(row.get("split", split))
                if row.get("split", split) != split:
                    continue
                entry = _entry(row, split, disk)
                if entry.id in seen:
                    raise ValueError(f"there is a clip {entry.id!r} already: give each an `id` of its own.")
                seen.add(entry.id)
                index.add(entry)
        if splits and split not in splits:
            raise ValueError(f"'{path}' has no split {split!r}; it has {', '.join(sorted(splits))}.")
        super().__init__(path.stem, split, index, seed=seed, skip_bad=skip_bad)


def _read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows, each with its place in the file: a line of JSONL, or the cells of a CSV that are not empty."""
    if path.suffix == ".csv":
        rows = read_table(path, [])
        check_fields(rows[0], FIELDS, f"'{path}'")
        for number, cells in enumerate(rows, start=2):
            yield f"row {number}", {name: cell for name, cell in cells.items() if cell}
    else:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"'{path}' is no text in UTF-8: {error}. Export it again as such.") from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"line {number}", line


def _parse(text: str | dict[str, str]) -> dict[str, Any]:
    """The fields of a row that are there, each of its type."""
    if isinstance(text, str):
        row = _load(text, "the line")
        if not isinstance(row, dict):
            raise ValueError("it is no JSON object.")
        check_fields(row, FIELDS, "it")
        row = {name: value for name, value in row.items() if value is not None}
    else:
        row = {name: _load(cell, f"`{name}`") if name in _LISTS else cell for name, cell in text.items()}
    for name in ("id", "image", "video", "audio", "mask", "category", "split"):
        if name in row and not isinstance(row[name], str):
            raise ValueError(f"`{name}` should be a text, not {row[name]!r}.")
    return row


def _load(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is not valid JSON: {error}") from None


def _entry(row: dict[str, Any], split: str, disk: Disk) -> ClipEntry:
    source = _one_of(row, "image", "video")
    if source is None:
        raise ValueError("it has no `image` and no `video`.")
    picture = disk.path(row[source])
    if source == "image" and "audio" not in row:
        raise ValueError("an `image` needs its `audio`.")
    times = _times(row, source)
    masks = _masks(row, disk)
    if masks and len(masks) != len(times or ()):
        raise ValueError(
            f"it has {len(masks)} masks for {len(times or ())} times; give `time`, or `times` for `masks`."
        )
    return ClipEntry(
        id=row.get("id", picture.stem),
        split=split,
        category=row.get("category"),
        pictures=(picture,) if source == "image" else (),
        video=picture if source == "video" else None,
        audio=disk.path(row["audio"]) if "audio" in row else picture,
        times=times,
        masks=masks,
    )


def _one_of(row: dict[str, Any], *names: str) -> str | None:
    """Which of some fields a row has, at most one."""
    found = [name for name in names if name in row]
    if len(found) > 1:
        raise ValueError(f"it has {' and '.join(f'`{name}`' for name in found)}; only one of them goes.")
    return found[0] if found else None


def _times(row: dict[str, Any], source: str) -> tuple[float, ...] | None:
    name = _one_of(row, "time", "times")
    if name is None:
        return (PICTURE_TIME,) if source == "image" else None
    values = row["times"] if name == "times" else [row["time"]]
    try:
        times = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` should be given in seconds, not as {row[name]!r}.") from None
    increasing = all(before < after for before, after in pairwise(times))
    if not times or not increasing or not all(math.isfinite(time) and time >= 0 for time in times):
        raise ValueError(f"`{name}` should be finite, not negative, and increase; found {row[name]!r}.")
    if source == "image" and len(times) > 1:
        raise ValueError("an `image` is one frame: give its `time`.")
    return times


def _masks(row: dict[str, Any], disk: Disk) -> tuple[Path | Shape | None, ...]:
    name = _one_of(row, "mask", "masks", "rle", "polygon")
    if name is None:
        return ()
    if name == "mask":
        return (disk.path(row["mask"]),)
    if name != "masks":
        return (parse_shape(row[name]),)
    if not isinstance(row["masks"], list):
        raise ValueError("`masks` should be a list with one item for each of `times`.")
    return tuple(
        None if item is None else disk.path(item) if isinstance(item, str) else parse_shape(item)
        for item in row["masks"]
    )


def write_manifest(clips: Iterable[Clip], root: Path) -> None:
    """Writes clips as lossless videos and a manifest.jsonl with their masks as run-length encodings."""
    lines = []
    for clip in clips:
        name = file_name(clip)
        video = f"videos/{name}.mkv"
        write_video(root / video, clip)
        row: dict[str, Any] = {"id": name, "video": video, "times": clip.times.round(3).tolist()}
        if clip.masks is not None:
            masks = zip(clip.binary_masks(), clip.annotated, strict=True)
            row["masks"] = [encode_mask(mask) if known else None for mask, known in masks]
        row |= {"category": clip.category, "split": clip.split}
        lines.append(json.dumps(row) + "\n")
    (root / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
