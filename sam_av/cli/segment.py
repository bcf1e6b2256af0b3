"""Masks of what sounds in a video, a picture or a folder of them: an overlay with the sound, files, a timeline."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .model_arguments import add_model_arguments, load_model

if TYPE_CHECKING:
    from ..film.run import FilmReport

HELP = "run an adapter on your own video, picture, or folder of them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av segment`."""
    parser.add_argument("source", type=Path, help="video, picture, or a folder of them")
    parser.add_argument("--adapter", required=True, help="adapter (Hub id or folder), or builtin:demo-sama")
    parser.add_argument("--audio", type=Path, metavar="FILE", help="its sound, where that is not the video's own track")
    parser.add_argument("--output", type=Path, help="folder to write to (default: outputs/<name of the source>)")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=["overlay", "png", "timeline"],
        default=["overlay", "timeline"],
        help="what to write beside masks.jsonl (default: overlay timeline)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    parser.add_argument("--overwrite", action="store_true", help="make the folder's files anew")

    which = parser.add_argument_group("which frames, and what they hear")
    which.add_argument("--fps", type=float, metavar="N", help="frames a second to look at (default: every frame)")
    which.add_argument(
        "--mask-fps", type=float, metavar="N", help="new masks a second, carried by the frames between (default: each)"
    )
    which.add_argument("--time", type=float, metavar="SECONDS", help="what sounds now: only the frame at this time")
    which.add_argument(
        "--window",
        choices=["example", "centered", "causal"],
        help="which 0.96 s a frame hears: as AVSBench has it, around it, or up to it (default: as it was trained)",
    )

    masks = parser.add_argument_group("masks", "Values that end in @SECONDS hold from then on; such may be repeated.")
    masks.add_argument("--threshold", action="append", metavar="P", help="probability (default: the adapter's own)")
    masks.add_argument("--point", action="append", metavar="X,Y", help="a click on the object, in pixels")
    masks.add_argument("--background-point", action="append", metavar="X,Y", help="a click beside it")
    masks.add_argument("--box", action="append", metavar="L,T,R,B", help="left, top, right, bottom in pixels")
    masks.add_argument(
        "--smoothing", type=float, default=0.0, metavar="SECONDS", help="average over time (default: off)"
    )

    add_model_arguments(parser.add_argument_group("model"))


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av segment`; its exit code is 1 where a source is damaged, 130 after Ctrl-C and 143 after SIGTERM."""
    if not options.source.exists():
        raise FileNotFoundError(f"There is no video, picture or folder '{options.source}'.")
    prompts = _prompts(options)
    output = options.output or Path("outputs") / options.source.resolve().stem

    from accelerate import PartialState

    from ..film.clips import find_clips, segment_clips
    from ..film.run import segment_to_folder

    state = PartialState(cpu=options.device == "cpu")
    if not options.source.is_dir() and not state.is_main_process:
        return 0  # one film is not shared
    model = load_model(options, options.device or state.device)
    settings = {
        "formats": options.formats,
        "resume": options.resume,
        "overwrite": options.overwrite,
        "time": options.time,
        "fps": options.fps,
        "mask_fps": options.mask_fps,
        "window": options.window,
        "smoothing": options.smoothing,
        "batch_size": options.batch_size,
        **prompts,
    }
    if not options.source.is_dir():
        report = segment_to_folder(model, options.source, output, options.audio, **settings)
        print(_text_of(report, output))
        return _code_of(report)
    if options.audio is not None:
        raise ValueError("--audio goes with one video; in a folder the sound of dog.gif is dog.wav beside it.")
    share = find_clips(options.source)[state.process_index :: state.num_processes]
    problems, code = {}, 0
    try:
        for clip, outcome in segment_clips(model, share, output, **settings):
            if isinstance(outcome, Exception):
                problems[clip.name] = outcome
            else:
                print(_text_of(outcome, output / clip.name), flush=True)
                code = max(code, _code_of(outcome))
    finally:
        for name, problem in problems.items():
            print(f"{name}: {problem}", file=sys.stderr)
    return code or int(bool(problems))


def _code_of(report: "FilmReport") -> int:
    return 128 + report.signal if report.signal else int(report.damage is not None)


def _text_of(report: "FilmReport", output: Path) -> str:
    count = f"{report.frames:,} frame{'s' * (report.frames != 1)}"
    lines = [f"{report.name}: masks of {count}, up to {report.seconds:.2f} s, in '{output}'."]
    if report.damage:
        lines.append(f"The source breaks off there: {report.damage}")
    if report.signal and not report.frames:
        return f"{report.name}: stopped before its first mask."
    if report.signal:
        lines.append("Stopped; the files are whole up to there. The same command with --resume goes on.")
    return "\n".join([*lines, *(f"  {path}" for path in report.files)])


def _prompts(options: argparse.Namespace) -> dict[str, Any]:
    """The thresholds, clicks and boxes as `MaskSettings` takes them."""
    clicks: dict[float, list[tuple[list[float], int]]] = {}
    for texts, label, name in ((options.point, 1, "--point"), (options.background_point, 0, "--background-point")):
        for text in texts or []:
            point, time = _numbers(text, 2, f"{name} takes X,Y or X,Y@SECONDS")
            clicks.setdefault(time, []).append((point, label))
    boxes = [_numbers(text, 4, "--box takes L,T,R,B or L,T,R,B@SECONDS") for text in options.box or []]
    limits = [_numbers(text, 1, "--threshold takes P or P@SECONDS") for text in options.threshold or []]
    prompts: dict[str, dict[float, Any]] = {
        "threshold": {time: limit for (limit,), time in limits},
        "points": {time: [point for point, _ in some] for time, some in clicks.items()},
        "point_labels": {time: [label for _, label in some] for time, some in clicks.items()},
        "box": {time: box for box, time in boxes},
    }
    return {name: value for name, value in prompts.items() if value}


def _numbers(text: str, count: int, form: str) -> tuple[list[float], float]:
    """The numbers of a text, and the seconds behind its @, which are 0 without one."""
    values, _, time = text.partition("@")
    try:
        numbers = [float(value) for value in values.split(",")]
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} numbers")
        return numbers, float(time or 0)
    except ValueError as error:
        raise ValueError(f"{form}, not '{text}'.") from error
