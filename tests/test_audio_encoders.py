"""The registry of audio encoders, what all encoders share, and AST from transformers."""

import copy
import json
import pickle
import subprocess
import sys
import warnings

import huggingface_hub
import pytest
import torch
from local_hub import LocalHub, Repository
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, ASTModel, BertConfig, BertModel

from sam_av.audio import (
    AstEncoder,
    AudioEncoder,
    AudioFrontEnd,
    encoders,
    load_audio_encoder,
    load_front_end,
    register_audio_encoder,
    resolve_audio_encoder,
)


def halves(windows):
    return windows.unflatten(1, (2, -1)).mean(dim=2)


class Loudness(AudioEncoder):
    """Two numbers for each window; it remembers what it was made from."""

    def __init__(self, source=None):
        super().__init__(audio_dim=3, front_end=AudioFrontEnd(halves, window_samples=8))
        self.source = source
        self.project = nn.Linear(2, self.audio_dim)

    def forward(self, features):
        return self.project(features)


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Only what the package itself registers; what a test adds is gone after it."""
    monkeypatch.setattr(encoders, "_REGISTRY", {kind: encoders._REGISTRY[kind] for kind in ("ast", "vggish")})


# ------------------------------------------------------------------------------------------------------- the registry


def test_a_name_is_a_kind_and_perhaps_a_source():
    register_audio_encoder("builtin", Loudness)
    assert load_audio_encoder("builtin").source is None
    assert load_audio_encoder("builtin:demo-audio").source == "demo-audio"
    assert load_audio_encoder("builtin:user/repo:with-colon").source == "user/repo:with-colon"


def test_a_local_copy_of_the_weights_keeps_the_name_and_never_shows_a_path(tmp_path):
    register_audio_encoder("loudness", Loudness)
    copy_of_weights = load_audio_encoder("loudness:user/repo", weights=tmp_path / "copy.safetensors")
    assert (copy_of_weights.source, copy_of_weights.name) == (tmp_path / "copy.safetensors", "loudness:user/repo")
    for source in (str(tmp_path), "/nowhere/w.pth", "./w.pth", "~/w.pth"):
        assert load_audio_encoder(f"loudness:{source}").name is None
        assert load_audio_encoder(f"loudness:{source}", weights="copy.pth").name is None


@pytest.mark.parametrize("load", [load_audio_encoder, load_front_end])
def test_an_unknown_kind_lists_the_known_and_the_nearest(load):
    with pytest.raises(ValueError, match=r"no audio encoder 'vgish'; did you mean 'vggish'\? Known: ast, vggish"):
        load("vgish")
    with pytest.raises(ValueError, match=r"no audio encoder 'C'\. Known: ast, vggish"):
        load("C:/weights.pth")


def test_a_kind_is_registered_once_and_has_no_colon():
    with pytest.raises(ValueError, match="'vggish' is registered already"):
        register_audio_encoder("vggish", Loudness)
    for kind in ("", "a:b"):
        with pytest.raises(ValueError, match="without a colon"):
            register_audio_encoder(kind, Loudness)


def test_a_front_end_is_had_without_the_weights_where_it_is_registered():
    def fail(source):
        raise AssertionError("the weights were loaded")

    register_audio_encoder("whole", Loudness)
    register_audio_encoder("parted", fail, lambda source: AudioFrontEnd(halves, window_samples=len(source)))
    assert load_front_end("whole").window_samples == 8
    assert load_front_end("parted:four").window_samples == 4
    windows = torch.rand(5, 15_600)
    assert load_front_end("vggish")(windows).shape == (5, 1, 96, 64)


def test_resolving_what_a_user_brings():
    register_audio_encoder("loudness", Loudness)
    own = Loudness()
    assert resolve_audio_encoder(own, "vggish") is own
    assert resolve_audio_encoder(None, None) is None
    assert resolve_audio_encoder(None, "loudness:x").source == "x"
    assert resolve_audio_encoder("w.pth", "loudness").source == "w.pth"
    with pytest.raises(ValueError, match=r"Nothing says what kind of audio encoder 'w.pth'.*'vggish'"):
        resolve_audio_encoder("w.pth", None)


# ----------------------------------------------------------------------------------------------- what encoders share


def test_random_weights_warn_once_for_each_encoder():
    first, second = Loudness(), Loudness()
    for encoder in (first, second):
        with pytest.warns(UserWarning, match=r"THIS Loudness HAS RANDOM WEIGHTS.*Loudness.from_pretrained"):
            encoder.warn_if_random()
    with warnings.catch_warnings(action="error"):
        first.warn_if_random()
        loaded = Loudness()
        loaded.load_state_dict(first.state_dict())
        loaded.warn_if_random()


def test_the_front_end_gives_what_the_network_takes():
    encoder = Loudness()
    assert encoder.window_samples == 8
    assert encoder(encoder.front_end(torch.rand(4, 8))).shape == (4, 3)


# ---------------------------------------------------------------------------------------------------------------- AST

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "max_length": 128}


def tiny_ast(**options) -> AstEncoder:
    torch.manual_seed(0)
    model = ASTModel(ASTConfig(**TINY, num_mel_bins=32)).eval()
    return AstEncoder(model, ASTFeatureExtractor(max_length=128, num_mel_bins=32), **options)


@pytest.fixture
def ast_folder(tmp_path):
    """A fine-tuned AST in transformers format, as on the Hub: with a classifier."""
    folder = tmp_path / "ast"
    torch.manual_seed(1)
    ASTForAudioClassification(ASTConfig(**TINY, num_mel_bins=32)).save_pretrained(folder)
    ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder)
    return folder


def test_ast_equals_the_extractor_and_the_model_window_by_window():
    encoder = tiny_ast()
    windows = torch.rand(3, 15_600, generator=torch.Generator().manual_seed(0)) - 0.5
    features = encoder.front_end(windows)
    assert features.shape == (3, 128, 32) and features.dtype == torch.float32
    extractor = ASTFeatureExtractor(max_length=128, num_mel_bins=32)
    with torch.inference_mode():
        embeddings = encoder(features)
        for window, embedding in zip(windows.numpy(), embeddings, strict=True):
            alone = extractor(window, sampling_rate=16_000, return_tensors="pt")
            torch.testing.assert_close(encoder.model(**alone).pooler_output[0], embedding, atol=1e-5, rtol=0)
        assert torch.equal(encoder(features), embeddings)
    assert embeddings.shape == (3, encoder.audio_dim) == (3, 32)
    assert embeddings.std(dim=0).min() > 0


def test_ast_from_a_config_is_random():
    encoder = tiny_ast(name="ast:user/tiny")
    assert (encoder.pretrained, encoder.name, encoder.window_samples) == (False, "ast:user/tiny", 15_600)


def test_ast_from_a_folder(ast_folder):
    encoder = load_audio_encoder(f"ast:{ast_folder}")
    assert (encoder.pretrained, encoder.training, encoder.name) == (True, False, None)
    tuned = ASTForAudioClassification.from_pretrained(ast_folder).audio_spectrogram_transformer.eval()
    features = load_front_end(f"ast:{ast_folder}")(torch.rand(1, 15_600))
    with torch.inference_mode():
        assert torch.equal(encoder(features), tuned(features).pooler_output)


def test_a_front_end_travels_to_data_loader_workers():
    front_end, windows = tiny_ast().front_end, torch.rand(1, 15_600)
    for travelled in (pickle.loads(pickle.dumps(front_end)), copy.deepcopy(front_end)):
        assert torch.equal(travelled(windows), front_end(windows))


def test_model_and_extractor_must_agree():
    model = ASTModel(ASTConfig(**TINY, num_mel_bins=32))
    with pytest.raises(ValueError, match=r"takes 128 frames of 32 mel bins.* makes 1024 of 128"):
        AstEncoder(model, ASTFeatureExtractor())


def test_folders_that_hold_no_ast(ast_folder, tmp_path):
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"bert' is a model of the type 'bert'; 'ast' needs"):
        load_audio_encoder(f"ast:{tmp_path / 'bert'}")
    with pytest.raises(FileNotFoundError, match=r"folder in transformers format; '.*nowhere' is none"):
        load_audio_encoder(f"ast:{tmp_path / 'nowhere'}")
    weights = ast_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50_000])
    with pytest.raises(ValueError, match=r"weights of 'ast:.*' are damaged or incomplete"):
        load_audio_encoder(f"ast:{ast_folder}")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="could not be loaded: Error no file named model"):
        load_audio_encoder(f"ast:{ast_folder}")


def test_ast_with_weights_missing(ast_folder):
    state = load_file(ast_folder / "model.safetensors")
    del state["audio_spectrogram_transformer.layernorm.weight"]
    save_file(state, ast_folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"ast' lacks weights of the audio spectrogram transformer: \['layernorm.weight'"
    ):
        load_audio_encoder(f"ast:{ast_folder}")


def test_ast_that_is_not_in_the_cache_while_offline(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"'ast:MIT/.*' could not be loaded: .* the Hub cannot be reached"):
        load_audio_encoder("ast")


def test_ast_from_the_hub(ast_folder, tmp_path):
    script = """
import json
from sam_av.audio import load_audio_encoder, load_front_end
encoder = load_audio_encoder("ast:someone/tiny-ast")
try:
    load_audio_encoder("ast:someone/nothing")
except FileNotFoundError as error:
    print(json.dumps([encoder.name, encoder.audio_dim, encoder.pretrained, str(error)]))
"""
    with LocalHub() as hub:
        hub.repos["someone/tiny-ast"] = Repository("someone/tiny-ast", private=False)
        hub.repos["someone/tiny-ast"].commit({file.name: file.read_bytes() for file in ast_folder.iterdir()}, "add")
        environment = hub.environment(tmp_path / "home")
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *found, message = json.loads(done.stdout.splitlines()[-1])
    assert found == ["ast:someone/tiny-ast", 32, True]
    assert "'ast:someone/nothing' could not be loaded: there is no such repository, or it is private" in message
