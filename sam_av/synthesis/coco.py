"""Instance annotations of COCO and LVIS: one JSON with images, annotations and categories, read as a stream."""

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.disk import Disk
from ..data.shapes import draw_shape, parse_shape
from .json_stream import VALUE, read_arrays
from .pictures import Outline, Picture, Thing, file_id
from .tally import Tally

_OUTLINE = re.compile(rb'"segmentation"\s*:\s*')
_ANNOTATION = {"id", "image_id", "category_id"}
_OUTSIDE = 1.0  # pixel by which a polygon may reach beyond its picture; roundings do


class CocoPictures:
    """Pictures annotated as in COCO.

    Indexing parses a million annotations but for their outlines, which stay in the file until they are asked for.

    Args:
        annotations: the JSON, or several.
        images: the folder of the pictures, or that of folders such as train2017.
        name: of the source, which begins the ids of its pictures.
        vocabulary: whose names its categories have, for the category map.
        license: of the annotations.
        exhaustive: whether each picture is annotated with all things of all categories, so that what is not annotated
            is not there. So it is in COCO; LVIS lists in each picture what is known not to be there.
    """

    def __init__(
        self,
        annotations: str | list[str],
        images: str,
        *,
        name: str = "coco",
        vocabulary: str = "coco",
        license: str | None = None,
        exhaustive: bool = True,
    ) -> None:
        self.name, self.vocabulary, self.license = name, vocabulary, license
        self.tally = Tally()
        disk = Disk(images)
        if not disk.root.is_dir():
            raise FileNotFoundError(f"There is no folder '{images}' for the pictures of '{name}'.")
        names = [annotations] if isinstance(annotations, str) else annotations
        paths = [Path(name).expanduser() for name in names]
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(f"There is no annotation file '{path}' for the pictures of '{name}'.")
        self._files = [_AnnotationFile(path, self, disk, exhaustive) for path in dict.fromkeys(paths)]

    def names(self) -> Counter[str]:
        """See `PictureSource`."""
        return sum((file.names() for file in self._files), Counter())

    def things(self, wanted: Callable[[str], bool]) -> list[Thing]:
        """See `PictureSource`. Ids of annotations are unique within a file only: each file counts from 1."""
        return [thing for file in self._files for thing in file.things(wanted)]


class LvisPictures(CocoPictures):
    """Pictures annotated as in LVIS: not exhaustively; each names things that were looked for and not found."""

    def __init__(
        self,
        annotations: str | list[str],
        images: str,
        *,
        name: str = "lvis",
        vocabulary: str = "lvis",
        license: str | None = None,
    ) -> None:
        super().__init__(annotations, images, name=name, vocabulary=vocabulary, license=license, exhaustive=False)


