"""Training in real processes: it learns, and it goes on after any kind of stop as if there had been none."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from conftest import make_model, make_sam
from local_hub import LocalHub
from safetensors.torch import load_file

from sam_av import SamAV
from sam_av.data import Scenes, write_dataset
from sam_av.recipe import Recipe
from sam_av.train import setup, train
from sam_av.train.log import read_log

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SCENES = {"size": 64, "frames": 2, "length": 6, "objects": [2, 2], "sources": [1, 1]}


def recipe(output: Path, **changes) -> Recipe:
    """Six scenes of two frames, in batches of two clips: three steps an epoch."""
    settings = {
        "data": "scenes",
        "options": SCENES,
        "validation": None,
        "base": "builtin:demo",
        "adapter": {"audio_encoder": "builtin:demo-audio", "adapter_hidden_dim": 16},
        "epochs": 3,
        "learning_rate": 1e-3,
        "frames_per_clip": 2,
        "workers": 0,
        "device": "cpu",
        "output": str(output),
    }
    return Recipe(**{**settings, **changes})


def start(
    recipe: Recipe, folder: Path, launcher: tuple[str, ...] = (), env: dict[str, str] = ENVIRONMENT, **options
) -> subprocess.Popen:
    """`python -m sam_av.train` on a recipe, in a process of its own with one thread."""
    path = folder / "recipe.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(recipe.to_yaml())
    command = [sys.executable, *launcher, "-m", "sam_av.train", str(path)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def finish(process: subprocess.Popen, code: int = 0) -> str:
    """What a process has printed when it has ended with an exit code."""
    text, _ = process.communicate(timeout=300)
    assert process.returncode == code, text[-3000:]
    return text


def wait_for_step(process: subprocess.Popen, output: Path, step: int) -> None:
    while process.poll() is None:
        if any(row["step"] >= step for row in read_log(output)):
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate()[0][-3000:])


def losses(output: Path) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in read_log(output) if "loss" in row]


def assert_same_training(output: Path, other: Path) -> None:
    """The same losses and the same weights, bit for bit."""
    assert losses(output) == losses(other)
    weights, others = (load_file(folder / "adapter_model.safetensors") for folder in (output, other))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def assert_equivalent_weights(output: Path, other: Path) -> None:
    """The same weights up to float32's rounding, which Adam makes larger: it divides gradients by their own size.

    Attention does not depend on the biases of its keys, so the gradients of those are nothing but rounding.
    """
    weights, others = (load_file(folder / "adapter_model.safetensors") for folder in (output, other))
    for name, weight in weights.items():
        if not name.endswith("k_proj.bias"):
            difference = (weight - others[name]).abs()
            assert difference.mean() < 2e-5, (name, difference.mean())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run from beginning to end, in a process of its own."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    finish(start(recipe(folder / "run", save_every=2), folder))
    return folder / "run"


def test_a_run_leaves_a_loadable_adapter_and_its_papers(uninterrupted):
    assert [step for step, _ in losses(uninterrupted)] == list(range(1, 10))
    names = {path.name for path in uninterrupted.iterdir()}
    assert names >= {"adapter_model.safetensors", "config.json", "README.md", "recipe.yaml", "results.json"}
    assert names >= {"log.jsonl", "curves.png", "checkpoints"}
    model = SamAV.from_pretrained(uninterrupted, device="cpu")
    assert model.config.card.training_data == ["scenes"]
    (result,) = model.segment(np.zeros((64, 64, 3), np.uint8), np.zeros(16_000, np.float32))
    assert result.mask.shape == (64, 64)


def test_checkpoints_hold_what_trains_and_no_more(uninterrupted):
    places = sorted((uninterrupted / "checkpoints").iterdir())
    assert [place.name for place in places] == ["step-00000008", "step-00000009"]
    trained = sum(path.stat().st_size for path in places[0].glob("model*.safetensors"))
    adapter = (uninterrupted / "adapter_model.safetensors").stat().st_size
    assert trained < 1.1 * adapter + 50_000
    optimizer = (places[0] / "optimizer.bin").stat().st_size
    assert optimizer < 2.2 * adapter + 100_000


@pytest.mark.parametrize("step", [1, 4])
def test_after_sigkill_the_same_command_gives_the_same_losses_and_weights(uninterrupted, tmp_path, step):
    plan = recipe(tmp_path / "run", save_every=2)
    process = start(plan, tmp_path)
    wait_for_step(process, tmp_path / "run", step)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finish(start(plan, tmp_path))
    assert_same_training(tmp_path / "run", uninterrupted)


def test_sigterm_saves_and_leaves(uninterrupted, tmp_path):
    plan = recipe(tmp_path / "run", save_every=2)
    process = start(plan, tmp_path)
    wait_for_step(process, tmp_path / "run", 3)
    process.send_signal(signal.SIGTERM)
    text = finish(process, code=128 + signal.SIGTERM)
    assert "its state is saved" in text and "Traceback" not in text
    stopped_at = losses(tmp_path / "run")[-1][0]
    assert 3 <= stopped_at < 9
    text = finish(start(plan, tmp_path))
    assert f"Going on from step {stopped_at}" in text
    assert_same_training(tmp_path / "run", uninterrupted)


def test_ctrl_c_reaches_all_of_a_terminals_processes_and_the_step_is_finished(uninterrupted, tmp_path):
    plan = recipe(tmp_path / "run", save_every=2, workers=1)
    process = start(plan, tmp_path, start_new_session=True)
    wait_for_step(process, tmp_path / "run", 3)
    os.killpg(process.pid, signal.SIGINT)  # the workers that decode clips get it as well
    text = finish(process, code=128 + signal.SIGINT)
    assert "its state is saved" in text and "Traceback" not in text
    finish(start(plan, tmp_path))
    assert_same_training(tmp_path / "run", uninterrupted)


def test_a_script_that_does_not_expect_the_stop_ends_all_the_same(tmp_path):
    """An uncaught error keeps all that it has seen alive, workers that heed no signal included."""
    plan = recipe(tmp_path / "run", workers=1, epochs=50)
    script = f"from sam_av.train import Recipe, train; train(Recipe.load({str(tmp_path / 'plan.yaml')!r}, {{}}))"
    (tmp_path / "plan.yaml").write_text(plan.to_yaml())
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for_step(process, tmp_path / "run", 1)
    process.send_signal(signal.SIGTERM)
    assert "TrainingStopped: Stopped after step" in finish(process, code=1)


def test_a_torn_checkpoint_is_passed_over_aloud(uninterrupted, tmp_path):
    plan = recipe(tmp_path / "run", save_every=2)
    process = start(plan, tmp_path)
    wait_for_step(process, tmp_path / "run", 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    newest = sorted((tmp_path / "run/checkpoints").glob("step-*"))[-1]
    torn = newest / "optimizer.bin"
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    text = finish(start(plan, tmp_path))
    assert f"{newest.name}' is damaged (optimizer.bin has changed)" in text
    assert_same_training(tmp_path / "run", uninterrupted)


def test_a_disk_without_room_stops_it_and_leaves_the_last_whole_checkpoint(uninterrupted, tmp_path):
    plan = recipe(tmp_path / "run", save_every=2)
    process = start(plan, tmp_path)
    wait_for_step(process, tmp_path / "run", 3)
    process.send_signal(signal.SIGTERM)
    finish(process, code=128 + signal.SIGTERM)
    kept = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())

    # No file may grow beyond this, so that writing the next checkpoint fails as on a full disk.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # noqa: E731
    text = finish(start(plan, tmp_path, preexec_fn=limit), code=1)
    assert "could not be written" in text and f"of step {int(kept[-1].removeprefix('step-'))}" in text
    assert "Traceback" not in text
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == kept
    finish(start(plan, tmp_path))
    assert_same_training(tmp_path / "run", uninterrupted)


def test_two_processes_train_what_one_does_with_twice_the_batch(tmp_path):
    """Five clips: the last batch is filled up, the same way in both."""
    settings = {"options": {**SCENES, "length": 5}, "epochs": 2}
    together = recipe(tmp_path / "two", batch_size=1, **settings)
    process = start(together, tmp_path / "two-recipe", launch_two())
    finish(process)
    train(recipe(tmp_path / "one", batch_size=2, **settings))
    assert len(losses(tmp_path / "two")) == len(losses(tmp_path / "one")) == 6
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-4)
    assert_equivalent_weights(tmp_path / "two", tmp_path / "one")


def test_with_and_without_a_cache_the_same_is_learnt(tmp_path):
    settings = {"method": "ap-sam", "options": {**SCENES, "frames": 3}, "epochs": 2}
    for name, cache in (("none", None), ("memory", "memory"), ("folder", str(tmp_path / "cache"))):
        train(recipe(tmp_path / name, cache=cache, **settings))
    for name in ("memory", "folder"):
        # The frozen encoder rounds otherwise in batches of another size.
        np.testing.assert_allclose(losses(tmp_path / name), losses(tmp_path / "none"), rtol=1e-3)
        assert_equivalent_weights(tmp_path / name, tmp_path / "none")


def launch_two() -> tuple[str, ...]:
    """`accelerate launch` with two processes on the CPU, on a port of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--multi_gpu", "--num_machines", "1", "--num_processes", "2", "--main_process_port", str(port)]
    return ("-m", "accelerate.commands.launch", *flags, "--mixed_precision", "no", "--dynamo_backend", "no")


