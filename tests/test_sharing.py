"""Saving, loading, pushing and pulling: what lies on disk, over real HTTP, and what is refused."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TinyAudioEncoder, make_model, make_sam
from local_hub import LocalHub
from safetensors.torch import load_file, save_file
from test_model import METHODS, batch

from sam_av import SamAV, SamAVConfig
from sam_av.card import render_card


def save(folder: Path, name="someone/sam-tiny", **settings) -> SamAV:
    model = make_model(base_model_name_or_path=name, **settings)
    model.save_pretrained(folder)
    return model


def load(folder: Path, **options) -> SamAV:
    options = {"base": make_sam(), "audio_encoder": TinyAudioEncoder(), "device": "cpu", **options}
    return SamAV.from_pretrained(folder, **options)


class TestFolder:
    @pytest.mark.parametrize("method", METHODS)
    def test_round_trip(self, tmp_path, method):
        model, inputs = save(tmp_path, method=method), batch()
        again = load(tmp_path)
        assert torch.equal(again(**inputs).mask_logits, model(**inputs).mask_logits)
        assert again.config == model.config
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "README.md", "adapter_model.safetensors", "config.json",
        ]  # fmt: skip

    @pytest.mark.parametrize("dtype", [None, torch.float16])
    def test_every_byte_is_accounted_for(self, tmp_path, dtype):
        """Adapters, mask decoder, no-mask embedding and a header; no frozen weight."""
        model = make_model()
        model.save_pretrained(tmp_path, dtype=dtype)
        file = tmp_path / "adapter_model.safetensors"
        tensors = load_file(file)
        parts = model.adapters["default"]
        expected = {f"audio_adapter.{name}" for name, _ in parts.audio_adapter.named_parameters()}
        expected |= {f"mask_decoder.{name}" for name, _ in parts.mask_decoder.named_parameters()}
        assert set(tensors) == expected | {"no_mask_embed.weight"}
        trained = sum(weight.numel() for weight in parts.parameters())
        (header,) = struct.unpack("<Q", file.read_bytes()[:8])
        assert file.stat().st_size == 8 + header + trained * (4 if dtype is None else 2)
        again = load(tmp_path)
        assert {weight.dtype for weight in again.adapters.parameters()} == {torch.float32}
        assert torch.allclose(again(**batch()).mask_logits, model(**batch()).mask_logits, atol=1e-2)

    def test_other_image_size_is_on_disk(self, tmp_path):
        model, inputs = save(tmp_path, image_size=128), batch(128)
        assert torch.equal(load(tmp_path)(**inputs).mask_logits, model(**inputs).mask_logits)

    def test_base_by_name_on_disk_is_never_a_local_path(self, tmp_path):
        make_sam().save_pretrained(tmp_path / "base")
        model = SamAV.from_base(tmp_path / "base", audio_encoder=TinyAudioEncoder(), device="cpu")
        model.save_pretrained(tmp_path / "adapter")
        written = "".join((tmp_path / "adapter" / name).read_text() for name in ("config.json", "README.md"))
        assert str(tmp_path) not in written
        with pytest.raises(ValueError, match="names no public base"):
            load(tmp_path / "adapter", base=None)

    def test_failed_save_leaves_the_old_files_whole(self, tmp_path, monkeypatch):
        save(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

        def fail(*_, **__):
            raise OSError("no space left on device")

        monkeypatch.setattr("sam_av.storage.save_file", fail)
        with pytest.raises(OSError, match="no space"):
            make_model(seed=1).save_pretrained(tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_the_base_is_not_overwritten(self, tmp_path):
        make_sam().save_pretrained(tmp_path)
        before = (tmp_path / "config.json").read_bytes()
        with pytest.raises(ValueError, match="belongs to another model"):
            make_model().save_pretrained(tmp_path)
        assert (tmp_path / "config.json").read_bytes() == before

    def test_a_folder_of_the_bases_name_does_not_disturb(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        make_sam().save_pretrained(tmp_path / "someone" / "sam-tiny")
        save(tmp_path / "adapter")
        assert load(tmp_path / "adapter", base=None).config.base_model_name_or_path == "someone/sam-tiny"

    @pytest.mark.parametrize("dtype", [torch.int8, "float16"])
    def test_dtypes_that_are_none(self, tmp_path, dtype):
        with pytest.raises(ValueError, match="floating torch.dtype"):
            make_model().save_pretrained(tmp_path, dtype=dtype)

    def test_existing_readme_is_kept(self, tmp_path):
        (tmp_path / "README.md").write_text("mine")
        save(tmp_path)
        assert (tmp_path / "README.md").read_text() == "mine"


class TestCard:
    def test_facts(self):
        model = make_model(base_model_name_or_path="someone/sam-tiny", base_revision="abc")
        card = model.config.card
        card.license, card.base_license, card.data_license = "apache-2.0", "apache-2.0", "cc-by-4.0"
        card.training_data, card.training_categories = ["someone/clips"], ["dog", "bell"]
        card.metrics = [
            {"dataset": "s4", "split": "test", "protocol": "avsbench", "image_size": 64, "miou": 0.8153, "f_score": 0.9}
        ]
        from huggingface_hub import ModelCard

        text = render_card(model.config, "the counts")
        data = ModelCard(text).data
        assert data.base_model == "someone/sam-tiny" and data.to_dict()["base_model_relation"] == "adapter"
        assert data.license == "apache-2.0" and data.datasets == ["someone/clips"]
        assert data.to_dict()["library_name"] == "sam-av"
        assert {result.metric_type: result.metric_value for result in data.eval_results} == {
            "miou": 0.8153,
            "f_score": 0.9,
        }
        for fact in ("`abc`", "| s4 | test | avsbench | 64 | 81.53 | 90.00 |", "dog, bell", "cc-by-4.0", "the counts"):
            assert fact in text

    def test_what_is_not_known_is_said(self):
        text = render_card(make_model().config, "counts")
        assert "a base that has no public name" in text
        assert "| not stated | not stated | not stated | not stated |" in text
        assert "None recorded." in text


class TestRefused:
    """Each fault in an adapter's files has words of its own."""

    def test_another_base(self, tmp_path):
        save(tmp_path)
        other = make_sam(seed=1)
        other.config._name_or_path = "someone/other-sam"
        with pytest.raises(ValueError, match=r"Wrong base.*'someone/sam-tiny'.*'someone/other-sam' has other weights"):
            load(tmp_path, base=other)

    @pytest.mark.parametrize(
        ("vision", "message"),
        [({"hidden_size": 64}, "width 32.*width 64"), ({"num_hidden_layers": 5}, "depth 4.*depth 5")],
    )
    def test_base_of_another_shape(self, tmp_path, vision, message):
        save(tmp_path)
        with pytest.raises(ValueError, match=message):
            load(tmp_path, base=make_sam(**vision))

    def test_another_audio_encoder(self, tmp_path):
        save(tmp_path)
        with pytest.raises(ValueError, match="Wrong audio encoder"):
            load(tmp_path, audio_encoder=TinyAudioEncoder(seed=1))

    def test_truncated_weights(self, tmp_path):
        save(tmp_path)
        file = tmp_path / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(ValueError, match="damaged or truncated"):
            load(tmp_path)

    def test_weights_of_another_configuration(self, tmp_path):
        save(tmp_path)
        file = tmp_path / "adapter_model.safetensors"
        tensors = load_file(file)
        tensors["stray"] = tensors.pop("no_mask_embed.weight")
        save_file(tensors, file)
        with pytest.raises(ValueError, match=r"has no 'no_mask_embed.weight', unknown 'stray'"):
            load(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"adapter_layer": "all"}, "unknown field 'adapter_layer'; did you mean 'adapter_layers'"),
            ({"method": None}, "lacks method"),
            ({"format_version": 2}, "format version 2.*pip install -U sam-av"),
            ({"image_size": "64"}, "image_size must be int . None, not '64'"),
            ({"card": "x"}, "'card' .* must be an object"),
            ({"card": {"metrics": [{"dataset": "s4"}]}}, "lacks split, protocol"),
            ({"method": "samba"}, "must be one of"),
        ],
    )
    def test_configuration(self, tmp_path, change, message):
        save(tmp_path)
        file = tmp_path / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
        with pytest.raises(ValueError, match=message):
            load(tmp_path)

    def test_configuration_that_is_no_json(self, tmp_path):
        save(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(ValueError, match="not valid JSON"):
            load(tmp_path)

    def test_unknown_audio_encoder(self, tmp_path):
        save(tmp_path)
        file = tmp_path / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "audio_encoder": "vgish"}))
        with pytest.raises(ValueError, match="no audio encoder 'vgish'; did you mean 'vggish'"):
            load(tmp_path, audio_encoder=None)

    def test_empty_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no config.json. Found: nothing"):
            load(tmp_path)

    def test_missing_weights(self, tmp_path):
        save(tmp_path)
        (tmp_path / "adapter_model.safetensors").unlink()
        with pytest.raises(FileNotFoundError, match="no file of weights .*adapter_model.safetensors"):
            load(tmp_path)

    def test_missing_subfolder(self, tmp_path):
        save(tmp_path)
        with pytest.raises(FileNotFoundError, match="no folder 'best'"):
            load(tmp_path, subfolder="best")

    def test_push_without_a_public_base(self):
        with pytest.raises(ValueError, match="no name that others can resolve"):
            make_model().push_to_hub("someone/adapter")

    def test_push_with_a_nameless_audio_encoder(self):
        encoder = TinyAudioEncoder()
        encoder.name = None
        config = SamAVConfig(base_model_name_or_path="someone/sam-tiny")
        with pytest.raises(ValueError, match="audio encoder has no name"):
            SamAV.from_base(make_sam(), config, audio_encoder=encoder, device="cpu").push_to_hub("someone/adapter")


