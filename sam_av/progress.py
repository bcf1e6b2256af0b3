"""What has been done of a long run: a file for each finished batch, and what the run is of.

Resuming and sharing the work are one thing: whoever finishes a batch, in whichever run, leaves its file, and at the end
all files are read.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .hub import write_whole

_PLAN = "run.json"


class Progress:
    """The finished batches of a run in a folder that all its processes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def has_begun(self) -> bool:
        """Whether a run was started here."""
        return (self.folder / _PLAN).is_file()

    @property
    def has_results(self) -> bool:
        """Whether a batch has been done."""
        return any(self.folder.glob("*.pt"))

    def begin(self, description: dict[str, Any], make_plan: Callable[[], dict[str, Any]]) -> None:
        """Starts the run or takes up one that was stopped, which must have the same description.

        The plan is made once, when the run starts; it and the description are plain data, kept as JSON.
        """
        if not self.has_results:  # a run that failed before its first batch leaves nothing to resume
            plan = json.dumps({"description": description, "plan": make_plan()})
            write_whole(self.folder, {_PLAN: lambda path: path.write_text(plan, encoding="utf-8")})
            return
        earlier = self._read()["description"]
        now = json.loads(json.dumps(description))
        changed = [key for key in {**earlier, **now} if earlier.get(key) != now.get(key)]
        if changed:
            raise ValueError(
                f"'{self.folder.parent}' holds the run of something else, which cannot be resumed by this one: they "
                f"differ in {', '.join(changed)}. Choose another output folder, or delete that one to start anew."
            )

    def plan(self) -> dict[str, Any]:
        """The plan that `begin` made."""
        return self._read()["plan"]

    def is_finished(self, index: int) -> bool:
        """Whether the batch has been done."""
        return self._path(index).is_file()

    def finish(self, index: int, result: dict[str, Any]) -> None:
        """Keeps the result of a batch: tensors and plain data."""
        write_whole(self.folder, {self._path(index).name: lambda path: torch.save(result, path)})

    def results(self, count: int) -> list[dict[str, Any]]:
        """The results of the batches 0 to `count` - 1."""
        return [torch.load(self._path(index), weights_only=True) for index in range(count)]

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.pt"

    def _read(self) -> dict[str, Any]:
        return json.loads((self.folder / _PLAN).read_text(encoding="utf-8"))
