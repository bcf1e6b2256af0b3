"""What lies under a folder, known from one listing of each folder, and the tables that describe it."""

import csv
import difflib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = dict[str, str]

_SHOWN = 8


class Disk:
    """The files under a folder. Each folder is listed once, so that ten thousand clips are looked up in seconds."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(os.path.normpath(Path(root).expanduser().absolute()))
        self._listings: dict[Path, frozenset[str]] = {}

    def path(self, name: str) -> Path:
        """The path of a name that metadata gives relative to the root, which it must not lead out of.

        Names are judged as they are written: a link that the owner of the folder put there may lead anywhere.
        """
        # pathlib itself folds ".." only by asking the disk, which would follow the links.
        path = Path(os.path.normpath(self.root / name))
        if not path.is_relative_to(self.root):
            raise ValueError(f"'{name}' leads out of '{self.root}'; paths must stay inside of that folder.")
        return path

    def names(self, folder: Path) -> frozenset[str]:
        """What a folder holds; nothing where there is no such folder or it cannot be listed."""
        if folder not in self._listings:
            try:
                with os.scandir(folder) as found:
                    self._listings[folder] = frozenset(item.name for item in found)
            except OSError:
                self._listings[folder] = frozenset()
        return self._listings[folder]

    def has(self, path: Path) -> bool:
        """Whether there is such a file or folder."""
        return path.name in self.names(path.parent)

    def shown(self, path: Path) -> str:
        """A path as the user knows it, from the root on."""
        return path.relative_to(self.root).as_posix()

    def missing(self, paths: Iterable[Path]) -> list[str]:
        """For each folder that lacks some of the files: which, and what is there instead."""
        lacking: dict[Path, list[Path]] = {}
        for path in paths:
            if not self.has(path):
                lacking.setdefault(path.parent, []).append(path)
        return [self._describe(folder, wanted) for folder, wanted in lacking.items()]

    def require(self, wanted: Sequence[str], layout: str, tree: str) -> None:
        """Raises when the root lacks one of the names that make a layout, and says where they might be."""
        if not self.root.is_dir():
            raise FileNotFoundError(f"There is no folder '{self.root}'. {_tree(layout, tree)}")
        lacking = [name for name in wanted if not self.has(self.root / name)]
        if not lacking:
            return
        homes = [self.root.parent, *(self.root / name for name in sorted(self.names(self.root)))]
        elsewhere = next((home for home in homes if self.has(home / lacking[0])), None)
        hint = f" '{lacking[0]}' is in '{elsewhere}': pass that folder?" if elsewhere else ""
        raise FileNotFoundError(
            f"'{self.root}' is no {layout} data set: it lacks {', '.join(lacking)}, and "
            f"{_contents(self.names(self.root))}.{hint} {_tree(layout, tree)}"
        )

    def _describe(self, folder: Path, wanted: list[Path]) -> str:
        more = f" and {len(wanted) - 1} more beside it" if len(wanted) > 1 else ""
        names = self.names(folder)
        found = f"that folder {_contents(names)}" if names else "that folder is empty or not there"
        return f"wanted {self.shown(wanted[0])}{more}; {found}"


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV file with a header, which must have some columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True)
            found = list(reader.fieldnames or [])
            rows = [{name: cell for name, cell in row.items() if name is not None} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"'{path}' is no CSV text in UTF-8: {error}. Export it again as such.") from error
    if lacking := [name for name in columns if name not in found]:
        raise ValueError(
            f"'{path}' lacks the columns {', '.join(lacking)}; its first line names {', '.join(found) or 'none'}."
        )
    if not rows:
        raise ValueError(f"'{path}' holds a header and no rows.")
    return rows


def rows_of_split(rows: Sequence[Row], split: str, source: Path) -> list[Row]:
    """The rows of a split, which must be among those that there are."""
    chosen = [row for row in rows if row["split"] == split]
    if not chosen:
        counts = Counter(row["split"] for row in rows)
        splits = ", ".join(f"{name!r} ({count:,} clips)" for name, count in counts.items())
        raise ValueError(f"'{source}' has no split {split!r}; it has {splits}.")
    return chosen


def check_fields(found: Iterable[str], known: Sequence[str], where: str) -> None:
    """Raises for a name that is not among the known ones, with the name that was probably meant."""
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"{where} has an unknown field '{name}'{hint} (known: {', '.join(known)}).")


def _contents(names: frozenset[str]) -> str:
    if not names:
        return "holds nothing"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"holds {', '.join(sorted(names)[:_SHOWN])}{more}"


def _tree(layout: str, tree: str) -> str:
    lines = "".join(f"\n  {line}" for line in tree.splitlines())
    return f"A data set of the layout '{layout}' lies on the disk like this:{lines}"
