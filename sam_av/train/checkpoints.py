"""Checkpoints of a training: folders that are whole or not there, the newest few of them kept.

A checkpoint is written beside its place and renamed when every file is in it. It lists its files with a digest of each,
so that one which was damaged later is told from a whole one.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError

from ..digest import digest

_PREFIX = "step-"
_LIST = "checkpoint.json"


class Checkpoints:
    """The checkpoints in a folder, for all processes of a training."""

    def __init__(self, folder: Path, accelerator: Accelerator, keep: int) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.keep = keep

    def save(self, step: int) -> None:
        """Writes the state of everything that Accelerate has prepared; what frozen networks hold is not among it.

        Where the disk is full, nothing of it is left behind and the error names the newest whole checkpoint.
        """
        place, draft = self._place(step), self.folder / f".writing-{step:08d}"
        if self.accelerator.is_main_process:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        try:
            self.accelerator.save_state(str(draft))
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                files = {path.name: digest(path.read_bytes()) for path in sorted(draft.iterdir()) if path.is_file()}
                (draft / _LIST).write_text(json.dumps({"step": step, "files": files}, indent=1), encoding="utf-8")
                shutil.rmtree(place, ignore_errors=True)
                draft.replace(place)
                # Later ones are damaged, or this training would not have gone back behind them.
                later = [other for other in self._all() if step_of(other) > step]
                for old in [*self._all()[: -self.keep - len(later)], *later]:
                    shutil.rmtree(old)
        except (OSError, RuntimeError, SafetensorError) as error:  # each writer has its own for a disk without room
            shutil.rmtree(draft, ignore_errors=True)
            last = self.newest(notice=lambda _: None)
            raise OSError(
                f"The checkpoint of step {step} could not be written to '{self.folder}' ({error}). "
                + (f"The last whole one is of step {step_of(last)}" if last else "There is no earlier one")
                + ": make room on the disk, and the same command goes on from there."
            ) from error
        self.accelerator.wait_for_everyone()

    def newest(self, notice: Any = print) -> Path | None:
        """The newest whole checkpoint; `notice` is told of each newer one that is damaged."""
        for place in reversed(self._all()):
            if fault := _fault(place):
                notice(f"The checkpoint '{place}' is damaged ({fault}): going back to the one before it.")
            else:
                return place
        return None

    def load(self, place: Path) -> None:
        """Puts the state of a checkpoint back into everything that Accelerate has prepared."""
        self.accelerator.load_state(str(place))

    def _place(self, step: int) -> Path:
        return self.folder / f"{_PREFIX}{step:08d}"

    def _all(self) -> list[Path]:
        """All checkpoints, the oldest first."""
        return sorted(self.folder.glob(f"{_PREFIX}*"))


def step_of(place: Path) -> int:
    """The step that a checkpoint is of."""
    return int(place.name.removeprefix(_PREFIX))


def _fault(place: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        files = json.loads((place / _LIST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return f"it has no readable {_LIST}"
    for name, expected in files.items():
        if not (place / name).is_file():
            return f"{name} is missing"
        if digest((place / name).read_bytes()) != expected:
            return f"{name} has changed"
    return None
