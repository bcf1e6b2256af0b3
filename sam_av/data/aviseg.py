"""AVISeg, audio-visual instance segmentation: long videos at one frame a second, a track for each thing that sounds."""

import json
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Clip, InstanceTrack
from .dataset import ClipDataset, ClipEntry, Index, TrackEntry
from .disk import Disk
from .shapes import box_of, encode_mask, parse_shape
from .writing import check_seconds, file_name, split_of, write_picture, write_waveform

TREE = """\
<split>.json                                 videos, categories, annotations (null where a thing is silent)
<split>/JPEGImages/<video>/<frame>.jpg       as videos[].file_names says, one a second
<split>/WAVAudios/<video>.wav"""


class AVISeg(ClipDataset):
    """AVISeg, which lies on the disk as `TREE` says. Frame k is at k seconds. A split without annotations has no truth.

    The embeddings in FEATAudios, which the published system reads, are not needed: the sound is.
    """

    def __init__(self, root: str | Path, split: str, *, seed: int = 0, skip_bad: bool = False) -> None:
        disk = Disk(root)
        disk.require([f"{split}.json", split], "aviseg", TREE)
        data = _read_json(disk.root / f"{split}.json")
        categories = {category["id"]: category["name"] for category in sorted(data["categories"], key=itemgetter("id"))}
        by_video: dict[int, list[dict[str, Any]]] = {}
        for annotation in data.get("annotations") or []:
            by_video.setdefault(annotation["video_id"], []).append(annotation)

        index = Index(disk)
        for stray in by_video.keys() - {video["id"] for video in data["videos"]}:
            index.report(
                "bad row", f"{split}.json", f"annotation {by_video[stray][0]['id']} is of video {stray}, not listed"
            )
        for video in data["videos"]:
            with index.row(f"video {video['id']}"):
                files = video["file_names"]
                if not files:
                    raise ValueError("it has no file_names.")
                name = files[0].split("/")[0]
                tracks = [_read_track(item, categories, len(files)) for item in by_video.get(video["id"], [])]
                index.add(
                    ClipEntry(
                        id=name,
                        split=split,
                        pictures=tuple(disk.path(f"{split}/JPEGImages/{file}") for file in files),
                        audio=disk.path(f"{split}/WAVAudios/{name}.wav"),
                        times=tuple(float(k) for k in range(len(files))),
                        tracks=tuple(tracks) if by_video else None,
                        size=(video["height"], video["width"]),
                    )
                )
        super().__init__("aviseg", split, index, categories=list(categories.values()), seed=seed, skip_bad=skip_bad)


def _read_json(path: Path) -> dict[str, Any]:
    """The metadata of a split, in which every record has the fields that are read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not valid JSON: {error}") from error
    wanted = {
        "videos": {"id", "file_names", "height", "width"},
        "categories": {"id", "name"},
        "annotations": {"id", "video_id", "category_id", "segmentations"},
    }
    for table, fields in wanted.items():
        rows = (data.get(table) if isinstance(data, dict) else None) or []
        if not rows and table != "annotations":
            raise ValueError(f"'{path}' has no '{table}'. It should have {', '.join(wanted)}, like YouTube-VIS.")
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise ValueError(f"{table}[{number}] in '{path}' is no object with {', '.join(sorted(fields))}.")
            if lacking := fields - row.keys():
                raise ValueError(f"{table}[{number}] in '{path}' lacks {', '.join(sorted(lacking))}.")
    return data


def _read_track(annotation: dict[str, Any], categories: dict[int, str], frames: int) -> TrackEntry:
    number, shapes = annotation["id"], annotation["segmentations"]
    if annotation["category_id"] not in categories:
        raise ValueError(f"annotation {number} has the category {annotation['category_id']}, which is not listed.")
    if not isinstance(shapes, list):
        raise ValueError(f"annotation {number} has no list of segmentations, but {shapes!r}.")
    if len(shapes) != frames:
        raise ValueError(f"annotation {number} has {len(shapes)} segmentations for {frames} frames.")
    return TrackEntry(
        category=categories[annotation["category_id"]],
        id=number,
        shapes=tuple(None if shape is None else parse_shape(shape) for shape in shapes),
    )


def write_aviseg(clips: Iterable[Clip], root: Path, *, categories: Sequence[str]) -> None:
    """Writes clips whose masks are instance tracks; a clip without masks is written without annotations."""
    splits: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for clip in clips:
        check_seconds(clip)
        name, split = file_name(clip), split_of(clip)
        if isinstance(clip.masks, np.ndarray):
            raise ValueError(f"Clip {name!r} has no instance tracks. For scenes, ask for masks='instances'.")
        data = splits.setdefault(split, {"videos": [], "categories": [], "annotations": []})
        files = [f"{name}/{k:05d}.jpg" for k in range(len(clip))]
        for file, frame in zip(files, clip.frames, strict=True):
            write_picture(root / split / "JPEGImages" / file, frame)
        write_waveform(root / split / "WAVAudios" / f"{name}.wav", clip.waveform)
        height, width = clip.frames.shape[1:3]
        video_id = len(data["videos"]) + 1
        size = {"height": height, "width": width}
        data["videos"].append({"id": video_id, "file_names": files, "length": len(clip), **size})
        for track in clip.masks or []:
            number = len(data["annotations"]) + 1
            place = {"id": number, "video_id": video_id, "category_id": 1 + categories.index(track.category)}
            data["annotations"].append({**place, **size, **_annotate(track)})
    for split, data in splits.items():
        data["categories"] = [{"id": k + 1, "name": name} for k, name in enumerate(categories)]
        (root / f"{split}.json").write_text(json.dumps(data), encoding="utf-8")


def _annotate(track: InstanceTrack) -> dict[str, Any]:
    """The shapes, boxes and areas of a track, null where it is silent."""
    sounding = [mask if mask.any() else None for mask in track.masks]
    return {
        "iscrowd": 0,
        "segmentations": [None if mask is None else encode_mask(mask) for mask in sounding],
        "bboxes": [None if mask is None else box_of(mask) for mask in sounding],
        "areas": [None if mask is None else int(mask.sum()) for mask in sounding],
    }