@pytest.mark.slow
def test_two_processes_on_a_stream_go_on_after_sigkill(tmp_path):
    write_dataset(Scenes(**{**SCENES, "length": 16}), tmp_path / "data", "webdataset", shard_size=4)
    stream = {
        "data": str(tmp_path / "data"), "options": {}, "streaming": True, "shuffle_buffer": 5, "max_steps": 9,
        "batch_size": 1, "save_every": 2, "workers": 1,
    }  # fmt: skip
    finish(start(recipe(tmp_path / "whole", **stream), tmp_path, launch_two()))
    plan = recipe(tmp_path / "killed", **stream)
    process = start(plan, tmp_path, launch_two())
    wait_for_step(process, tmp_path / "killed", 5)
    launcher = psutil.Process(process.pid)
    for one in [launcher, *launcher.children(recursive=True)]:  # each has a session of its own
        one.kill()
    process.communicate()
    assert not (tmp_path / "killed/results.json").exists()
    text = finish(start(plan, tmp_path, launch_two()))
    assert "Going on from step" in text
    assert_same_training(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
def test_a_compiled_model_learns_the_same(tmp_path, monkeypatch):
    """And what it saves bears the names of one that was never compiled.

    The graphs are those that inductor would get, run as they are: it takes minutes to turn them into code on a CPU.
    """
    real = setup.Accelerator

    def accelerator(*, dynamo_backend, **given):
        return real(dynamo_backend=dynamo_backend and "aot_eager", **given)

    monkeypatch.setattr(setup, "Accelerator", accelerator)
    make_sam().save_pretrained(tmp_path / "base")
    runs = [tmp_path / "plain", tmp_path / "compiled"]
    for output in runs:
        train(recipe(output, base=str(tmp_path / "base"), max_steps=2, compile=output.name == "compiled"))
    plain, compiled = ([loss for _, loss in losses(output)] for output in runs)
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert_equivalent_weights(*runs)
    names = [load_file(folder / "adapter_model.safetensors").keys() for folder in runs]
    assert names[0] == names[1]


def test_accumulated_batches_make_one_step(tmp_path):
    train(recipe(tmp_path / "whole", batch_size=6, epochs=2))
    train(recipe(tmp_path / "parts", batch_size=2, accumulation=3, epochs=2))
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-4)


