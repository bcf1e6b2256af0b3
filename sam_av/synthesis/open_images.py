"""Open Images V7 with masks: a table of masks, a table of class names, a PNG for each thing."""

import csv
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..data.disk import Disk
from .pictures import Picture, Thing, file_id
from .tally import Tally

MASKS = ("MaskPath", "ImageID", "LabelName", "BoxID", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
BOXES = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsTruncated", "IsGroupOf")
IMAGES = ("ImageID", "License", "Rotation")


Box = tuple[float, float, float, float]
"""Left, right, top and bottom, in 0..1."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table of masks."""

    mask: str
    image: str
    label: str
    box: Box


class OpenImagesPictures:
    """Pictures and masks of Open Images, as its tables describe them.

    Args:
        masks_table: `<split>-annotations-object-segmentation.csv`, or several.
        classes: the table of class names, `oidv7-class-descriptions-boxable.csv`; with or without a header.
        masks: the folder of the mask PNGs, or that of folders with a letter of the mask's name each.
        images: the folder of the pictures, <ImageID>.jpg.
        boxes: `<split>-annotations-bbox.csv`, which tells what is truncated and what is a group; without it nothing is.
        images_table: `<split>-images-with-rotation.csv`, which tells the licences, and which pictures lie on their side
            and are left out for that.
        name: of the source, which begins the ids of its pictures.
        vocabulary: whose names its classes have, for the category map.
        license: of the annotations.
    """

    def __init__(
        self,
        masks_table: str | list[str],
        classes: str,
        masks: str,
        images: str,
        *,
        boxes: str | list[str] | None = None,
        images_table: str | list[str] | None = None,
        name: str = "open-images",
        vocabulary: str = "open-images",
        license: str | None = None,
    ) -> None:
        self.name, self.vocabulary, self.license = name, vocabulary, license
        self.tally = Tally()
        self._masks, self._images = Disk(masks), Disk(images)
        for disk, what in ((self._masks, "masks"), (self._images, "pictures")):
            if not disk.root.is_dir():
                raise FileNotFoundError(f"There is no folder '{disk.root}' for the {what} of '{name}'.")
        self._classes = _read_classes(Path(classes).expanduser())
        self._tables, self._boxes, self._facts = _paths(masks_table), _paths(boxes), _paths(images_table)

    def names(self) -> Counter[str]:
        """See `PictureSource`."""
        return Counter(self._classes[row.label] for row in self._read_rows(Tally()))

    def things(self, wanted: Callable[[str], bool]) -> list[Thing]:
        """See `PictureSource`."""
        rows = [row for row in self._read_rows(self.tally) if wanted(self._classes[row.label])]
        present: dict[str, set[str]] = {}
        for row in rows:
            present.setdefault(row.image, set()).add(self._classes[row.label])
        facts = self._read_facts(present.keys())
        pictures = {image: self._picture(image, frozenset(names), facts) for image, names in present.items()}
        flags = self._read_flags(rows)
        things = []
        for row in rows:
            picture, mask = pictures[row.image], self._find_mask(row.mask)
            if picture is None:
                continue
            if mask is None:
                self.tally.add("missing mask", row.mask)
                picture.partial |= {self._classes[row.label]}
                continue
            truncated, group = flags.get((row.image, row.label, row.box), (False, False))
            things.append(
                Thing(
                    id=file_id(self.name, mask.stem),
                    picture=picture,
                    name=self._classes[row.label],
                    outline=str(mask),
                    area=(row.box[1] - row.box[0]) * (row.box[3] - row.box[2]),
                    truncated=truncated,
                    group=group,
                )
            )
        return things

    def _read_rows(self, tally: Tally) -> Iterator[_Row]:
        """The rows that can be used, which are read anew each time: of millions few are wanted."""
        seen: set[str] = set()
        for record in _records(self._tables, MASKS, "masks", tally):
            try:
                box = _box(record[4:])
            except ValueError:
                tally.add("bad row of masks", record[0])
                continue
            if record[0] in seen:
                tally.add("duplicate mask", record[0])
            elif record[2] not in self._classes:
                tally.add("annotation of an unknown category id", f"{record[0]} ({record[2]})")
            else:
                seen.add(record[0])
                yield _Row(record[0], record[1], record[2], box)

    def _read_facts(self, wanted: Container[str]) -> dict[str, tuple[str, str]]:
        """The licence and the rotation of the pictures, where there is a table of them."""
        records = _records(self._facts, IMAGES, "pictures", self.tally)
        return {image: (license, rotation) for image, license, rotation in records if image in wanted}

    def _read_flags(self, rows: list[_Row]) -> dict[tuple[str, str, Box], tuple[bool, bool]]:
        """Which things are truncated, and which are groups, where there is a table of boxes."""
        wanted = {(row.image, row.label, row.box) for row in rows}
        flags = {}
        for image, label, *numbers, truncated, group in _records(self._boxes, BOXES, "boxes", self.tally):
            try:
                key = (image, label, _box(numbers))
            except ValueError:
                self.tally.add("bad row of boxes", f"{image} ({label}: {', '.join(numbers)})")
                continue
            if key in wanted:
                flags[key] = (truncated == "1", group == "1")
        return flags

    def _picture(self, image: str, present: frozenset[str], facts: dict[str, tuple[str, str]]) -> Picture | None:
        path = self._find(self._images, f"{image}.jpg")
        license, rotation = facts.get(image, (None, ""))
        if path is None:
            self.tally.add("missing picture", image)
            return None
        if rotation.strip("-0."):  # neither empty nor a zero
            self.tally.add("picture that lies on its side", image)
            return None
        return Picture(file_id(self.name, image), path, None, self.name, license=license, present=present)

    def _find_mask(self, name: str) -> Path | None:
        return self._find(self._masks, name, f"{name[:1]}/{name}", f"{name[:1].upper()}/{name}")

    def _find(self, disk: Disk, *names: str) -> Path | None:
        """The first of the files that is there; names from tables lead nowhere out of the folder."""
        try:
            return next((path for path in map(disk.path, names) if disk.has(path)), None)
        except ValueError:
            self.tally.add("name that leads out of the folder", names[0])
            return None


def _paths(names: str | list[str] | None) -> list[Path]:
    paths = [Path(name).expanduser() for name in ([names] if isinstance(names, str) else names or [])]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"There is no table '{path}'.")
    return paths