class _AnnotationFile:
    """One JSON: its pictures and categories as they are, of its annotations columns of numbers."""

    def __init__(self, path: Path, source: CocoPictures, disk: Disk, exhaustive: bool) -> None:
        self._path, self._source, self._disk, self._exhaustive = path, source, disk, exhaustive
        self._images: dict[int, dict[str, Any]] = {}
        self._categories: dict[int, str] = {}
        self._licenses: dict[int, str] = {}
        integers = {name: array("q") for name in ("id", "image_id", "category_id", "place", "length", "iscrowd")}
        areas = array("d")
        bar = tqdm(desc=f"Indexing {path.name}", unit="B", unit_scale=True, total=path.stat().st_size)
        with bar:
            for key, place, text in read_arrays(path):
                if key == "annotations":
                    self._index(place, text, integers, areas)
                    bar.update(place - bar.n)
                elif key in ("images", "categories", "licenses"):
                    self._keep(key, text)
        if not self._categories or not self._images:
            raise ValueError(f"'{path}' has no `images` or no `categories`: it is no instance annotation like COCO's.")
        self._columns = {name: np.frombuffer(values, np.int64) for name, values in integers.items()}
        self._areas = np.frombuffer(areas, np.float64)
        self._whole = self._whole_rows()

    def names(self) -> Counter[str]:
        """The names of the things, and how many there are of each."""
        outlined = self._whole & (self._columns["length"] > 0)
        ids, counts = np.unique(self._columns["category_id"][outlined], return_counts=True)
        names: Counter[str] = Counter()
        for number, count in zip(ids.tolist(), counts.tolist(), strict=True):
            names[self._categories[number]] += count
        return names

    def things(self, wanted: Callable[[str], bool]) -> Iterator[Thing]:
        """The things of the wanted names, in the order of the file."""
        chosen = [number for number, name in self._categories.items() if wanted(name)]
        rows = np.flatnonzero(self._whole & np.isin(self._columns["category_id"], chosen))
        present: dict[int, set[str]] = {}
        images, categories = self._columns["image_id"], self._columns["category_id"]
        for row in rows.tolist():
            present.setdefault(int(images[row]), set()).add(self._categories[int(categories[row])])
        pictures = {number: self._picture(number, frozenset(names)) for number, names in present.items()}
        with self._path.open("rb") as file:
            for row in rows.tolist():
                picture = pictures[int(images[row])]
                if picture is not None and (thing := self._thing(row, picture, file.seek, file.read)) is not None:
                    yield thing

    def _keep(self, key: str, text: bytes) -> None:
        """Takes up a picture, a category or a licence."""
        record = json.loads(text)
        number = record.get("id") if isinstance(record, dict) else None
        if type(number) is not int:
            self._source.tally.add(f"bad entry of {key}", text[:60].decode("utf-8", "replace"))
        elif key == "images":
            if number in self._images:
                self._source.tally.add("duplicate image id", str(number))
                return
            kept = ("file_name", "coco_url", "height", "width", "license", "neg_category_ids")
            self._images[number] = {
                name: record[name] for name in (*kept, "not_exhaustive_category_ids") if name in record
            }
        elif key == "categories":
            self._categories[number] = str(record.get("name", number))
        else:
            self._licenses[number] = str(record.get("name") or record.get("url") or number)

    def _index(self, place: int, text: bytes, integers: dict[str, "array[int]"], areas: "array[float]") -> None:
        """Takes up an annotation without its outline; one that has none tells still what is in the picture."""
        outline = _OUTLINE.search(text)
        value = VALUE.match(text, outline.end()) if outline else None
        length = 0
        if value is not None and value[0] != b"null":
            place, length = place + value.start(), value.end() - value.start()
            text = text[: value.start()] + b"0" + text[value.end() :]
        record = json.loads(text)
        if not isinstance(record, dict) or not record.keys() >= _ANNOTATION:
            self._source.tally.add("bad annotation", text[:60].decode("utf-8", "replace"))
            return
        if not all(type(record[name]) is int for name in ("id", "image_id", "category_id")):
            self._source.tally.add("bad annotation", f"its ids are {record['id']!r}, {record['image_id']!r}, ...")
            return
        if not length:
            self._source.tally.add("annotation without an outline", str(record["id"]))
        for name in ("id", "image_id", "category_id"):
            integers[name].append(record[name])
        integers["place"].append(place)
        integers["length"].append(length)
        integers["iscrowd"].append(bool(record.get("iscrowd")))
        area = record.get("area")
        areas.append(area if isinstance(area, (int, float)) else float("nan"))

    def _whole_rows(self) -> np.ndarray:
        """Which annotations have an id of their own, a picture and a category, (n,) bool; the others are counted."""
        ids = self._columns["id"]
        first = np.zeros(len(ids), dtype=bool)
        first[np.unique(ids, return_index=True)[1]] = True
        whole = first.copy()
        self._source.tally.add("duplicate annotation id", *map(str, ids[~first].tolist()))
        for column, known, cause in (
            ("category_id", self._categories, "annotation of an unknown category id"),
            ("image_id", self._images, "annotation without an image"),
        ):
            found = np.isin(self._columns[column], np.fromiter(known, np.int64))
            strays = np.flatnonzero(whole & ~found).tolist()
            self._source.tally.add(cause, *(f"{ids[row]} ({column} {self._columns[column][row]})" for row in strays))
            whole &= found
        return whole

    def _picture(self, number: int, present: frozenset[str]) -> Picture | None:
        """A picture whose file is there."""
        record = self._images[number]
        names = [str(record[name]) for name in ("file_name", "coco_url") if record.get(name)]
        try:
            path = next(filter(None, map(self._find, names)), None)
        except ValueError:
            self._source.tally.add("name that leads out of the folder", f"{number} ({names[0]})")
            return None
        if path is None:
            self._source.tally.add("missing picture", f"{number} ({names[0] if names else 'no file_name'})")
            return None
        size = (record.get("height"), record.get("width"))
        if not all(type(side) is int and side > 0 for side in size):
            self._source.tally.add("picture without a size", str(number))
            return None
        return Picture(
            id=file_id(self._source.name, path.stem),
            path=path,
            size=(int(record["height"]), int(record["width"])),
            source=self._source.name,
            license=self._licenses.get(record.get("license", -1)),
            present=present,
            exhaustive=self._exhaustive,
            negative=self._names_of(record.get("neg_category_ids", ())),
            partial=self._names_of(record.get("not_exhaustive_category_ids", ())),
        )

    def _find(self, name: str) -> Path | None:
        """The file of that name, or of its end: sets are unpacked deeper or less deep than their metadata say."""
        parts = name.split("/")
        tails = ["/".join(parts[-count:]) for count in (len(parts), 2, 1)]
        return next((path for path in map(self._disk.path, tails) if self._disk.has(path)), None)

    def _names_of(self, numbers: Iterable[int]) -> frozenset[str]:
        return frozenset(self._categories[number] for number in numbers if number in self._categories)

    def _thing(
        self, row: int, picture: Picture, seek: Callable[[int], int], read: Callable[[int], bytes]
    ) -> Thing | None:
        """A thing whose outline can be drawn into its picture; else the picture is marked as lacking one."""
        assert picture.size is not None
        number, name = str(self._columns["id"][row]), self._categories[int(self._columns["category_id"][row])]
        if not self._columns["length"][row]:
            picture.partial |= {name}
            return None
        seek(int(self._columns["place"][row]))
        try:
            outline, area = _check_outline(json.loads(read(int(self._columns["length"][row]))), picture.size)
        except _OutlineError as bad:
            self._source.tally.add(bad.cause, number)
            picture.partial |= {name}
            return None
        known = float(self._areas[row])
        return Thing(
            id=file_id(self._source.name, number),
            picture=picture,
            name=name,
            outline=outline,
            area=(area if np.isnan(known) else known) / (picture.size[0] * picture.size[1]),
            crowd=bool(self._columns["iscrowd"][row]),
            truncated=_touches_edge(outline, picture.size),
        )


