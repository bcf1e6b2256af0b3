"""Make training data without labelling: outlined pictures joined by category with labelled sounds, by a recipe."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..synthesis.recipe import SynthesisRecipe
from .recipe_arguments import add_recipe_arguments, load_recipe

if TYPE_CHECKING:
    from ..synthesis import SynthesisReport

HELP = "make training data from outlined pictures and labelled sounds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av synthesize`: a flag for each field of a recipe, and what to do instead of writing."""
    add_recipe_arguments(parser, SynthesisRecipe)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--propose", type=Path, metavar="MAP", help="write a category map with candidates to look through, and no data"
    )
    instead.add_argument(
        "--audit", action="store_true", help="write a page and a sheet of samples to check by eye and ear, and no data"
    )


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av synthesize`; its exit code is 1 where nothing is left to write."""
    recipe = load_recipe(options, SynthesisRecipe)
    if options.propose:
        from ..synthesis.proposals import propose_map

        print(propose_map(recipe, options.propose))
    elif options.audit:
        from ..synthesis.audit import audit

        print(audit(recipe))
    else:
        from ..synthesis import synthesize

        print(_text_of(synthesize(recipe)))
    return 0


def _text_of(report: "SynthesisReport") -> str:
    splits = list(report.asked)
    rows = [("", *splits), ("asked for", *(f"{report.asked[split]:,}" for split in splits))]
    rows.append(("made", *(f"{report.made[split]:,}" for split in splits)))
    rows += [(name, *(f"{counts.get(split, 0):,}" for split in splits)) for name, counts in report.categories.items()]
    width = max(len(row[0]) for row in rows)
    parts = ["\n".join(f"{row[0]:<{width}}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows)]
    parts.append("Rules: " + ", ".join(f"{rule} {count:,}" for rule, count in report.rules.items()))
    if lines := report.left_out.lines():
        parts.append("\n".join(["Left out:", *lines]))
    for side, names in report.unlinked.items():
        if names:
            shown = ", ".join(f"{name} ({count:,})" for name, count in list(names.items())[:5])
            parts.append(f"Not linked by the map, {side}: {len(names):,} names: {shown}{', ...' * (len(names) > 5)}")
    parts.append("\n".join(["Licences, by triplets:", *(f"{n:>9,}  {name}" for name, n in report.licenses.items())]))
    parts.append(f"The data set is in '{report.output}': sam-av train --data {report.output} ...")
    return "\n\n".join(parts)
