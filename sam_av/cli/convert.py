"""Turn a SAM into transformers format or a segment-anything .pth, or a SAMA-AVS checkpoint into an adapter."""

import argparse
from pathlib import Path

HELP = "convert weights between transformers, segment-anything and SAMA-AVS formats"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av convert`."""
    parser.add_argument("source", help="Hub id, folder, segment-anything .pth, or SAMA-AVS .pth")
    parser.add_argument("target", type=Path, help="a path ending in .pth, or a folder")
    parser.add_argument("--base", help="Hub id of the SAM that a SAMA-AVS checkpoint was trained on")
    parser.add_argument(
        "--dry-run", action="store_true", help="read and check the source, say what would be written, write nothing"
    )


def run(options: argparse.Namespace) -> None:
    """Runs `sam-av convert`."""
    from ..convert import convert

    print(convert(options.source, options.target, base=options.base, dry_run=options.dry_run))