@pytest.fixture(scope="module")
def hub():
    with LocalHub() as hub:
        yield hub


class TestHub:
    """Two processes and a hub between them: one publishes, the other uses."""

    def run(self, hub, home, script, **options):
        preamble = "import torch, json\nfrom conftest import *\nfrom test_model import batch\nfrom sam_av import *\n"
        environment = hub.environment(home, **options)
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", preamble + script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def test_publish_and_use(self, hub, tmp_path):
        publish = """
sam = make_sam()
sam.push_to_hub("someone/sam-tiny")
model = SamAV.from_base("someone/sam-tiny", audio_encoder=TinyAudioEncoder(), device="cpu")
assert model.config.base_model_name_or_path == "someone/sam-tiny" and len(model.config.base_revision) == 40
model.push_to_hub("someone/adapter")
first = model(**batch()).mask_logits
with torch.no_grad():
    model.adapters["default"].no_mask_embed.weight.add_(1)
model.push_to_hub("someone/adapter", revision="tuned")
model.push_to_hub("someone/adapter", subfolder="inner")
model.push_to_hub("someone/secret", private=True, dtype=torch.float16)
torch.save([first, model(**batch()).mask_logits], "{file}")
"""
        file = tmp_path / "logits.pt"
        self.run(hub, tmp_path / "publisher", publish.replace("{file}", str(file)))

        pushed = hub.repos["someone/adapter"].find("main").files
        assert set(pushed) - {".gitattributes"} == {
            *(f"{prefix}{name}" for prefix in ("", "inner/") for name in
              ("README.md", "adapter_model.safetensors", "config.json")),
        }  # fmt: skip

        use = """
first, tuned = torch.load("{file}")
for options, expected in (({}, first), ({"revision": "tuned"}, tuned), ({"subfolder": "inner"}, tuned)):
    model = SamAV.from_pretrained("someone/adapter", device="cpu", **options)
    assert torch.equal(model(**batch()).mask_logits, expected)
processor = SamAVProcessor.from_pretrained("someone/adapter")
assert processor.image_size == 64
model.load_adapter("someone/adapter", "again")
assert torch.equal(model(**batch()).mask_logits, first)
"""
        user = tmp_path / "user"
        self.run(hub, user, use.replace("{file}", str(file)), token=False)

        offline = use.replace("{file}", str(file))
        requests = len(hub.requests)
        self.run(hub, user, offline, token=False, offline=True)
        assert len(hub.requests) == requests, "offline means that nobody is asked"

        secret = """
model = SamAV.from_pretrained("someone/secret", device="cpu", token={token})
print("loaded")
"""
        assert "loaded" in self.run(hub, tmp_path / "friend", secret.format(token=repr(hub.token)), token=False)
        assert any(
            "someone/secret" in request.path and request.authorization == f"Bearer {hub.token}"
            for request in hub.requests
        )

        mistakes = """
def words(*arguments, **options):
    try:
        SamAV.from_pretrained(*arguments, device="cpu", **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
print(words("someone/secret"))
print(words("someone/nothing"))
print(words("someone/adapter", revision="lost"))
print(words("someone/adapter", subfolder="lost"))
print(words("someone/sam-tiny"))
"""
        lines = self.run(hub, tmp_path / "stranger", mistakes, token=False).splitlines()
        assert "FileNotFoundError: the adapter 'someone/secret' is not on the Hub" in lines[0]
        assert "pass token=" in lines[0]
        assert "'someone/nothing' is not on the Hub" in lines[1]
        assert "has no revision 'lost'" in lines[2]
        assert "has no folder 'lost'" in lines[3]
        assert "not the configuration of a sam-av adapter" in lines[4]

    def test_second_push_changes_nothing_and_keeps_the_readme(self, hub, tmp_path):
        push = """
model = make_model(base_model_name_or_path="someone/sam-tiny")
model.push_to_hub("someone/twice")
"""
        self.run(hub, tmp_path / "home", push)
        repository = hub.repos["someone/twice"]
        before = repository.find("main").sha
        self.run(hub, tmp_path / "home", push)
        assert repository.find("main").sha == before
        repository.commit({"README.md": b"---\nlicense: mit\n---\nmy own words"}, "edit the card")
        self.run(hub, tmp_path / "home", push.replace("make_model(", "make_model(method='ap-sam', "))
        files = repository.find("main").files
        assert files["README.md"].endswith(b"my own words")
        assert json.loads(files["config.json"])["method"] == "ap-sam"

    def test_uncached_while_offline(self, hub, tmp_path):
        script = """
try:
    SamAV.from_pretrained("someone/adapter")
except FileNotFoundError as error:
    print(error)
"""
        assert "not in the local cache" in self.run(hub, tmp_path / "fresh", script, offline=True)
