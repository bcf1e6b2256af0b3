"""A first category map: candidates by their names, for a person to look through. Nothing of it is used unseen."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from .categories import OWN_FOLDERS, PROPOSED, CategoryMap, normal
from .recipe import SynthesisRecipe
from .sources import open_pictures, open_sounds

# What labels of sounds say besides the name of what sounds.
_OTHER_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a and any are as at bark barking bellowing bleating bray braying buzz buzzing calling cawing chirp chirping
        cleaning clicking close closing clucking cooing croaking crowing driving drying etc firing flushing flyby from
        gobbling growling hammering hissing honking hooting horning howling in is it mooing mowing neighing of oinking
        on open opening passing playing printing purring quacking revving ringing roaring running screaming shaving
        shooting sing singing siren sound sounding sounds speaking squeaking starting striking talking tapping the
        trumpeting typing up using whistling with
        """,
    )
)

# Names of the same thing: the plainest, and others for it.
_SYNONYMS = {
    "airplane": ("aeroplane", "plane"),
    "bagpipes": ("bagpipe",),
    "bee": ("wasp",),
    "bicycle": ("bike", "cycle"),
    "car": ("automobile",),
    "cat": ("kitten",),
    "cattle": ("cow", "bull"),
    "chicken": ("cock", "rooster", "hen"),
    "crow": ("raven",),
    "dog": ("puppy",),
    "donkey": ("ass",),
    "drum": ("drum kit",),
    "fire engine": ("fire truck",),
    "hair dryer": ("hair drier",),
    "mobile phone": ("cell phone", "cellular telephone", "cellphone"),
    "motorcycle": ("motorbike",),
    "pig": ("hog", "swine"),
    "pigeon": ("dove",),
    "sheep": ("lamb",),
    "telephone": ("phone",),
    "vacuum cleaner": ("hoover",),
    "violin": ("fiddle",),
}
_SAME = {other: plain for plain, others in _SYNONYMS.items() for other in others}

_NEAR = 0.92  # likeness of two spellings of one name


Pair = tuple[str, str]
"""A vocabulary and a name of it."""


