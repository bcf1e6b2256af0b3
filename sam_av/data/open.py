"""Opening a data set by where it lies, whatever its layout, and writing clips in any layout."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from . import aviseg, avs_synthetic, avsbench, avss, folder, hub_dataset, manifest, webdataset
from .clip import Clip
from .dataset import ClipDataset
from .scene_dataset import SceneDataset
from .stream import IterableClips


@dataclass(frozen=True)
class Layout:
    """One way for a data set to lie on the disk.

    Attributes:
        open: takes the source, the split, `seed`, `skip_bad` and options of its own.
        write: takes clips, the root and options of its own; None for what is not on a disk.
        marks: patterns, one of which its root holds.
        tree: what should be on the disk.
    """

    open: Callable[..., ClipDataset | IterableClips]
    write: Callable[..., None] | None
    marks: tuple[str, ...]
    tree: str


LAYOUTS = {
    "avsbench-s4": Layout(
        open=avsbench.AVSBenchS4,
        write=avsbench.write_avsbench_s4,
        marks=(avsbench.S4_TABLE,),
        tree=avsbench.S4_TREE,
    ),
    "avsbench-ms3": Layout(
        open=avsbench.AVSBenchMS3,
        write=avsbench.write_avsbench_ms3,
        marks=(avsbench.MS3_TABLE,),
        tree=avsbench.MS3_TREE,
    ),
    "avss": Layout(open=avss.AVSS, write=avss.write_avss, marks=(avss.CLASSES,), tree=avss.TREE),
    "avs-synthetic": Layout(
        open=avs_synthetic.AVSSynthetic,
        write=avs_synthetic.write_avs_synthetic,
        marks=(avs_synthetic.TABLE,),
        tree=avs_synthetic.TREE,
    ),
    "aviseg": Layout(
        open=aviseg.AVISeg,
        write=aviseg.write_aviseg,
        marks=("train.json", "val.json", "test.json"),
        tree=aviseg.TREE,
    ),
    "manifest": Layout(
        open=manifest.ManifestDataset, write=manifest.write_manifest, marks=manifest.NAMES, tree=manifest.TREE
    ),
    "hub": Layout(
        open=hub_dataset.open_hub,
        write=hub_dataset.write_hub,
        marks=("*.parquet", "data/*.parquet"),
        tree=hub_dataset.TREE,
    ),
    "webdataset": Layout(
        open=webdataset.open_webdataset,
        write=webdataset.write_webdataset,
        marks=("*.tar", "data/*.tar"),
        tree=webdataset.TREE,
    ),
    "folder": Layout(
        open=folder.FolderDataset, write=folder.write_folder, marks=("videos", "images"), tree=folder.TREE
    ),
    "scenes": Layout(open=SceneDataset, write=None, marks=(), tree="nothing: scenes are drawn"),
}


def open_dataset(
    source: Any,
    split: str,
    *,
    layout: str | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    **options: Any,
) -> ClipDataset | IterableClips:
    """Opens a data set; nothing is decoded before a clip is asked for.

    Args:
        source: the folder of a data set; a manifest (.jsonl, .csv); a tar or a pattern of tars ("train-*.tar"); the id
            of a data set on the Hub, or an open set of the `datasets` library; or "scenes" or "scenes:1000", that many
            drawn scenes.
        split: the part to read, as the data set names it: "train", "val", "test", ...
        layout: the name of the layout; by default it is recognised. See `LAYOUTS`.
        seed: of what is drawn at random.
        skip_bad: leave out, with a warning, clips that cannot be used, instead of stopping with the list of them.
        **options: of the layout: `subsets` (avss), `fps` (folder), `columns`, `streaming` and what
            `datasets.load_dataset` takes (hub), `streaming` and what `datasets.load_dataset_builder` takes
            (webdataset), the fields of `SceneSettings` (scenes).
    """
    name = layout or recognize(source)
    return _layout(name).open(source, split, seed=seed, skip_bad=skip_bad, **options)


def write_dataset(clips: Iterable[Clip], root: str | Path, layout: str, **options: Any) -> Path:
    """Writes clips in a layout into a new or empty folder, which is returned. Its tables come last.

    Args:
        clips: such as `Scenes`; of one split or of several.
        root: the folder.
        layout: the name of the layout.
        **options: `categories`, the names of the classes, for avss and aviseg; `shard_size`, how many clips a file
            holds, for hub and webdataset.
    """
    write = _layout(layout).write
    if write is None:
        raise ValueError(f"Nothing is written for {layout!r}; choose another layout: {', '.join(LAYOUTS)}.")
    root = Path(root).expanduser()
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f"'{root}' is not empty: a data set is written into a folder of its own.")
    clips = iter(clips)
    first = next(clips, None)
    if first is None:
        raise ValueError(f"There is no clip to write into '{root}'.")
    write(chain([first], clips), root, **options)
    return root


def recognize(source: Any) -> str:
    """The name of the layout of a data set, by what lies there."""
    if not isinstance(source, (str, Path)):
        return "hub"
    if re.fullmatch(r"scenes(:\d+)?", str(source)):
        return "scenes"
    if str(source).endswith(".tar"):
        return "webdataset"
    path = Path(source).expanduser()
    if path.is_file() and path.suffix in manifest.ENDINGS:
        return "manifest"
    if not path.is_dir():
        if not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
            return "hub"
        raise FileNotFoundError(
            f"'{source}' is no folder, no manifest ({' or '.join(manifest.ENDINGS)}), no tar, and no id of a set on "
            "the Hub."
        )
    fitting = [name for name, layout in LAYOUTS.items() if any(any(path.glob(mark)) for mark in layout.marks)]
    if len(fitting) > 1 and fitting[-1] == "folder":  # others have pictures or videos in folders of that name, too
        fitting.pop()
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(f"'{path}' could be {' or '.join(fitting)}: say which, layout='{fitting[0]}'.")
    wanted = "\n".join(f"  {name}: {' or '.join(layout.marks)}" for name, layout in LAYOUTS.items() if layout.marks)
    found = ", ".join(sorted(child.name for child in path.iterdir())[:10]) or "nothing"
    raise FileNotFoundError(
        f"'{path}' is of no layout that is known. It holds {found}; one of these would tell:\n{wanted}\n"
        "Pass the folder that holds it, or say the layout: layout='folder'."
    )


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise ValueError(f"There is no layout {name!r}: choose one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]
