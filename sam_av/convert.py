"""Converting weights between the formats of the field, for `sam-av convert`."""

import os
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .hub import check_public_name, write_whole
from .model import SamAV
from .sam import load_base, to_segment_anything
from .sama_checkpoint import is_sama_checkpoint
from .weights import read_tensors


class _Conversion(NamedTuple):
    """What a conversion gives, in words, and the function that writes it to its target."""

    result: str
    write: Callable[[], object]


def convert(source: str | Path, target: Path, *, base: str | None = None, dry_run: bool = False) -> str:
    """Writes `source` in another format to `target`, which must not exist yet, and says what was written.

    A SAM, in transformers format or as a segment-anything `.pth`, becomes a segment-anything checkpoint when `target`
    ends in `.pth`, else a folder in transformers format. A SAMA-AVS checkpoint becomes an adapter folder
    that names `base`. With `dry_run` the source is read, and its keys and shapes are held against the network as ever,
    but nothing is written beside what comes from the Hub into its cache.
    """
    _check_target(target)
    if Path(source).suffix in (".pth", ".pt") and is_sama_checkpoint(read_tensors(Path(source))):
        conversion = _from_sama(source, target, base)
    elif base is not None:
        raise ValueError(f"--base goes with a SAMA-AVS checkpoint; '{source}' is a plain SAM.")
    else:
        conversion = _from_sam(source, target)
    if dry_run:
        return f"Read '{source}': every key and shape is as it should be.\nWould write {conversion.result}."
    conversion.write()
    return f"Wrote {conversion.result}."


def _from_sam(source: str | Path, target: Path) -> _Conversion:
    sam = load_base(source).sam
    if target.suffix == ".pth":
        state = to_segment_anything(sam)
        return _Conversion(
            f"{_count(state.values())} in segment-anything format to '{target}'",
            lambda: write_whole(target.parent, {target.name: lambda path: torch.save(state, path)}),
        )

    weights = {tensor.data_ptr(): tensor for tensor in sam.state_dict().values()}.values()  # two names are of one

    def write() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as folder:
            sam.save_pretrained(draft := Path(folder) / "sam")
            draft.replace(target)

    return _Conversion(f"{_count(weights)} in transformers format to '{target}'", write)


def _from_sama(source: str | Path, target: Path, base: str | None) -> _Conversion:
    if target.suffix == ".pth":
        raise ValueError("A SAMA-AVS checkpoint becomes an adapter folder: name a folder, not a .pth.")
    check_public_name(base)
    model = SamAV.from_sama_checkpoint(source, device="cpu", dtype=torch.float32)
    model.config.base_model_name_or_path = base
    named = (
        f"on the base '{base}'" if base else "on a base without a name: pass base=... when loading it, or use --base"
    )
    parts = model.adapters[model.active_adapter].state_dict().values()
    return _Conversion(f"an adapter of {_count(parts)} to '{target}', {named}", lambda: model.save_pretrained(target))


def _check_target(target: Path) -> None:
    """Raises where something lies at the target, or where nothing can be written there."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"'{target}' exists already: choose another name or remove it first.")
    there = next(path for path in (target.absolute(), *target.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PermissionError(f"Nothing can be written to '{target}': '{there}' is no folder in which you may write.")


def _count(tensors: Collection[Tensor]) -> str:
    size = sum(tensor.nbytes for tensor in tensors)
    return f"{len(tensors)} tensors ({size:,} bytes)"
