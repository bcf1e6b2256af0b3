"""Writing triplets in the layouts that `open_dataset` reads: chunk by chunk, and tables last."""

import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..data import avs_synthetic
from ..data.clip import SAMPLE_RATE
from ..data.folder import SOUNDS
from ..data.shapes import encode_mask
from ..data.shards import datasets_library, encode_png
from ..data.writing import encode_wav, write_picture, write_table
from ..hub import write_whole
from .composition import SINGLE, Triplet
from .recipe import SynthesisRecipe
from .render import Unusable, check_picture, draw_mask, mix_sounds, read_pixels, read_stretch

TIME = avs_synthetic.TIME
"""Seconds at which a picture stands in its sound, as in AVS-Synthetic: it hears the second example."""

DRAFT = ".draft-"
"""What the names of files begin with until they are whole."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """What is written at a time, and kept as whole.

    Attributes:
        split: the part of the data set.
        number, count: which chunk of the part it is, and how many there are.
        triplets: what is written; or
        sounds: the names and the files of sounds from which training draws.
    """

    split: str
    number: int
    count: int
    triplets: Sequence[Triplet] = ()
    sounds: Sequence[tuple[str, str]] = field(default=())


class Writer(Protocol):
    """One layout."""

    def write(self, chunk: Chunk) -> tuple[list[Row], list[tuple[str, str]]]:
        """Writes a chunk: what is kept of its triplets, and the cause and the name of those that cannot be made."""

    def conclude(self, rows: list[Row], pool: dict[str, list[tuple[str, str]]]) -> None:
        """Writes the tables, from what all chunks gave."""


class _Files:
    """Single files in a folder: what the layouts without shards share."""

    def __init__(self, root: Path, recipe: SynthesisRecipe) -> None:
        self.root, self.recipe = root, recipe

    def put(self, source: str, name: str) -> str:
        """Links to a file, or copies it; its path in the data set."""
        if not (self.root / name).exists():
            if self.recipe.files == "link":
                self._write(name, lambda draft: draft.symlink_to(Path(source).absolute()))
            else:
                self._write(name, partial(shutil.copyfile, source))
        return name

    def put_jpeg(self, source: str, picture: str) -> None:
        """A picture as a JPEG: the file itself, or its pixels."""
        name = f"images/{picture}.jpg"
        if Path(source).suffix.lower() in (".jpg", ".jpeg"):
            self.put(source, name)
        elif not (self.root / name).exists():
            self._write(name, partial(write_picture, picture=read_pixels(source, picture)))

    def put_sound(self, triplet: Triplet) -> str:
        """The sound of a triplet: the file itself, or one that is mixed."""
        if triplet.is_mixed:
            name = f"audios/{triplet.id}.wav"
            self._store(name, encode_wav(mix_sounds(triplet, self.recipe.seconds)))
            return name
        name, path = triplet.sounds[0]
        if Path(path).suffix.lower() in SOUNDS:
            return self.put(path, f"audios/{name}{Path(path).suffix.lower()}")
        return self.put_wav(name, path)

    def put_wav(self, name: str, path: str) -> str:
        """A sound as a wav: the file itself, or its first seconds."""
        target = f"audios/{name}.wav"
        if Path(path).suffix.lower() == ".wav":
            return self.put(path, target)
        if not (self.root / target).exists():
            self._store(target, encode_wav(read_stretch(path, name, round(self.recipe.seconds * SAMPLE_RATE))))
        return target

    def put_mask(self, triplet: Triplet, size: tuple[int, int]) -> str:
        """The mask as a PNG."""
        name = f"masks/{triplet.id}.png"
        self._store(name, encode_png(draw_mask(triplet, size, self.recipe.min_area)))
        return name

    def _store(self, name: str, content: bytes) -> None:
        self._write(name, lambda draft: draft.write_bytes(content))

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        """Writes a file whole or not at all: as a draft, which then gets its name."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{DRAFT}{os.getpid()}-{target.name}")
        write(draft)
        draft.replace(target)


