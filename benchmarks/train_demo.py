"""Trains the adapters that `benchmarks/demo.py` scores, each method by its recipe and once for each seed.

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


def recipe_of(method: str, seed: int, output: Path) -> Recipe:
    """The recipe of a method; without sound it is that of `sama` with an encoder that hears nothing."""
    blind = method == "audio-blind"
    changes = {"seed": seed, "output": str(output), **({"adapter": {"audio_encoder": "silenced"}} if blind else {})}
    return Recipe.load(RECIPES / f"demo-{'sama' if blind else method}.yaml", changes)


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
            output = options.runs / f"{method}-seed{seed}"
            if not (output / RESULTS_NAME).is_file():
                print(method, seed, train(recipe_of(method, seed, output)))


if __name__ == "__main__":
    main()
