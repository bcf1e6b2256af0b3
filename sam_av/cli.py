"""The `sam-av` command: each verb reads its arguments here and does its work in a module of the library."""

import argparse
import sys
from pathlib import Path

from . import __version__
from .environment import explain_torchaudio


def build_parser() -> argparse.ArgumentParser:
    """The command line of `sam-av`."""
    parser = argparse.ArgumentParser(
        prog="sam-av", description="Audio-visual segmentation: the mask of what makes the sound."
    )
    parser.add_argument("--version", action="version", version=f"sam-av {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    demo = verbs.add_parser("demo", help="run the model on a generated frame and its sound")
    demo.add_argument(
        "--output", type=Path, default=Path("outputs/demo"), help="folder to write to (default: %(default)s)"
    )
    demo.set_defaults(run=_demo)

    convert = verbs.add_parser(
        "convert",
        help="turn a SAM into transformers format or a segment-anything .pth, or a SAMA-AVS checkpoint into an adapter",
    )
    convert.add_argument("source", help="Hub id, folder, segment-anything .pth, or SAMA-AVS .pth")
    convert.add_argument("target", type=Path, help="a path ending in .pth, or a folder")
    convert.add_argument(
        "--base", help="Hub id of the SAM that a SAMA-AVS checkpoint was trained on, named in the adapter"
    )
    convert.set_defaults(run=_convert)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; a user's mistake gives one line and exit code 1, never a traceback."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except (ImportError, OSError, ValueError, TypeError, RuntimeError) as error:
        print(f"sam-av {options.verb}: {explain_torchaudio() or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"sam-av {options.verb}: interrupted", file=sys.stderr)
        return 130
    return 0


def _demo(options: argparse.Namespace) -> None:
    from .demo import run_demo

    print(run_demo(options.output))


def _convert(options: argparse.Namespace) -> None:
    from .convert import convert

    print(convert(options.source, options.target, base=options.base))


if __name__ == "__main__":
    sys.exit(main())