class _Rows:
    """What all layouts share: triplets one by one, with those that cannot be made set apart."""

    def __init__(self, root: Path, recipe: SynthesisRecipe) -> None:
        self.root, self.recipe = root, recipe
        self.files = _Files(root, recipe)

    def write(self, chunk: Chunk) -> tuple[list[Row], list[tuple[str, str]]]:
        """See `Writer`."""
        rows, faults = [], []
        for triplet in chunk.triplets:
            try:
                rows.append(self.make(triplet))
            except Unusable as unusable:
                faults.append((unusable.cause, unusable.name))
        return rows, faults

    def make(self, triplet: Triplet) -> Row:
        """What is to be kept of a triplet."""
        raise NotImplementedError


class ManifestWriter(_Rows):
    """A manifest.jsonl with the pictures, the sounds and the masks beside it."""

    def make(self, triplet: Triplet) -> Row:
        """Writes the files of a triplet, and gives its row."""
        size = check_picture(triplet)
        if self.recipe.masks == "rle":
            truth: Row = {"rle": encode_mask(draw_mask(triplet, size, self.recipe.min_area))}
        else:
            truth = {"mask": self.files.put_mask(triplet, size)}
        audio = self.files.put_sound(triplet)
        name, path = triplet.picture
        image = self.files.put(path, f"images/{name}{Path(path).suffix.lower()}")
        category = triplet.categories[0] if triplet.rule == SINGLE else None
        facts = {"time": TIME, **truth, "category": category, "split": triplet.split, "origin": triplet.origin}
        return {"id": triplet.id, "image": image, "audio": audio, **facts}

    def conclude(self, rows: list[Row], pool: dict[str, list[tuple[str, str]]]) -> None:
        """See `Writer`."""
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(self.root, {"manifest.jsonl": lambda path: path.write_text(lines, encoding="utf-8")})


class AVSSyntheticWriter(_Rows):
    """The layout of AVS-Synthetic, whose training draws its sounds; where rows come from stands in provenance.jsonl."""

    def write(self, chunk: Chunk) -> tuple[list[Row], list[tuple[str, str]]]:
        """See `Writer`; of sounds the names of those that could be read."""
        if not chunk.sounds:
            return super().write(chunk)
        rows, faults = [], []
        for name, path in chunk.sounds:
            try:
                self.files.put_wav(name, path)
                rows.append({"sound": name})
            except Unusable as unusable:
                faults.append((unusable.cause, unusable.name))
        return rows, faults

    def make(self, triplet: Triplet) -> Row:
        """Writes the files of a triplet, and gives its row."""
        size = check_picture(triplet)
        self.files.put_mask(triplet, size)
        for name, path in triplet.sounds:
            self.files.put_wav(name, path)
        name, path = triplet.picture
        self.files.put_jpeg(path, name)
        return {
            "instance_id": triplet.id,
            "image_id": name,
            "height": size[0],
            "width": size[1],
            "class_name": triplet.categories[0],
            "source": triplet.origin["picture"]["source"],
            "split": triplet.split,
            "audio_name": triplet.sounds[0][0] if triplet.sounds else "",
            "origin": triplet.origin,
        }

    def conclude(self, rows: list[Row], pool: dict[str, list[tuple[str, str]]]) -> None:
        """See `Writer`."""
        readable = {row["sound"] for row in rows if "sound" in row}
        rows = [row for row in rows if "sound" not in row]
        classes = {name: number for number, name in enumerate(sorted({row["class_name"] for row in rows}))}
        sounds = {
            classes[category]: [name for name, _ in of_class if name in readable]
            for category, of_class in pool.items()
            if category in classes
        }
        lines = "".join(
            json.dumps({"id": row["instance_id"], **row["origin"]}, ensure_ascii=False) + "\n" for row in rows
        )
        columns = (
            "instance_id",
            "image_id",
            "height",
            "width",
            "class_name",
            "class_id",
            "source",
            "split",
            "audio_name",
        )
        table = [{name: row.get(name, classes[row["class_name"]]) for name in columns} for row in rows]
        write_whole(
            self.root,
            {
                "provenance.jsonl": lambda path: path.write_text(lines, encoding="utf-8"),
                avs_synthetic.SOUNDS: lambda path: path.write_bytes(pickle.dumps(sounds)),
                avs_synthetic.TABLE: partial(write_table, rows=table),
            },
        )


