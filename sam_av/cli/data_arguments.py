"""The arguments by which every verb is told what data to read."""

import argparse
from typing import Any


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the data set, its layout and its reader's options."""
    parser.add_argument("data", help="folder or manifest of the data set, Hub id, or scenes:100")
    parser.add_argument("--layout", help="layout of the data set, where it is not recognised")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the data set's reader, such as fps=25; may be repeated",
    )


def reader_options(options: argparse.Namespace) -> dict[str, Any]:
    """The reader's options as `open_dataset` takes them; values are read as YAML: 25, true, [v1s, v1m]."""
    import yaml

    pairs = [text.partition("=") for text in options.option]
    if wrong := [name for name, sign, _ in pairs if not sign or not name.isidentifier()]:
        raise ValueError(f"--option takes NAME=VALUE, such as fps=25, not {wrong[0]!r}.")
    return {name: yaml.safe_load(value) for name, _, value in pairs}