def _box(numbers: list[str]) -> Box:
    """A box from its numbers; tables write the same one with more and with fewer digits."""
    left, right, top, bottom = (round(float(number), 4) for number in numbers)
    return left, right, top, bottom


def _records(paths: list[Path], columns: tuple[str, ...], what: str, tally: Tally) -> Iterator[list[str]]:
    """The cells of some columns of tables, row by row; rows with too few cells or too many are counted."""
    for path in paths:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            if lacking := [name for name in columns if name not in head]:
                raise ValueError(f"'{path}' is no table of {what}: it lacks the columns {', '.join(lacking)}.")
            places = [head.index(name) for name in columns]
            for cells in tqdm(reader, desc=f"Reading {path.name}", unit="row", unit_scale=True):
                if len(cells) == len(head):
                    yield [cells[place] for place in places]
                elif cells:
                    tally.add(f"bad row of {what}", f"{path.name}, line {reader.line_num}")


def _read_classes(path: Path) -> dict[str, str]:
    """The names of the classes by their ids, from a table with or without a header."""
    (path,) = _paths(str(path))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) >= 2]
    classes = {row[0]: row[1] for row in rows if row[0] != "LabelName"}
    if not classes:
        raise ValueError(f"'{path}' is no table of class names: its rows should be like '/m/0bt9lr,Dog'.")
    return classes