class _ShardWriter(_Rows):
    """A file for each chunk, which holds all of its triplets."""

    ending: str

    def write(self, chunk: Chunk) -> tuple[list[Row], list[tuple[str, str]]]:
        """See `Writer`; what is kept of a triplet is its name, for the rest lies in the shard."""
        rows, faults = super().write(chunk)
        if rows:
            # This form of name lets `datasets` find a part whatever it is called; "validate" it would not know.
            name = f"data/{chunk.split}-{chunk.number:05d}-of-{chunk.count:05d}{self.ending}"
            write_whole(self.root, {name: partial(self.write_shard, rows)})
        return [{"id": row["id"]} for row in rows], faults

    def make(self, triplet: Triplet) -> Row:
        """The files of a triplet, as they are stored."""
        size = check_picture(triplet)
        mask = encode_png(draw_mask(triplet, size, self.recipe.min_area))
        path = Path(triplet.picture[1])
        return {
            "id": triplet.id,
            "image": (path.suffix.lower(), path.read_bytes()),
            "audio": self._sound(triplet),
            "mask": mask,
            "category": triplet.categories[0] if triplet.rule == SINGLE else None,
            "origin": triplet.origin,
        }

    def _sound(self, triplet: Triplet) -> tuple[str, bytes]:
        """The sound as a file's ending and what it holds; of a video, or mixed, a wav."""
        suffix = Path(triplet.sounds[0][1]).suffix.lower()
        if not triplet.is_mixed and suffix in SOUNDS:
            return suffix, Path(triplet.sounds[0][1]).read_bytes()
        return ".wav", encode_wav(mix_sounds(triplet, self.recipe.seconds))

    def write_shard(self, rows: list[Row], path: Path) -> None:
        """Writes the file of a chunk."""
        raise NotImplementedError

    def conclude(self, rows: list[Row], pool: dict[str, list[tuple[str, str]]]) -> None:
        """See `Writer`: shards need no table."""


class WebDatasetWriter(_ShardWriter):
    """Tars in the form of WebDataset."""

    ending = ".tar"

    def write_shard(self, rows: list[Row], path: Path) -> None:
        """Writes the files of one triplet after those of the other."""
        with tarfile.open(path, "w") as tar:
            for row in rows:
                facts = {"time": TIME, "category": row["category"], "origin": row["origin"]}
                for ending, content in (
                    row["image"],
                    row["audio"],
                    (".mask.png", row["mask"]),
                    (".json", json.dumps(facts, ensure_ascii=False).encode()),
                ):
                    member = tarfile.TarInfo(row["id"] + ending)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


class HubWriter(_ShardWriter):
    """Parquet files that `datasets` opens, here or from the Hub."""

    ending = ".parquet"

    def write_shard(self, rows: list[Row], path: Path) -> None:
        """Writes a row for each triplet."""
        table = [
            {
                "id": row["id"],
                "image": {"bytes": row["image"][1], "path": None},
                "audio": {"bytes": row["audio"][1], "path": row["id"] + row["audio"][0]},
                "mask": {"bytes": row["mask"], "path": None},
                "time": TIME,
                "category": row["category"],
                "origin": json.dumps(row["origin"], ensure_ascii=False),
            }
            for row in rows
        ]
        datasets = datasets_library()
        stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
        text = datasets.Value("string")
        features = datasets.Features(
            {
                "id": text, "image": datasets.Image(), "audio": stored, "mask": datasets.Image(),
                "time": datasets.Value("float64"), "category": text, "origin": text,
            }
        )  # fmt: skip
        shard = datasets.Dataset.from_list(table, features=features)
        shard.cast_column("audio", datasets.Audio()).to_parquet(path)


WRITERS: dict[str, Callable[[Path, SynthesisRecipe], Writer]] = {
    "avs-synthetic": AVSSyntheticWriter,
    "manifest": ManifestWriter,
    "webdataset": WebDatasetWriter,
    "hub": HubWriter,
}
