"""The arguments of the verbs that work by a recipe: its YAML file, and a flag for each of its fields."""

import argparse
import types
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..settings import Settings

AnyRecipe = TypeVar("AnyRecipe", bound=Settings)


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


def add_recipe_arguments(parser: argparse.ArgumentParser, recipe: type[Settings]) -> None:
    """Adds the recipe, and a flag for each field of it."""
    parser.add_argument("recipe", nargs="?", type=Path, help="YAML file; examples/recipes holds some")
    hints = typing.get_type_hints(recipe)
    for setting in fields(recipe):
        flag = "--" + setting.name.replace("_", "-")
        parser.add_argument(
            flag, default=argparse.SUPPRESS, help=setting.metadata["help"], **_form(hints[setting.name])
        )


def load_recipe(options: argparse.Namespace, recipe: type[AnyRecipe]) -> AnyRecipe:
    """The recipe in the file with what the flags change."""
    changes = {f.name: getattr(options, f.name) for f in fields(recipe) if hasattr(options, f.name)}
    return recipe.load(options.recipe, changes)


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
