"""Your own folder: videos or pictures, the masks of some of their frames by name, and sounds where they are apart."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .clip import Clip
from .dataset import PICTURE_TIME, ClipDataset, ClipEntry, Index
from .disk import Disk, Row, check_fields, read_table, rows_of_split
from .writing import file_name, split_of, write_picture, write_table, write_video

TREE = """\
videos/<name>.mp4                  .mkv .webm .mov .avi .m4v .gif; or, or as well,
images/<name>.jpg                  .jpeg .png .webp .bmp
masks/<name>/<number>.png          of a video: one for each annotated frame, which is at <number> / fps seconds
masks/<name>.png                   of a picture
audio/<name>.wav                   .flac .mp3 .m4a .ogg .opus; for a video only if its own track is not the sound
splits.csv                         name,split[,category]; without it every clip is in every split"""

VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".gif")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus")
TABLE = "splits.csv"

_NUMBER = re.compile(r"\d+(\.\d+)?$")


class FolderDataset(ClipDataset):
    """A folder that lies on the disk as `TREE` says.

    A mask belongs to the frame at <number> / fps seconds; white, or any colour but black, is what sounds. Its number is
    the one that its name ends in: with the default fps=1, `masks/dog/2.png` and
    `masks/dog/dog_0002.png` go with the frame at 2 s, `masks/dog/dog_2.5.png` with that at 2.5 s; with fps=25,
    `masks/dog/0050.png` with that at 2 s. A video is read at the times of its masks. Without a folder `masks` nothing
    is annotated, and videos are read at one frame a second.

    Args:
        root: the folder.
        split: the part to read, as splits.csv names it.
        fps: how many mask numbers make a second.
        seed: see `ClipDataset`.
        skip_bad: see `ClipDataset`.
    """

    def __init__(
        self, root: str | Path, split: str, *, fps: float = 1.0, seed: int = 0, skip_bad: bool = False
    ) -> None:
        disk = Disk(root)
        if not disk.has(disk.root / "images"):
            disk.require(["videos"], "folder", TREE)
        index = Index(disk)
        videos = _by_name(disk, "videos", VIDEOS)
        pictures = _by_name(disk, "images", PICTURES)
        sounds = _by_name(disk, "audio", SOUNDS)
        for name in videos.keys() & pictures.keys():
            index.report("two of a name", name, f"wanted one of {videos[name]} and {pictures[name]}")
        for name in sorted({Path(mask).stem if mask.endswith(".png") else mask for mask in _shown(disk, "masks")}):
            if name not in videos and name not in pictures:
                index.report("masks of nothing", name, f"there is no videos/{name}.* and no images/{name}.*")
        for row in _rows(disk, split, sorted(videos.keys() | pictures.keys()), index):
            name = row["name"]
            with index.row(name):
                if name in videos:
                    index.add(_video_entry(disk, row, videos[name], sounds, fps))
                elif name in pictures:
                    index.add(_picture_entry(disk, row, pictures[name], sounds))
                else:
                    index.report("missing file", name, f"wanted videos/{name}.* or images/{name}.*, named in {TABLE}")
        super().__init__(disk.root.name, split, index, seed=seed, skip_bad=skip_bad)


def _rows(disk: Disk, split: str, names: list[str], index: Index) -> list[Row]:
    """What is in a split, by splits.csv or by default all."""
    table = disk.root / TABLE
    if not disk.has(table):
        return [{"name": name, "split": split} for name in names]
    rows = read_table(table, ["name", "split"])
    check_fields(rows[0], ["name", "split", "category"], f"'{table}'")
    for name in sorted(set(names) - {row["name"] for row in rows}):
        index.report("in no split", name, f"{TABLE} does not name it; add it there or take it away")
    return rows_of_split(rows, split, table)


def _video_entry(disk: Disk, row: Row, video: Path, sounds: dict[str, Path], fps: float) -> ClipEntry:
    name = row["name"]
    folder = disk.root / "masks" / name
    masks: dict[float, Path] = {}
    for mask in sorted(_shown(disk, f"masks/{name}")):
        number = _NUMBER.search(Path(mask).stem)
        if number is None or not mask.endswith(".png"):
            raise ValueError(f"masks/{name}/{mask} should be a PNG whose name ends in the number of its frame.")
        time = float(number[0]) / fps
        if time in masks:
            raise ValueError(f"masks/{name}/{mask} and {masks[time].name} are of the same frame.")
        masks[time] = folder / mask
    if disk.has(folder.parent) and not masks:
        raise ValueError(f"it has no masks: wanted masks/{name}/<number>.png")
    return ClipEntry(
        id=name,
        split=row["split"],
        category=row.get("category") or None,
        video=video,
        audio=sounds.get(name, video),
        times=tuple(sorted(masks)) or None,
        masks=tuple(masks[time] for time in sorted(masks)),
    )


def _picture_entry(disk: Disk, row: Row, picture: Path, sounds: dict[str, Path]) -> ClipEntry:
    name = row["name"]
    masks = disk.root / "masks"
    return ClipEntry(
        id=name,
        split=row["split"],
        category=row.get("category") or None,
        pictures=(picture,),
        audio=sounds.get(name, disk.root / "audio" / f"{name}.wav"),
        times=(PICTURE_TIME,),
        masks=(masks / f"{name}.png",) if disk.has(masks) else (),
    )


def _by_name(disk: Disk, folder: str, endings: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder that have one of the endings, by their names without it."""
    files = [disk.root / folder / name for name in sorted(_shown(disk, folder))]
    return {path.stem: path for path in files if path.suffix.lower() in endings}


def _shown(disk: Disk, folder: str) -> list[str]:
    """What a folder holds, without what systems hide in it."""
    return [name for name in disk.names(disk.path(folder)) if not name.startswith(".")]


def write_folder(clips: Iterable[Clip], root: Path) -> None:
    """Writes clips as videos (lossless mkv, the sound in their track) and the masks of their annotated frames."""
    rows: list[dict[str, object]] = []
    for clip in clips:
        name = file_name(clip)
        write_video(root / "videos" / f"{name}.mkv", clip)
        for time, mask in zip(clip.times[clip.annotated], clip.binary_masks()[clip.annotated], strict=True):
            second = np.format_float_positional(time, precision=3, trim="-")
            write_picture(root / "masks" / name / f"{second}.png", mask)
        rows.append({"name": name, "split": split_of(clip), "category": clip.category or ""})
    write_table(root / TABLE, rows)
