"""The test Hub against the installed huggingface_hub: what it stores, what comes back, which errors arise.

Each test runs its client code in one subprocess, whose last line of output is a JSON value.
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_hub import LocalHub, file_oid

PRELUDE = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

api = HfApi()
folder, home = Path(sys.argv[1]), Path(sys.argv[2])

def error_of(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error).__name__

def text_of(*args, **kwargs):
    return Path(hf_hub_download(*args, **kwargs)).read_text()
"""
FILES = {
    "config.json": b'{"audio_dim": 128}',
    "README.md": b"---\nlicense: apache-2.0\n---\n# Adapter\n",
    "adapter_model.safetensors": random.Random(0).randbytes(11 * 1024**2),
    "lora/adapter_config.json": b"{}",
    "lora/notes of März.txt": "Grüße".encode(),
    "empty.txt": b"",
}


@pytest.fixture
def client(tmp_path):
    """The Hub, and a way to run client code that knows it and a folder with `FILES`."""
    folder, home = tmp_path / "folder", tmp_path / "home"
    write_files(folder, FILES)

    def run(script: str, **environment: Any) -> Any:
        command = [sys.executable, "-c", PRELUDE + script, str(folder), str(home)]
        variables = hub.environment(home, **environment)
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    with LocalHub() as hub:
        yield SimpleNamespace(hub=hub, run=run)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_files(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitattributes"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def uploads(hub: LocalHub) -> list[str]:
    return [request.path for request in hub.requests if request.method == "PUT"]


def test_a_folder_comes_back_byte_identical(client):
    answer = client.run("""
from huggingface_hub import get_hf_file_metadata, hf_hub_url

url = api.create_repo("someone/model")
commit = api.upload_folder(repo_id=url.repo_id, folder_path=folder, commit_message="First adapter")
print(json.dumps({
    "repo_id": url.repo_id,
    "commit": commit.oid,
    "commit_repo": commit.repo_url.repo_id,
    "file": hf_hub_download("someone/model", "adapter_model.safetensors"),
    "snapshot": snapshot_download("someone/model"),
    "listed": {file.path: [file.size, file.lfs and file.lfs.sha256, file.blob_id]
               for file in api.list_repo_tree("someone/model", recursive=True)},
    "lora": [file.path for file in api.list_repo_tree("someone/model", "lora")],
    "root": [file.path for file in api.list_repo_tree("someone/model")],
    "etag": get_hf_file_metadata(hf_hub_url("someone/model", "adapter_model.safetensors")).etag,
}))
""")
    repo = client.hub.repos["someone/model"]
    assert answer["repo_id"] == answer["commit_repo"] == "someone/model"
    assert Path(answer["file"]).read_bytes() == FILES["adapter_model.safetensors"]
    assert read_files(Path(answer["snapshot"])) == FILES
    assert {name: repo.find("main").files[name] for name in FILES} == FILES

    assert [commit.message for commit in repo.history()] == ["First adapter", "initial commit"]
    assert repo.find("main").sha == answer["commit"] == Path(answer["snapshot"]).name
    large = file_oid("adapter_model.safetensors", FILES["adapter_model.safetensors"])
    assert answer["etag"] == large
    assert uploads(client.hub) == [f"/lfs/{large}"]
    listed = answer["listed"]
    assert listed["adapter_model.safetensors"][:2] == [11 * 1024**2, large]
    # What `git hash-object` prints for these two contents.
    assert listed["empty.txt"] == [0, None, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"]
    assert listed["lora/adapter_config.json"] == [2, None, "9e26dfeeb6e641a33dae4961196235bdb965b21b"]
    assert answer["lora"] == ["lora/adapter_config.json", "lora/notes of März.txt"]
    assert set(answer["root"]) == {".gitattributes", *FILES} - set(answer["lora"])


def test_only_a_push_that_changes_something_makes_a_commit(client):
    answer = client.run("""
def push(**options):
    return api.upload_folder(repo_id="someone/model", folder_path=folder, **options).oid

api.create_repo("someone/model")
first, again = push(), push()
(folder / "config.json").write_text("changed")
(folder / "empty.txt").unlink()
print(json.dumps([first, again, push(delete_patterns="*.txt"), push(delete_patterns="*.txt")]))
""")
    repo = client.hub.repos["someone/model"]
    first, again, changed, changed_again = answer
    assert first == again != changed == changed_again
    assert [commit.sha for commit in repo.history()][:2] == [changed, first]
    assert len(repo.commits) == 3
    assert len(uploads(client.hub)) == 1
    pushed = FILES | {"config.json": b"changed"}
    del pushed["empty.txt"]
    assert repo.find("main").files == {".gitattributes": repo.find(first).files[".gitattributes"], **pushed}
    assert repo.find(first).files["config.json"] == FILES["config.json"]


def test_branches_tags_and_commits_name_states(client):
    answer = client.run("""
def put(text, **options):
    return api.upload_file(repo_id="someone/model", path_in_repo="a.txt", path_or_fileobj=text, **options).oid

api.create_repo("someone/model")
old = put(b"old")
api.create_tag("someone/model", tag="v1")
new = put(b"new")
api.create_branch("someone/model", branch="audio/loud", revision="v1")
loud = put(b"loud", revision="audio/loud")
refs = api.list_repo_refs("someone/model")
print(json.dumps({
    "shas": [old, new, loud],
    "texts": [text_of("someone/model", "a.txt", revision=name) for name in ("v1", "main", "audio/loud", old)],
    "infos": [api.model_info("someone/model", revision=name).sha for name in ("v1", None, "audio/loud", old)],
    "snapshot": (Path(snapshot_download("someone/model", revision="audio/loud")) / "a.txt").read_text(),
    "refs": {ref.name: ref.target_commit for ref in refs.branches + refs.tags},
    "twice": [error_of(api.create_branch, "someone/model", branch="audio/loud"),
              error_of(api.create_branch, "someone/model", branch="audio/loud", exist_ok=True)],
    "push to a tag": error_of(put, b"x", revision="v1"),
}))
""")
    old, new, loud = answer["shas"]
    assert answer["texts"] == ["old", "new", "loud", "old"]
    assert answer["infos"] == [old, new, loud, old]
    assert answer["snapshot"] == "loud"
    assert answer["refs"] == {"main": new, "audio/loud": loud, "v1": old}
    assert answer["twice"] == ["HfHubHTTPError", None]
    assert answer["push to a tag"] == "RevisionNotFoundError"
    repo = client.hub.repos["someone/model"]
    assert [commit.sha for commit in repo.history("audio/loud")][:2] == [loud, old]


def test_a_private_repository_and_all_writing_need_the_token(client):
    owner = """
for name, private in (("secret", True), ("open", False)):
    api.create_repo(f"someone/{name}", private=private)
    api.upload_file(repo_id=f"someone/{name}", path_in_repo="a.bin", path_or_fileobj=b"mine")
print(json.dumps([
    text_of("someone/secret", "a.bin"),
    api.model_info("someone/secret").private,
    error_of(api.create_repo, "someone/open"),
    error_of(api.create_repo, "someone/open", exist_ok=True),
    api.create_repo("bare").repo_id,
    error_of(api.delete_folder, "lora", repo_id="someone/open"),
]))
"""
    stranger = """
import hashlib
from huggingface_hub.utils import get_session

def put(oid):
    return get_session().put(f"{api.endpoint}/lfs/{oid}", content=b"theirs").status_code

cache = home / "stranger"
print(json.dumps([
    text_of("someone/open", "a.bin", cache_dir=cache),
    error_of(hf_hub_download, "someone/secret", "a.bin", cache_dir=cache),
    error_of(snapshot_download, "someone/secret", cache_dir=cache),
    error_of(api.model_info, "someone/secret"),
    error_of(api.upload_file, repo_id="someone/open", path_in_repo="a.bin", path_or_fileobj=b"theirs"),
    error_of(api.create_branch, "someone/open", branch="theirs"),
    error_of(api.create_repo, "someone/theirs"),
    error_of(api.model_info, "someone/open", token="hf_wrong"),
    put(hashlib.sha256(b"theirs").hexdigest()),
    put(hashlib.sha256(b"mine").hexdigest()),
]))
"""
    hub = client.hub
    assert client.run(owner) == ["mine", True, "HfHubHTTPError", None, "someone/bare", "BadRequestError"]
    signed = [request.authorization for request in hub.requests if request.method != "PUT"]
    assert set(signed) == {f"Bearer {hub.token}"}
    hub.requests.clear()
    not_found, unauthorized = ["RepositoryNotFoundError"] * 5, ["HfHubHTTPError"] * 2
    assert client.run(stranger, token=False) == ["mine", *not_found, *unauthorized, 403, 400]
    assert {request.authorization for request in hub.requests} == {None, "Bearer hf_wrong"}
    assert hub.repos.keys() == {"someone/secret", "someone/open", "someone/bare"}
    assert hub.repos["someone/open"].find("main").files["a.bin"] == b"mine"
    assert hub.repos["someone/open"].branches.keys() == {"main"}


@pytest.mark.parametrize("token", [True, False])
def test_what_is_missing_gives_the_typed_errors(client, token):
    client.run("""print(json.dumps(api.create_repo("someone/model").repo_id))""")
    answer = client.run(
        """
from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

print(json.dumps([
    error_of(hf_hub_download, "someone/nothing", ".gitattributes"),
    error_of(snapshot_download, "someone/nothing"),
    error_of(hf_hub_download, "someone/model", ".gitattributes", revision="nowhere"),
    error_of(snapshot_download, "someone/model", revision="nowhere"),
    error_of(api.model_info, "someone/model", revision="0" * 40),
    error_of(hf_hub_download, "someone/model", "nothing.txt"),
    error_of(lambda: list(api.list_repo_tree("someone/model", "nothing"))),
    error_of(api.list_repo_commits, "someone/model"),
    try_to_load_from_cache("someone/model", "nothing.txt") is _CACHED_NO_EXIST,
]))
""",
        token=token,
    )
    repository, revision = ["RepositoryNotFoundError"] * 2, ["RevisionNotFoundError"] * 3
    entry, no_such_endpoint = ["RemoteEntryNotFoundError"] * 2, "HfHubHTTPError"
    assert answer == [*repository, *revision, *entry, no_such_endpoint, True]


@pytest.mark.parametrize("offline", [True, False])
def test_the_cache_serves_when_the_hub_is_gone(client, offline):
    client.run("""
api.create_repo("someone/model")
api.upload_folder(repo_id="someone/model", folder_path=folder, ignore_patterns="*.safetensors")
print(json.dumps(snapshot_download("someone/model")))
""")
    client.hub.__exit__()
    received = len(client.hub.requests)
    text, snapshot, error = client.run(
        """
print(json.dumps([
    text_of("someone/model", "config.json"),
    snapshot_download("someone/model"),
    error_of(snapshot_download, "someone/other"),
]))
""",
        offline=offline,
    )
    assert text.encode() == FILES["config.json"]
    assert read_files(Path(snapshot)) == {name: FILES[name] for name in FILES if "safetensors" not in name}
    assert error == "LocalEntryNotFoundError"
    assert len(client.hub.requests) == received


def test_part_of_a_file_can_be_asked_for(client):
    answer = client.run("""
import io
from huggingface_hub import hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import get_session

api.create_repo("someone/model")
api.upload_folder(repo_id="someone/model", folder_path=folder)
whole = (folder / "adapter_model.safetensors").read_bytes()
url = hf_hub_url("someone/model", "adapter_model.safetensors")
resumed = io.BytesIO()
resumed.write(whole[:1_000_000])
http_get(url, resumed, resume_size=1_000_000, expected_size=len(whole))
parts = [get_session().get(url, headers={"Range": f"bytes={asked}"}) for asked in ("2-5", f"{len(whole)}-")]
print(json.dumps([
    resumed.getvalue() == whole,
    parts[0].content == whole[2:6],
    parts[0].headers["Content-Range"],
    [part.status_code for part in parts],
]))
""")
    assert answer == [True, True, "bytes 2-5/11534336", [206, 416]]
