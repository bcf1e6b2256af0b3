"""The cache of audio embeddings: equal to computing them, never another encoder's, safe with several processes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from conftest import TinyAudioEncoder, make_model

from sam_av.audio_cache import AudioCache, embed_audio
from sam_av.data import open_dataset
from sam_av.evaluate import evaluate
from sam_av.predictors import ModelPredictor

TIMES = np.array([0.0, 1.0, 2.0])


def sound(seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, 48_000).astype(np.float32)


class Silent(TinyAudioEncoder):
    """Cannot be run: whoever has its embeddings has them from the cache."""

    def forward(self, features):
        raise AssertionError("the encoder ran")


def unrunnable(encoder):
    encoder.forward = Silent.forward.__get__(encoder)
    return encoder


def test_equal_to_computing_them(tmp_path):
    encoder = TinyAudioEncoder()
    expected = embed_audio(encoder, sound(), TIMES, "example")
    assert torch.equal(AudioCache(tmp_path, encoder).embed(sound(), TIMES, "example"), expected)
    kept = AudioCache(tmp_path, unrunnable(TinyAudioEncoder()))
    assert torch.equal(kept.embed(sound(), TIMES, "example"), expected)


@pytest.mark.parametrize(
    ("waveform", "times", "rule"),
    [(sound(1), TIMES, "example"), (sound(), TIMES + 0.5, "example"), (sound(), TIMES, "centered")],
)
def test_what_the_embeddings_depend_on(tmp_path, waveform, times, rule):
    encoder = TinyAudioEncoder()
    AudioCache(tmp_path, encoder).embed(sound(), TIMES, "example")
    embeddings = AudioCache(tmp_path, encoder).embed(waveform, times, rule)
    assert torch.equal(embeddings, embed_audio(encoder, waveform, times, rule))


def test_of_another_encoder_is_never_used(tmp_path):
    other = TinyAudioEncoder(seed=1)
    AudioCache(tmp_path, TinyAudioEncoder()).embed(sound(), TIMES, "example")
    embeddings = AudioCache(tmp_path, other).embed(sound(), TIMES, "example")
    assert torch.equal(embeddings, embed_audio(other, sound(), TIMES, "example"))

    class OtherFrontEnd(TinyAudioEncoder):
        """The same weights, which hear differently."""

        def forward(self, features):
            return super().forward(features) + 1

    same_weights = OtherFrontEnd()
    embeddings = AudioCache(tmp_path, same_weights).embed(sound(), TIMES, "example")
    assert torch.equal(embeddings, embed_audio(same_weights, sound(), TIMES, "example"))


class Weightless(TinyAudioEncoder):
    """The mean spectrum itself."""

    def __init__(self):
        super().__init__()
        del self.linear

    def forward(self, features):
        return features.mean(dim=(1, 2))


def test_an_encoder_without_weights_has_embeddings_but_no_cache(tmp_path):
    assert embed_audio(Weightless(), sound(), TIMES, "example").shape == (3, 64)
    with pytest.raises(ValueError, match="no weights to be known by"):
        AudioCache(tmp_path, Weightless())


def test_scores_with_a_cache(tmp_path):
    data = open_dataset("scenes:3", "test", size=64)
    plain = evaluate(ModelPredictor(make_model()), data, tmp_path / "plain")
    for run in ("first", "second"):
        model = make_model()
        if run == "second":
            unrunnable(model.audio_encoder)
        report = evaluate(ModelPredictor(model, cache=tmp_path / "cache"), data, tmp_path / run)
        assert report == plain


def test_damage_is_an_error_that_names_the_file(tmp_path):
    cache = AudioCache(tmp_path, TinyAudioEncoder())
    cache.embed(sound(), TIMES, "example")
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match=f"{file.name}' is damaged or truncated"):
        cache.embed(sound(), TIMES, "example")


def embed_all(folder):
    torch.set_num_threads(1)
    cache = AudioCache(folder, TinyAudioEncoder())
    return [cache.embed(sound(seed), TIMES, "example").numpy() for seed in range(40)]


def test_two_processes_share_a_folder(tmp_path):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        first, second = pool.map(embed_all, [tmp_path, tmp_path])
    for seed, (a, b) in enumerate(zip(first, second, strict=True)):
        expected = embed_audio(TinyAudioEncoder(), sound(seed), TIMES, "example").numpy()
        assert np.allclose(a, expected, atol=1e-6) and np.allclose(b, expected, atol=1e-6)
    assert len(list(tmp_path.rglob("*"))) == 1 + 40  # one folder, and nothing unfinished
