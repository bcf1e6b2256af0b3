"""Choosing what is seen: of linked things those that are fit to be a mask, one piece for each picture and category."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .categories import CategoryMap, normal
from .pictures import Picture, PictureSource, Thing, name_apart
from .recipe import SynthesisRecipe
from .same_files import first_of_same
from .tally import Tally


@dataclass(eq=False, slots=True)
class Seen:
    """What is seen of one category in one picture.

    Attributes:
        picture: where.
        category: by the map's name.
        things: whose outlines together are the mask.
        source: of the outlines.
    """

    picture: Picture
    category: str
    things: list[Thing]
    source: PictureSource


@dataclass
class Selection:
    """The pieces of each picture, and what else is known to be in them.

    Attributes:
        seen: by picture.
        annotated: for each picture all categories of the map that are annotated in it, fit for a mask or not.
        sources: where each picture came from first.
    """

    seen: dict[Picture, list[Seen]] = field(default_factory=dict)
    annotated: dict[Picture, set[str]] = field(default_factory=dict)
    sources: dict[Picture, PictureSource] = field(default_factory=dict)


def select(
    sources: Sequence[PictureSource],
    category_map: CategoryMap,
    available: Sequence[str],
    recipe: SynthesisRecipe,
    tally: Tally,
) -> Selection:
    """The pieces of all sources of the available categories.

    A picture that lies in several sources is one picture. Where two sources outline the same category in it, the one
    that the recipe names first is taken.
    """
    selection = Selection()
    per_source = [_group(source, category_map, set(available), recipe) for source in sources]
    paths = [picture.path for groups in per_source for picture, _ in groups]
    same = first_of_same(paths)
    pictures: dict[object, Picture] = {}
    for source, groups in zip(sources, per_source, strict=True):
        for (picture, category), things in groups.items():
            if picture.path != same[picture.path]:
                tally.add("picture that is there already", picture.id)
            picture = pictures.setdefault(same[picture.path], picture)
            selection.sources.setdefault(picture, source)
            annotated = selection.annotated.setdefault(picture, set())
            if category in annotated:
                tally.add("category outlined in an earlier source, too", f"{picture.id} ({category})")
                continue
            annotated.add(category)
            names = category_map.names_of(category, source.vocabulary)
            if (piece := _fit(Seen(picture, category, things, source), names, recipe, tally)) is not None:
                selection.seen.setdefault(picture, []).append(piece)
    name_apart(selection.seen)
    return selection


def _group(
    source: PictureSource, category_map: CategoryMap, available: set[str], recipe: SynthesisRecipe
) -> dict[tuple[Picture, str], list[Thing]]:
    """The linked things of a source by picture and category."""

    def category_of(name: str) -> str | None:
        category = category_map.of_picture(source.vocabulary, name)
        return category.name if category is not None and category.name in available else None

    groups: dict[tuple[Picture, str], list[Thing]] = {}
    for thing in source.things(lambda name: category_of(name) is not None):
        category = category_of(thing.name)
        assert category is not None
        groups.setdefault((thing.picture, category), []).append(thing)
    return groups


def _fit(piece: Seen, names: Sequence[str], recipe: SynthesisRecipe, tally: Tally) -> Seen | None:
    """The piece with the things that the recipe takes; what it does not take is counted.

    `names` are those of the category: where one of them lacks a mask, the category does.
    """
    name = f"{piece.picture.id} ({piece.category})"
    partial = set(map(normal, piece.things[0].picture.partial)) & set(map(normal, names))
    taken = []
    for thing in piece.things:
        causes = [
            cause
            for cause, found, wanted in (
                ("crowd", thing.crowd, recipe.crowd),
                ("truncated", thing.truncated, recipe.truncated),
                ("group of many", thing.group, recipe.groups),
            )
            if found and not wanted
        ]
        if causes:
            tally.add(causes[0], thing.id)
        else:
            taken.append(thing)
    if not taken:
        return None
    if recipe.instances == "one":
        taken = [max(taken, key=lambda thing: (thing.area, thing.id))]
    elif len(taken) < len(piece.things) or partial:
        tally.add("not every instance has a mask", name)
        return None
    if sum(thing.area for thing in taken) < recipe.min_area:
        tally.add("smaller than min_area", name)
        return None
    piece.things = taken
    return piece
