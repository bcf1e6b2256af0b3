"""AVS-Synthetic: single pictures with the mask of one thing, joined by their class with sounds from elsewhere."""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Clip
from .dataset import ClipDataset, ClipEntry, Index
from .disk import Disk, read_table, rows_of_split
from .writing import category_of, file_name, split_of, write_picture, write_table, write_waveform

TABLE = "annotations.csv"
SOUNDS = "category_for_vggsound_audios.pkl"
TREE = """\
annotations.csv                      9 columns: the 1st instance id, 2nd image id, 5th class name, 6th class id,
                                     9th audio name, and one of the others named `split`
category_for_vggsound_audios.pkl     class id -> names of sounds
images/<image id>.jpg
masks/<instance id>.png
audios/<name>.wav"""

TIME = 0.96
"""Seconds at which a picture stands in its sound: its example is the second, as in the published training."""


class AVSSynthetic(ClipDataset):
    """AVS-Synthetic, which lies on the disk as `TREE` says. Its splits are train, validate and test.

    Each clip is one picture. In training its sound is drawn from its class at each access: the same for the same seed,
    epoch and number of the clip, in whatever worker. The other splits name their sounds.

    Attributes:
        sounds: for each class the files that training draws from.
    """

    def __init__(self, root: str | Path, split: str, *, seed: int = 0, skip_bad: bool = False) -> None:
        disk = Disk(root)
        disk.require([TABLE, SOUNDS, "images", "masks", "audios"], "avs-synthetic", TREE)
        table = disk.root / TABLE
        rows = rows_of_split(read_table(table, ["split"]), split, table)
        columns = list(rows[0])
        if len(columns) < 9:
            raise ValueError(f"'{table}' has {len(columns)} columns, {', '.join(columns)}; it should have 9.")
        instance, image, _, _, category, class_id, _, _, audio = columns[:9]

        index = Index(disk)
        sounds = _find_sounds(read_sound_table(disk.root / SOUNDS), index, disk) if split == "train" else {}
        self.sounds: dict[str, tuple[Path, ...]] = {}
        for row in rows:
            with index.row(row[instance]):
                if split == "train":
                    self.sounds[row[category]] = _sounds_of(row[class_id], row[category], sounds)
                index.add(
                    ClipEntry(
                        id=row[instance],
                        split=split,
                        category=row[category],
                        pictures=(disk.path(f"images/{row[image]}.jpg"),),
                        audio=None if split == "train" else disk.path(f"audios/{row[audio]}.wav"),
                        times=(TIME,),
                        masks=(disk.path(f"masks/{row[instance]}.png"),),
                    )
                )
        super().__init__("avs-synthetic", split, index, seed=seed, skip_bad=skip_bad)

    @property
    def draws_sounds(self) -> bool:
        """In training, from the class of the clip."""
        return self.split == "train"

    def _sound(self, index: int) -> Path:
        if not self.draws_sounds:
            return super()._sound(index)
        choices = self.sounds[str(self.entries[index].category)]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return choices[rng.integers(len(choices))]


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, strings and numbers, which need no look-up of a class or a function."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_sound_table(path: Path) -> dict[int, list[str]]:
    """The names of the sounds of each class id, from a pickle that may hold plain containers and nothing else."""
    try:
        with path.open("rb") as file:
            table = _PlainUnpickler(file).load()
    except Exception as error:  # a damaged pickle raises errors of any kind
        raise ValueError(
            f"'{path}' is no plain table ({error}), and nothing of it was run. It must be a pickled dict of class ids "
            "and lists of names; get it from its source again."
        ) from error
    plain = isinstance(table, dict) and all(
        type(key) in (int, str) and type(names) is list and all(type(name) in (int, str) for name in names)
        for key, names in table.items()
    )
    if not plain or not all(str(key).isdecimal() for key in table):
        raise ValueError(f"'{path}' must hold a dict of class ids and lists of names, and nothing else.")
    return {int(key): [str(name) for name in names] for key, names in table.items()}


def _find_sounds(table: dict[int, list[str]], index: Index, disk: Disk) -> dict[int, tuple[Path, ...]]:
    """The files of the sounds of each class; those that are not there are reported."""
    found = {}
    for class_id, names in table.items():
        files = []
        for name in names:
            with index.row(f"class {class_id} in {SOUNDS}"):
                files.append(disk.path(f"audios/{name}.wav"))
        found[class_id] = tuple(path for path in files if disk.has(path))
        index.report("missing file", f"class {class_id} in {SOUNDS}", *disk.missing(files))
    return found


def _sounds_of(class_id: str, category: str, sounds: dict[int, tuple[Path, ...]]) -> tuple[Path, ...]:
    if not class_id.isdecimal() or not sounds.get(int(class_id)):
        raise ValueError(f"its class {category!r} (id {class_id!r}) has no sound in {SOUNDS}.")
    return sounds[int(class_id)]


def write_avs_synthetic(clips: Iterable[Clip], root: Path) -> None:
    """Writes, of each clip of one category, the frame nearest to 0.96 s, its mask and its sound."""
    rows: list[dict[str, object]] = []
    class_ids: dict[str, int] = {}
    sounds: dict[int, list[str]] = {}
    for clip in clips:
        name, category, split = file_name(clip), category_of(clip), split_of(clip)
        frame = int(np.abs(clip.times - TIME).argmin())
        write_picture(root / f"images/{name}.jpg", clip.frames[frame])
        write_picture(root / f"masks/{name}.png", clip.binary_masks()[frame])
        write_waveform(root / f"audios/{name}.wav", clip.waveform)
        class_id = class_ids.setdefault(category, len(class_ids))
        if split == "train":
            sounds.setdefault(class_id, []).append(name)
        height, width = clip.frames.shape[1:3]
        rows.append(
            {
                "instance_id": name,
                "image_id": name,
                "height": height,
                "width": width,
                "class_name": category,
                "class_id": class_id,
                "source": "sam-av",
                "split": split,
                "audio_name": "" if split == "train" else name,
            }
        )
    with (root / SOUNDS).open("wb") as file:
        pickle.dump(sounds, file)
    write_table(root / TABLE, rows)
