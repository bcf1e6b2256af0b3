"""Opening the sets that a recipe names, each by its kind."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .class_folders import PictureFolders, SoundFolders
from .coco import CocoPictures, LvisPictures
from .open_images import OpenImagesPictures
from .pictures import PictureSource
from .sounds import FSD50K, AudioSet, SoundSource, VGGSound

PICTURES: dict[str, Callable[..., PictureSource]] = {
    "coco": CocoPictures,
    "lvis": LvisPictures,
    "open-images": OpenImagesPictures,
    "folder": PictureFolders,
}
SOUNDS: dict[str, Callable[..., SoundSource]] = {
    "vggsound": VGGSound,
    "audioset": AudioSet,
    "fsd50k": FSD50K,
    "folder": SoundFolders,
}

Source = TypeVar("Source", PictureSource, SoundSource)


def open_pictures(entries: Sequence[Any]) -> list[PictureSource]:
    """The sets of pictures of a recipe."""
    return _open(entries, PICTURES, "pictures")


def open_sounds(entries: Sequence[Any]) -> list[SoundSource]:
    """The sets of sounds of a recipe."""
    return _open(entries, SOUNDS, "sounds")


def _open(entries: Sequence[Any], kinds: Mapping[str, Callable[..., Source]], where: str) -> list[Source]:
    calls = [_call(entry, kinds, where) for entry in entries]  # what is misspelt is told before anything is read
    sources = [open_one(**settings) for open_one, settings in calls]
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Two of the {where} are called '{twice[0]}': give each a `name` of its own.")
    return sources


def _call(entry: Any, kinds: Mapping[str, Callable[..., Source]], where: str) -> tuple[Callable[..., Source], Any]:
    """What opens a set, and with which settings."""
    if isinstance(entry, str):
        entry = {"kind": "folder", "root": entry}
    if not isinstance(entry, dict):
        raise ValueError(f"{where} holds sets, each with a `kind`, or paths of folders; not {entry!r}.")
    settings = {name: value for name, value in entry.items() if name != "kind"}
    kind = str(entry.get("kind"))
    if kind not in kinds:
        raise ValueError(f"{where} has a set of the kind '{kind}': choose one of {', '.join(kinds)}.")
    known = inspect.signature(kinds[kind]).parameters
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise ValueError(f"{where}: a set of the kind {kind} has no '{name}' ({hint}).")
    needed = [name for name, parameter in known.items() if parameter.default is inspect.Parameter.empty]
    if lacking := [name for name in needed if name not in settings]:
        raise ValueError(f"{where}: a set of the kind {kind} needs {', '.join(lacking)}.")
    return kinds[kind], settings
