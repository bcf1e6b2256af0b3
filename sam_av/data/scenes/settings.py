"""What decides how scenes turn out."""

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from .looks import CATEGORIES


def _help(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class SceneSettings:
    """The settings of ``Scenes``. Ranges hold both ends; probabilities are for each scene."""

    size: int = _help(256, "Height and width of the frames in pixels.")
    frames: int = _help(5, "How many frames a scene has, one a second; the sound is as many seconds long.")
    categories: tuple[str, ...] = _help(CATEGORIES, "The classes to draw from; class ids count them from 1.")
    objects: tuple[int, int] = _help((2, 5), "How many objects the frames show, each of a class of its own.")
    sources: tuple[int, int] = _help((1, 3), "How many of the objects sound.")
    distractors: int = _help(0, "The least number of objects that stay silent all the time.")
    silence: float = _help(0.05, "Probability that nothing sounds.")
    absent: float = _help(0.1, "Probability that only classes sound that are not in the picture: the truth is empty.")
    switching: float = _help(0.3, "Probability that the sounds switch on and off from frame to frame.")
    area: tuple[float, float] = _help((0.03, 0.1), "How much of the picture an object covers before others hide it.")
    min_visible: float = _help(0.01, "The least part of the picture that shows of every object in every frame.")
    motion: float = _help(0.3, "How far an object may move from first to last frame, in widths of the picture.")
    masks: Literal["binary", "classes", "instances"] = _help("binary", "The form of the masks of a clip.")

    def __post_init__(self) -> None:
        unknown = sorted(set(self.categories) - set(CATEGORIES))
        if unknown:
            raise ValueError(f"No such classes: {unknown}. The classes of scenes are {', '.join(CATEGORIES)}.")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"categories names a class twice: {', '.join(self.categories)}. Name each once.")
        if self.size < 32 or self.frames < 1:
            raise ValueError(f"Scenes need size >= 32 and frames >= 1; found {self.size} and {self.frames}.")
        for name in ("objects", "sources", "area"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be a range from low to high; found ({low}, {high}).")
        if not 0 < self.min_visible <= self.area[0] / 2 or self.area[1] > 0.5:
            raise ValueError(
                "Objects need 0 < min_visible <= half of the least area, and no area above 0.5; "
                f"found min_visible={self.min_visible} and area={self.area}."
            )
        if self.silence < 0 or self.absent < 0 or self.silence + self.absent > 1 or not 0 <= self.switching <= 1:
            raise ValueError(
                "silence, absent and switching are probabilities, and silence + absent is at most 1; "
                f"found {self.silence}, {self.absent} and {self.switching}."
            )
        self._check_counts()

    def _check_counts(self) -> None:
        classes, most = len(self.categories), self.objects[1]
        needed = max(self.sources[1] + self.distractors, 1)
        if most < needed:
            raise ValueError(
                f"{self.sources[1]} sources and {self.distractors} distractors take {needed} objects, but "
                f"objects={self.objects} allows {most}. Raise `objects`, or lower `sources` or `distractors`."
            )
        if most + (self.absent > 0) > classes:
            raise ValueError(
                f"objects={self.objects} puts up to {most} classes into the picture, and the sound of an absent "
                f"one takes another; `categories` has {classes}. Lower `objects`, or set `absent` to 0."
            )

    @classmethod
    def demo(cls, size: int = 256) -> Self:
        """The scenes of the shipped demo: enough stays silent that the picture does not tell the truth."""
        return cls(size=size, objects=(3, 5), distractors=2, absent=0.15)