class _OutlineError(ValueError):
    """An outline that cannot be drawn."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def _check_outline(value: Any, size: tuple[int, int]) -> tuple[Outline, float]:
    """An outline that fits into a picture of that (height, width), and how many pixels it covers, about."""
    try:
        parsed = parse_shape(value)
    except ValueError as error:
        raise _OutlineError("damaged outline") from error
    if isinstance(parsed, dict):
        if list(parsed["size"]) != list(size):
            raise _OutlineError("run-length encoding of another size than its picture")
        try:
            return parsed, float(draw_shape(parsed, size).sum())
        except ValueError as error:
            raise _OutlineError("damaged outline") from error
    if not parsed:
        raise _OutlineError("polygon with fewer than 3 points")
    area = 0.0
    for polygon in parsed:
        x, y = polygon[::2], polygon[1::2]
        if min(x.min(), y.min()) < -_OUTSIDE or x.max() > size[1] + _OUTSIDE or y.max() > size[0] + _OUTSIDE:
            raise _OutlineError("polygon out of bounds")
        area += abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return [polygon.round(2).tolist() for polygon in parsed], area


def _touches_edge(outline: Outline, size: tuple[int, int]) -> bool:
    """Whether polygons reach the edge of their picture, beyond which the thing may go on; of run lengths, False."""
    if not isinstance(outline, list):
        return False
    x, y = [v for polygon in outline for v in polygon[::2]], [v for polygon in outline for v in polygon[1::2]]
    return min(*x, *y) <= 1 or max(x) >= size[1] - 1 or max(y) >= size[0] - 1