def test_the_loss_falls_and_the_best_adapter_is_kept(tmp_path):
    settings = {**SCENES, "length": 2}
    results = train(
        recipe(
            tmp_path / "run", options=settings, validation="val", eval_every=10, epochs=40, learning_rate=3e-3,
            calibrate=False, trackers=["tensorboard"],
        )
    )  # fmt: skip
    steps = losses(tmp_path / "run")
    assert steps[-1][1] < 0.7 * steps[0][1]
    scores = [row["miou"] for row in read_log(tmp_path / "run") if "miou" in row]
    assert len(scores) == 4 and max(scores) == results["best_validation_miou"]
    assert results["scores"][0]["miou"] == pytest.approx(max(scores), abs=1e-6)
    assert SamAV.from_pretrained(tmp_path / "run", device="cpu").config.card.metrics == results["scores"]
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))


def test_patience_ends_it_early(tmp_path):
    train(recipe(tmp_path / "run", validation="val", eval_every=1, patience=2, epochs=20, learning_rate=1e-9,
                 final_learning_rate=0))  # fmt: skip
    assert len(losses(tmp_path / "run")) == 3  # the first validation is the best there is; two more, then the end


def test_a_finished_run_and_the_run_of_another_recipe_are_left_alone(uninterrupted, tmp_path):
    plan = recipe(uninterrupted, save_every=2)
    with pytest.raises(ValueError, match="has ended"):
        train(plan)
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run/results.json").unlink()  # as if it had been stopped short of its end
    with pytest.raises(ValueError, match=r"differ in epochs \(3 then, 4 now\)"):
        train(recipe(tmp_path / "run", save_every=2, epochs=4))


