"""AVISeg, audio-visual instance segmentation: long videos at one frame a second, a track for each thing that sounds."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Clip, InstanceTrack
from .dataset import ClipDataset, ClipEntry, Index, Masks
from .disk import Disk
from .shapes import Shape, box_of, draw_shape, encode_mask, parse_shape
from .writing import check_seconds, file_name, split_of, write_picture, write_waveform

TREE = """\
<split>.json                                 videos, categories, annotations (null where a thing is silent)
<split>/JPEGImages/<video>/<frame>.jpg       as videos[].file_names says, one a second
<split>/WAVAudios/<video>.wav"""


@dataclass(frozen=True)
class Track:
    """One thing of a video: its class, its id, and for each frame its shape, None where it is silent."""

    category: str
    id: int
    shapes: tuple[Shape | None, ...]


@dataclass(frozen=True)
class AVISegEntry(ClipEntry):
    """What is known of a video: also its tracks, None where nothing is annotated, and its (height, width)."""

    tracks: tuple[Track, ...] | None = None
    size: tuple[int, int] = (0, 0)


class AVISeg(ClipDataset):
    """AVISeg, which lies on the disk as `TREE` says. Frame k is at k seconds. A split without annotations has no truth.

    The embeddings in FEATAudios, which the published system reads, are not needed: the sound is.
    """

    def __init__(self, root: str | Path, split: str, *, seed: int = 0, skip_bad: bool = False) -> None:
        disk = Disk(root)
        disk.require([f"{split}.json", split], "aviseg", TREE)
        data = _read_json(disk.root / f"{split}.json")
        categories = {category["id"]: category["name"] for category in data["categories"]}
        by_video: dict[int, list[dict[str, Any]]] = {}
        for annotation in data.get("annotations") or []:
            by_video.setdefault(annotation["video_id"], []).append(annotation)

        index = Index(disk)
        for number, video in enumerate(data["videos"]):
            with index.row(f"videos[{number}] of {split}.json"):
                files = video["file_names"]
                name = files[0].split("/")[0]
                tracks = [_read_track(item, categories, len(files)) for item in by_video.get(video["id"], [])]
                index.add(
                    AVISegEntry(
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

    def _masks(self, entry: ClipEntry, shape: tuple[int, ...]) -> tuple[Masks, np.ndarray]:
        """The tracks of a video whose frames are (T, H, W)."""
        annotated = isinstance(entry, AVISegEntry) and entry.tracks is not None
