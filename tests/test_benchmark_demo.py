"""The benchmark of the demo's adapters: what it measures is known for one that is always right and one that is deaf."""

import sys
from pathlib import Path

import pytest
import torch
from conftest import make_sam

from sam_av import SamAV, SamAVConfig
from sam_av.audio_cache import AudioCache

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import audio_blind
import demo


@pytest.fixture(scope="module")
def scenes():
    return demo.HeldOut.draw(3)


def test_one_that_is_always_right(scenes):
    numbers = demo.measure(lambda _scene, clip: demo.of_masks(clip.binary_masks(), clip), scenes)
    assert numbers.pop("swap old") < 0.01
    assert set(numbers) == set(demo.COLUMNS) - {"swap old", "threshold"}
    assert all(value == pytest.approx(1, abs=0.03) for value in numbers.values())  # masks grow from 128 to 224 px


def test_those_that_hear_nothing(scenes):
    every, largest = (demo.measure(predict, scenes) for predict in (demo.every_object, demo.largest_object))
    assert every["silence"] == every["absent"] == largest["silence"] == largest["absent"] == 0
    assert 0.1 < every["one miou"] < every["two miou"] < 0.6
    assert every["swap old"] == pytest.approx(every["one miou"])
    assert largest["one miou"] + largest["swap new"] <= 1 + 1e-6, "the largest object cannot be both"


def test_scenes_hold_what_the_notes_say(scenes):
    for chosen, sources in ((scenes.one, 1), (scenes.two, 2)):
        assert all(len(scene.schedule) == sources and len(scene.silent_objects) >= 2 for scene in chosen)
        assert all(heard.all() for scene in chosen for heard in scene.schedule.values())
    assert all(scene.split == "test" and scene.frames.shape == (5, 128, 128, 3) for scene in scenes.one + scenes.two)


def test_an_adapter_trained_without_sound_is_scored_without_sound(tmp_path):
    config = SamAVConfig(audio_encoder="silenced")
    model = SamAV.from_base(make_sam(), config, audio_encoder=audio_blind.SilencedEncoder(), device="cpu")
    model.config.base_model_name_or_path = "someone/sam-tiny"
    model.save_pretrained(tmp_path / "audio-blind-seed0")
    again = SamAV.from_pretrained(tmp_path / "audio-blind-seed0", base=make_sam(), device="cpu")
    embeddings = again.encode_audio(torch.randn(3, 1, 96, 64))
    assert embeddings.shape == (3, 128) and not embeddings.any()
    assert AudioCache(tmp_path / "cache", again.audio_encoder).folder.name.startswith("SilencedEncoder-")


def test_runs_are_found_by_method_and_seed(tmp_path):
    for name in ("sama-ap-sam-seed0", "sama-seed1", "sama-seed0"):
        (tmp_path / name).mkdir()
    runs = demo.find_runs(tmp_path)
    assert {method: [path.name for path in paths] for method, paths in runs.items()} == {
        "sama": ["sama-seed0", "sama-seed1"],
        "sama-ap-sam": ["sama-ap-sam-seed0"],
    }
    (tmp_path / "samba-seed0").mkdir()
    with pytest.raises(SystemExit, match="with a method of sama, ap-sam"):
        demo.find_runs(tmp_path)
    with pytest.raises(SystemExit, match="holds no adapter"):
        demo.find_runs(tmp_path / "lost")


def test_cells_tell_the_mean_and_the_range():
    runs = [
        {"one miou": 0.61, "threshold": 0.5},
        {"one miou": 0.652, "threshold": 0.5},
        {"one miou": 0.62, "threshold": 0.5},
    ]
    name, miou, f, *_, threshold = demo.row("sama", runs)
    assert (name, miou, f, threshold) == ("sama", "62.7 (61.0 to 65.2)", "-", "0.50")
