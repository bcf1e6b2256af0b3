"""Checks a data set before a long run: headers first, and decoding only where they leave a doubt."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from tqdm import tqdm

from .clip_check import ClipChecks, Findings
from .dataset import ClipDataset, ClipEntry
from .open import open_dataset, recognize
from .overlap import find_overlaps
from .problems import DataProblems, Problem
from .splits import splits_of

PUBLISHED = {
    "avsbench-s4": {"train": 3452, "val": 740, "test": 740},
    "avsbench-ms3": {"train": 296, "val": 64, "test": 64},
    "avss": {"train": 8498, "val": 1304, "test": 1554},
    "aviseg": {"train": 616, "val": 105, "test": 205},
}
"""How many clips each split of the published sets has."""

_REMARKED = {"video not there"}
"""Kinds of problems with which the readers themselves go on."""


@dataclass(frozen=True)
class SplitReport:
    """What was found in one split.

    Attributes:
        split: its name.
        clips: those of which all files are there.
        published: how many clips the published split has, where there is one.
        frames: of those clips.
        categories: how many classes there are.
        faults: what must be mended.
        remarks: what may be as it should be.
    """

    split: str
    clips: int
    published: int | None
    frames: int
    categories: int
    faults: list[Problem]
    remarks: list[Problem]


@dataclass(frozen=True)
class DataReport:
    """What was found in a data set.

    Attributes:
        source: where it lies.
        layout: its layout.
        splits: what was found in each split.
        overlaps: clips that are in more than one split, by their id or by what their files hold.
    """

    source: str
    layout: str
    splits: list[SplitReport]
    overlaps: list[Problem]

    @property
    def faults(self) -> list[Problem]:
        """The faults of all splits, with the split before the id of the clip."""
        return [_placed(report, fault) for report in self.splits for fault in report.faults] + self.overlaps

    @property
    def remarks(self) -> list[Problem]:
        """The remarks on all splits, with the split before the id of the clip."""
        return [_placed(report, remark) for report in self.splits for remark in report.remarks]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data; `fine` says that there is no fault."""
        return {"fine": not self.faults, **asdict(self)}


def check_data(
    source: str | Path,
    splits: Sequence[str] = (),
    *,
    layout: str | None = None,
    workers: int = 0,
    quick: bool = False,
    **options: Any,
) -> DataReport:
    """Looks at every file of a data set; decodes masks, one frame of each video, and what looks damaged.

    A clip that lacks a file is not looked into further, and damage amid a file is not seen: `ClipDataset.verify`
    decodes everything.

    Args:
        source: what `open_dataset` takes, but for scenes.
        splits: the splits to check; by default all that there are.
        layout: the name of the layout; by default it is recognised.
        workers: processes that look at files.
        quick: look at headers alone, also of masks, so that empty and damaged masks are not noticed.
        **options: of the layout, as for `open_dataset`.
    """
    layout = layout or recognize(source)
    reports, found = [], []
    for split in splits or splits_of(source, layout):
        report, of_split = _check_split(source, split, layout, workers, quick, options)
        reports.append(report)
        found += of_split
    return DataReport(
        str(source), layout, reports, find_overlaps((entry, findings.prints) for entry, findings in found)
    )


def refuse_faulty(dataset: ClipDataset, workers: int = 0) -> None:
    """Ends with `DataProblems` where the headers of a data set's files show faults, or leaves these clips out.

    What lies on no disk is decoded to be looked at, which is not done here.
    """
    if not any(any(entry.files()) for entry in dataset.entries):
        return
    checks = ClipChecks(dataset, quick=True)
    found = DataLoader(checks, batch_size=None, num_workers=min(workers, len(checks)))
    progress = tqdm(found, desc=f"Checking {dataset.name} ({dataset.split})", unit="clip", total=len(checks))
    dataset.settle([fault for findings in progress for fault in findings.faults])


def _check_split(
    source: str | Path, split: str, layout: str, workers: int, quick: bool, options: dict[str, Any]
) -> tuple[SplitReport, list[tuple[ClipEntry, Findings]]]:
    published = PUBLISHED.get(layout, {}).get(split)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what is left out, which is in the report
            dataset = open_dataset(source, split, layout=layout, skip_bad=True, **options)
    except (OSError, ValueError) as error:
        known = error.problems if isinstance(error, DataProblems) else []
        faults = known or [Problem("cannot be opened", split, str(error))]
        return SplitReport(split, 0, published, 0, 0, faults, []), []
    assert isinstance(dataset, ClipDataset)  # streams are opened by those who ask for them
    checks = ClipChecks(dataset, quick)
    results = DataLoader(checks, batch_size=None, num_workers=min(workers, len(checks)))
    progress = tqdm(results, desc=f"Checking {layout} ({split})", unit="clip", total=len(checks))
    found = list(zip(checks.entries, progress, strict=True))
    faults = [problem for problem in dataset.left_out if problem.kind not in _REMARKED]
    remarks = [problem for problem in dataset.left_out if problem.kind in _REMARKED]
    if published is not None and published != len(dataset):
        detail = f"{len(dataset):,} clips can be used; {published:,} were published"
        remarks.append(Problem("other count", "all clips", detail))
    for _, findings in found:
        faults += findings.faults
        remarks += findings.remarks
    frames = sum(findings.frames for _, findings in found)
    return SplitReport(split, len(dataset), published, frames, len(dataset.categories), faults, remarks), found


def _placed(report: SplitReport, problem: Problem) -> Problem:
    return replace(problem, clip=f"{report.split}/{problem.clip}")
