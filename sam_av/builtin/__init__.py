"""The networks and adapters that come with the package, by name: `builtin:demo`, `builtin:demo-sama`, ..."""

from pathlib import Path

PREFIX = "builtin:"

# A wheel holds all of them here; in a checkout the adapters lie where published ones are kept.
_SHELVES = (Path(__file__).parent, Path(__file__).parents[2] / "adapters")


def is_builtin(name: str | Path) -> bool:
    """Whether a name has the form of a built-in's."""
    return str(name).startswith(PREFIX)


def builtin_folder(name: str) -> Path:
    """The folder of a built-in."""
    folders = _folders()
    if name not in folders:
        raise FileNotFoundError(f"There is no '{name}' in this installation of sam-av. It has: {', '.join(folders)}.")
    return folders[name]


def _folders() -> dict[str, Path]:
    """All there is, by name: the folders with weights in them."""
    folders = {path.parent for shelf in _SHELVES for path in shelf.glob("*/*.safetensors")}
    return {PREFIX + folder.name: folder for folder in sorted(folders, key=lambda folder: folder.name)}
