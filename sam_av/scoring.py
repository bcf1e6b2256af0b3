"""How predictions become scores: for each protocol its sizes, its batches, the truth, and the tables."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .data import Clip, ClipDataset
from .metrics import AVSS, PROTOCOLS, AVSBench
from .predictions import resize_nearest

Row = dict[str, Any]
Result = dict[str, Any]
"""What is kept of one batch: "clips", for each id its category and how many frames sound, and "metric", its state."""


@dataclass(frozen=True)
class Tables:
    """The scores of a run, in 0..1.

    Attributes:
        scores: over all clips: miou, f_score, clips, frames, batches, and what else the protocol gives.
        groups: the same for the seen and for the unseen categories, where the predictor tells which it has seen.
        per_video: a row for each clip, in order; `sounding` counts the frames in which something sounds.
        per_category: a row for each category.
    """

    scores: Row
    groups: dict[str, Row] = field(default_factory=dict)
    per_video: list[Row] = field(default_factory=list)
    per_category: list[Row] = field(default_factory=list)


class Scoring(Protocol):
    """The scoring of one protocol.

    Attributes:
        protocol: its name.
        image_size: the side in pixels at which predictions meet the truth; None: the truth's own size.
        videos_per_batch: how many clips make a batch. That is part of the protocol, since MF depends on it.
    """

    protocol: str
    image_size: int | None
    videos_per_batch: int

    def count(self, index: int, clips: Sequence[Clip], predictions: Sequence[Tensor]) -> Result:
        """The result of the batch `index`: predictions (T', H, W) of each clip's annotated frames."""

    def tabulate(self, results: Sequence[Result], seen: Sequence[str]) -> Tables:
        """The scores from the results of all batches; `seen` names the categories seen in training, if known."""


def scoring_for(protocol: str, dataset: ClipDataset) -> Scoring:
    """The scoring of a protocol: a name of `metrics.PROTOCOLS`, or avss."""
    if protocol == "avss":
        return ClassScoring(dataset.categories)
    if protocol not in PROTOCOLS:
        raise ValueError(f"There is no protocol '{protocol}': choose one of {', '.join([*PROTOCOLS, 'avss'])}.")
    return MaskScoring(protocol)


def scored_size(scoring: Scoring, clip: Clip) -> tuple[int, int]:
    """The height and width at which a clip is scored."""
    if scoring.image_size is not None:
        return scoring.image_size, scoring.image_size
    return clip.frames.shape[1], clip.frames.shape[2]


class MaskScoring:
    """Masks of what sounds by `metrics.AVSBench`. Class ids and instances count as the union of all that sounds."""

    def __init__(self, protocol: str) -> None:
        rules = PROTOCOLS[protocol]
        self.protocol = protocol
        self.image_size = rules.size
        # Where all counts are pooled the batch has no influence, and frames of all sizes may go together.
        self.videos_per_batch = 1 if rules.pooled else rules.videos_per_batch

    def count(self, index: int, clips: Sequence[Clip], predictions: Sequence[Tensor]) -> Result:
        """See `Scoring`."""
        metric = AVSBench(self.protocol)
        if clips:
            if not all(logits.is_floating_point() for logits in predictions):
                raise ValueError(f"The protocol {self.protocol} scores logits; these predictions are class ids.")
            metric.update(
                torch.cat(list(predictions)),
                torch.cat([self._truth(clip) for clip in clips]),
                videos=[clip.id for clip in clips for _ in range(clip.annotated.sum())],
                categories=[clip.category or "" for clip in clips for _ in range(clip.annotated.sum())],
                index=index,
            )
        return _result(clips, metric.state())

    def _truth(self, clip: Clip) -> Tensor:
        """The masks of the annotated frames at the protocol's size, (T', H, W) bool."""
        masks = torch.from_numpy(clip.binary_masks()[clip.annotated].astype(np.uint8))
        return resize_nearest(masks, scored_size(self, clip)).bool()

    def tabulate(self, results: Sequence[Result], seen: Sequence[str]) -> Tables:
        """See `Scoring`. Of each group the scores are those of a data set that holds nothing else, batched anew."""
        whole = AVSBench(self.protocol).merge(result["metric"] for result in results)
        clips = {clip: facts for result in results for clip, facts in result["clips"].items()}
        groups = {}
        if seen:
            groups = {
                "seen": self._scores_of(results, lambda category: category in seen),
                "unseen": self._scores_of(results, lambda category: bool(category) and category not in seen),
            }
        return Tables(
            scores={**whole.compute(), "clips": len(clips)},
            groups={name: scores for name, scores in groups.items() if scores},
            per_video=[{**row, **clips[str(row["video"])]} for row in whole.per_video()],
            per_category=[row for row in whole.per_category() if row["category"]],
        )

    def _scores_of(self, results: Sequence[Result], belongs: Callable[[str], bool]) -> Row:
        """The scores of the clips of some categories; nothing where there are none."""
        clips = [clip for result in results for clip in _split(result) if belongs(clip["categories"][0])]
        if not clips:
            return {}
        starts = range(0, len(clips), self.videos_per_batch)
        batches = {start: _join(clips[start : start + self.videos_per_batch]) for start in starts}
        metric = AVSBench(self.protocol)
        return {**metric.merge([{**metric.state(), "batches": batches}]).compute(), "clips": len(clips)}


class ClassScoring:
    """Class ids by `metrics.AVSS`, compared at the truth's own size, a clip in a batch.

    Args:
        categories: the classes from 1 on; 0 is the background.
    """

    protocol = "avss"
    image_size: int | None = None
    videos_per_batch = 1

    def __init__(self, categories: Sequence[str]) -> None:
        self._classes = ["background", *categories]

    def count(self, index: int, clips: Sequence[Clip], predictions: Sequence[Tensor]) -> Result:
        """See `Scoring`."""
        metric = AVSS(len(self._classes))
        for clip, ids in zip(clips, predictions, strict=True):
            if ids.is_floating_point():
                raise ValueError(
                    "The protocol avss scores class ids, and these predictions are masks without classes: evaluate a "
                    "folder of class-id PNGs, or choose another protocol."
                )
            if not isinstance(clip.masks, np.ndarray) or clip.masks.dtype != np.uint8:
                raise ValueError(f"The protocol avss needs a truth of class ids, which clip '{clip.id}' does not have.")
            metric.update(ids, torch.from_numpy(clip.masks[clip.annotated]).long(), index=index)
        return _result(clips, metric.state())

    def tabulate(self, results: Sequence[Result], seen: Sequence[str]) -> Tables:
        """See `Scoring`. A clip's row is the mean over the classes that it holds or was predicted to hold."""
        scores: Row = dict(AVSS(len(self._classes)).merge(result["metric"] for result in results).compute())
        per_class = scores.pop("per_class")
        per_video = [self._video_row(result) for result in results if result["clips"]]
        return Tables(
            scores={**scores, "clips": len(per_video)},
            per_video=per_video,
            per_category=[
                {"category": name, "frames": row["frames"], "miou": row["iou"], "f_score": row["f_score"]}
                for name, row in zip(self._classes, per_class, strict=True)
            ],
        )

    def _video_row(self, result: Result) -> Row:
        scores = AVSS(len(self._classes)).merge([result["metric"]]).compute()
        present = [row for row in scores["per_class"] if row["frames"]]
        ((video, facts),) = result["clips"].items()
        return {
            "video": video,
            "frames": scores["frames"],
            "miou": fmean(float(row["iou"]) for row in present),
            "f_score": fmean(float(row["f_score"]) for row in present),
            **facts,
        }


def _result(clips: Sequence[Clip], state: dict[str, Any]) -> Result:
    facts = {
        clip.id: {
            "category": clip.category or "",
            "sounding": int(clip.binary_masks()[clip.annotated].any(axis=(1, 2)).sum()),
        }
        for clip in clips
    }
    return {"clips": facts, "metric": state}


def _split(result: Result) -> Iterator[Row]:
    """The record of each clip of a batch of `AVSBench`."""
    for record in result["metric"]["batches"].values():
        for clip in result["clips"]:
            frames = [k for k, video in enumerate(record["videos"]) if video == clip]
            yield {
                "counts": {name: count[frames] for name, count in record["counts"].items()},
                "videos": [record["videos"][k] for k in frames],
                "categories": [record["categories"][k] for k in frames],
            }


def _join(records: Sequence[Row]) -> Row:
    """One record of `AVSBench` from several."""
    return {
        "counts": {name: torch.cat([record["counts"][name] for record in records]) for name in records[0]["counts"]},
        "videos": [video for record in records for video in record["videos"]],
        "categories": [category for record in records for category in record["categories"]],
    }
