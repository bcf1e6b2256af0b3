"""Run the model on a generated frame and its sound, offline."""

import argparse
from pathlib import Path

HELP = "run the model on a generated frame and its sound"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av demo`."""
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/demo"), help="folder to write to (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Runs `sam-av demo`."""
    from ..demo import run_demo

    print(run_demo(options.output))
