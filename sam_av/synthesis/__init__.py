"""Audio-visual training data without labelling: outlined pictures joined by category with labelled sounds."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .categories import CategoryMap
    from .plan import EmptyJoin
    from .recipe import SynthesisRecipe
    from .run import SynthesisReport, synthesize

# Imported when first used: reading a recipe loads no torch.
_HOMES = {
    "CategoryMap": "categories",
    "EmptyJoin": "plan",
    "SynthesisRecipe": "recipe",
    "SynthesisReport": "run",
    "synthesize": "run",
}

__all__ = ["CategoryMap", "EmptyJoin", "SynthesisRecipe", "SynthesisReport", "synthesize"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
