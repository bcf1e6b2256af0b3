"""Folders from the Hugging Face Hub or the disk, with errors that a person can act on; whole files only."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from .builtin import builtin_folder, is_builtin


def fetch_folder(
    name_or_path: str | Path,
    patterns: list[str],
    *,
    what: str,
    revision: str | None = None,
    subfolder: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder `name_or_path`, that of a built-in, or a local copy of a Hub repository's files that match `patterns`.

    `what` names in errors the thing that is looked for ("the adapter", "the base").
    """
    name = str(name_or_path)
    if is_builtin(name):
        return _inside(builtin_folder(name), subfolder, what, name)
    if Path(name).expanduser().is_dir():
        return _inside(Path(name).expanduser(), subfolder, what, name)
    if Path(name).is_file():
        raise FileNotFoundError(f"{what} is a folder, but '{name}' is a file: pass the folder that it lies in.")
    if not is_repo_id(name):
        raise FileNotFoundError(f"{what} '{name}' is neither a folder on this disk nor the id of a Hub repository.")
    prefix = f"{subfolder.strip('/')}/" if subfolder else ""
    try:
        copy = snapshot_download(
            name,
            revision=revision,
            allow_patterns=[prefix + pattern for pattern in patterns],
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
    except GatedRepoError as error:
        raise PermissionError(
            f"{what} '{name}' is gated: accept its terms on its page of the Hub, then log in."
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{what} '{name}' is not on the Hub, and there is no such folder. Check the spelling; for a private "
            "repository log in (`hf auth login`) or pass token=..."
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{what} '{name}' has no revision '{revision}' on the Hub.") from error
    except LocalEntryNotFoundError as error:
        raise FileNotFoundError(
            f"{what} '{name}' is not in the local cache, and the Hub could not be asked: {error.__cause__ or error}"
        ) from error
    except HfHubHTTPError as error:
        raise ConnectionError(f"The Hub refused {what} '{name}': {error}") from error
    return _inside(Path(copy), subfolder, what, name)


def is_repo_id(name: str) -> bool:
    """Whether `name` can be the id of a Hub repository, and is not something that lies on this disk."""
    return not Path(name).exists() and _has_form_of_repo_id(name)


def _has_form_of_repo_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def check_public_name(name: str | None) -> None:
    """Raises when the name of a base is one that nobody else can resolve, such as a path on this disk."""
    if name is None or _has_form_of_repo_id(name):
        return
    if not is_builtin(name):
        raise ValueError(
            f"base_model_name_or_path must be the id of a Hub repository, which others can find, not '{name}'."
        )
    builtin_folder(name)  # raises where there is no such built-in


def write_whole(folder: Path, writers: dict[str, Callable[[Path], object]]) -> None:
    """Writes files into `folder`, each whole or not at all: first to a temporary folder beside, then renamed.

    `writers` maps a path inside the folder to a function that writes one file to the path it is given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as temporary:
        for name, write in writers.items():
            draft = Path(temporary) / name
            draft.parent.mkdir(parents=True, exist_ok=True)
            write(draft)
        for name in writers:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / name).replace(target)


def _inside(folder: Path, subfolder: str | None, what: str, name: str) -> Path:
    inner = folder / subfolder if subfolder else folder
    if not inner.is_dir():
        raise FileNotFoundError(f"{what} '{name}' has no folder '{subfolder}'.")
    return inner
