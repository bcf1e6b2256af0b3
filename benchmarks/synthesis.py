"""Whether synthetic triplets help: trained on them, then fine-tuned on few real clips, against training from scratch.

    python benchmarks/synthesis.py --runs outputs/synthesis-runs --seeds 0 1 2

Pictures with masks are drawn from one seed, sounds from another, and `sam-av synthesize` joins them by category alone.
The adapter that is trained on what comes out is scored on unseen scenes ("real": there picture and sound belong
together) as it is, and after fine-tuning on 1 %, 10 % and 100 % of the real clips. Table and plot go to
results/synthesis.{md,png}.

A run that was stopped goes on where it was; one that has ended is left as it is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import bench
import demo
import torch
import yaml

from sam_av.data import Scenes
from sam_av.data.scenes import CATEGORIES
from sam_av.data.writing import write_picture, write_waveform
from sam_av.synthesis import SynthesisRecipe, synthesize
from sam_av.train import Recipe, train
from sam_av.train.loop import RESULTS_NAME

SIZE = 128
PICTURE_SEED, SOUND_SEED, REAL_SEED = 101, 202, 303
FRACTIONS = (0.01, 0.1, 1.0)
PRETRAINED, SCRATCH = "synthetic triplets first", "from scratch"
COLUMNS = {name: demo.COLUMNS[name] for name in ("one miou", "one f", "two miou", "swap new", "swap old")}

# As the first half of the demo adapter is trained, in float32; in each step nine frames.
TRAINING = {
    "base": "builtin:demo",
    "adapter": {"audio_encoder": "builtin:demo-audio", "adapter_hidden_dim": 128},
    "validation": None,
    "epochs": 1000,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-6,
    "warmup_steps": 50,
    "max_grad_norm": 1.0,
    "save_every": 250,
    "workers": 1,
}
REAL = {
    "options": {
        "size": SIZE, "frames": 3, "objects": [3, 5], "sources": [1, 2], "distractors": 2, "silence": 0, "absent": 0,
    },
    "frames_per_clip": 3,
    "batch_size": 3,
}  # fmt: skip

NOTES = """\
{machine}. In %; means, and the least and the greatest over the seeds.

