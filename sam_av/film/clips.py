"""A folder of clips: each is segmented into a folder of its own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.folder import SOUNDS, VIDEOS
from ..predict import is_picture_file
from .run import FilmReport, segment_to_folder

if TYPE_CHECKING:
    from ..model import SamAV

_PLACES, _SOUND_PLACE = ("videos", "images"), "audio"


@dataclass(frozen=True)
class ClipFile:
    """A clip on the disk.

    Attributes:
        name: its own in the folder: that of its file without the ending, or, where another has the same, its path.
        path: the film or picture.
        audio: a sound of the same name, where there is one.
    """

    name: str
    path: Path
    audio: Path | None


def find_clips(folder: Path) -> list[ClipFile]:
    """The films and pictures of a folder, each with the sound file of its name, the largest first.

    They lie side by side, or as a data set of the layout `folder` has them: in videos/, images/ and audio/. What is in
    other folders is left alone.
    """
    places = [folder, *(folder / place for place in _PLACES)]
    found = [
        path
        for place in places
        for path in (sorted(place.iterdir()) if place.is_dir() else [])
        if path.is_file() and not path.name.startswith(".") and (path.suffix.lower() in VIDEOS or is_picture_file(path))
    ]
    if not found:
        raise FileNotFoundError(f"'{folder}' holds no video ({', '.join(VIDEOS)}) and no picture.")
    stems = Counter(path.stem for path in found)
    return [
        ClipFile(
            path.stem if stems[path.stem] == 1 else path.relative_to(folder).as_posix(), path, _sound_of(path, folder)
        )
        for path in sorted(found, key=lambda path: path.stat().st_size, reverse=True)
    ]


def segment_clips(
    model: "SamAV", clips: Sequence[ClipFile], output: Path, **options: Any
) -> Iterator[tuple[ClipFile, FilmReport | Exception]]:
    """Segments clips as `segment_to_folder` does, and gives what became of each when it is done.

    A clip that cannot be segmented gives the reason, and the others go on. A stop (Ctrl-C, SIGTERM) ends the clip that
    runs, and all.
    """
    for clip in clips:
        try:
            report = segment_to_folder(model, clip.path, output / clip.name, clip.audio, **options)
        except (OSError, ValueError) as error:
            yield clip, error
            continue
        report.name = clip.name
        yield clip, report
        if report.signal:
            break


def _sound_of(path: Path, folder: Path) -> Path | None:
    for place in (path.parent, folder / _SOUND_PLACE):
        for ending in SOUNDS:
            if (place / f"{path.stem}{ending}").is_file():
                return place / f"{path.stem}{ending}"
    return None
