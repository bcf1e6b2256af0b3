"""Choosing what is heard: linked clips of one category each, long enough, dealt out to the parts of the data set."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..audio.log_mel import SAMPLING_RATE
from ..data.headers import sound_seconds
from ..data.media import read_waveform
from ..digest import digest
from .categories import CategoryMap
from .dealing import Dealer
from .pictures import name_apart
from .recipe import SynthesisRecipe
from .same_files import first_of_same
from .sounds import SoundClip, SoundSource
from .tally import Tally

Heard = dict[str, dict[str, list[SoundClip]]]
"""The clips of each category in each part, in the order in which they are taken."""


def choose_sounds(
    sources: Sequence[SoundSource],
    category_map: CategoryMap,
    wanted: Callable[[str], bool],
    recipe: SynthesisRecipe,
    tally: Tally,
) -> Heard:
    """The clips of the wanted categories, in each part that the recipe asks for at least one.

    Clips of one recording, and files that hold the same, go into one part.
    """
    clips = _drop_short(_linked(sources, category_map, wanted, tally), recipe, tally)
    same = first_of_same(clip.path for clip, _ in clips)
    recordings = _join_recordings(clips, same)
    parts = [part for part, count in recipe.splits.items() if count]
    dealer = Dealer({part: recipe.splits[part] for part in parts}, cover=True)
    heard: Heard = {}
    for recording in sorted(recordings, key=lambda name: digest(recipe.seed, "sound", name)):
        members = recordings[recording]
        part = dealer.deal([category for _, category in members])
        for clip, category in members:
            if clip.path != same[clip.path]:
                tally.add("sound that is there already", clip.id)
            else:
                heard.setdefault(category, {}).setdefault(part, []).append(clip)
    for category in sorted(heard):
        if lacking := [part for part in parts if part not in heard[category]]:
            tally.add("category with too few sounds for all parts", f"{category} (none for {', '.join(lacking)})")
            del heard[category]
    return heard


def _linked(
    sources: Sequence[SoundSource], category_map: CategoryMap, wanted: Callable[[str], bool], tally: Tally
) -> list[tuple[SoundClip, str]]:
    """The clips whose labels lead to one category, with it."""
    clips = []
    for source in sources:

        def category_of(label: str, vocabulary: str = source.vocabulary) -> str | None:
            category = category_map.of_sound(vocabulary, label)
            return category.name if category is not None else None

        def is_wanted(label: str, of: Callable[[str], str | None] = category_of) -> bool:
            category = of(label)
            return category is not None and wanted(category)

        for clip in source.clips(is_wanted):
            categories = {category for label in clip.labels if (category := category_of(label)) is not None}
            if len(categories) > 1:
                tally.add("sound of several categories", f"{clip.id} ({', '.join(sorted(categories))})")
            else:
                clips.append((clip, categories.pop()))
    name_apart(clip for clip, _ in clips)
    return clips


class _Lengths(Dataset[float | str]):
    """The length of each clip in seconds, or what is wrong with it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> float | str:
        try:
            seconds = sound_seconds(self._paths[index])
            return len(read_waveform(self._paths[index])) / SAMPLING_RATE if seconds is None else seconds
        except (OSError, ValueError) as error:
            return str(error)


def _drop_short(
    clips: list[tuple[SoundClip, str]], recipe: SynthesisRecipe, tally: Tally
) -> list[tuple[SoundClip, str]]:
    lengths = DataLoader(_Lengths([clip.path for clip, _ in clips]), batch_size=None, num_workers=recipe.workers)
    kept = []
    bar = tqdm(lengths, desc="Looking at the sounds", unit="clip", total=len(clips))
    for (clip, category), seconds in zip(clips, bar, strict=True):
        if isinstance(seconds, str):
            tally.add("unreadable sound", clip.id)
        elif seconds < recipe.seconds:
            tally.add("sound shorter than asked", f"{clip.id} ({seconds:.2f} s)")
        else:
            kept.append((clip, category))
    return kept


def _join_recordings(
    clips: list[tuple[SoundClip, str]], same: dict[Path, Path]
) -> dict[str, list[tuple[SoundClip, str]]]:
    """The clips by their recordings; two recordings that share what a file holds are one, with all their clips."""
    joined: dict[str, str] = {}

    def first(recording: str) -> str:
        while (other := joined.get(recording, recording)) != recording:
            recording = other
        return recording

    of_file: dict[Path, str] = {}
    for clip, _ in clips:
        earlier = first(of_file.setdefault(same[clip.path], clip.recording))
        if (later := first(clip.recording)) != earlier:
            joined[later] = earlier
    recordings: dict[str, list[tuple[SoundClip, str]]] = {}
    for clip, category in clips:
        recordings.setdefault(first(clip.recording), []).append((clip, category))
    return recordings
