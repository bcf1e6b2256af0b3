"""Converting weights between the formats of the field, for `sam-av convert`."""

from pathlib import Path

import torch

from .hub import write_whole
from .model import SamAV
from .sam import load_base, to_segment_anything
from .sama_checkpoint import is_sama_checkpoint
from .weights import read_tensors


def convert(source: str | Path, target: Path, *, base: str | None = None) -> str:
    """Writes `source` in another format to `target`, which must not exist yet, and says what was written.

    A SAM, in transformers format or as a segment-anything `.pth`, becomes a segment-anything checkpoint when `target`
    ends in `.pth`, else a folder in transformers format. A SAMA-AVS checkpoint becomes an adapter folder
    that names `base`.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"'{target}' exists already: choose another name or remove it first.")
    if Path(source).suffix in (".pth", ".pt") and is_sama_checkpoint(read_tensors(Path(source))):
        return _convert_sama(source, target, base)
    if base is not None:
        raise ValueError(f"--base goes with a SAMA-AVS checkpoint; '{source}' is a plain SAM.")
    sam = load_base(source).sam
    if target.suffix == ".pth":
        state = to_segment_anything(sam)
        write_whole(target.parent, {target.name: lambda path: torch.save(state, path)})
        return f"Wrote {len(state)} tensors in segment-anything format to '{target}'."
    sam.save_pretrained(target)
    return f"Wrote the SAM in transformers format to '{target}'."


def _convert_sama(source: str | Path, target: Path, base: str | None) -> str:
    if target.suffix == ".pth":
        raise ValueError("A SAMA-AVS checkpoint becomes an adapter folder: name a folder, not a .pth.")
    model = SamAV.from_sama_checkpoint(source, device="cpu", dtype=torch.float32)
    model.config.base_model_name_or_path = base
    model.save_pretrained(target)
    named = (
        f"on the base '{base}'" if base else "on a base without a name: pass base=... when loading it, or use --base"
    )
    return f"Wrote an adapter to '{target}', {named}."