def test_a_run_does_not_go_on_with_other_clips(tmp_path):
    """They would be dealt otherwise, and some would be passed over in silence."""
    write_dataset(Scenes(**{**SCENES, "length": 4}), tmp_path / "data", "folder")
    plan = recipe(tmp_path / "run", data=str(tmp_path / "data"), options={}, epochs=1)
    train(plan)
    (tmp_path / "run/results.json").unlink()  # as if it had been stopped short of its end
    table = tmp_path / "data/splits.csv"
    table.write_text(table.read_text().replace("train-0-000003,train", "train-0-000003,test"))
    with pytest.raises(ValueError, match="clips are not those that '.*step-00000002' was trained on"):
        train(plan)


def test_going_on_from_an_adapter(uninterrupted, tmp_path):
    train(recipe(tmp_path / "chain", base=None, init_from=str(uninterrupted), adapter={}, epochs=1))
    assert losses(tmp_path / "chain")[0][1] < losses(uninterrupted)[0][1]
    with pytest.raises(ValueError, match="asks for method = 'ap-sam'.*has 'sama'"):
        train(recipe(tmp_path / "other", base=None, init_from=str(uninterrupted), adapter={}, method="ap-sam"))


def test_a_base_that_does_not_fit_the_adapter_is_named(uninterrupted, tmp_path):
    from conftest import make_sam

    make_sam(image_size=128).save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="Wrong base.*builtin:demo"):
        train(recipe(tmp_path / "run", base=str(tmp_path / "base"), init_from=str(uninterrupted), adapter={}))


def test_a_loss_that_is_no_number_stops_it_at_the_frame(tmp_path):
    """The audio encoder gives NaN for a silent clip, which is the third of four."""
    model = make_model(audio_encoder="tiny")
    write_dataset(silent_third(), tmp_path / "data", "folder")
    encode = model.audio_encoder.forward
    model.audio_encoder.forward = lambda features: (
        encode(features) + torch.where(features.amax(dim=(1, 2, 3)) < -4.6, torch.nan, 0.0)[:, None]
    )
    plan = recipe(tmp_path / "run", data=str(tmp_path / "data"), options={}, base="unused", adapter={}, batch_size=1)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=r"NaN or infinite. The frames .*silence at 0.00 s") as caught:
        train(plan, model=model)
    done = losses(tmp_path / "run")
    assert f"step {len(done) + 1}" in str(caught.value)
    assert all(np.isfinite(loss) for _, loss in done)
    assert all(bool(weight.isfinite().all()) for weight in model.state_dict().values())
    if done:
        assert any(not torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == [f"step-{len(done):08d}"]


def silent_third():
    scenes = Scenes(**{**SCENES, "length": 4, "objects": (2, 2), "sources": (1, 1)})
    return [scenes[0], scenes[1], scenes.scene(2).silence(), scenes[3]]


def test_faulty_data_is_refused_before_anything_is_trained(tmp_path):
    write_dataset(Scenes(**{**SCENES, "length": 3}), tmp_path / "data", "folder")
    mask = next((tmp_path / "data/masks").rglob("*.png"))
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(ValueError, match="bad mask|unreadable"):
        train(recipe(tmp_path / "run", data=str(tmp_path / "data"), options={}))
    assert not (tmp_path / "run/log.jsonl").exists()


def test_smaller_fractions_lie_in_larger_ones_and_categories_are_chosen(tmp_path):
    from sam_av.train.setup import open_data

    scenes = Scenes(**{**SCENES, "frames": 5, "length": 20, "silence": 0, "absent": 0})
    write_dataset(scenes, tmp_path / "data", "avsbench-s4")

    def clips(**changes):
        plan = recipe(tmp_path / "run", data=str(tmp_path / "data"), options={}, **changes)
        return {entry.id: entry.category for entry in open_data(plan).training.entries}

    everything, half, tenth = clips(), clips(fraction=0.5), clips(fraction=0.1)
    assert (len(everything), len(half), len(tenth)) == (20, 10, 2)
    assert tenth.keys() < half.keys() < everything.keys()
    assert clips(fraction=0.5, seed=1).keys() != half.keys()
    category = next(iter(everything.values()))
    assert set(clips(categories=[category]).values()) == {category}
    assert set(clips(exclude_categories=[category]).values()) == set(everything.values()) - {category}
    with pytest.raises(ValueError, match="no training clip of the category 'unicorn'"):
        clips(categories=["unicorn"])


def test_clips_that_are_trained_on_are_not_scored_on(tmp_path):
    """A folder without splits.csv has every clip in every split."""
    write_dataset(Scenes(**{**SCENES, "length": 3}), tmp_path / "data", "folder")
    (tmp_path / "data/splits.csv").unlink()
    with pytest.raises(ValueError, match="3 clips of .* are in the parts 'train' and 'val'.*splits.csv"):
        train(recipe(tmp_path / "run", data=str(tmp_path / "data"), options={}, validation="val"))


def test_a_batch_without_annotation_takes_nothing_from_a_step(tmp_path):
    """Of two clips the second has no mask: a step of two batches is the step of one batch of both."""
    clips = [Scenes(**{**SCENES, "silence": 0, "absent": 0, "length": 2})[k] for k in range(2)]
    clips[1] = replace(clips[1], masks=None, annotated=np.zeros(2, dtype=bool))
    write_dataset(clips, tmp_path / "data", "hub")
    settings = {"data": str(tmp_path / "data"), "options": {}, "epochs": 2}
    train(recipe(tmp_path / "whole", batch_size=2, **settings))
    train(recipe(tmp_path / "parts", batch_size=1, accumulation=2, **settings))
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-3)