def propose_map(recipe: SynthesisRecipe, path: Path) -> str:
    """Writes the recipe's map with the names of its sources added that it does not link yet.

    A candidate is a name of a thing whose words, or synonyms of them, stand in a label of a sound. All are marked as
    proposed, and at the end stands what found no counterpart on either side.

    Returns:
        What was found, in words.
    """
    if path.exists():
        raise FileExistsError(f"'{path}' is there already: proposals are written into a new file, for you to look at.")
    category_map = CategoryMap.load(recipe.category_map)
    names = _counted((source.vocabulary, source.names()) for source in open_pictures(recipe.pictures))
    labels = _counted((source.vocabulary, source.labels()) for source in open_sounds(recipe.sounds))
    unlinked_names = [pair for pair in names if not category_map.has_picture(*pair)]
    unlinked_labels = [pair for pair in labels if not category_map.has_sound(*pair)]
    judged = {pair for pair in (*names, *labels) if category_map.reason_against(*pair)}
    candidates = find_candidates(
        [pair for pair in unlinked_names if pair not in judged],
        [pair for pair in unlinked_labels if pair not in judged],
    )
    matched = {pair for sides in candidates.values() for side in sides for pair in side}
    left = {
        side: [
            f"{name} ({vocabulary}, {counts[vocabulary, name]:,})"
            for vocabulary, name in counts
            if (vocabulary, name) in unlinked and (vocabulary, name) not in matched | judged
        ]
        for side, unlinked, counts in (("pictures", unlinked_names, names), ("sounds", unlinked_labels, labels))
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    given = yaml.safe_load(CategoryMap.file_of(recipe.category_map).read_text(encoding="utf-8"))
    path.write_text(_text(_name_apart(candidates, category_map), given, left), encoding="utf-8")
    source = category_map.source[0].lower() + category_map.source[1:]
    return (
        f"{len(candidates)} candidates are in '{path}', before what {source} holds, all with `link: proposed`, "
        "which is not used. Look at each: "
        "say `link: sure` or `link: likely`, or move it under `excluded` with a reason.\n"
        f"Then: sam-av synthesize ... --category-map {path}\n"
        f"Without a counterpart: {len(left['pictures']):,} names of things, {len(left['sounds']):,} labels of sounds; "
        f"they are listed at its end. Of the others, {len(judged):,} are excluded by {source}."
    )


def _counted(sources: Iterable[tuple[str, Counter[str]]]) -> Counter[Pair]:
    """How many things or clips have each name."""
    counts: Counter[Pair] = Counter()
    for vocabulary, names in sources:
        counts.update({(vocabulary, name): count for name, count in names.items()})
    return counts


def find_candidates(names: Iterable[Pair], labels: Iterable[Pair]) -> dict[str, tuple[list[Pair], list[Pair]]]:
    """Names and labels that may be of one thing, by that thing's plainest name; a name is in one candidate at most."""
    things: dict[str, list[Pair]] = {}
    for vocabulary, name in names:
        things.setdefault(_same(_plain(name)), []).append((vocabulary, name))
    candidates: dict[str, tuple[list[Pair], list[Pair]]] = {}
    for vocabulary, label in labels:
        # The longest name that the label holds: "fire engine" before "engine".
        stretches = _stretches(label)
        found = max((thing for thing in things if _is_among(thing, stretches)), key=len, default=None)
        if found is not None:
            candidates.setdefault(found, (things[found], []))[1].append((vocabulary, label))
    return dict(sorted(candidates.items()))


def _plain(name: str) -> str:
    """A name without its explanation in brackets: "bus_(vehicle)" is a bus."""
    return normal(re.sub(r"\(.*?\)", " ", name.replace("_", " "))) or normal(name)


def _same(name: str) -> str:
    return _SAME.get(name, _SAME.get(_singular(name), _singular(name)))


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3 else word


def _stretches(label: str) -> set[str]:
    """One to three words of a label that follow each other, without those that say what is done; plainest names."""
    words = [_singular(word) for word in re.findall(r"[a-z]+", normal(label)) if word not in _OTHER_WORDS]
    stretches = {" ".join(words[k : k + count]) for count in (1, 2, 3) for k in range(len(words) - count + 1)}
    return {_SAME.get(stretch, stretch) for stretch in stretches}


def _is_among(thing: str, stretches: set[str]) -> bool:
    """Whether a name is one of the stretches, as it is or misspelt beyond its first two letters."""
    return thing in stretches or any(
        stretch[:2] == thing[:2]
        and abs(len(stretch) - len(thing)) <= 2
        and difflib.SequenceMatcher(None, stretch, thing).ratio() >= _NEAR
        for stretch in stretches
    )


def _name_apart(
    candidates: dict[str, tuple[list[Pair], list[Pair]]], category_map: CategoryMap
) -> dict[str, tuple[list[Pair], list[Pair]]]:
    """The candidates under names that the map has not; one of these, which may be sure, takes up nothing unseen."""
    known = {normal(name) for name in category_map.categories}

    def is_known(thing: str) -> bool:
        sides = category_map.has_picture(OWN_FOLDERS, thing), category_map.has_sound(OWN_FOLDERS, thing)
        return normal(thing) in known or any(sides)

    return {f"{thing} (proposed)" if is_known(thing) else thing: sides for thing, sides in candidates.items()}


def _text(
    candidates: dict[str, tuple[list[Pair], list[Pair]]], given: dict[str, Any], left: dict[str, list[str]]
) -> str:
    """The candidates and the given map as a YAML file, with what found no counterpart as comments."""
    entries = {
        thing: {"pictures": _by_vocabulary(names), "sounds": _by_vocabulary(labels), "link": PROPOSED}
        for thing, (names, labels) in candidates.items()
    }
    head = (
        "# Candidates by their names come first, then the map that you had. Look at each candidate; only `link: sure` "
        "and\n# `link: likely` are used. One that is called `dog (proposed)` may belong to `dog`: move its "
        "names there.\n"
    )
    whole = {**given, "categories": {**entries, **given["categories"]}}
    body = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    lists = [
        f"\n# Without a counterpart, {side}:\n" + "".join(f"#   {name}\n" for name in names)
        for side, names in left.items()
        if names
    ]
    return head + body + "".join(lists)


def _by_vocabulary(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for vocabulary, name in pairs:
        table.setdefault(vocabulary, []).append(name)
    return table
