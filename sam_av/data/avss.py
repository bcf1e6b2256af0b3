"""AVSBench-semantic (AVSS): class ids of 70 sounding classes, in five frames (v1s, v1m) or ten (v2), one a second."""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from .clip import Clip
from .dataset import ClipDataset, ClipEntry, Index
from .disk import Disk, read_table, rows_of_split
from .media import read_class_ids
from .problems import Problem, summarize
from .writing import check_seconds, file_name, split_of, write_picture, write_table, write_waveform

FRAMES = {"v1s": 5, "v1m": 5, "v2": 10}
"""The subsets and how many frames their clips have."""

TABLE = "metadata.csv"
CLASSES = "label2idx.json"
TREE = """\
metadata.csv                                             vid,uid,s_min,s_sec,a_obj,split,label
label2idx.json                                           the classes in order, background first
{v1s,v1m,v2}/<uid>/frames/{0..4 | 0..9}.jpg
{v1s,v1m,v2}/<uid>/labels_semantic/{0..4 | 0..9}.png     v1s in train: only 0.png
{v1s,v1m,v2}/<uid>/audio.wav"""


class AVSS(ClipDataset):
    """AVSBench-semantic, which lies on the disk as `TREE` says.

    Videos of which nothing is there, as some are gone from what people hold, are left out with a warning; a video of
    which only a part is there is a problem like any other. Training clips of v1s have a truth for their first frame.

    Args:
        root: the folder that holds metadata.csv.
        split: train, val or test.
        subsets: which of v1s, v1m and v2 to read.
        seed: see `ClipDataset`.
        skip_bad: see `ClipDataset`.
    """

    _mask_type = np.uint8

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        subsets: Sequence[str] = tuple(FRAMES),
        seed: int = 0,
        skip_bad: bool = False,
    ) -> None:
        if unknown := set(subsets) - set(FRAMES):
            raise ValueError(f"AVSS has the subsets {', '.join(FRAMES)}, not {', '.join(sorted(unknown))}.")
        disk = Disk(root)
        disk.require([TABLE, CLASSES], "avss", TREE)
        table = disk.root / TABLE
        categories = _read_classes(disk.root / CLASSES)
        index = Index(disk)
        gone = []
        for row in rows_of_split(read_table(table, ["uid", "a_obj", "split", "label"]), split, table):
            name, subset = row["uid"], row["label"]
            if subset in FRAMES and subset not in subsets:
                continue
            with index.row(name):
                if subset not in FRAMES:
                    raise ValueError(f"its label is {subset!r}, not one of {', '.join(FRAMES)}.")
                folder = disk.path(f"{subset}/{name}")
                if not disk.has(folder):
                    gone.append(Problem("video not there", name, f"wanted the folder {disk.shown(folder)}"))
                    continue
                count = FRAMES[subset]
                truth = 1 if (subset, split) == ("v1s", "train") else count
                index.add(
                    ClipEntry(
                        id=name,
                        split=split,
                        category=row["a_obj"] or None,
                        pictures=tuple(folder / "frames" / f"{k}.jpg" for k in range(count)),
                        audio=folder / "audio.wav",
                        times=tuple(float(k) for k in range(count)),
                        masks=tuple(
                            folder / "labels_semantic" / f"{k}.png" if k < truth else None for k in range(count)
                        ),
                    )
                )
        if gone and not index.entries:
            raise FileNotFoundError(f"'{disk.root}' holds no video of {split!r} in {' or '.join(subsets)}.")
        super().__init__("avss", split, index, categories=categories, seed=seed, skip_bad=skip_bad)
        if gone:
            self.left_out += gone
            warnings.warn(f"AVSS ({split}) goes on without {len(gone):,} videos: {summarize(gone)}", stacklevel=2)

    def _read_mask_file(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        return read_class_ids(path, size, len(self.categories))


def write_avss(clips: Iterable[Clip], root: Path, *, categories: Sequence[str]) -> None:
    """Writes clips whose masks are class ids, counted from 1 in `categories`; ten frames go to v2, five to v1m."""
    rows: list[dict[str, object]] = []
    for clip in clips:
        check_seconds(clip, 5, 10)
        if not isinstance(clip.masks, np.ndarray) or clip.masks.dtype != np.uint8:
            raise ValueError(f"Clip {clip.id!r} has no class ids. For scenes, ask for masks='classes'.")
        subset = "v2" if len(clip) == FRAMES["v2"] else "v1m"
        folder = root / subset / file_name(clip)
        for k, (frame, ids) in enumerate(zip(clip.frames, clip.masks, strict=True)):
            write_picture(folder / "frames" / f"{k}.jpg", frame)
            write_picture(folder / "labels_semantic" / f"{k}.png", ids)
            write_picture(folder / "labels_rgb" / f"{k}.png", _colours(ids))
        write_waveform(folder / "audio.wav", clip.waveform)
        rows.append(
            {
                "vid": clip.id,
                "uid": clip.id,
                "s_min": 0,
                "s_sec": 0,
                "a_obj": clip.category or "",
                "split": split_of(clip),
                "label": subset,
            }
        )
    names = ["background", *categories]
    (root / CLASSES).write_text(json.dumps({name: k for k, name in enumerate(names)}, indent=2), encoding="utf-8")
    write_table(root / TABLE, rows)


def _read_classes(path: Path) -> list[str]:
    """The classes without the background, in the order of the file, whatever ids it gives them."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not valid JSON: {error}") from error
    if not isinstance(table, dict) or next(iter(table), None) != "background":
        raise ValueError(f"'{path}' must be an object whose first key is 'background', then one key for each class.")
    return list(table)[1:]


def _colours(ids: np.ndarray) -> np.ndarray:
    """Class ids (H, W) in the colours of PASCAL VOC, (H, W, 3): the bits of an id are dealt to red, green and blue."""
    colours = np.zeros((*ids.shape, 3), dtype=np.uint8)
    for bit in range(8):
        colours[..., bit % 3] |= ((ids >> bit) & 1) << (7 - bit // 3)
    return colours
