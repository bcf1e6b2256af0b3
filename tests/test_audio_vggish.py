"""VGGish: the golden embedding, and its weights from files, from a download and from nowhere."""

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from sam_av.audio import VGGish, load_audio_encoder, log_mel_examples, vggish

KEYS = Path(__file__).parent / "golden" / "vggish_keys.json"


def formula_weights() -> dict[str, torch.Tensor]:
    """The weights behind the golden embedding: a hash of each weight's place, computed in float64."""
    shapes = json.loads(KEYS.read_text())
    state = {}
    for i, key in enumerate(sorted(shapes)):
        shape = torch.Size(shapes[key])
        values = torch.arange(shape.numel(), dtype=torch.float64)
        values.mul_(12.9898).add_(78.233 * i).sin_().mul_(43758.5453).frac_().abs_()
        scale = (2 / shape[1:].numel()) ** 0.5 if key.endswith("weight") else 0.01
        state[key] = values.mul_(2).sub_(1).mul_(3**0.5 * scale).float().view(shape)
    return state


@pytest.fixture(scope="module")
def weights():
    return formula_weights()


@pytest.fixture(scope="module")
def encoder(weights):
    with torch.device("meta"):
        encoder = VGGish()
    encoder.load_state_dict(weights, assign=True)
    return encoder.eval()


@pytest.fixture(scope="module")
def half_file(weights, tmp_path_factory):
    """A `.pth` of the weights in float16, as small as VGGish gets."""
    path = tmp_path_factory.mktemp("weights") / "half.pth"
    torch.save({key: tensor.half() for key, tensor in weights.items()}, path)
    return path


@pytest.fixture
def hub(tmp_path):
    """torch.hub with an empty cache of its own."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def test_keys_shapes_and_size_on_the_meta_device():
    with torch.device("meta"):
        encoder = VGGish()
    assert {key: list(tensor.shape) for key, tensor in encoder.state_dict().items()} == json.loads(KEYS.read_text())
    assert sum(weight.numel() for weight in encoder.parameters()) == 72_141_184
    assert (encoder.audio_dim, encoder.window_samples, encoder.sampling_rate) == (128, 15_600, 16_000)


@torch.inference_mode()
def test_golden_embedding(golden, encoder):
    expected = golden("vggish")["embedding_with_formula_weights"]
    torch.testing.assert_close(encoder(golden("vggish")["log_mel_examples"]), expected, atol=1e-4, rtol=0)
    from_sound = encoder(log_mel_examples(golden("vggish")["waveform_16k"]))
    torch.testing.assert_close(from_sound, expected, atol=1e-4, rtol=0)


def test_the_front_end_makes_the_input(encoder, golden):
    examples = golden("vggish")["log_mel_examples"]
    windows = golden("vggish")["waveform_16k"].unfold(0, 15_600, 15_360)
    torch.testing.assert_close(encoder.front_end(windows), examples, atol=1e-5, rtol=0)


def test_weights_that_arrive_count_as_pretrained(weights):
    with torch.device("meta"):
        encoder = VGGish()
    assert (encoder.pretrained, encoder.name) == (False, None)
    encoder.load_state_dict({"features.0.bias": weights["features.0.bias"]}, strict=False, assign=True)
    assert not encoder.pretrained
    encoder.load_state_dict(weights, assign=True)
    assert encoder.pretrained


def assert_same_weights(encoder: VGGish, weights: dict[str, torch.Tensor]) -> None:
    assert encoder.pretrained and not encoder.training
    state = encoder.state_dict()
    for key in ("features.0.weight", "features.13.weight", "embeddings.4.weight", "embeddings.2.bias"):
        assert state[key].dtype == torch.float32
        torch.testing.assert_close(state[key], weights[key], atol=1e-6, rtol=1e-3)


def test_from_a_pth(weights, half_file):
    encoder = VGGish.from_pretrained(half_file)
    assert_same_weights(encoder, weights)
    assert encoder.name is None


def test_from_safetensors_under_its_public_name(weights, tmp_path):
    path = tmp_path / "vggish.safetensors"
    save_file({key: tensor.half() for key, tensor in weights.items()}, path)
    encoder = load_audio_encoder("vggish", weights=str(path))
    assert_same_weights(encoder, weights)
    assert encoder.name == "vggish"


class Harmful:
    """A pickle of it writes a file when it is opened without care."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_of_objects_is_refused_and_not_run(tmp_path):
    torch.save({"features.0.weight": Harmful(tmp_path / "touched")}, tmp_path / "objects.pth")
    with pytest.raises(ValueError, match=r"objects.pth' is not a file of plain tensors.*can run code"):
        VGGish.from_pretrained(tmp_path / "objects.pth")
    assert not (tmp_path / "touched").exists()
    torch.load(tmp_path / "objects.pth", weights_only=False)
    assert (tmp_path / "touched").exists()  # so it would have run


