"""The log of a training, a line of JSON for each step and each validation, and its curves as a picture."""

import json
from pathlib import Path
from typing import Any

from ..hub import write_whole

LOG_NAME, CURVES_NAME = "log.jsonl", "curves.png"


class TrainingLog:
    """The log in a folder; lines after a step are dropped when a training goes on from there."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder = folder
        kept = [row for row in read_log(folder) if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_whole(folder, {LOG_NAME: lambda path: path.write_text(text, encoding="utf-8")})

    def add(self, row: dict[str, Any]) -> None:
        """Appends a line."""
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log in a folder, but for one at its end that was not written to its own end."""
    path = folder / LOG_NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def draw_curves(folder: Path) -> None:
    """Draws the loss and the validations of the log in a folder."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = read_log(folder)
    steps, losses = zip(*[(row["step"], row["loss"]) for row in rows if "loss" in row], strict=True)
    scores = [(row["step"], row["miou"], row["f_score"]) for row in rows if "miou" in row]
    figure, axes = pyplot.subplots(1, 2 if scores else 1, figsize=(11 if scores else 6, 3.8), squeeze=False)
    loss_axes = axes[0, 0]
    loss_axes.plot(steps, losses, color="#c9ccd6", linewidth=0.8, label="each step")
    loss_axes.plot(steps, _smoothed(losses), color="#20222c", linewidth=1.6, label="smoothed")
    loss_axes.set(title="Training loss", xlabel="step", ylim=(0, None))
    loss_axes.legend(frameon=False)
    if scores:
        at, miou, f_score = zip(*scores, strict=True)
        score_axes = axes[0, 1]
        score_axes.plot(at, [100 * value for value in miou], color="#f52450", marker="o", markersize=3, label="mIoU")
        score_axes.plot(at, [100 * value for value in f_score], color="#2f6fde", marker="o", markersize=3, label="F")
        score_axes.set(title="Validation, percent", xlabel="step", ylim=(0, 100))
        score_axes.legend(frameon=False)
    for plot in axes.flat:
        plot.spines[["top", "right"]].set_visible(False)
        plot.grid(alpha=0.25)
    figure.tight_layout()
    write_whole(folder, {CURVES_NAME: lambda path: figure.savefig(path, dpi=130, format="png")})
    pyplot.close(figure)


def _smoothed(values: tuple[float, ...], share: float = 0.98) -> list[float]:
    """The running mean of values, each weighing `share` of the one after it."""
    means, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = share * total + value, share * weight + 1
        means.append(total / weight)
    return means
