"""A small Hugging Face Hub over real HTTP, for tests of code that uploads to it and downloads from it.

The server runs in the pytest process and the code under test in a subprocess, because huggingface_hub reads
its settings when it is imported:

    with LocalHub() as hub:
        subprocess.run([sys.executable, "-c", script], env=hub.environment(tmp_path), check=True)
        assert "config.json" in hub.repos["someone/model"].find("main").files

It knows model repositories only, and neither Xet nor pull requests; every model card passes as valid.
"""

import base64
import hashlib
import json
import os
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

USER = "someone"
LFS_SUFFIXES = (".bin", ".npz", ".pt", ".pth", ".safetensors", ".zip")
LARGEST_REGULAR_FILE = 10 * 1024**2
VARIABLES_TO_DROP = re.compile(r"HF_|HUGGING_?FACE|TRANSFORMERS_|(https?|all|no)_proxy$", re.IGNORECASE)

REPO, REVISION, PATH = "(?P<repo_id>[^/]+/[^/]+)", "(?P<revision>[^/]+)", "(?P<path>.+)"
# HEAD is answered like GET, without the body. The real Hub sends clients on to a CDN for large files; here
# `resolve` itself serves them.
ENDPOINTS = [
    ("POST", "/api/validate-yaml", "validate_card"),
    ("POST", "/api/repos/create", "create_repo"),
    ("GET", f"/api/models/{REPO}(/revision/{REVISION})?", "model_info"),
    ("GET", f"/api/models/{REPO}/auth-check/write", "check_write"),
    ("GET", f"/api/models/{REPO}/tree/{REVISION}(/{PATH})?", "list_files"),
    ("GET", f"/api/models/{REPO}/refs", "list_refs"),
    ("POST", f"/api/models/{REPO}/branch/(?P<name>[^/]+)", "create_branch"),
    ("POST", f"/api/models/{REPO}/tag/{REVISION}", "create_tag"),
    ("POST", f"/api/models/{REPO}/preupload/{REVISION}", "preupload"),
    ("POST", f"/api/models/{REPO}/commit/{REVISION}", "commit"),
    ("POST", f"/{REPO}.git/info/lfs/objects/batch", "announce_lfs_objects"),
    ("PUT", "/lfs/(?P<oid>[^/]+)", "store_lfs_object"),
    ("GET", f"/{REPO}/resolve/{REVISION}/{PATH}", "resolve"),
]


def is_lfs(path: str, size: int) -> bool:
    """Whether a file is stored outside git. huggingface_hub never sends an empty file that way."""
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > LARGEST_REGULAR_FILE)


def git_oid(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def file_oid(path: str, content: bytes) -> str:
    """What the Hub tells a file's versions apart by: SHA-256 under LFS, else git's name."""
    return hashlib.sha256(content).hexdigest() if is_lfs(path, len(content)) else git_oid(content)


def listing(path: str, content: bytes) -> dict[str, Any]:
    """A file as the tree endpoint describes it; under LFS git itself holds a short pointer."""
    size, sha256 = len(content), file_oid(path, content)
    if not is_lfs(path, size):
        return {"type": "file", "path": path, "size": size, "oid": git_oid(content)}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    lfs = {"oid": sha256, "size": size, "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": size, "oid": git_oid(pointer), "lfs": lfs}


@dataclass
class Reply:
    """What goes back to the client."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class HubError(Exception):
    """An answer other than success; huggingface_hub picks its exception by `code`."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = ""):
        super().__init__(message)
        headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}
        body = json.dumps({"error": message}).encode()
        self.reply = Reply(body, status, {name: value for name, value in headers.items() if value})


class Request(NamedTuple):
    """A request as it arrived: the path with its query, the whole Authorization header."""

    method: str
    path: str
    authorization: str | None


@dataclass(frozen=True)
class Commit:
    """One state of a repository, with every file of it."""

    sha: str
    parent: str | None
    message: str
    files: dict[str, bytes]


