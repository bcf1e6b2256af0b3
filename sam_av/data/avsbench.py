"""AVSBench-object: S4, one sounding object a clip, and MS3, several. Five frames, one a second."""

from collections.abc import Iterable
from pathlib import Path

from .clip import Clip
from .dataset import ClipDataset, ClipEntry, Index
from .disk import Disk, read_table, rows_of_split
from .writing import category_of, check_seconds, file_name, split_of, write_picture, write_table, write_waveform

FRAMES = 5
TIMES = tuple(float(k) for k in range(FRAMES))

S4_TABLE = "s4_meta_data.csv"
S4_TREE = """\
s4_meta_data.csv                                                     name,start,category,split
s4_data/visual_frames/<split>/<category>/<name>/<name>_{1..5}.png
s4_data/gt_masks/<split>/<category>/<name>/<name>_{1..5}.png         train: only _1
s4_data/audio_wav/<split>/<category>/<name>.wav"""

MS3_TABLE = "ms3_meta_data.csv"
MS3_TREE = """\
ms3_meta_data.csv                                                    video_id,split
ms3_data/visual_frames/<video_id>/<video_id>.mp4_{1..5}.png
ms3_data/gt_masks/<split>/<video_id>/<video_id>_{1..5}.png
ms3_data/audio_wav/<split>/<video_id>.wav"""


class AVSBenchS4(ClipDataset):
    """AVSBench S4, which lies on the disk as `S4_TREE` says. Training clips have a truth for their first frame only.

    The pickled log-mels that are distributed with it are not read: the sound is.
    """

    def __init__(self, root: str | Path, split: str, *, seed: int = 0, skip_bad: bool = False) -> None:
        disk = Disk(root)
        disk.require([S4_TABLE, "s4_data"], "avsbench-s4", S4_TREE)
        table = disk.root / S4_TABLE
        index = Index(disk)
        for row in rows_of_split(read_table(table, ["name", "category", "split"]), split, table):
            name, category = row["name"], row["category"]
            with index.row(name):
                place = f"{split}/{category}/{name}"
                frames = disk.path(f"s4_data/visual_frames/{place}")
                masks = disk.path(f"s4_data/gt_masks/{place}")
                truth = 1 if split == "train" else FRAMES
                index.add(
                    ClipEntry(
                        id=name,
                        split=split,
                        category=category,
                        pictures=tuple(frames / f"{name}_{k + 1}.png" for k in range(FRAMES)),
                        audio=disk.path(f"s4_data/audio_wav/{place}.wav"),
                        times=TIMES,
                        masks=tuple(masks / f"{name}_{k + 1}.png" if k < truth else None for k in range(FRAMES)),
                    )
                )
        super().__init__("avsbench-s4", split, index, seed=seed, skip_bad=skip_bad)


class AVSBenchMS3(ClipDataset):
    """AVSBench MS3, which lies on the disk as `MS3_TREE` says. All five frames have a truth in every split."""

    def __init__(self, root: str | Path, split: str, *, seed: int = 0, skip_bad: bool = False) -> None:
        disk = Disk(root)
        disk.require([MS3_TABLE, "ms3_data"], "avsbench-ms3", MS3_TREE)
        table = disk.root / MS3_TABLE
        index = Index(disk)
        for row in rows_of_split(read_table(table, ["video_id", "split"]), split, table):
            name = row["video_id"]
            with index.row(name):
                frames = disk.path(f"ms3_data/visual_frames/{name}")
                masks = disk.path(f"ms3_data/gt_masks/{split}/{name}")
                index.add(
                    ClipEntry(
                        id=name,
                        split=split,
                        pictures=tuple(frames / f"{name}.mp4_{k + 1}.png" for k in range(FRAMES)),
                        audio=disk.path(f"ms3_data/audio_wav/{split}/{name}.wav"),
                        times=TIMES,
                        masks=tuple(masks / f"{name}_{k + 1}.png" for k in range(FRAMES)),
                    )
                )
        super().__init__("avsbench-ms3", split, index, seed=seed, skip_bad=skip_bad)


def write_avsbench_s4(clips: Iterable[Clip], root: Path) -> None:
    """Writes clips of five frames and one category as AVSBench S4; of training clips only the first mask."""
    rows: list[dict[str, object]] = []
    for clip in clips:
        check_seconds(clip, FRAMES)
        name, category, split = file_name(clip), category_of(clip), split_of(clip)
        place = f"{split}/{category}/{name}"
        for k, (frame, mask) in enumerate(zip(clip.frames, clip.binary_masks(), strict=True)):
            write_picture(root / f"s4_data/visual_frames/{place}/{name}_{k + 1}.png", frame)
            if k == 0 or split != "train":
                write_picture(root / f"s4_data/gt_masks/{place}/{name}_{k + 1}.png", mask)
        write_waveform(root / f"s4_data/audio_wav/{place}.wav", clip.waveform)
        rows.append({"name": name, "start": 0, "category": category, "split": split})
    write_table(root / S4_TABLE, rows)


def write_avsbench_ms3(clips: Iterable[Clip], root: Path) -> None:
    """Writes clips of five frames as AVSBench MS3."""
    rows: list[dict[str, object]] = []
    for clip in clips:
        check_seconds(clip, FRAMES)
        name, split = file_name(clip), split_of(clip)
        for k, (frame, mask) in enumerate(zip(clip.frames, clip.binary_masks(), strict=True)):
            write_picture(root / f"ms3_data/visual_frames/{name}/{name}.mp4_{k + 1}.png", frame)
            write_picture(root / f"ms3_data/gt_masks/{split}/{name}/{name}_{k + 1}.png", mask)
        write_waveform(root / f"ms3_data/audio_wav/{split}/{name}.wav", clip.waveform)
        rows.append({"video_id": name, "split": split})
    write_table(root / MS3_TABLE, rows)
