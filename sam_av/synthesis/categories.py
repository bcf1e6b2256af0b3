"""The category map: which names of things that are seen go with which labels of sounds, as a YAML that people edit."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml

from ..settings import check_known

SHIPPED = "builtin"
"""The name of the map that comes with the package."""

SURE, LIKELY, PROPOSED = LINKS = ("sure", "likely", "proposed")

OWN_FOLDERS = "folder"
"""The vocabulary of pictures and sounds that lie in folders called like their class; a category's own name is in it."""

Names = dict[str, tuple[str, ...]]
"""Names by the vocabulary that they are of."""


@cache
def normal(name: str) -> str:
    """A name without the differences that mean nothing: case, underscores, spaces."""
    return re.sub(r"[\s_]+", " ", name).strip().casefold()


@dataclass(frozen=True)
class Category:
    """What is seen and heard under one name; `link` says how sure it is that the one makes the other."""

    name: str
    pictures: Names = field(default_factory=dict)
    sounds: Names = field(default_factory=dict)
    link: str = SURE
    note: str = ""


@dataclass(frozen=True)
class Exclusion:
    """Names that are left alone, and why."""

    pictures: Names = field(default_factory=dict)
    sounds: Names = field(default_factory=dict)
    reason: str = ""


class CategoryMap:
    """The categories of a map and what it leaves out. A name belongs to one category at most.

    Attributes:
        source: what errors call the map.
        categories: by their names.
        excluded: what is left alone.
    """

    def __init__(self, source: str, categories: Iterable[Category], excluded: Iterable[Exclusion] = ()) -> None:
        self.source = source
        self.categories = {category.name: category for category in categories}
        self.excluded = list(excluded)
        self._pictures = self._table("pictures")
        self._sounds = self._table("sounds")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The map in a YAML file, or the shipped one."""
        file = cls.file_of(path)
        if not file.is_file():
            raise FileNotFoundError(
                f"There is no category map '{path}'. Write one, have one proposed (sam-av synthesize ... --propose "
                f"map.yaml), or take the shipped one: category_map: {SHIPPED}"
            )
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"The category map '{path}' is no YAML: {error}") from error
        where = f"The category map '{path}'"
        if not isinstance(data, dict) or not isinstance(data.get("categories"), dict):
            raise ValueError(f"{where} must hold `categories`, each with `pictures` and `sounds`.")
        if unknown := sorted(set(data) - {"categories", "excluded"}):
            raise ValueError(f"{where} has no place for '{unknown[0]}': it holds `categories` and `excluded`.")
        categories = [
            Category(name=str(name), **_fields(value, Category, f"{where}: {name}"))
            for name, value in data["categories"].items()
        ]
        excluded = [
            Exclusion(**_fields(value, Exclusion, f"{where}: excluded")) for value in data.get("excluded") or []
        ]
        return cls(where, categories, excluded)

    @staticmethod
    def file_of(path: str | Path) -> Path:
        """Where a map lies."""
        shipped = str(path) == SHIPPED
        return Path(__file__).with_name("categories.yaml") if shipped else Path(path).expanduser()

    def of_picture(self, vocabulary: str, name: str) -> Category | None:
        """The category of a thing that is seen; None for one that is not linked, or by a program's guess only."""
        return self._linked(self._pictures.get((vocabulary, normal(name))))

    def of_sound(self, vocabulary: str, label: str) -> Category | None:
        """The category of a sound, likewise."""
        return self._linked(self._sounds.get((vocabulary, normal(label))))

    def has_picture(self, vocabulary: str, name: str) -> bool:
        """Whether a category has that name of a thing, looked at or not."""
        return (vocabulary, normal(name)) in self._pictures

    def has_sound(self, vocabulary: str, label: str) -> bool:
        """Whether a category has that label of a sound, likewise."""
        return (vocabulary, normal(label)) in self._sounds

    def names_of(self, category: str, vocabulary: str) -> tuple[str, ...]:
        """How pictures of a vocabulary call the things of a category."""
        own = (category,) if vocabulary == OWN_FOLDERS else ()
        return (*own, *self.categories[category].pictures.get(vocabulary, ()))

    def reason_against(self, vocabulary: str, name: str) -> str | None:
        """Why a name, of either side, is left alone, where the map says so."""
        for exclusion in self.excluded:
            for side in (exclusion.pictures, exclusion.sounds):
                if normal(name) in map(normal, side.get(vocabulary, ())):
                    return exclusion.reason
        return None

    @property
    def proposed(self) -> list[str]:
        """The categories that nobody has looked at yet."""
        return [category.name for category in self.categories.values() if category.link == PROPOSED]

    def _linked(self, name: str | None) -> Category | None:
        category = self.categories[name] if name is not None else None
        return None if category is None or category.link == PROPOSED else category

    def _table(self, side: str) -> dict[tuple[str, str], str]:
        """The category of each name of a side; a name that stands in two places is an error."""
        table: dict[tuple[str, str], str] = {}
        for category in self.categories.values():
            names: Mapping[str, tuple[str, ...]] = getattr(category, side)
            own = {(OWN_FOLDERS, normal(category.name))}
            for vocabulary, name in own | {(v, normal(name)) for v, of_one in names.items() for name in of_one}:
                if (vocabulary, name) in table:
                    raise ValueError(
                        f"{self.source} has '{name}' ({vocabulary}, {side}) in the categories "
                        f"'{table[vocabulary, name]}' and '{category.name}': a name belongs to one of them."
                    )
                table[vocabulary, name] = category.name
        for exclusion in self.excluded:
            for vocabulary, names in getattr(exclusion, side).items():
                if shared := [name for name in names if (vocabulary, normal(name)) in table]:
                    raise ValueError(
                        f"{self.source} has '{shared[0]}' ({vocabulary}, {side}) in the category "
                        f"'{table[vocabulary, normal(shared[0])]}' and under `excluded`: take one of them away."
                    )
        return table


def _fields(value: Any, cls: type, where: str) -> dict[str, Any]:
    """The fields of a category or an exclusion as YAML has them, checked."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must hold names and values, not {value!r}.")
    check_known(value, cls, where)
    value = {**value, **{side: _names(value.get(side), f"{where}: {side}") for side in ("pictures", "sounds")}}
    if value.get("link", SURE) not in LINKS:
        raise ValueError(f"{where}: link is one of {', '.join(LINKS)}, not {value['link']!r}.")
    if cls is Exclusion and not value.get("reason"):
        raise ValueError(f"{where}: {value['pictures'] or value['sounds']} needs a `reason`.")
    return value


def _names(value: Any, where: str) -> Names:
    """Names by vocabulary; a list alone is of folders of one's own."""
    if value is None:
        return {}
    table = {OWN_FOLDERS: value} if isinstance(value, list) else value
    if not isinstance(table, dict) or not all(isinstance(names, list) for names in table.values()):
        raise ValueError(f"{where} holds lists of names by vocabulary, such as {{coco: [dog]}}, not {value!r}.")
    names = {str(vocabulary): tuple(map(str, of_one)) for vocabulary, of_one in table.items()}
    for vocabulary, of_one in names.items():
        if twice := [name for name, count in Counter(map(normal, of_one)).items() if count > 1]:
            raise ValueError(f"{where} names '{twice[0]}' ({vocabulary}) twice.")
    return names
