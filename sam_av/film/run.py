"""A picture or a film to a folder of its masks: with a progress bar, stopped and taken up again, at any length."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from .. import __version__
from ..ahead import Ahead
from ..audio import stream_audio, stream_channels
from ..damage import DamagedSource
from ..data.video import VideoReader
from ..digest import digest_content, digest_samples
from ..frames import Frame
from ..hub import write_whole
from ..predict import FrameMask, MaskSettings, is_picture_file, open_frames, segment_frames
from ..predictors import ModelPredictor
from ..stopping import StopRequest
from .outputs import (
    MaskRows,
    Output,
    OverlayFilm,
    PictureFiles,
    count_rows,
    mask_of_row,
    open_all,
    read_rows,
    until_damage,
)
from .timeline import Timeline

if TYPE_CHECKING:
    from ..model import SamAV

FORMATS = ("overlay", "png", "timeline")
ROWS, RECORD = "masks.jsonl", "run.json"
_FILM_FILES = {"overlay": "overlay.mp4", "png": "masks", "timeline": "timeline.png"}
_STILL_FILES = {"overlay": "overlay.png", "png": "mask.png"}
_USUAL_RATE = Fraction(25)  # of a film that does not say how many frames a second it has
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} s of film [{elapsed}<{remaining}]"


@dataclass
class FilmReport:
    """What became of a film.

    Attributes:
        name: of its file.
        files: what was written, and is there.
        frames: how many have masks in the folder now.
        seconds: the time of the last of them.
        finished: whether that is all of them.
        damage: why it breaks off, where the source does; what was done until then is kept.
        signal: the number of the signal that stopped it, 0 otherwise.
    """

    name: str
    files: list[Path]
    frames: int = 0
    seconds: float = 0.0
    finished: bool = False
    damage: str | None = None
    signal: int = 0

    def facts(self) -> dict[str, Any]:
        """What the record of the folder says of it."""
        return {
            "frames": self.frames,
            "seconds": self.seconds,
            "finished": self.finished,
            "damage": self.damage,
            "files": [path.name for path in self.files],
        }


def segment_to_folder(
    model: "SamAV",
    source: str | Path,
    output: str | Path,
    audio: str | Path | None = None,
    *,
    formats: Sequence[str] = ("overlay", "timeline"),
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool = True,
    time: float | None = None,
    fps: float | None = None,
    mask_fps: float | None = None,
    window: str | None = None,
    **settings: Any,
) -> FilmReport:
    """Segments a picture or a film, and writes into a folder what `model.segment` gives.

    The folder gets `masks.jsonl` (see `MaskRows`), which grows with every frame, `run.json`, which says what it is of,
    and what `formats` names: `overlay.mp4`, `masks/` with a PNG for each frame, `timeline.png`; of a picture
    `overlay.png` and `mask.png`. Ctrl-C or SIGTERM ends the film early, with all files whole, and the report has its
    number. A source that breaks off does the same, and the report says why.

    Args:
        model: the model; its active adapter runs.
        source: the file of a picture or of a film.
        output: the folder.
        audio: a file with its sound; by default a film's own.
        formats: any of "overlay", "png" and "timeline".
        resume: goes on with a run that was stopped: frames whose masks are in `masks.jsonl` are not run again, and a
            run that is over and left all its files is left alone.
        overwrite: makes the folder's files anew.
        show_progress: whether there is a progress bar.
        time: see `segment`, like `fps`, `mask_fps` and `window`.
        fps: see `segment`.
        mask_fps: see `segment`.
        window: see `segment`.
        **settings: see `MaskSettings`.
    """
    source, output = Path(source), Path(output).expanduser()
    if unknown := sorted(set(formats) - set(FORMATS)):
        raise ValueError(f"There is no format '{unknown[0]}': choose from {', '.join(FORMATS)}.")
    chosen = MaskSettings(**settings)
    if resume and chosen.smoothing:
        raise ValueError("A smoothed mask depends on those before it, so that a run with smoothing cannot be resumed.")
    reading: dict[str, Any] = {"time": time, "fps": fps, "mask_fps": mask_fps, "window": window}
    frames = open_frames(model, source, audio, **reading)
    plain = {name: getattr(chosen, name) for name in settings if name != "batch_size"}  # which changes no mask
    record = _describe(model, source, audio, {**reading, **plain})
    is_still = is_picture_file(source) or time is not None
    files = {
        name: output / file for name, file in (_STILL_FILES if is_still else _FILM_FILES).items() if name in formats
    }
    report = FilmReport(source.name, [output / ROWS, *files.values()])
    if resume and (facts := _facts_if_done(output, record, report.files)):
        report.frames, report.seconds, report.finished = facts["frames"], facts["seconds"], True
        return report
    kept = _begin(output, record, resume, overwrite)
    outputs: list[Output] = [MaskRows(output / ROWS, kept)]
    if is_still:
        duration = None
        outputs += [PictureFiles(path, drawn=name == "overlay") for name, path in files.items()]
    else:
        duration, films = _film_outputs(files, source, source if audio is None else Path(audio), fps)
        outputs += films
    masks = Ahead(_masks(model, frames, chosen, output / ROWS, kept), depth=4)
    bar = tqdm(desc=source.name, total=duration, bar_format=_BAR if duration else None, disable=not show_progress)
    try:
        with StopRequest() as stop, closing(masks), bar, open_all(outputs):
            _write(masks, outputs, report, stop, bar)
    except _StoppedAtOnce:
        report.files = [path for path in report.files if path.exists()]
    report.frames = max(report.frames, kept)  # the rows of an earlier run are there, however far this one came
    _write_record(output, {**record, **report.facts()})
    return report


class _StoppedAtOnce(Exception):  # noqa: N818 - it is what somebody asked for
    """A stop before there was anything to keep: no output has a whole result."""


def _write(masks: Iterator[FrameMask], outputs: list[Output], report: FilmReport, stop: StopRequest, bar: tqdm) -> None:
    """Writes masks until they are over, the source breaks off, or somebody asks for a stop."""
    while not stop.signal:
        try:
            frame = next(masks)
        except StopIteration:
            report.finished = True
            break
        except DamagedSource as error:
            if not report.frames:
                raise
            report.damage = str(error)
            break
        for each in outputs:
            each.write(frame)
        report.frames += 1
        report.seconds = frame.time
        bar.update(min(frame.time, bar.total or frame.time) - bar.n)  # it cannot show more than all
    report.signal = stop.signal
    if not report.frames:
        raise _StoppedAtOnce


def _masks(
    model: "SamAV", frames: Iterator[Frame], settings: MaskSettings, rows: Path, kept: int
) -> Iterator[FrameMask]:
    """The masks of all frames, the first ones from the rows that are there."""
    try:
        for row in read_rows(rows, kept) if kept else ():
            yield mask_of_row(row, next(frames))
        yield from segment_frames(model, frames, settings)
    finally:
        if isinstance(frames, Ahead):
            frames.close()


def _film_outputs(
    files: dict[str, Path], source: Path, sound: Path, fps: float | None
) -> tuple[float | None, list[Output]]:
    """How long a film lasts, and what writes its files."""
    with VideoReader(source) as video:
        duration, rate, pixel_aspect = video.duration, video.rate or _USUAL_RATE, video.pixel_aspect
    outputs: list[Output] = []
    if "overlay" in files:
        shown = rate if fps is None else Fraction(fps)
        outputs.append(OverlayFilm(files["overlay"], shown, until_damage(stream_channels(sound)), pixel_aspect))
    if "png" in files:
        outputs.append(PictureFiles(files["png"], drawn=False))
    if "timeline" in files:
        outputs.append(Timeline(files["timeline"], source.name, until_damage(stream_audio(sound))))
    return duration, outputs


# ------------------------------------------------------------------------------------------------ what a folder is of


def _describe(model: "SamAV", source: Path, audio: str | Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """What the masks depend on, as plain data."""
    look = digest_content if is_picture_file(source) else digest_samples
    record = {
        "source": _describe_file(source, look),
        "audio": None if audio is None else _describe_file(Path(audio), digest_content),
        "model": ModelPredictor(model).identity(),
        "settings": settings,
        "sam-av": __version__,
    }
    return json.loads(json.dumps(record))


def _describe_file(path: Path, look: Callable[[Path], str]) -> dict[str, Any]:
    return {"name": path.name, "bytes": path.stat().st_size, "digest": look(path)}


def _begin(output: Path, record: dict[str, Any], resume: bool, overwrite: bool) -> int:
    """Makes the folder ready for the run; how many rows of masks of an earlier one it goes on from."""
    names = (ROWS, RECORD, *_FILM_FILES.values(), *_STILL_FILES.values())
    there = [output / name for name in names if (output / name).exists()]
    # A run may fail before its first mask, and leave an empty file.
    done = [path for path in there if path.name != RECORD and path.stat().st_size]
    if there and not _is_own_record(output / RECORD):
        raise FileExistsError(
            f"'{output}' holds files that are not of sam-av segment ({', '.join(path.name for path in there)}): choose "
            "another folder."
        )
    kept = 0
    if there and overwrite:
        for path in there:
            rmtree(path) if path.is_dir() else path.unlink()
    elif done and not resume:
        raise FileExistsError(
            f"'{output}' holds the masks of an earlier run: go on with it (--resume), make it anew (--overwrite), or "
            "choose another folder."
        )
    elif done:
        earlier = json.loads((output / RECORD).read_text(encoding="utf-8"))
        if changed := [key for key in record if earlier.get(key) != record[key]]:
            raise ValueError(
                f"'{output}' cannot be resumed by this run: it differs from the earlier one in {', '.join(changed)}. "
                "Make it anew (--overwrite), or choose another folder."
            )
        kept = count_rows(output / ROWS)
    try:
        _write_record(output, {**record, "finished": False})
    except OSError as error:
        raise PermissionError(f"'{output}' cannot be written to ({error.strerror}): choose another folder.") from error
    return kept


def _facts_if_done(output: Path, record: dict[str, Any], files: Sequence[Path]) -> dict[str, Any] | None:
    """What the record of a folder says where it is of this run, which is over and left all of the files."""
    if not _is_own_record(output / RECORD):
        return None
    earlier = json.loads((output / RECORD).read_text(encoding="utf-8"))
    whole = all(path.name in earlier.get("files", []) and path.exists() for path in files)
    alike = all(earlier.get(key) == value for key, value in record.items())
    return earlier if earlier.get("finished") and whole and alike else None


def _is_own_record(path: Path) -> bool:
    """Whether a file is what `_describe` says of a run. Without it the masks beside it may be anybody's."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"source", "model", "settings", "sam-av"} <= record.keys()


def _write_record(output: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1) + "\n"
    write_whole(output, {RECORD: lambda draft: draft.write_text(text, encoding="utf-8")})
