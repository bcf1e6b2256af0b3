"""Putting together: which pieces of a picture and which sounds make a triplet, and by what rule."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..digest import digest
from .categories import CategoryMap
from .dealing import Dealer, scale
from .hearing import Heard
from .pictures import Outline, Picture, file_id, name_apart
from .recipe import SynthesisRecipe
from .selection import Seen, Selection
from .sounds import SoundClip
from .tally import Tally

SINGLE, MIXTURE, SILENT = RULES = ("single", "mixture", "silent")
RULE_TEXTS = {
    SINGLE: "one thing that is seen, and a sound of its category",
    MIXTURE: "things of several categories that are seen, and their sounds mixed",
    SILENT: "a sound of a category that is not in the picture, and an empty mask",
}


@dataclass
class Triplet:
    """A picture, a sound and a mask, as plain data that tells how to make them.

    Attributes:
        id: its name, fit for a file.
        split: the part of the data set.
        rule: single, mixture or silent.
        picture: the file, and its name without an ending in the data set.
        size: (height, width) of the picture, where it is known.
        outlines: which together are the mask; none: it is empty.
        categories: what is heard; in the picture, too, unless the rule is silent.
        sounds: the name and the file of each sound; empty where training draws one.
        snrs: by how many decibels the first sound is above each other one.
        noise_snr: by how many decibels the sound is above white noise; None: there is none.
        origin: where it comes from, for the manifest.
    """

    id: str
    split: str
    rule: str
    picture: tuple[str, str]
    size: tuple[int, int] | None
    outlines: list[Outline]
    categories: list[str]
    sounds: list[tuple[str, str]]
    snrs: list[float] = field(default_factory=list)
    noise_snr: float | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def is_mixed(self) -> bool:
        """Whether its sound is not that of a file as it is."""
        return self.rule == MIXTURE or self.noise_snr is not None


@dataclass(eq=False)
class _Draft:
    """A triplet before it has a part and a sound."""

    picture: Picture
    pieces: list[Seen]
    categories: list[str]
    rule: str
    rng: np.random.Generator


def compose(
    selection: Selection, heard: Heard, category_map: CategoryMap, recipe: SynthesisRecipe, tally: Tally
) -> list[Triplet]:
    """The triplets of a recipe, part by part, the same for the same sources and seed."""
    drafts = _draft(selection, sorted(heard), category_map, recipe, tally)
    quotas = scale(recipe.splits, sum(map(len, drafts)))
    dealt = _deal(drafts, quotas, tally)
    desk = _SoundDesk(heard, recipe)
    triplets = [desk.finish(draft, part) for part in quotas for draft in dealt[part]]
    # A mixed sound is called like its triplet, and lies beside those that are not.
    name_apart(triplets, {clip.id for parts in heard.values() for clips in parts.values() for clip in clips})
    return triplets


def _draft(
    selection: Selection, audible: Sequence[str], category_map: CategoryMap, recipe: SynthesisRecipe, tally: Tally
) -> list[list[_Draft]]:
    """What each picture gives, pictures in an order at random."""
    taken: Counter[str] = Counter()
    drafts = []
    for picture in sorted(selection.seen, key=lambda picture: digest(recipe.seed, "picture", picture.id)):
        rng = np.random.default_rng(int(digest(recipe.seed, "compose", picture.id), 16))
        pieces = []
        for piece in selection.seen[picture]:
            if recipe.max_per_category is not None and taken[piece.category] >= recipe.max_per_category:
                tally.add("beyond max_per_category", f"{picture.id} ({piece.category})")
            else:
                pieces.append(piece)
        if not pieces:
            continue
        roomy = [name for name in audible if recipe.max_per_category is None or taken[name] < recipe.max_per_category]
        absent = _absent(picture, selection, roomy, category_map) if recipe.silent else []
        of_picture = _of_picture(picture, pieces, absent, recipe, rng)
        taken.update(name for draft in of_picture for name in draft.categories)  # of a silent one, what is heard
        drafts.append(of_picture)
    return drafts


def _absent(picture: Picture, selection: Selection, audible: Sequence[str], category_map: CategoryMap) -> list[str]:
    """The categories of which it is known that nothing of them is in the picture."""
    vocabulary, annotated = selection.sources[picture].vocabulary, selection.annotated[picture]
    return [
        name for name in audible if name not in annotated and picture.lacks(category_map.names_of(name, vocabulary))
    ]


def _of_picture(
    picture: Picture, pieces: list[Seen], absent: list[str], recipe: SynthesisRecipe, rng: np.random.Generator
) -> list[_Draft]:
    """A mixture, or a triplet of each piece; some of them silent, where it is known what is not in the picture."""
    pieces = [pieces[k] for k in rng.permutation(len(pieces))]
    groups = [[piece] for piece in pieces]
    if len(pieces) > 1 and rng.random() < recipe.mixtures:
        groups = [pieces[: int(rng.integers(2, min(len(pieces), recipe.max_sources) + 1))]]
    drafts = []
    for group in groups:
        if absent and rng.random() < recipe.silent:
            drafts.append(_Draft(picture, [], [absent.pop(rng.integers(len(absent)))], SILENT, rng))
        else:
            rule = SINGLE if len(group) == 1 else MIXTURE
            drafts.append(_Draft(picture, group, [piece.category for piece in group], rule, rng))
    return drafts


def _deal(drafts: list[list[_Draft]], quotas: dict[str, int], tally: Tally) -> dict[str, list[_Draft]]:
    """The drafts of each part; those of one picture go into one part."""
    dealer = Dealer(quotas)
    dealt: dict[str, list[_Draft]] = {part: [] for part in quotas}
    for of_picture in drafts:
        room = {part: quotas[part] - len(dealt[part]) for part in quotas}
        roomy = [part for part, left in room.items() if left > 0]
        if roomy:
            part = dealer.deal([name for draft in of_picture for name in draft.categories], roomy)
            dealt[part] += of_picture[: room[part]]
            of_picture = of_picture[room[part] :]
        if of_picture:
            tally.add("beyond the number asked for", *(draft.picture.id for draft in of_picture))
    return dealt


class _SoundDesk:
    """Gives drafts their sounds: of a category each clip as often as any other."""

    def __init__(self, heard: Heard, recipe: SynthesisRecipe) -> None:
        self._heard, self._recipe = heard, recipe
        self._draws = recipe.layout == "avs-synthetic"  # whose training draws a sound at each access
        self._next: Counter[tuple[str, str]] = Counter()

    def finish(self, draft: _Draft, part: str) -> Triplet:
        """The triplet of a draft."""
        clips = [] if self._draws and part == "train" else [self._take(name, part) for name in draft.categories]
        snrs = [self._decibels(draft.rng, self._recipe.mixture_snr) for _ in draft.categories[1:]]
        noisy = draft.rng.random() < self._recipe.noise
        noise_snr = self._decibels(draft.rng, self._recipe.noise_snr) if noisy else None
        picture = draft.picture
        origin: dict[str, Any] = {
            "rule": RULE_TEXTS[draft.rule],
            "sounding": [] if draft.rule == SILENT else draft.categories,
            "picture": _facts(picture.id, picture.source, picture.license),
            "outlines": [
                {**_facts(thing.id, piece.source.name, piece.source.license), "name": thing.name}
                for piece in draft.pieces
                for thing in piece.things
            ],
            "sounds": [{**_facts(clip.id, clip.source, clip.license), "labels": list(clip.labels)} for clip in clips],
        }
        if draft.rule == SILENT:
            origin["heard"] = draft.categories
        if snrs:
            origin["snr_db"] = snrs
        if noise_snr is not None:
            origin["noise_snr_db"] = noise_snr
        return Triplet(
            id=_name(draft),
            split=part,
            rule=draft.rule,
            picture=(picture.id, str(picture.path)),
            size=picture.size,
            outlines=[thing.outline for piece in draft.pieces for thing in piece.things],
            categories=draft.categories,
            sounds=[(clip.id, str(clip.path)) for clip in clips],
            snrs=snrs,
            noise_snr=noise_snr,
            origin=origin,
        )

    def _take(self, category: str, part: str) -> SoundClip:
        clips = self._heard[category][part]
        self._next[category, part] += 1
        return clips[(self._next[category, part] - 1) % len(clips)]

    @staticmethod
    def _decibels(rng: np.random.Generator, bounds: list[float]) -> float:
        return round(float(rng.uniform(bounds[0], bounds[1])), 1)


def _name(draft: _Draft) -> str:
    """The id of a triplet: its picture and its categories."""
    words = [*(["silent"] if draft.rule == SILENT else []), *draft.categories]
    return file_id(draft.picture.id, *(word.replace(" ", "_") for word in words))


def _facts(name: str, source: str, license: str | None) -> dict[str, Any]:
    return {"id": name, "source": source, **({"license": license} if license else {})}
