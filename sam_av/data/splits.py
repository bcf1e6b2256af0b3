"""Which splits a data set on the disk has, by its metadata."""

import json
from pathlib import Path

from . import avs_synthetic, avsbench, avss, folder, manifest, webdataset
from .disk import read_table
from .open import LAYOUTS

_TABLES = {
    "avsbench-s4": avsbench.S4_TABLE,
    "avsbench-ms3": avsbench.MS3_TABLE,
    "avss": avss.TABLE,
    "avs-synthetic": avs_synthetic.TABLE,
    "folder": folder.TABLE,
}


def splits_of(source: str | Path, layout: str) -> list[str]:
    """The splits of a data set in the order in which its metadata names them; "train" where it names none."""
    if layout not in LAYOUTS:
        raise ValueError(f"There is no layout {layout!r}: choose one of {', '.join(LAYOUTS)}.")
    if layout == "scenes":
        raise ValueError(f"'{source}' has no splits of its own: its scenes are drawn for whatever split is asked for.")
    if layout == "hub":
        from datasets import get_dataset_split_names

        return list(get_dataset_split_names(str(source)))
    if layout == "webdataset":
        return list(webdataset.find_tars(source))
    root = Path(source).expanduser()
    if layout == "aviseg":
        names = [split for split in ("train", "val", "test") if (root / f"{split}.json").is_file()]
    elif layout == "manifest":
        names = _manifest_splits(root)
    elif layout == "folder" and not (root / folder.TABLE).is_file():
        names = []
    else:
        table = root / _TABLES[layout]
        if not table.is_file():
            raise FileNotFoundError(f"There is no '{table}', which a data set of the layout '{layout}' needs.")
        names = [row["split"] for row in read_table(table, ["split"])]
    return list(dict.fromkeys(names)) or ["train"]


def _manifest_splits(path: Path) -> list[str]:
    """The splits that the rows name; what is wrong with a row is for the reader of the manifest to say."""
    if path.is_dir():
        path = next((path / name for name in manifest.NAMES if (path / name).is_file()), path / manifest.NAMES[0])
    if path.suffix == ".csv":
        return [row["split"] for row in read_table(path, []) if row.get("split")]
    splits = []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        try:
            split = json.loads(line)["split"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(split, str):
            splits.append(split)
    return splits
