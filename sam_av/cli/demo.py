"""Run a shipped adapter, offline, on a generated scene whose sound changes: a video and a picture strip."""

import argparse
from pathlib import Path

HELP = "run a shipped adapter on a generated scene, offline: a video and a picture strip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av demo`."""
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/demo"), help="folder to write to (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Runs `sam-av demo`."""
    from ..demo import run_demo

    print(run_demo(options.output))
