"""`sam-av push`: a saved adapter to a hub over real HTTP, what is left out, what is refused."""

import json
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest
from conftest import make_model
from local_hub import LocalHub, Repository
from safetensors.torch import load_file, save_file
from test_sharing import save

from sam_av import SamAV
from sam_av.cli import main
from sam_av.publish import prepare


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as hub:
        yield hub


@pytest.fixture
def adapter(tmp_path):
    save(tmp_path / "adapter")
    return tmp_path / "adapter"


class Done(NamedTuple):
    """What one command gave."""

    code: int
    out: str
    error: str


def push(environment, *commands):
    """Runs `sam-av push` with each list of arguments, one after the other in a process of their own."""
    script = """
import contextlib, io, json, sys
from sam_av.cli import main
for arguments in json.loads(sys.argv[1]):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(["push", *arguments])
    print(json.dumps([code, out.getvalue(), error.getvalue()]))
"""
    arguments = json.dumps([[str(part) for part in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", script, arguments],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


def test_to_the_hub_and_what_is_refused_on_the_way(hub, tmp_path, adapter):
    (adapter / "checkpoints").mkdir()
    (adapter / "checkpoints" / "optimizer.bin").write_bytes(b"x" * 1234)

    cardless = tmp_path / "cardless"
    shutil.copytree(adapter, cardless)
    (cardless / "README.md").unlink()

    lora = make_model(base_model_name_or_path="someone/sam-tiny")
    lora.add_lora()
    lora.save_pretrained(tmp_path / "lora")

    broken = tmp_path / "broken"
    shutil.copytree(adapter, broken)
    config = json.loads((broken / "config.json").read_text())
    nameless = {"base_model_name_or_path": None, "audio_encoder": None}
    (broken / "config.json").write_text(json.dumps({**config, **nameless}))
    file = broken / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])

    requests = len(hub.requests)
    dry, refused_dry, refused = push(
        hub.environment(tmp_path / "home"),
        [adapter, "someone/dry", "--private", "--dry-run"],
        [broken, "someone/refused", "--dry-run"],
        [broken, "someone/refused"],
    )
    assert len(hub.requests) == requests and not hub.repos, "neither a dry run nor a refused push asks anybody"

    assert dry.code == 0 and "someone/dry (private, if it is new)" in dry.out and "refused" not in dry.out
    sent, stays = dry.out.split("would stay here, since it is no part of an adapter:")
    size = (adapter / "adapter_model.safetensors").stat().st_size
    assert ["adapter_model.safetensors", f"{size:,}", "bytes"] in [line.split() for line in sent.splitlines()]
    assert ["checkpoints", "1,234", "bytes"] in [line.split() for line in stays.splitlines()]

    faults = ("The base has no name", "The audio encoder has no name", f"'{file}' is damaged or truncated")
    assert refused_dry.code == 1 and all(f"refused: {fault}" in refused_dry.out for fault in faults)
    assert refused.code == 1 and all(f"\n{fault}" in refused.error for fault in faults)

    first, again, branch, with_lora = push(
        hub.environment(tmp_path / "home"),
        [adapter, "someone/pushed", "--private"],
        [adapter, "someone/pushed"],
        [cardless, "someone/branch", "--revision", "tuned"],
        [tmp_path / "lora", "someone/lora"],
    )
    assert first.code == again.code == branch.code == with_lora.code == 0
    assert 'SamAV.from_pretrained("someone/pushed")' in first.out

    pushed = hub.repos["someone/pushed"]
    files = pushed.find("main").files
    assert set(files) == {".gitattributes", "README.md", "adapter_model.safetensors", "config.json"}
    assert files["adapter_model.safetensors"] == (adapter / "adapter_model.safetensors").read_bytes()
    assert b'SamAV.from_pretrained("someone/pushed")' in files["README.md"], "the card says where it stands"
    assert pushed.private and len(pushed.history()) == 2, "the second push changed nothing"

    card = hub.repos["someone/branch"].find("tuned").files["README.md"].decode()
    assert "audio_adapter" in card and 'from_pretrained("someone/branch")' in card
    assert "README.md" not in hub.repos["someone/branch"].find("main").files
    assert not (cardless / "README.md").exists() and not hub.repos["someone/branch"].private

    assert {"lora/adapter_config.json", "lora/adapter_model.safetensors"} <= set(
        hub.repos["someone/lora"].find("main").files
    )


def test_frozen_weights_are_refused(adapter):
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "vision_encoder.pos_embed": tensors["no_mask_embed.weight"].clone()}, file)
    (fault,) = prepare(adapter).faults
    assert "holds vision_encoder, which is no part of it" in fault


def test_a_local_path_as_base_is_refused(adapter):
    config = json.loads((adapter / "config.json").read_text())
    (adapter / "config.json").write_text(json.dumps({**config, "base_model_name_or_path": "/home/me/sam"}))
    (fault,) = prepare(adapter).faults
    assert "not '/home/me/sam'" in fault


def test_without_a_token_without_a_hub_and_offline(hub, tmp_path, adapter):
    home, command = tmp_path / "home", [adapter, "someone/lost"]
    nowhere = {**hub.environment(home), "HF_ENDPOINT": "http://127.0.0.1:9"}
    for environment, words in (
        (hub.environment(home, token=False), "log in (`hf auth login`)"),
        (nowhere, "The Hub cannot be reached at http://127.0.0.1:9"),
        (hub.environment(home, offline=True), "HF_HUB_OFFLINE"),
    ):
        (done,) = push(environment, command)
        assert done.code == 1 and words in done.error and not done.out


@pytest.mark.parametrize(
    ("folder", "repo_id", "message"),
    [
        ("lost", "someone/x", "There is no folder 'lost'"),
        (".", "someone/x", "is not a sam-av adapter: it has no config.json"),
        (".", "a/b/c", "cannot be the id of a repository, such as user/my-adapter"),
    ],
)
def test_mistakes_give_one_line(tmp_path, monkeypatch, capsys, folder, repo_id, message):
    monkeypatch.chdir(tmp_path)
    assert main(["push", folder, repo_id]) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1


def test_what_is_saved_can_be_pushed_at_once(tmp_path):
    SamAV.from_pretrained("builtin:demo-sama", device="cpu").save_pretrained(tmp_path)
    publication = prepare(tmp_path)
    assert not publication.faults and not publication.left_out


def test_who_may_not_write_learns_it_before_anything_is_sent(hub, tmp_path, adapter):
    """A repository that is there and can be read does not mean that one may write to it."""
    hub.repos["someone/public"] = Repository("someone/public", private=False)
    reading = {**hub.environment(tmp_path / "home"), "HF_TOKEN": hub.reading_token}
    for done in push(reading, [adapter, "someone/public"], [adapter, "someone/new"]):
        assert done.code == 1 and "does not let you write to 'someone/" in done.error
        assert "with a token that may write" in done.error and "Traceback" not in done.error

    (public,) = push(hub.environment(tmp_path / "home"), [adapter, "someone/public", "--private"])
    assert public.code == 1 and "'someone/public' is to be private, but it is there already and public" in public.error
    assert len(hub.repos["someone/public"].history()) == 1 and "someone/new" not in hub.repos
