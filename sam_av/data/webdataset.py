"""WebDataset: tars that hold one clip after the other, read as a stream."""

import io
import json
import re
import tarfile
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Clip
from .folder import PICTURES, SOUNDS
from .hub_rows import COLUMNS, RowReader
from .problems import DataProblems, Problem, problems_of
from .shards import SHARD_SIZE, datasets_library, encode_png, in_shards
from .stream import IterableClips
from .writing import encode_wav

TREE = """\
<split>-000000.tar         shards of a few hundred clips; in each, the files of one clip after those of the other:
  <key>.jpg                the picture, or the frames, numbered: <key>.0.jpg, <key>.1.jpg; also .jpeg .png .webp .bmp
  <key>.wav                the sound; also .flac .mp3 .m4a .ogg .opus
  <key>.mask.png           the mask of the picture, or those of annotated frames: <key>.mask.0.png; optional, like
  <key>.json               {"time": seconds of the frame in the sound, or a list of them, "category": a text}"""

_PICTURE = re.compile(rf"(mask\.)?(?:(\d+)\.)?({'|'.join(ending[1:] for ending in PICTURES)})")


def open_webdataset(
    source: str | Path, split: str, *, streaming: bool = False, seed: int = 0, skip_bad: bool = False, **options: Any
) -> IterableClips:
    """Opens tars as a stream of clips, which lie in them as `TREE` says; nothing is read yet.

    Args:
        source: a folder of tars or the id of a Hub repository, both with the split in the tars' names; or one tar or a
            pattern of them, which is taken as the split that is asked for: "shards/*.tar", "hf://datasets/a/b/*.tar".
        split: the part to read.
        streaming: must be asked for: tars know no other way.
        seed: of nothing here; `IterableClips.shuffled` has its own.
        skip_bad: leave out, with a warning, clips that cannot be used and the rest of tars that are cut off.
        **options: for `datasets.load_dataset_builder`, such as `revision` and `token`.
    """
    if not streaming:
        raise ValueError(
            f"'{source}' is made of tars, which are read from front to back: pass streaming=True. For clips by their "
            "number, write them as parquet files: write_dataset(clips, folder, 'hub')."
        )
    parts = find_tars(source, split, **options)
    if split not in parts:
        raise ValueError(f"'{source}' has no split {split!r}; its tars are of {', '.join(parts)}.")
    shards = {"tars": parts[split], "title": f"{source} ({split})", "skip_bad": skip_bad, "token": options.get("token")}
    rows = datasets_library().IterableDataset.from_generator(_read_tars, gen_kwargs=shards)
    return IterableClips(str(source), split, rows, SampleReader(str(source), split), skip_bad=skip_bad)


def find_tars(source: str | Path, split: str = "train", **options: Any) -> dict[str, list[str]]:
    """The tars of each split; those of a pattern are of `split`."""
    builder = datasets_library().load_dataset_builder
    name = str(source)
    try:
        if name.endswith(".tar"):
            found = builder("webdataset", data_files={split: name}, **options).config.data_files
        else:
            found = builder(name, **options).config.data_files
    except (FileNotFoundError, ConnectionError) as error:
        raise FileNotFoundError(
            f"'{name}' is neither on this disk nor a data set on the Hub that can be reached: {error}"
        ) from error
    files = {str(part): [str(file) for file in of_part] for part, of_part in (found or {}).items()}
    parts = {part: tars for part in files if (tars := [file for file in files[part] if file.endswith(".tar")])}
    if not parts:
        raise FileNotFoundError(f"There are no tars in '{source}'.")
    return parts


def _read_tars(tars: list[str], title: str, skip_bad: bool, token: str | bool | None) -> Iterator[dict[str, Any]]:
    """A row for each key: the key, and its files by what their names say after it."""
    datasets = datasets_library()
    archives = datasets.StreamingDownloadManager(download_config=datasets.DownloadConfig(token=token))
    for tar in tars:
        files = ((*_split_name(path), file.read()) for path, file in archives.iter_archive(tar) if "." in path)
        try:
            for key, group in groupby(files, key=lambda file: file[0]):
                yield {"key": key, "files": [(field, content) for _, field, content in group]}
        except tarfile.ReadError as error:
            fault = Problem("damaged tar", tar, f"it is cut off or no tar ({error}); what lies before that is read")
            if not skip_bad:
                raise DataProblems(title, [fault], "Get it again, or pass skip_bad=True to go on.") from error
            warnings.warn(f"Left out the rest: {DataProblems(title, [fault])}", stacklevel=1)


