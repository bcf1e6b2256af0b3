"""Publishing an adapter: what of it goes to the Hub, what does not and why, and the upload itself."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import httpx, validate_repo_id

from .card import address_card, render_card
from .config import SamAVConfig
from .contents import describe_contents, read_contents
from .hub import check_public_name, write_whole
from .storage import CARD_NAME, CONFIG_NAME, LORA_FOLDER, WEIGHTS_NAME, has_lora_files, read_config

_LORA_FILES = (f"{LORA_FOLDER}/adapter_config.json", f"{LORA_FOLDER}/{WEIGHTS_NAME}")


@dataclass
class Publication:
    """What of a folder goes to the Hub.

    Attributes:
        folder: the folder.
        files: the files that go, with their sizes in bytes.
        left_out: what else lies there, files and folders, with their sizes; it stays where it is.
        faults: why it must not be published; each is a sentence that names the next step.
    """

    folder: Path
    files: dict[str, int]
    left_out: dict[str, int]
    faults: list[str] = field(default_factory=list)


def prepare(folder: Path) -> Publication:
    """Looks through the folder of an adapter, without its base and without a connection."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}': name the folder that an adapter was saved into.")
    config = read_config(folder)  # without a configuration there is no adapter
    names = [CONFIG_NAME, WEIGHTS_NAME, CARD_NAME, *(_LORA_FILES if has_lora_files(folder) else ())]
    files = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
    published = {name.partition("/")[0] for name in files}
    left_out = {path.name: _size(path) for path in sorted(folder.iterdir()) if path.name not in published}
    return Publication(folder, files, left_out, _faults(folder, config))


def _faults(folder: Path, config: SamAVConfig) -> list[str]:
    faults = naming_faults(config, has_audio_encoder=config.audio_encoder_fingerprint is not None)
    for check in (
        lambda: check_public_name(config.base_model_name_or_path),
        lambda: read_contents(folder, config),
    ):
        try:
            check()
        except (OSError, ValueError) as fault:
            faults.append(str(fault))
    return faults


def naming_faults(config: SamAVConfig, *, has_audio_encoder: bool) -> list[str]:
    """Why others could not use an adapter whose frozen networks have no names: nothing, or a sentence for each."""
    faults = []
    if config.base_model_name_or_path is None:
        faults.append(
            "The base has no name that others can resolve, so nobody could use this adapter. Set "
            "base_model_name_or_path, in model.config or in config.json, to the Hub id of the base before pushing."
        )
    if has_audio_encoder and config.audio_encoder is None:
        faults.append(
            "The audio encoder has no name that others can resolve, so nobody could use this adapter: register it "
            "(sam_av.audio.register_audio_encoder) and set its `name` before pushing."
        )
    return faults


def check_repo_id(repo_id: str) -> None:
    """Raises where a text cannot be the id of a repository."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"'{repo_id}' cannot be the id of a repository, such as user/my-adapter: {error}") from error


def push_folder(
    publication: Publication, repo_id: str, *, private: bool | None = None, revision: str | None = None
) -> CommitInfo:
    """Uploads what of a folder is to be published; raises where it has faults."""
    if publication.faults:
        raise ValueError("\n".join([f"'{publication.folder}' is not published:", *publication.faults]))
    config = read_config(publication.folder)
    writers = {name: _copy(publication.folder / name) for name in publication.files}
    counts = describe_contents(read_contents(publication.folder, config))

    def write_card(path: Path) -> None:
        own = publication.folder / CARD_NAME
        text = own.read_text(encoding="utf-8") if own.is_file() else render_card(config, counts)
        path.write_text(address_card(text, repo_id), encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        write_whole(Path(folder), {**writers, CARD_NAME: write_card})
        return upload(Path(folder), repo_id, private=private, revision=revision)


def create_repository(
    repo_id: str, *, private: bool | None = None, token: str | bool | None = None, create_pr: bool = False
) -> str:
    """The full id of a repository that one may write to, which is created where there is none.

    Raises where one may not, or where it is public and is to be private. For a pull request it is enough to read it.
    """
    api = HfApi(token=token)
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if not create_pr:
            api.auth_check(repo_id, write=True)  # a repository that can be read passes above, whatever the token
        is_public = bool(private) and not api.model_info(repo_id).private
    except HfHubHTTPError as error:
        raise PermissionError(
            f"The Hub does not let you write to '{repo_id}': log in (`hf auth login`) with a token that may write. "
            f"{error}"
        ) from error
    except httpx.TransportError as error:
        raise ConnectionError(f"The Hub cannot be reached at {api.endpoint}: {error}") from error
    if is_public:
        raise ValueError(
            f"'{repo_id}' is to be private, but it is there already and public, so that nothing is sent. Make it "
            "private in its settings on the Hub, choose another name, or do not ask for a private one."
        )
    return repo_id


def upload(
    folder: Path,
    repo_id: str,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload sam-av adapter",
    create_pr: bool = False,
) -> CommitInfo:
    """Uploads all of a folder to a repository, which is created where there is none; a card that is there is kept."""
    api = HfApi(token=token)
    repo_id = create_repository(repo_id, private=private, token=token, create_pr=create_pr)
    if revision is not None:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    card = f"{subfolder}/{CARD_NAME}" if subfolder else CARD_NAME
    return api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        path_in_repo=subfolder,
        revision=revision,
        commit_message=commit_message,
        create_pr=create_pr,
        ignore_patterns=[CARD_NAME] if api.file_exists(repo_id, card, revision=revision) else None,
        delete_patterns=f"{LORA_FOLDER}/*",  # an earlier push's LoRA would be loaded with these weights
    )


def _copy(source: Path) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(source.read_bytes())


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in paths if file.is_file())
