"""Check a data set before a long run: what is missing, damaged, of the wrong size, too short or in several splits."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .data_arguments import add_data_arguments, reader_options

if TYPE_CHECKING:
    from ..data.check import DataReport

HELP = "check the files of a data set before a long run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av check-data`."""
    add_data_arguments(parser)
    parser.add_argument("--split", action="append", default=[], help="split to check, may be repeated (default: all)")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="processes that look at files (default: %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="headers only: masks are not decoded to see if any is empty"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report here, too")


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av check-data`; its exit code is 0 where there is no fault and 1 where there is one."""
    import json

    from ..data.check import check_data
    from ..hub import write_whole

    report = check_data(
        options.data,
        options.split,
        layout=options.layout,
        workers=options.workers,
        quick=options.quick,
        **reader_options(options),
    )
    print(_text_of(report))
    if options.json:
        text = json.dumps(report.to_dict(), indent=1) + "\n"
        write_whole(options.json.parent, {options.json.name: lambda draft: draft.write_text(text, encoding="utf-8")})
    return 1 if report.faults else 0


def _text_of(report: "DataReport") -> str:
    from ..data.problems import summarize

    rows = [("split", "clips", "published", "frames", "categories")]
    for split in report.splits:
        published = "-" if split.published is None else f"{split.published:,}"
        rows.append((split.split, f"{split.clips:,}", published, f"{split.frames:,}", f"{split.categories:,}"))
    width = max(len(row[0]) for row in rows)
    parts = [f"'{report.source}' has the layout {report.layout}."]
    parts.append("\n".join(f"{row[0]:<{width}}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in rows))
    if report.remarks:
        parts.append(f"Remarks, {len(report.remarks):,}: {summarize(report.remarks)}")
    parts.append(f"Faults, {len(report.faults):,}: {summarize(report.faults)}" if report.faults else "No faults.")
    return "\n\n".join(parts)
