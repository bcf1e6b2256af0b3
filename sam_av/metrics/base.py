"""What the metrics share: the F-score of a count, and results kept by batch so that processes merge exactly."""

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor

BETA_SQUARED = 0.3

Record = dict[str, Any]
Row = dict[str, str | int | float]


def f_score(hits: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """F-score with beta² = 0.3 from pixel counts of broadcastable shapes, in float64; 0 where nothing was hit.

    With precision = hits / predicted and recall = hits / true, (1 + b) P R / (b P + R) is
    (1 + b) hits / (b true + predicted): no epsilon is needed, and 0/0 is left only where all counts are 0.
    """
    score = (1 + BETA_SQUARED) * hits.double() / (BETA_SQUARED * true.double() + predicted.double())
    return score.nan_to_num(0.0)


def check_not_nan(logits: Tensor) -> None:
    """Refuse logits that no threshold can be held against."""
    if torch.isnan(logits).any():
        raise ValueError(
            "Logits must be numbers; found NaN among them. Look for the step that made it: a training that "
            "diverged, or half precision that overflowed (float32 would tell)."
        )


class BatchMetric:
    """A metric whose unit is the batch: for each batch index a record of plain data (tensors, numbers, names).

    `settings` are what two metrics must have in common to be merged. Scores are computed from the records in
    the order of their indices, so an evaluation dealt out in whole batches gives the same numbers on any number
    of processes.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._records: dict[int, Record] = {}

    def state(self) -> dict[str, Any]:
        """The settings and all records, to be sent to another process, or saved, and given to `merge`."""
        return {"settings": dict(self._settings), "batches": dict(self._records)}

    def merge(self, states: Iterable[dict[str, Any]]) -> Self:
        """Take in the batches of other metrics' `state()`; returns the metric itself."""
        for state in states:
            if state["settings"] != self._settings:
                raise ValueError(
                    f"Only results of the same settings can be merged: this metric has {self._settings}, "
                    f"the other {state['settings']}. Evaluate all batches with the same ones."
                )
            for index, record in state["batches"].items():
                self._add(index, record)
        return self

    def _add(self, index: int | None, record: Record) -> None:
        """Keep a record under its batch index, by default the number of batches so far."""
        index = len(self._records) if index is None else index
        if index in self._records:
            raise ValueError(
                f"Every batch counts once; batch {index} has been counted already. Give each batch to one process "
                "only, and pass its place in the whole set as index= to every update()."
            )
        self._records[index] = record

    def _ordered_records(self) -> list[Record]:
        if not self._records:
            raise RuntimeError("There is nothing to score yet: call update() with at least one batch first.")
        return [self._records[index] for index in sorted(self._records)]
