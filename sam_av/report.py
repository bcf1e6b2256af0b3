"""The report of an evaluation: its numbers, and the files in which they are kept."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from . import __version__
from .hub import write_whole

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What an evaluation found. Scores are in 0..1.

    Attributes:
        method: the name of what was evaluated.
        identity: what tells it from others.
        dataset: the name of the data set.
        split: the part of it.
        protocol: how the numbers were made; those of different protocols do not belong in one table.
        input_size: the side in pixels at which the frames were seen, where it is known.
        scored_size: the side in pixels at which masks were compared; None: at the truth's own size.
        scores: over all clips: miou, f_score, clips, frames, batches, and what else the protocol gives.
        groups: the same for the categories "seen" and "unseen" in training.
        per_video: a row for each clip.
        per_category: a row for each category.
        left_out: the faults of the clips that were left out.
    """

    method: str
    identity: Row
    dataset: str
    split: str
    protocol: str
    input_size: int | None
    scored_size: int | None
    scores: Row
    groups: dict[str, Row] = field(default_factory=dict)
    per_video: list[Row] = field(default_factory=list)
    per_category: list[Row] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)

    def card_row(self) -> Row:
        """The row for `AdapterCard.metrics`; its image_size is that of the input."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "protocol": self.protocol,
            "image_size": self.input_size,
            "miou": self.scores["miou"],
            "f_score": self.scores["f_score"],
        }

    def to_dict(self) -> Row:
        """All but the tables by video and by category, as plain data."""
        report = asdict(self)
        del report["per_video"], report["per_category"]
        return {**report, "sam_av_version": __version__}

    def to_markdown(self) -> str:
        """The published table, and under it the categories and what was left out."""
        facts = [self.method, f"{self.dataset} ({self.split})", self.protocol]
        sizes = [_pixels(self.input_size, "not known"), _pixels(self.scored_size, "as the truth")]
        rows = {"all": self.scores, **self.groups}
        parts = [
            _table(
                ["method", "data", "protocol", "input", "scored at", "categories", "clips", "frames", "MJ", "MF"],
                [
                    [*facts, *sizes, name, row["clips"], row["frames"], *_percent(row["miou"], row["f_score"])]
                    for name, row in rows.items()
                ],
            ),
            "MJ is the mean IoU, MF the F-score (beta² = 0.3), both in percent. Numbers of different protocols do not "
            "belong in one table.",
        ]
        if self.groups and sum(row["clips"] for row in self.groups.values()) < self.scores["clips"]:
            parts.append("Clips without a category belong neither to the seen nor to the unseen ones.")
        if "miou_without_background" in self.scores:
            (without,) = _percent(self.scores["miou_without_background"])
            (reference,) = _percent(self.scores["miou_reference_nobg"])
            parts.append(
                f'Without the background MJ is {without}. What the benchmark\'s own code prints as "noBg" is '
                f"{reference}: it leaves out the last class instead."
            )
        if self.per_category:
            rows_by_category = [
                [row["category"], row["frames"], *_percent(row["miou"], row["f_score"])] for row in self.per_category
            ]
            parts += ["## Categories", _table(["category", "frames", "MJ", "MF"], rows_by_category)]
        if self.left_out:
            parts.append(f"## Left out\n\n{len({row['clip'] for row in self.left_out}):,} clips could not be used:")
            parts.append("\n".join(f"- {row['clip']}: {row['kind']}: {row['detail']}" for row in self.left_out))
        return "\n\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Writes results.json, results.md, per_video.csv and, where there are categories, per_category.csv."""
        data, text = json.dumps(self.to_dict(), indent=2) + "\n", self.to_markdown()
        writers: dict[str, Callable[[Path], object]] = {
            "results.json": lambda path: path.write_text(data, encoding="utf-8"),
            "results.md": lambda path: path.write_text(text, encoding="utf-8"),
            "per_video.csv": partial(_write_csv, self.per_video),
        }
        if self.per_category:
            writers["per_category.csv"] = partial(_write_csv, self.per_category)
        write_whole(folder, writers)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _percent(*values: float) -> list[str]:
    return [f"{100 * value:.2f}" for value in values]


def _pixels(side: int | None, otherwise: str) -> str:
    return otherwise if side is None else f"{side} px"


def _write_csv(rows: Sequence[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