def test_damaged_files(weights, tmp_path):
    small = {"features.3.weight": weights["features.3.weight"]}
    torch.save(small, tmp_path / "cut.pth")
    save_file(small, tmp_path / "cut.safetensors")
    for name in ("cut.pth", "cut.safetensors"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.pth").touch()
    (tmp_path / "empty.safetensors").touch()
    for name in ("cut.pth", "cut.safetensors", "empty.pth", "empty.safetensors"):
        with pytest.raises(ValueError, match=rf"{name}' is damaged or truncated .* get it again"):
            VGGish.from_pretrained(tmp_path / name)
    (tmp_path / "text.pth").write_text("<html>404: not found</html>")
    with pytest.raises(ValueError, match=r"text.pth' is not a file of plain tensors: it is damaged, or"):
        VGGish.from_pretrained(tmp_path / "text.pth")


def test_files_of_something_else(weights, tmp_path):
    def refusal(content, name="other.pth"):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError) as caught:
            VGGish.from_pretrained(tmp_path / name)
        return str(caught.value)

    assert "not a flat state dict" in refusal([torch.zeros(1)])
    assert "not a flat state dict" in refusal({"state_dict": {}})
    assert "no 'features.0.weight', no 'features.0.bias'" in refusal({"embeddings.4.bias": torch.zeros(128)})
    nearly = {key: tensor[:0].clone() for key, tensor in weights.items()}
    assert "'features.0.weight' of shape (0, 1, 3, 3) instead of (64, 1, 3, 3)" in refusal(nearly)
    assert "and 14 more" in refusal(nearly)
    assert "unknown 'pca'" in refusal(weights | {"pca": torch.zeros(2)})


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of weights '.*nowhere.pth'"):
        VGGish.from_pretrained(tmp_path / "nowhere.pth")


def test_offline_says_which_file_goes_where(hub, monkeypatch):
    monkeypatch.setattr(vggish, "_URL", "http://127.0.0.1:9/vggish-10086976.pth")  # nobody listens there
    with pytest.raises(FileNotFoundError) as caught:
        load_audio_encoder("vggish")
    message = str(caught.value)
    assert "Connection refused" in message
    assert f"put it at {hub / 'vggish-10086976.pth'}" in message
    assert 'audio_encoder="/path/to/vggish-10086976.pth"' in message
    assert not list(hub.iterdir())


def test_a_damaged_copy_in_the_cache_is_named(hub):
    hub.mkdir(parents=True)
    (hub / "vggish-10086976.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        ValueError, match=rf"'{hub}/vggish-10086976.pth' is damaged or truncated \(4 bytes\): delete it"
    ):
        VGGish.from_pretrained()


@pytest.fixture
def release(half_file, monkeypatch):
    """A web server that offers the weights under two names: with the digits of their hash, and with wrong ones."""
    handler = partial(QuietHandler, directory=str(half_file.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    with half_file.open("rb") as file:
        digits = hashlib.file_digest(file, "sha256").hexdigest()[:8]

    def publish(name: str) -> str:
        (half_file.parent / name).hardlink_to(half_file)
        monkeypatch.setattr(vggish, "_FILE", name)
        monkeypatch.setattr(vggish, "_URL", f"http://127.0.0.1:{server.server_port}/{name}")
        return name

    yield SimpleNamespace(publish=publish, digits=digits, stop=server.shutdown)
    server.shutdown()
    server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_download_is_checked_and_kept(hub, release, weights):
    name = release.publish(f"vggish-{release.digits}.pth")
    encoder = VGGish.from_pretrained()
    assert_same_weights(encoder, weights)
    assert encoder.name == "vggish"
    assert [path.name for path in hub.iterdir()] == [name]
    release.stop()
    assert_same_weights(VGGish.from_pretrained(), weights)


def test_a_download_with_another_hash_is_refused(hub, release):
    release.publish("vggish-0badf11e.pth")
    with pytest.raises(FileNotFoundError, match="invalid hash value"):
        VGGish.from_pretrained()
    assert not list(hub.iterdir())


@pytest.mark.parametrize("shape", [(2, 96, 64), (2, 1, 90, 64), (2, 3, 96, 64)])
def test_examples_of_another_shape_are_named(shape):
    with torch.device("meta"):
        encoder = VGGish()
    with pytest.raises(ValueError, match=r"takes log-mel examples \(B, 1, 96, 64\), not \(2, "):
        encoder(torch.zeros(shape, device="meta"))
