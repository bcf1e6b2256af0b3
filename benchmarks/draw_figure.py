"""Draws README's figure of time and memory from the tables in results/. `python benchmarks/draw_figure.py`."""

import argparse
from pathlib import Path

import bench
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

OURS, OTHERS, INK = "#1f77b4", "#c9ced6", "#333333"


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a report's first table, by the names of its columns."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def draw_bars(axes: Axes, title: str, names: list[str], values: list[float], unit: str) -> None:
    """Horizontal bars with their values, ours in colour."""
    colours = [OURS if name.startswith("sam-av") else OTHERS for name in names]
    bars = axes.barh(names, values, color=colours, height=0.62)
    axes.bar_label(
        bars,
        [f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}" for value in values],
        padding=4,
        color=INK,
        fontsize=9,
    )
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlim(0, 1.28 * max(values))
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit-b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="1024", help="pixels of the input")
    parser.add_argument("--output", type=Path, default=Path("docs/images/performance.png"))
    options = parser.parse_args()
    figure, grid = plt.subplots(2, 2, figsize=(9, 3.6), layout="constrained")
    for axes, (report, who, time) in zip(
        grid, (("encoder", "encoder", "ms"), ("train-step", "way", "ms a step")), strict=True
    ):
        what = "Image encoder, forward" if report == "encoder" else "Training step"
        path = bench.RESULTS / f"{report}-{options.model}-b1-{options.device}.md"
        rows = [row for row in read_table(path) if row["px"] == options.size]
        names = [row[who] for row in rows]
        draw_bars(axes[0], f"{what}: time", names, [float(row[time]) / 1000 for row in rows], "s")
        memory = [float(row["added peak, MiB"]) for row in rows]
        draw_bars(axes[1], f"{what}: added memory", names, memory, "MiB")
        axes[1].set_yticklabels([])
    figure.savefig(options.output, dpi=150)


if __name__ == "__main__":
    main()
