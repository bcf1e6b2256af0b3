"""Train an adapter by a recipe (YAML), by flags, or by both; flags win. Stopped runs go on where they were."""

import argparse

from ..recipe import Recipe
from .recipe_arguments import add_recipe_arguments, load_recipe

HELP = "train an adapter on your own clips"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av train`: a flag for each field of a recipe."""
    add_recipe_arguments(parser, Recipe)


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av train`; after a signal its exit code is 128 and the signal's number, as shells have it."""
    recipe = load_recipe(options, Recipe)

    from accelerate import PartialState

    from ..train import TrainingStopped, train

    try:
        results = train(recipe)
    except TrainingStopped as stopped:
        PartialState().print(stopped)
        return 128 + stopped.signal
    for row in results["scores"]:
        PartialState().print(
            f"{row['dataset']} ({row['split']}): mIoU {100 * row['miou']:.2f}, F {100 * row['f_score']:.2f}"
        )
    PartialState().print(f"The adapter is in '{recipe.output}': SamAV.from_pretrained('{recipe.output}')")
    return 0