def _split_name(path: str) -> tuple[str, str]:
    """The key, up to the first dot of the file's name, and what comes after that."""
    folder, slash, name = path.rpartition("/")
    key, _, field = name.partition(".")
    return folder + slash + key, field.lower()


class SampleReader:
    """Makes clips of the files of one key; `categories` are not known beforehand."""

    categories = None

    def __init__(self, source: str, split: str) -> None:
        self._title = f"{source} ({split})"
        self._rows = RowReader(self._title, split, list(COLUMNS), None, None)

    def read(self, row: dict[str, Any], name: str) -> Clip:
        """The clip of {"key": ..., "files": [(what its name says after the key, what it holds), ...]}."""
        key = row["key"]
        with problems_of("bad clip", key, self._title):
            columns = {**_columns_of(row["files"]), "id": key}
        return self._rows.read(columns, name)


def _columns_of(files: list[tuple[str, bytes]]) -> dict[str, Any]:
    """The files of one key as a row of the columns that a `RowReader` knows."""
    columns: dict[str, Any] = {}
    frames: dict[int, Any] = {}
    masks: dict[int, Any] = {}
    for field, content in files:
        stored = {"bytes": content, "path": f"clip.{field}"}
        if match := _PICTURE.fullmatch(field):
            pictures, number = masks if match[1] else frames, int(match[2] or 0)
            if number in pictures:
                raise ValueError(f"its file '.{field}' is of the same frame as another one.")
            pictures[number] = stored
        elif f".{field}" in SOUNDS:
            columns["audio"] = stored
        elif field == "json":
            columns |= _facts_of(content)
        elif field.endswith(PICTURES):
            raise ValueError(
                f"its file '.{field}' is neither a frame, such as .0.jpg, nor a mask, such as .mask.0.png."
            )
    lacking = [what for what, found in (("picture", frames), ("sound", columns.get("audio"))) if not found]
    if lacking:
        names = ", ".join(f".{field}" for field, _ in files)
        raise ValueError(f"it has no {lacking[0]}: wanted .jpg or .0.jpg, .1.jpg, ..., and .wav; found {names}.")
    if strays := sorted(masks.keys() - frames.keys()):
        raise ValueError(f"it has a mask of frame {strays[0]}, and no such frame.")
    columns["image"] = [frames[number] for number in sorted(frames)]
    if masks:
        columns["mask"] = [masks.get(number) for number in sorted(frames)]
    return columns


def _facts_of(content: bytes) -> dict[str, Any]:
    """What the JSON of a clip says of it; whatever else is in there is for others."""
    facts = json.loads(content)
    if not isinstance(facts, dict) or "times" in facts:
        raise ValueError('its JSON should be like {"time": [0.0, 1.0], "category": "dog"}.')
    try:
        np.asarray(facts.get("time", 0), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"its time should be seconds or a list of them, not {facts['time']!r}.") from error
    return {name: facts[name] for name in ("time", "category") if name in facts}


def write_webdataset(clips: Iterable[Clip], root: Path, *, shard_size: int = SHARD_SIZE) -> None:
    """Writes clips as tars of `shard_size` clips, pictures as PNG."""
    root.mkdir(parents=True, exist_ok=True)
    for split, number, samples in in_shards(clips, _files_of, shard_size):
        draft = root / f".{split}-{number:06d}.tar"
        with tarfile.open(draft, "w") as tar:
            for name, content in chain.from_iterable(samples):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        draft.rename(draft.with_name(draft.name[1:]))


def _files_of(clip: Clip) -> list[tuple[str, bytes]]:
    """The files of a clip, each with its name."""
    if "." in clip.id.rpartition("/")[2]:
        raise ValueError(f"The id {clip.id!r} has a dot, where the key of a WebDataset ends: write clips without dots.")
    files = [(f"{clip.id}.{number}.png", encode_png(frame)) for number, frame in enumerate(clip.frames)]
    files.append((f"{clip.id}.wav", encode_wav(clip.waveform)))
    if clip.masks is not None:
        masks = clip.binary_masks()
        files += [(f"{clip.id}.mask.{number}.png", encode_png(masks[number])) for number in clip.annotated.nonzero()[0]]
    facts = {"time": clip.times.tolist(), "category": clip.category}
    files.append((f"{clip.id}.json", json.dumps(facts).encode()))
    return files
