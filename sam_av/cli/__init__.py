"""The `sam-av` command: one module a verb, which reads its arguments; the work is done in the library."""

import argparse
import sys
from types import ModuleType

from .. import __version__
from ..environment import explain_torchaudio
from . import app, check_data, convert, demo, evaluate, info, push, segment, synthesize, train

# A verb's module has HELP, add_arguments(parser) and run(options), and imports nothing heavy before it runs.
_VERBS: dict[str, ModuleType] = {
    "demo": demo,
    "segment": segment,
    "train": train,
    "evaluate": evaluate,
    "synthesize": synthesize,
    "check-data": check_data,
    "convert": convert,
    "push": push,
    "app": app,
    "info": info,
}


def build_parser() -> argparse.ArgumentParser:
    """The command line of `sam-av`."""
    parser = argparse.ArgumentParser(
        prog="sam-av", description="Audio-visual segmentation: the mask of what makes the sound."
    )
    parser.add_argument("--version", action="version", version=f"sam-av {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in _VERBS.items():
        verb = verbs.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; its exit code is what the verb returns, 1 after a user's mistake, which gives no traceback."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ImportError, OSError, ValueError, RuntimeError, MemoryError) as error:
        about_files = isinstance(error, (FileNotFoundError, FileExistsError, PermissionError))
        imports_failed = isinstance(error, (ImportError, OSError)) and not about_files
        print(f"sam-av {options.verb}: {(imports_failed and explain_torchaudio()) or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"sam-av {options.verb}: interrupted", file=sys.stderr)
        return 130
