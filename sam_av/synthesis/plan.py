"""From sources to a plan: everything that decides what is written, before anything is."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .categories import CategoryMap
from .composition import Triplet, compose
from .hearing import Heard, choose_sounds
from .recipe import SynthesisRecipe
from .selection import select
from .sources import open_pictures, open_sounds
from .tally import Tally


@dataclass
class Plan:
    """What is to be written.

    Attributes:
        triplets: part by part.
        pool: the names and the files of the sounds from which training draws, by category; empty where it draws none.
        left_out: what was left out on the way, counted by cause.
        unlinked: the names of both sides that the map does not link, with how many things or clips have them.
    """

    triplets: list[Triplet]
    pool: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    left_out: Tally = field(default_factory=Tally)
    unlinked: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        triplets = [vars(triplet) for triplet in self.triplets]
        return {"triplets": triplets, "pool": self.pool, "left_out": self.left_out.to_dict(), "unlinked": self.unlinked}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Plan":
        """The plan from plain data, JSON's lists for tuples included."""
        triplets = [
            Triplet(**{**row, "picture": tuple(row["picture"]), "sounds": [tuple(sound) for sound in row["sounds"]]})
            for row in data["triplets"]
        ]
        pool = {category: [(name, path) for name, path in sounds] for category, sounds in data["pool"].items()}
        return cls(triplets, pool, Tally(**data["left_out"]), data["unlinked"])


class EmptyJoin(ValueError):  # noqa: N818 - what happened, as DataProblems is
    """Nothing is left to write; the text says where everything went."""


def make_plan(recipe: SynthesisRecipe) -> Plan:
    """Reads the sources of a recipe, joins them by category, and composes its triplets."""
    category_map = CategoryMap.load(recipe.category_map)
    wanted = _wanted(category_map, recipe)
    pictures, sounds = open_pictures(recipe.pictures), open_sounds(recipe.sounds)
    names, labels = [source.names() for source in pictures], [source.labels() for source in sounds]
    unlinked = {
        f"{source.name} (pictures)": _unlinked(found, partial(category_map.of_picture, source.vocabulary))
        for source, found in zip(pictures, names, strict=True)
    } | {
        f"{source.name} (sounds)": _unlinked(found, partial(category_map.of_sound, source.vocabulary))
        for source, found in zip(sounds, labels, strict=True)
    }
    plan = Plan([], unlinked=unlinked)
    seen = {
        category.name
        for source, found in zip(pictures, names, strict=True)
        for name in found
        if (category := category_map.of_picture(source.vocabulary, name)) is not None and wanted(category.name)
    }
    choice = Tally()
    heard = choose_sounds(sounds, category_map, seen.__contains__, recipe, choice)
    choice.add("category that is seen but not heard", *sorted(seen - heard.keys()))
    selection = select(pictures, category_map, sorted(heard), recipe, choice)
    plan.triplets = compose(selection, heard, category_map, recipe, choice)
    if recipe.layout == "avs-synthetic":
        plan.pool = _pool(heard, plan.triplets)
    for name, tally in [(one.name, one.tally) for one in pictures] + [(one.name, one.tally) for one in sounds]:
        plan.left_out.merge(tally, f"{name}: ")
    plan.left_out.merge(choice)
    if not plan.triplets:
        raise EmptyJoin(_explain_emptiness(plan, category_map, len(seen)))
    return plan


def _wanted(category_map: CategoryMap, recipe: SynthesisRecipe) -> Callable[[str], bool]:
    """Which categories of the map the recipe takes."""
    for name in (*recipe.categories, *recipe.exclude_categories):
        if name not in category_map.categories:
            raise ValueError(
                f"{category_map.source} has no category '{name}'; it has {', '.join(sorted(category_map.categories))}."
            )
    chosen = set(recipe.categories or category_map.categories) - set(recipe.exclude_categories)
    return chosen.__contains__


def _unlinked(names: Counter[str], category_of: Callable[[str], object]) -> dict[str, int]:
    """The names that belong to no category, the most frequent first."""
    return {name: count for name, count in names.most_common() if category_of(name) is None}


def _pool(heard: Heard, triplets: Sequence[Triplet]) -> dict[str, list[tuple[str, str]]]:
    """The sounds that training draws from."""
    categories = sorted({name for triplet in triplets if triplet.split == "train" for name in triplet.categories})
    return {name: [(clip.id, str(clip.path)) for clip in heard[name]["train"]] for name in categories}


def _explain_emptiness(plan: Plan, category_map: CategoryMap, seen: int) -> str:
    """Why nothing is left: the counts, and the next step."""
    lines = ["No triplet is left: no picture and no sound of one category can be used."]
    lines.append(f"{seen} categories of {category_map.source[0].lower()}{category_map.source[1:]} are seen.")
    lines += plan.left_out.lines()
    for side, names in plan.unlinked.items():
        if names:
            shown = ", ".join(f"{name} ({count:,})" for name, count in list(names.items())[:5])
            lines.append(f"not linked, {side}: {shown}{', ...' if len(names) > 5 else ''}")
    if category_map.proposed:
        lines.append(f"proposed but not looked at: {', '.join(category_map.proposed)} (set `link: sure` or `likely`)")
    lines.append("Link names in a map of yours: sam-av synthesize ... --propose map.yaml begins one.")
    return "\n".join(lines)
