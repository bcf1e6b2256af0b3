"""Train an adapter by a recipe (YAML), by flags, or by both; flags win. Stopped runs go on where they were."""

import argparse
import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..recipe import Recipe

HELP = "train an adapter on your own clips"


class _Pair(argparse.Action):
    """Collects NAME=VALUE pairs into a dict; values are read as YAML."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        import yaml

        name, sign, value = str(values).partition("=")
        if not sign or not name.isidentifier():
            raise argparse.ArgumentError(self, f"takes NAME=VALUE, not {values!r}")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise argparse.ArgumentError(self, f"cannot read the value of {name}: {error}") from error
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest, None) or {}), name: read})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av train`: a flag for each field of a recipe."""
    parser.add_argument("recipe", nargs="?", type=Path, help="YAML file; examples/recipes holds some")
    hints = typing.get_type_hints(Recipe)
    for setting in fields(Recipe):
        flag = "--" + setting.name.replace("_", "-")
        parser.add_argument(
            flag, default=argparse.SUPPRESS, help=setting.metadata["help"], **_form(hints[setting.name])
        )


def _form(hint: Any) -> dict[str, Any]:
    """How a field of a type is given on the command line."""
    if isinstance(hint, types.UnionType):
        (hint,) = (choice for choice in typing.get_args(hint) if choice is not type(None))
    kind = typing.get_origin(hint) or hint
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if kind is dict:
        return {"action": _Pair, "metavar": "NAME=VALUE"}
    if kind is list:
        return {"nargs": "+", "metavar": "NAME"}
    return {"type": kind}


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av train`; after a signal its exit code is 128 and the signal's number, as shells have it."""
    changes = {f.name: getattr(options, f.name) for f in fields(Recipe) if hasattr(options, f.name)}
    recipe = Recipe.load(options.recipe, changes)

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