def test_after_a_mistake_the_mended_recipe_may_use_the_same_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="builtin:dem'"):
        train(recipe(tmp_path / "run", base="builtin:dem"))
    with pytest.raises(ValueError, match="no protocol 'avsbunch'"):
        train(recipe(tmp_path / "run", protocol="avsbunch", validation="val"))
    with pytest.raises(ValueError, match="does not take these options.*sizes"):
        train(recipe(tmp_path / "run", options={**SCENES, "sizes": 3}))
    with pytest.raises(ValueError, match="trackers: tensorbord"):
        train(recipe(tmp_path / "run", trackers=["tensorbord"]))
    train(recipe(tmp_path / "run", epochs=1))


def test_what_was_trained_is_pushed(tmp_path):
    with LocalHub() as hub:
        environment = {**ENVIRONMENT, "HF_HUB_OFFLINE": "0", **hub.environment(tmp_path / "home")}
        wanted = recipe(tmp_path / "run", max_steps=1, push_to_hub="someone/adapter", private=True)
        finish(start(wanted, tmp_path, env=environment))
        assert hub.repos["someone/adapter"].private
        files = hub.repos["someone/adapter"].find("main").files
    assert {"config.json", "adapter_model.safetensors", "README.md"} <= files.keys()
    assert files["adapter_model.safetensors"] == (tmp_path / "run/adapter_model.safetensors").read_bytes()


def test_a_hub_that_cannot_be_written_to_is_told_before_anything_is_trained(tmp_path):
    text = finish(start(recipe(tmp_path / "run", push_to_hub="someone/adapter"), tmp_path), code=1)  # it is offline
    assert "offline" in text.lower() and "Traceback" not in text
    assert not (tmp_path / "run/checkpoints").exists()


def test_gpu_only_flags_say_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, on which fp16 is as it should be")
    with pytest.raises(ValueError, match="fp16 needs a CUDA GPU"):
        train(recipe(tmp_path / "run", precision="fp16"))


def test_the_state_of_a_run_is_plain_json(uninterrupted):
    listed = json.loads((uninterrupted / "checkpoints/step-00000009/checkpoint.json").read_text())
    assert listed["step"] == 9 and "optimizer.bin" in listed["files"]