{triplets:,} synthetic triplets: masks of {pictures:,} drawn pictures, {sounds} sounds of each of {classes} classes
drawn from another seed, joined by category alone. Real clips: {real:,} drawn scenes of three frames, in which one or
two of three to five objects sound. {steps:,} steps of nine frames on the triplets, {finetuning:,} steps on real clips,
both at the recipe of the demo's first half. Scored on {scenes} unseen scenes with one source and as many with two, as
in demo.md; what was trained first on triplets has seen more steps in all. The lower rows hear nothing."""


def make_triplets(folder: Path, pictures: int, sounds: int) -> Path:
    """Draws the two sources, and joins them; what is there already is kept."""
    sources = folder / "sources"
    if not (sources / "map.yaml").is_file():
        drawn = Scenes(seed=PICTURE_SEED, length=pictures, size=SIZE, frames=1, objects=(3, 5), distractors=2, absent=0)
        for scene in (drawn.scene(k) for k in range(pictures)):
            for thing in scene.objects:
                write_picture(sources / "pictures/images" / thing.category / f"{scene.id}.png", scene.frames[0])
                write_picture(sources / "pictures/masks" / thing.category / f"{scene.id}.png", thing.masks[0])
        heard = Scenes(seed=SOUND_SEED, length=sounds, size=32, frames=3, objects=(1, 1), sources=(1, 1), absent=0)
        for k in range(sounds):
            for category in CATEGORIES:
                write_waveform(sources / "sounds" / category / f"{category}-{k}.wav", heard.scene(k).sound(category))
        (sources / "map.yaml").write_text(yaml.safe_dump({"categories": {name: {} for name in CATEGORIES}}))
    recipe = SynthesisRecipe(
        pictures=[str(sources / "pictures")],
        sounds=[str(sources / "sounds")],
        category_map=str(sources / "map.yaml"),
        splits={"train": 10**6, "test": 10**3},
        output=str(folder / "triplets"),
    )
    synthesize(recipe)
    return folder / "triplets"


def run(output: Path, seed: int, **settings: object) -> Path:
    """Trains one adapter, unless it is there already."""
    if not (output / RESULTS_NAME).is_file():
        train(Recipe(**{**TRAINING, **settings, "seed": seed, "output": str(output)}))
    return output


def run_all(options: argparse.Namespace, triplets: Path, seed: int) -> dict[tuple[str, float], Path]:
    """The adapters of a seed by their way and the share of real clips; 0: none."""
    folder = options.runs / f"seed{seed}"
    paths = {
        (PRETRAINED, 0.0): run(folder / "synthetic", seed, data=str(triplets), max_steps=options.steps, batch_size=9)
    }
    for fraction in FRACTIONS:
        real = {**REAL, "data": f"scenes:{options.real}", "fraction": fraction, "max_steps": options.finetuning_steps}
        name = f"{100 * fraction:g}-percent"
        paths[SCRATCH, fraction] = run(folder / f"scratch-{name}", REAL_SEED + seed, **real)
        first = {"base": None, "adapter": {}, "init_from": str(paths[PRETRAINED, 0.0])}
        paths[PRETRAINED, fraction] = run(folder / f"finetuned-{name}", REAL_SEED + seed, **real, **first)
    return paths


def draw_plot(numbers: dict[tuple[str, float], Sequence[demo.Numbers]], path: Path) -> None:
    """mIoU over the share of real clips: means, and the range over the seeds."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    shares = [0.0, *FRACTIONS]
    figure, axes = pyplot.subplots(figsize=(6.4, 4.0))
    for way, colour in ((PRETRAINED, "#f52450"), (SCRATCH, "#2f6fde")):
        places = [k for k, share in enumerate(shares) if (way, share) in numbers]
        scores = [[100 * run["one miou"] for run in numbers[way, shares[k]]] for k in places]
        means = [sum(values) / len(values) for values in scores]
        axes.plot(places, means, color=colour, marker="o", label=way)
        axes.fill_between(places, [min(v) for v in scores], [max(v) for v in scores], color=colour, alpha=0.15, lw=0)
    axes.set_xticks(range(len(shares)), ["none", *(f"{100 * share:g} %" for share in FRACTIONS)])
    axes.set(xlabel="real clips in training", ylabel="mIoU, one source, in %", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def rows_of(numbers: dict[tuple[str, float], list[demo.Numbers]]) -> list[list[object]]:
    rows = []
    for (way, share), runs in sorted(numbers.items(), key=lambda item: (item[0][1], item[0][0])):
        clips = "none" if share == 0 else f"{100 * share:g} %"
        name, *cells = demo.row(way, runs)
        rows.append([clips, name, *(cell for cell, key in zip(cells, demo.COLUMNS, strict=True) if key in COLUMNS)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("outputs/synthesis-runs"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--sounds", type=int, default=40, help="of each class")
    parser.add_argument("--real", type=int, default=1000, help="clips that are 100 %%")
    parser.add_argument("--steps", type=int, default=2000, help="on the triplets")
    parser.add_argument("--finetuning-steps", type=int, default=500)
    parser.add_argument("--scenes", type=int, default=60, help="to score on, with one source and as many with two")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    triplets = make_triplets(options.runs, options.pictures, options.sounds)
    runs: dict[tuple[str, float], list[Path]] = {}
    for seed in options.seeds:
        for key, path in run_all(options, triplets, seed).items():
            runs.setdefault(key, []).append(path)
    scenes = demo.HeldOut.draw(options.scenes)
    numbers = {key: [demo.measure_run(path, scenes) for path in paths] for key, paths in runs.items()}
    rows = rows_of(numbers)
    for name, predict in (("largest object", demo.largest_object), ("every object", demo.every_object)):
        rows += [["-", *rows_of({(name, 0.0): [demo.measure(predict, scenes)]})[0][1:]]]
    draw_plot(numbers, bench.RESULTS / "synthesis.png")
    notes = NOTES.format(
        machine=bench.machine("cpu"),
        triplets=sum(1 for _ in (triplets / "annotations.csv").open()) - 1,
        pictures=options.pictures,
        sounds=options.sounds,
        classes=len(CATEGORIES),
        real=options.real,
        steps=options.steps,
        finetuning=options.finetuning_steps,
        scenes=options.scenes,
    )
    head = ["real clips", "training", *COLUMNS.values()]
    title = f"# Synthetic triplets before real clips, {len(options.seeds)} seeds\n\n{notes}"
    bench.write(
        "synthesis", f"{title}\n\n![mIoU over the share of real clips](synthesis.png)\n\n{bench.table(head, rows)}"
    )


if __name__ == "__main__":
    main()
