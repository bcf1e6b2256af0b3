"""Publish a saved adapter: a folder goes to a repository of the Hub, which is made where there is none."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..publish import Publication

HELP = "publish the folder of an adapter on the Hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av push`."""
    parser.add_argument("folder", type=Path, help="folder that the adapter was saved into")
    parser.add_argument("repo_id", metavar="repo", help="id of the repository, such as user/my-adapter")
    parser.add_argument("--private", action="store_true", help="make a repository that only you see")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to, made where there is none")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be sent and what would be refused; send nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Runs `sam-av push`; with --dry-run its exit code is 1 where the adapter would be refused."""
    from ..publish import check_repo_id, prepare, push_folder

    check_repo_id(options.repo_id)
    publication = prepare(options.folder)
    if options.dry_run:
        private = " (private, if it is new)" if options.private else ""
        print(f"{options.folder} -> {options.repo_id}{private}\n{_describe(publication)}")
        return 1 if publication.faults else 0
    commit = push_folder(publication, options.repo_id, private=options.private or None, revision=options.revision)
    print(
        f"{sum(publication.files.values()):,} bytes are at {commit.repo_url}. Use them:\n"
        f'    SamAV.from_pretrained("{commit.repo_url.repo_id}")'
    )
    return 0


def _describe(publication: "Publication") -> str:
    """What of the folder would go, what would not, and why."""
    width = max(map(len, [*publication.files, *publication.left_out]))

    def listing(files: dict[str, int]) -> list[str]:
        return [f"  {name:<{width}}  {size:>12,} bytes" for name, size in files.items()]

    lines = ["would be sent:", *listing(publication.files)]
    if "README.md" not in publication.files:
        lines.append("  README.md, which would be written: the folder has none")
    if publication.left_out:
        lines += ["would stay here, since it is no part of an adapter:", *listing(publication.left_out)]
    lines += [f"refused: {fault}" for fault in publication.faults]
    return "\n".join([*lines, "Nothing was sent, and nobody was asked."])
