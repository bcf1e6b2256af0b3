"""Pictures and the things in them, whatever set they come from."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..digest import digest
from .categories import normal
from .tally import Tally

Outline = list[list[float]] | dict[str, Any] | str
"""The shape of a thing as plain data: COCO's polygons or run lengths, or the path of a PNG."""


@dataclass(eq=False, slots=True)
class Picture:
    """A picture of a source.

    Attributes:
        id: the name of the source and its own in it, joined so that it can name a file.
        path: where it lies.
        size: (height, width), where the metadata tells it.
        source: the name of the source.
        license: of the picture itself, where it is known.
        present: the names of all things that are annotated in it, with masks that can be used or not.
        exhaustive: whether a thing that is not annotated is not there.
        negative: names of things that somebody has looked for and not found.
        partial: names of which not every thing has a mask.
    """

    id: str
    path: Path
    size: tuple[int, int] | None
    source: str
    license: str | None = None
    present: frozenset[str] = frozenset()
    exhaustive: bool = False
    negative: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()

    def lacks(self, names: Sequence[str]) -> bool:
        """Whether it is known that no thing of these names is in the picture."""
        present, negative = set(map(normal, self.present)), set(map(normal, self.negative))
        return bool(names) and all(
            name in negative or (self.exhaustive and name not in present) for name in map(normal, names)
        )


@dataclass(eq=False, slots=True)
class Thing:
    """One thing in a picture, or a crowd of them.

    Attributes:
        id: its own in its source.
        picture: where it is seen.
        name: what the source calls it.
        outline: its shape.
        area: the share of the picture that it covers, as far as the metadata tells.
        crowd: whether it is a crowd, outlined as one.
        truncated: whether it reaches beyond the picture.
        group: whether it is a group of five and more, as Open Images has them.
    """

    id: str
    picture: Picture
    name: str
    outline: Outline
    area: float
    crowd: bool = False
    truncated: bool = False
    group: bool = False


class PictureSource(Protocol):
    """A set of pictures with outlined things. What cannot be used is in `tally`."""

    name: str
    vocabulary: str
    license: str | None
    tally: Tally

    def names(self) -> Counter[str]:
        """The names of its things, and how many there are of each."""

    def things(self, wanted: Callable[[str], bool]) -> list[Thing]:
        """The things whose names are wanted, and whose pictures and outlines can be used."""


class Named(Protocol):
    """What has an id that names files."""

    id: str


def name_apart(things: Iterable[Named], taken: Collection[str] = ()) -> None:
    """Sees to it that no two things are called alike, nor one like what is taken: the later one gets a number.

    The same number in train2017 and val2017, or `dog/bark-1` and `dog-bark/1`, would else be one file.
    """
    given = set(taken)
    for thing in things:
        name, number = thing.id, 2
        while thing.id in given:
            thing.id = f"{name}-{number}"
            number += 1
        given.add(thing.id)


def file_id(*parts: str) -> str:
    """An id that can name a file and the key of a WebDataset: what is not a letter, a number, _ or - is replaced."""
    whole = "-".join(parts)
    plain = re.sub(r"[^\w-]+", "-", whole, flags=re.ASCII)
    return plain if plain == whole else f"{plain}-{digest(whole)[:6]}"