class Repository:
    """A model repository: commits by sha, and the branches and tags that name them."""

    def __init__(self, repo_id: str, *, private: bool):
        self.repo_id = repo_id
        self.private = private
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        attributes = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES)
        self.commit({".gitattributes": attributes.encode()}, "initial commit")

    def commit(self, files: dict[str, bytes], message: str, branch: str = "main") -> Commit:
        """Make `files` all that the branch holds."""
        parent = self.branches.get(branch)
        oids = sorted((path, file_oid(path, content)) for path, content in files.items())
        sha = hashlib.sha1(json.dumps([self.repo_id, parent, message, oids]).encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, message, files)
        self.branches[branch] = sha
        return self.commits[sha]

    def find(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full sha names."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        if sha not in self.commits:
            raise HubError(404, "Revision not found", "RevisionNotFound")
        return self.commits[sha]

    def history(self, revision: str = "main") -> list[Commit]:
        """The commit that `revision` names and all before it, newest first."""
        commits = [self.find(revision)]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits


class LocalHub:
    """The server, up inside its `with` block; what was pushed stays readable in `repos` afterwards."""

    def __init__(self) -> None:
        self.token = "hf_token_of_the_local_hub"
        self.reading_token = "hf_token_that_may_only_read"
        self.repos: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.lfs_objects: dict[str, bytes] = {}
        self.announced_lfs_objects: set[str] = set()
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Exchange)
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, home: Path, *, token: bool = True, offline: bool = False) -> dict[str, str]:
        """All variables for a subprocess that knows no Hub but this one and keeps its cache under `home`."""
        variables = {name: value for name, value in os.environ.items() if not VARIABLES_TO_DROP.match(name)}
        variables |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        variables |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        if token:
            variables["HF_TOKEN"] = self.token
        if offline:
            variables["HF_HUB_OFFLINE"] = "1"
        return variables


class _Server(ThreadingHTTPServer):
    hub: LocalHub
    request_queue_size = 64  # with the default of 5, parallel downloads wait a second for a second attempt


