"""Trains the adapters that `benchmarks/demo.py` scores, each method by its recipes and once for each seed.

    python benchmarks/train_demo.py --runs outputs/demo-runs --methods sama --seeds 0 1 2

A run that was stopped goes on where it was; one that has ended is left as it is.
"""

import argparse
from pathlib import Path

import audio_blind  # noqa: F401 - names the encoder that hears nothing
import torch
from demo import METHODS

from sam_av.train import Recipe, train
from sam_av.train.loop import RESULTS_NAME

RECIPES = Path(__file__).parent.parent / "examples/recipes"


# Two stages: the second goes on from what the first gives, with a loss that teaches silence.
STAGES = {
    "sama": ("demo-sama", "demo-sama-quiet"),
    "audio-blind": ("demo-sama", "demo-sama-quiet"),
    "sama-ap-sam": ("demo-sama-ap-sam", "demo-sama-quiet"),
    "ap-sam": ("demo-ap-sam", "demo-ap-sam-quiet"),
}


def train_all_stages(method: str, seed: int, runs: Path) -> None:
    """Trains a method with a seed into `<runs>/<method>-seed<k>`, its earlier stage into a folder inside of `first`."""
    name = f"{method}-seed{seed}"
    outputs = [runs / "first" / name, runs / name][-len(STAGES[method]) :]
    for stage, (recipe, output) in enumerate(zip(STAGES[method], outputs, strict=True)):
        changes: dict[str, object] = {"seed": seed + 1000 * stage, "output": str(output)}  # other scenes in each stage
        if stage:
            changes["init_from"] = str(outputs[stage - 1])
        elif method == "audio-blind":
            changes["adapter"] = {"audio_encoder": "silenced"}
        if not (output / RESULTS_NAME).is_file():
            print(method, seed, recipe, train(Recipe.load(RECIPES / f"{recipe}.yaml", changes)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("outputs/demo-runs"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1, help="of one training; several may run side by side")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for seed in options.seeds:
        for method in options.methods:
            train_all_stages(method, seed, options.runs)


if __name__ == "__main__":
    main()
