"""The recipe of a synthesis: which pictures and sounds, what of them, how they are put together, what comes out."""

from dataclasses import asdict, dataclass
from typing import Any

from ..config import setting
from ..settings import Settings
from .categories import SHIPPED

LAYOUTS = ("avs-synthetic", "manifest", "webdataset", "hub")
INSTANCES = ("one", "all")
PUBLISHED_SPLITS = {"train": 52_609, "validate": 5_000, "test": 5_000}

# Fields that may differ between a run and its resumption: where it writes and how fast.
WITHOUT_INFLUENCE = ("output", "workers")


@dataclass
class SynthesisRecipe(Settings):
    """A synthesis. What is left out is as AVS-Synthetic was published: one source, no noise, 62,609 triplets."""

    # What there is.
    pictures: list[Any] = setting([], "Sets of outlined pictures, each with a kind; a path alone: a folder per class.")
    sounds: list[Any] = setting([], "Sets of labelled sounds, each with a kind; a path alone: a folder per class.")
    category_map: str = setting(SHIPPED, "YAML that says which names go together; builtin is the shipped one.")
    categories: list[str] = setting([], "Of the map, these categories only.")
    exclude_categories: list[str] = setting([], "Of the map, not these categories.")
    # What of it is taken.
    splits: dict[str, int] = setting(PUBLISHED_SPLITS, "How many triplets each part has; the published numbers.")
    instances: str = setting("one", "Of a category in a picture: one (the largest) or all of them in one mask.")
    min_area: float = setting(0.005, "The least share of the picture that a mask covers.")
    crowd: bool = setting(False, "Take crowds that are outlined as one (iscrowd).")
    truncated: bool = setting(True, "Take things that reach beyond the picture.")
    groups: bool = setting(False, "Take groups of many (IsGroupOf).")
    max_per_category: int | None = setting(None, "Triplets of a category, at most, in all parts together.")
    seconds: float = setting(2.0, "The least length of a sound, and the length of those that are cut or mixed.")
    # How it is put together; by default as published.
    mixtures: float = setting(0.0, "Of the pictures with several categories: the share that becomes one mixture.")
    max_sources: int = setting(3, "Categories in a mixture, at most.")
    mixture_snr: list[float] = setting([-5.0, 5.0], "Decibels by which the first sound is above each other one.")
    silent: float = setting(0.0, "Share of triplets with the sound of something that is not there: an empty mask.")
    noise: float = setting(0.0, "Share of triplets with white noise in their sound.")
    noise_snr: list[float] = setting([10.0, 30.0], "Decibels by which the sound is above the noise.")
    # What comes out.
    output: str = setting("outputs/synthetic", "Folder of the data set.")
    layout: str = setting("avs-synthetic", f"Its form: {', '.join(LAYOUTS)}.")
    masks: str = setting("png", "png, or rle in the rows of a manifest.")
    files: str = setting("link", "Pictures and sounds that stay as they are: link to them, or copy them.")
    shard_size: int = setting(200, "Triplets that are written at a time, and in a shard.")
    seed: int = setting(0, "Of all that is drawn at random.")
    workers: int = setting(2, "Processes that look at and write files.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pictures", "sounds"):
            if not getattr(self, name):
                raise ValueError(f"A synthesis needs `{name}`: a list of sets, or the folders of your classes.")
        for name, choices in (
            ("layout", LAYOUTS), ("instances", INSTANCES), ("masks", ("png", "rle")), ("files", ("link", "copy")),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}.")
        for name in ("mixtures", "silent", "noise", "min_area"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {getattr(self, name)}.")
        for name in ("mixture_snr", "noise_snr"):
            setattr(self, name, _range(getattr(self, name), name))
        if not self.splits or min(self.splits.values()) < 0 or not sum(self.splits.values()):
            raise ValueError(f"splits says how many triplets each part has, such as train: 1000; not {self.splits}.")
        cap = 1 if self.max_per_category is None else self.max_per_category
        if self.max_sources < 2 or self.shard_size < 1 or cap < 1:
            raise ValueError("max_sources is at least 2; shard_size and max_per_category are at least 1.")
        if self.seconds < 0.96 + 0.975:
            raise ValueError(f"seconds must reach to the end of the second example, 1.935 s; it is {self.seconds}.")
        if self.masks == "rle" and self.layout != "manifest":
            raise ValueError(f"masks: rle stands in the rows of a manifest; the layout {self.layout} has PNGs.")
        if self.layout == "avs-synthetic" and (self.mixtures or self.silent or self.noise):
            raise ValueError(
                "avs-synthetic draws the sounds of its training at random, so that mixtures, silent and noise have no "
                "place in it: choose layout: manifest, webdataset or hub."
            )

    def identity(self) -> dict[str, Any]:
        """All that decides what comes out."""
        return {name: value for name, value in asdict(self).items() if name not in WITHOUT_INFLUENCE}


def _range(value: list[Any], name: str) -> list[float]:
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a range of decibels, such as [-5, 5], not {value!r}.") from None
    if low > high:
        raise ValueError(f"{name} goes from low to high; found [{low:g}, {high:g}].")
    return [low, high]