class _Exchange(BaseHTTPRequestHandler):
    """One request and its answer. The methods in `ENDPOINTS` return a `Reply` or what goes out as JSON."""

    server: _Server

    def answer(self) -> None:
        self.hub = self.server.hub
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(Request(self.command, self.path, self.headers["Authorization"]))
        with self.hub.lock:
            try:
                content = self.call_endpoint()
                reply = content if isinstance(content, Reply) else Reply(json.dumps(content).encode())
            except HubError as error:
                reply = error.reply
        self.send_response(reply.status)
        for name, value in (reply.headers | {"Content-Length": str(len(reply.body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_GET = do_POST = do_PUT = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Stay silent: `LocalHub.requests` is the log."""

    def call_endpoint(self) -> Any:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.has_token, self.may_write = token in (self.hub.token, self.hub.reading_token), token == self.hub.token
        if "Authorization" in self.headers and not self.has_token:
            raise HubError(401, "Invalid credentials in Authorization header")
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        for method, pattern, endpoint in ENDPOINTS:
            if method == self.command.replace("HEAD", "GET") and (match := re.fullmatch(pattern, url.path)):
                parts = {name: unquote(part) for name, part in match.groupdict().items() if part is not None}
                return getattr(self, endpoint)(**parts)
        raise HubError(404, f"LocalHub has no endpoint for {self.command} {url.path}")

    def require_token(self, code: str = "") -> None:
        if not self.has_token:
            raise HubError(401, "Invalid username or password.", code)

    def repository(self, repo_id: str, *, write: bool = False) -> Repository:
        """The repository if the client may have it; like the real Hub, strangers do not learn what exists."""
        repo = self.hub.repos.get(repo_id)
        if write or repo is None or repo.private:
            # huggingface_hub takes a bare 401 for a missing repository, but only from an https address.
            self.require_token("RepoNotFound")
        if repo is None:
            raise HubError(404, "Repository not found", "RepoNotFound")
        if write:
            self.require_write()
        return repo

    def require_write(self) -> None:
        if not self.may_write:
            raise HubError(403, "You don't have the rights to write with this token.")

    def check_write(self, repo_id: str) -> Any:
        self.repository(repo_id, write=True)
        return {}

    def validate_card(self) -> Any:
        return {"errors": [], "warnings": []}

    def create_repo(self) -> Any:
        self.require_token()
        self.require_write()
        wanted = json.loads(self.body)
        repo_id = f"{wanted['organization'] or USER}/{wanted['name']}"
        url = f"{self.hub.url}/{repo_id}"
        if repo_id in self.hub.repos:
            # With `exist_ok=True` the client goes on with the address.
            answer = {"error": "You already created this model repo", "url": url}
            return Reply(json.dumps(answer).encode(), 409)
        self.hub.repos[repo_id] = Repository(repo_id, private=wanted.get("visibility") == "private")
        return {"url": url}

    def model_info(self, repo_id: str, revision: str = "main") -> Any:
        repo = self.repository(repo_id)
        commit = repo.find(revision)
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        return {"id": repo_id, "private": repo.private, "sha": commit.sha, "tags": [], "siblings": siblings}

    def list_files(self, repo_id: str, revision: str, path: str = "") -> Any:
        """The files under a folder, only those directly in it unless `recursive`; folders are left out."""
        commit = self.repository(repo_id).find(revision)
        below = [name for name in sorted(commit.files) if name.startswith(f"{path}/" if path else "")]
        if path and not below:
            raise HubError(404, "Entry not found", "EntryNotFound", commit.sha)
        is_recursive = self.query.get("recursive", [""])[0].lower() == "true"
        wanted = [name for name in below if is_recursive or name.rpartition("/")[0] == path]
        return [listing(name, commit.files[name]) for name in wanted]

    def list_refs(self, repo_id: str) -> Any:
        repo = self.repository(repo_id)

        def described(folder: str, refs: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": refs[name]} for name in refs]

        branches, tags = described("heads", repo.branches), described("tags", repo.tags)
        return {"branches": branches, "tags": tags, "converts": []}

    def create_branch(self, repo_id: str, name: str) -> Any:
        repo = self.repository(repo_id, write=True)
        start = repo.find(json.loads(self.body).get("startingPoint", "main"))
        return self.add_ref(repo.branches, name, start)

    def create_tag(self, repo_id: str, revision: str) -> Any:
        repo = self.repository(repo_id, write=True)
        return self.add_ref(repo.tags, json.loads(self.body)["tag"], repo.find(revision))

    def add_ref(self, refs: dict[str, str], name: str, commit: Commit) -> Any:
        if name in refs:
            raise HubError(409, f"Reference {name} already exists")
        refs[name] = commit.sha
        return {}

    def preupload(self, repo_id: str, revision: str) -> Any:
        """Say how to send each file, and the oid it has here, by which clients skip what is unchanged."""
        present = self.repository(repo_id, write=True).find(revision).files
        files = []
        for file in json.loads(self.body)["files"]:
            path, mode = file["path"], "lfs" if is_lfs(file["path"], file["size"]) else "regular"
            oid = file_oid(path, present[path]) if path in present else None
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": files}

    def announce_lfs_objects(self, repo_id: str) -> Any:
        """Say where to PUT the objects that are not here yet."""
        self.repository(repo_id, write=True)
        objects = json.loads(self.body)["objects"]
        for wanted in objects:
            if (oid := wanted["oid"]) not in self.hub.lfs_objects:
                self.hub.announced_lfs_objects.add(oid)
                wanted["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{oid}"}}
        return {"transfer": "basic", "objects": objects}

    def store_lfs_object(self, oid: str) -> Any:
        """Take what was announced with a token; like a presigned address, the upload itself needs none."""
        if oid not in self.hub.announced_lfs_objects:
            raise HubError(403, f"No upload of {oid} was announced")
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(400, f"The bytes sent are not those of {oid}")
        self.hub.lfs_objects[oid] = self.body
        return {}

    def commit(self, repo_id: str, revision: str) -> Any:
        repo = self.repository(repo_id, write=True)
        if revision not in repo.branches:
            raise HubError(404, "Only a branch takes commits", "RevisionNotFound")
        files = dict(repo.find(revision).files)
        header, *operations = map(json.loads, self.body.splitlines())
        for operation in operations:
            kind, change = operation["key"], operation["value"]
            if kind == "file":
                files[change["path"]] = base64.b64decode(change["content"])
            elif kind == "lfsFile" and change["oid"] in self.hub.lfs_objects:
                files[change["path"]] = self.hub.lfs_objects[change["oid"]]
            elif kind == "deletedFile" and change["path"] in files:
                del files[change["path"]]
            else:
                raise HubError(400, f"LocalHub cannot carry out this {kind}")
        commit = repo.commit(files, header["value"]["summary"], revision)
        return {"commitOid": commit.sha, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{commit.sha}"}

    def resolve(self, repo_id: str, revision: str, path: str) -> Reply:
        commit = self.repository(repo_id).find(revision)
        if path not in commit.files:
            raise HubError(404, "Entry not found", "EntryNotFound", commit.sha)
        content = commit.files[path]
        size, etag = len(content), f'"{file_oid(path, content)}"'
        headers = {"X-Repo-Commit": commit.sha, "ETag": etag, "Accept-Ranges": "bytes"}
        if is_lfs(path, size):
            headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(size)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return Reply(content, headers=headers)
        start, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
        if start > last:
            raise HubError(416, f"There are only {size} bytes")
        headers["Content-Range"] = f"bytes {start}-{last}/{size}"
        return Reply(content[start : last + 1], 206, headers)
