"""Evaluation against plain loops, over processes, over interruptions, and down to the files that it writes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import GOLDEN, make_model
from evaluated import MemoryDataset, NoisyTruth, truth_at
from PIL import Image
from torch.nn import functional as F

from sam_av.cli import main
from sam_av.config import AdapterCard
from sam_av.data import Clip, DataProblems, open_dataset, write_dataset
from sam_av.evaluate import evaluate
from sam_av.metrics import AVSBench, f_measure, mask_iou
from sam_av.predictions import MaskFolder, save_predictions
from sam_av.predictors import ModelPredictor


@pytest.fixture(autouse=True)
def _forget_the_device():
    """accelerate keeps the first device for good; where there is a GPU, `--device cpu` would come too late."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def scenes(count=9, **settings):
    return open_dataset(f"scenes:{count}", "test", size=64, frames=3, **settings)


def one_source(count=9):
    return scenes(count, sources=(1, 1), silence=0, absent=0)


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def plain_model_logits(model, clip, size):
    inputs = model.processor(list(clip.frames), clip.waveform, 16_000, times=list(clip.times))
    with torch.inference_mode():
        logits = model(inputs["pixel_values"], inputs["audio"]).mask_logits[clip.annotated]
    return F.interpolate(logits[:, None], size=(size, size), mode="bilinear", align_corners=False)[:, 0]


class TestNumbers:
    @pytest.mark.parametrize("window", ["example", "centered"])
    def test_equal_a_plain_loop(self, tmp_path, window):
        model, data = make_model(audio_window=window), scenes(9)
        report = evaluate(ModelPredictor(model, batch_size=2), data, tmp_path)
        miou, f_score = [], []
        for start in range(0, 9, 4):
            clips = [data[k] for k in range(start, min(start + 4, 9))]
            logits = torch.cat([plain_model_logits(model, clip, 224) for clip in clips])
            masks = torch.cat([truth_at(clip, (224, 224)) for clip in clips])
            miou.append(mask_iou(logits, masks))
            f_score.append(f_measure(logits, masks))
        assert report.scores == {
            "miou": pytest.approx(fmean(miou), abs=1e-6),
            "f_score": pytest.approx(fmean(f_score), abs=1e-6),
            "clips": 9,
            "frames": 27,
            "batches": 3,
        }

    @pytest.mark.parametrize(("protocol", "size", "videos"), [("sama", 1024, 1), ("dataset", 64, 3)])
    def test_other_protocols(self, tmp_path, protocol, size, videos):
        data, predictor = scenes(3), NoisyTruth()
        report = evaluate(predictor, data, tmp_path, protocol=protocol)
        metric = AVSBench(protocol)
        for start in range(0, 3, videos):
            clips = [data[k] for k in range(start, start + videos)]
            logits = torch.cat([predictor.predict(clip, (size, size)) for clip in clips])
            metric.update(logits, torch.cat([truth_at(clip, (size, size)) for clip in clips]))
        assert report.protocol == protocol
        assert (report.scores["miou"], report.scores["f_score"]) == tuple(metric.compute().values())[:2]

    def test_golden(self, tmp_path, golden):
        """The reference's batches, of 5, 3 and 4 frames, each as four clips; repeating each pixel changes no score."""
        tensors, clips, logits = golden("metrics"), [], {}
        for batch, lengths in enumerate([(2, 1, 1, 1), (1, 1, 1, 0), (1, 1, 1, 1)]):
            start = 0
            for k, length in enumerate(lengths):
                some = slice(start, start + length)
                masks = np.zeros((3, 56, 56), bool)
                masks[:length] = tensors[f"gt.{batch}"][some] > 0
                clip = Clip(
                    frames=np.zeros((3, 56, 56, 3), np.uint8),
                    times=np.arange(3.0),
                    waveform=np.zeros(48_000, np.float32),
                    masks=masks,
                    annotated=np.arange(3) < length,
                    id=f"{batch}-{k}",
                )
                clips.append(clip)
                logits[clip.id] = tensors[f"logits.{batch}"][some]
                start += length

        class Golden(NoisyTruth):
            def predict(self, clip, size):
                return F.interpolate(logits[clip.id][None], size=size, mode="nearest")[0]

        report = evaluate(Golden(), MemoryDataset(clips), tmp_path)
        expected = json.loads((GOLDEN / "metrics.json").read_text())["mean_of_batches"]
        assert report.scores["miou"] == pytest.approx(expected["mask_iou"], abs=1e-5)
        assert report.scores["f_score"] == pytest.approx(expected["f_measure"], abs=1e-5)
        assert report.scores["frames"] == 12 and report.scores["clips"] == 11

    def test_compute_batch_and_workers_have_no_influence(self, tmp_path):
        model, data = make_model(), scenes(5)
        first = evaluate(ModelPredictor(model, batch_size=1), data, tmp_path / "1")
        second = evaluate(ModelPredictor(model, batch_size=8), data, tmp_path / "8", workers=2)
        assert second.scores == {key: pytest.approx(value, abs=1e-5) for key, value in first.scores.items()}

    def test_padded_pictures(self):
        model = make_model(resize="pad")
        clip = scenes(1)[0]
        clip = replace(clip, frames=clip.frames[:, :40], masks=clip.binary_masks()[:, :40])
        inputs = model.processor(list(clip.frames), clip.waveform, 16_000, times=list(clip.times))
        with torch.inference_mode():
            output = model(inputs["pixel_values"], inputs["audio"])
        own_size = torch.stack(model.processor.post_process_masks(output.mask_logits, [(40, 64)] * 3, binarize=False))
        expected = F.interpolate(own_size[None], size=(224, 224), mode="bilinear", align_corners=False)[0]
        assert torch.allclose(ModelPredictor(model).predict(clip, (224, 224)), expected, atol=1e-4)

    def test_limit(self, tmp_path):
        data = scenes(9)
        part = evaluate(NoisyTruth(), data, tmp_path / "part", limit=5)
        assert part.scores == evaluate(NoisyTruth(), scenes(5), tmp_path / "five").scores

    def test_nothing_to_score(self, tmp_path):
        clip = replace(scenes(1)[0], annotated=np.zeros(3, bool))
        with pytest.raises(ValueError, match="at least 1, not 0"):
            evaluate(NoisyTruth(), scenes(1), tmp_path, limit=0)
        with pytest.raises(ValueError, match="no annotated frame"):
            evaluate(NoisyTruth(), MemoryDataset([clip]), tmp_path)


class TestCategories:
    def test_seen_and_unseen_are_data_sets_of_their_own(self, tmp_path):
        data = one_source(14)
        names = sorted({clip.category for clip in data})
        seen = names[::2]
        report = evaluate(NoisyTruth(training_categories=seen), data, tmp_path / "all")
        for group, belongs in (("seen", lambda name: name in seen), ("unseen", lambda name: name not in seen)):
            alone = MemoryDataset([clip for clip in data if belongs(clip.category)])
            assert len(alone) > 4
            assert report.groups[group] == evaluate(NoisyTruth(), alone, tmp_path / group).scores
        text = report.to_markdown()
        assert "| seen |" in text and "| unseen |" in text

    def test_clips_without_category_belong_to_neither(self, tmp_path):
        clips = list(one_source(6))
        clips[0] = replace(clips[0], category=None)
        report = evaluate(NoisyTruth(training_categories=[clips[1].category]), MemoryDataset(clips), tmp_path)
        assert report.groups["seen"]["clips"] + report.groups["unseen"]["clips"] == 5
        assert "" not in {row["category"] for row in report.per_category}
        assert "Clips without a category" in report.to_markdown()

    def test_an_adapter_brings_its_training_categories(self, tmp_path):
        data = one_source(5)
        model = make_model(card=AdapterCard(training_categories=[data[0].category]))
        report = evaluate(ModelPredictor(model), data, tmp_path)
        assert report.groups["seen"]["clips"] >= 1 and report.groups["unseen"]["clips"] >= 1


class TestFiles:
    def test_every_file_reads_back(self, tmp_path):
        data = one_source(6)
        report = evaluate(NoisyTruth(training_categories=[data[0].category]), data, tmp_path, save_masks=True)
        assert {path.name for path in tmp_path.iterdir()} == {
            "results.json", "results.md", "per_video.csv", "per_category.csv", "sheet.png", "masks", "progress"
        }  # fmt: skip
        results = json.loads((tmp_path / "results.json").read_text())
        assert results["scores"] == report.scores and results["groups"] == report.groups
        assert (results["dataset"], results["split"], results["protocol"]) == ("scenes", "test", "avsbench")
        assert (results["method"], results["input_size"], results["scored_size"]) == ("noisy truth", 64, 224)
        text = (tmp_path / "results.md").read_text()
        assert f"| {100 * report.scores['miou']:.2f} | {100 * report.scores['f_score']:.2f} |" in text
        for name, rows in (("per_video.csv", report.per_video), ("per_category.csv", report.per_category)):
            assert read_csv(tmp_path / name) == [{key: str(value) for key, value in row.items()} for row in rows]
        assert [row["video"] for row in report.per_video] == [clip.id for clip in data]
        assert [row["category"] for row in report.per_video] == [clip.category for clip in data]
        sounding = [clip.binary_masks().any(axis=(1, 2)).sum() for clip in data]
        assert [row["sounding"] for row in report.per_video] == sounding and min(sounding) < max(sounding)
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert sheet.width > 1000 and np.asarray(sheet).std() > 20

    def test_per_video_rows(self, tmp_path):
        data, predictor = scenes(3), NoisyTruth()
        report = evaluate(predictor, data, tmp_path)
        for clip, row in zip(data, report.per_video, strict=True):
            logits, masks = predictor.predict(clip, (224, 224)), truth_at(clip, (224, 224))
            assert (row["miou"], row["f_score"]) == (mask_iou(logits, masks), f_measure(logits, masks))

    def test_card_row(self, tmp_path):
        report = evaluate(NoisyTruth(), scenes(2), tmp_path)
        assert report.card_row() == {
            "dataset": "scenes",
            "split": "test",
            "protocol": "avsbench",
            "image_size": 64,
            "miou": report.scores["miou"],
            "f_score": report.scores["f_score"],
        }


class TestSavedMasks:
    def test_read_back_they_give_the_thresholded_numbers_exactly(self, tmp_path):
        data = scenes(5)
        first = evaluate(ModelPredictor(make_model()), data, tmp_path / "model", save_masks=True)
        again = evaluate(MaskFolder(tmp_path / "model" / "masks"), data, tmp_path / "again")
        assert again.scores["miou"] == first.scores["miou"]
        assert [row["miou"] for row in again.per_video] == [row["miou"] for row in first.per_video]
        # F is of probabilities that 8 bits have rounded.
        assert again.scores["f_score"] == pytest.approx(first.scores["f_score"], abs=0.01)

    def test_a_folder_of_binary_masks_gives_the_numbers_of_the_binary_model(self, tmp_path):
        data, model = scenes(5), make_model()
        metric = AVSBench()
        for start in (0, 4):
            clips = [data[k] for k in range(start, min(start + 4, 5))]
            binary = [plain_model_logits(model, clip, 224) > 0 for clip in clips]
            for clip, masks in zip(clips, binary, strict=True):
                save_predictions(tmp_path / "masks", clip, torch.where(masks, torch.inf, -torch.inf))
            logits = torch.where(torch.cat(binary), 100.0, -100.0)
            metric.update(logits, torch.cat([truth_at(clip, (224, 224)) for clip in clips]))
        report = evaluate(MaskFolder(tmp_path / "masks"), data, tmp_path / "out")
        assert (report.scores["miou"], report.scores["f_score"]) == tuple(metric.compute().values())[:2]


class TestResuming:
    def test_finished_batches_are_not_done_again(self, tmp_path):
        data, whole = scenes(9), NoisyTruth()
        expected = evaluate(whole, data, tmp_path / "whole")

        class Stopping(NoisyTruth):
            def predict(self, clip, size):
                if clip.id == data.entries[5].id:
                    raise KeyboardInterrupt
                return super().predict(clip, size)

        with pytest.raises(KeyboardInterrupt):
            evaluate(Stopping(), data, tmp_path / "out")
        assert not (tmp_path / "out" / "results.json").exists()
        resumed = NoisyTruth()
        report = evaluate(resumed, data, tmp_path / "out")
        assert report == expected
        assert resumed.asked[:5] == [entry.id for entry in data.entries[4:]]

    def test_killed_in_the_middle(self, tmp_path):
        data = open_dataset("scenes:24", "test")
        for clip in data:
            save_predictions(tmp_path / "masks", clip, NoisyTruth().predict(clip, (64, 64)))
        arguments = ["evaluate", str(tmp_path / "masks"), "scenes:24", "--method", "predictions", "--workers", "0"]
        killed = subprocess.Popen(
            [sys.executable, "-m", "sam_av.cli", *arguments, "--output", tmp_path / "out"], stderr=subprocess.DEVNULL
        )
        finished = wait_for(lambda: sorted((tmp_path / "out" / "progress").glob("0*.pt"))[1:])
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert not (tmp_path / "out" / "results.json").exists()
        before = {path: path.stat().st_mtime_ns for path in finished}
        assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
        assert before == {path: path.stat().st_mtime_ns for path in finished}
        assert main([*arguments, "--output", str(tmp_path / "whole")]) == 0
        for name in ("results.json", "per_video.csv", "results.md"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"predictor": NoisyTruth(noise=1.0)}, "noise"),
            ({"dataset": scenes(8)}, "data"),
            ({"dataset": scenes(9, motion=0.0)}, "data"),
            ({"protocol": "dataset"}, "protocol"),
            ({"limit": 4}, "limit"),
            ({"save_masks": True}, "save_masks"),
        ],
    )
    def test_a_run_of_something_else_is_refused(self, tmp_path, change, named):
        run = {"predictor": NoisyTruth(), "dataset": scenes(9), "output": tmp_path}
        evaluate(**run)
        with pytest.raises(ValueError, match=rf"differ in {named}\. Choose another output folder"):
            evaluate(**{**run, **change})

    def test_another_adapter_is_refused(self, tmp_path):
        evaluate(ModelPredictor(make_model()), scenes(2), tmp_path)
        other = make_model()
        with torch.no_grad():
            other.adapters["default"].audio_adapter.shared.bias[0] += 1e-3
        with pytest.raises(ValueError, match="differ in adapter"):
            evaluate(ModelPredictor(other), scenes(2), tmp_path)

    def test_a_run_that_failed_before_its_first_batch_leaves_nothing_to_resume(self, tmp_path):
        with pytest.raises(ValueError, match="class ids"):
            evaluate(NoisyTruth(), scenes(3), tmp_path, protocol="avss")
        assert evaluate(NoisyTruth(), scenes(3), tmp_path).protocol == "avsbench"


class TestPredictors:
    """What a predictor of one's own may give back."""

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            (lambda logits: logits.numpy(), "numpy.ndarray"),
            (lambda logits: logits > 0, "torch.bool"),
            (lambda logits: logits[:, :10, :10], r"\(3, 10, 10\)"),
        ],
    )
    def test_something_else_is_named(self, tmp_path, change, found):
        class Wrong(NoisyTruth):
            def predict(self, clip, size):
                return change(super().predict(clip, size))

        dataset = scenes(2)
        with pytest.raises(
            ValueError, match=rf"noisy truth must predict .*\(3, 224, 224\).*'{dataset[0].id}'; .*{found}"
        ):
            evaluate(Wrong(), dataset, tmp_path)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise TimeoutError


class TestProcesses:
    def test_two_give_the_numbers_of_one(self, tmp_path):
        """Eleven clips, three batches, the last one short."""
        data = open_dataset("scenes:11", "test")
        for clip in data:
            save_predictions(tmp_path / "masks", clip, NoisyTruth().predict(clip, (64, 64)))
        arguments = ["evaluate", str(tmp_path / "masks"), "scenes:11", "--method", "predictions", "--device", "cpu"]
        # `--cpu` would start a single process: accelerate starts several on the CPU only by way of `--multi_gpu`.
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
        logs = ["--main_process_port", "0", "--log_dir", tmp_path / "logs", "--tee", "3"]
        done = subprocess.run(
            [*launch, *logs, "-m", "sam_av.cli", *arguments, "--output", tmp_path / "two"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert main([*arguments, "--output", str(tmp_path / "one")]) == 0
        for name in ("results.json", "results.md", "per_video.csv", "per_category.csv", "sheet.png"):
            assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
        # Both took part, as one run: the second says nothing.
        (first,), (second,) = (list((tmp_path / "logs").rglob(f"{rank}/stdout.log")) for rank in (0, 1))
        assert "| MJ |" in first.read_text() and second.read_text() == ""


class TestBadData:
    @pytest.fixture
    def spoilt(self, tmp_path):
        clips = open_dataset("scenes:6", "test", size=64, frames=5, sources=(1, 1), silence=0, absent=0)
        root = write_dataset(clips, tmp_path / "s4", "avsbench-s4")
        pictures = sorted((root / "s4_data" / "visual_frames").rglob("*.png"))
        for path in (pictures[0], pictures[-1]):
            path.write_bytes(path.read_bytes()[:100])
        return root, {path.parent.name for path in (pictures[0], pictures[-1])}

    def test_stops_before_it_starts(self, tmp_path, spoilt):
        root, bad = spoilt
        predictor = NoisyTruth()
        with pytest.raises(DataProblems, match=r"unreadable picture \(2\)") as caught:
            evaluate(predictor, open_dataset(root, "test"), tmp_path / "out")
        assert {problem.clip for problem in caught.value.problems} == bad
        assert predictor.asked == []

    def test_the_command_writes_the_full_list(self, tmp_path, spoilt, capsys):
        root, bad = spoilt
        (tmp_path / "masks").mkdir()
        arguments = ["--method", "predictions", "--output", str(tmp_path / "out"), "--workers", "0"]
        assert main(["evaluate", str(tmp_path / "masks"), str(root), *arguments]) == 1
        error = capsys.readouterr().err
        assert "unreadable picture (2)" in error and "--skip-bad" in error and "skip_bad" not in error
        rows = read_csv(tmp_path / "out" / "problems.csv")
        assert {row["clip"] for row in rows} == bad and all("cannot be read" in row["detail"] for row in rows)

    def test_skip_bad_goes_on_and_reports(self, tmp_path, spoilt):
        root, bad = spoilt
        with pytest.warns(UserWarning, match=r"unreadable picture \(2\)"):
            report = evaluate(NoisyTruth(), open_dataset(root, "test", skip_bad=True), tmp_path / "out")
        assert report.scores["clips"] == 4
        assert {row["clip"] for row in report.left_out} == bad
        assert bad.isdisjoint(row["video"] for row in report.per_video)
        text = (tmp_path / "out" / "results.md").read_text()
        assert "2 clips could not be used" in text and all(clip in text for clip in bad)


class TestCommand:
    def test_an_adapter(self, tmp_path, capsys):
        model = make_model()
        model.save_pretrained(tmp_path / "adapter")
        model.sam.save_pretrained(tmp_path / "base")
        root = write_dataset(scenes(3), tmp_path / "data", "folder")
        arguments = ["--base", str(tmp_path / "base"), "--cache", str(tmp_path / "cache"), "--output"]
        arguments += [str(tmp_path / "out"), "--save-masks", "--limit", "2", "--device", "cpu", "--workers", "0"]
        assert main(["evaluate", str(tmp_path / "adapter"), str(root), *arguments]) == 0
        expected = evaluate(ModelPredictor(model), open_dataset(root, "test"), tmp_path / "plain", limit=2)
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        assert results["scores"] == expected.scores and results["dataset"] == "data"
        assert f"{100 * expected.scores['miou']:.2f}" in capsys.readouterr().out
        assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 2
        assert len(list((tmp_path / "out" / "masks").rglob("*.png"))) == 6

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["./lost", "scenes:2"], "neither a folder on this disk nor"),
            (["lost", "scenes:2", "--method", "predictions"], "There is no folder of predictions"),
            (["lost", "nowhere"], "'nowhere' is no folder"),
            (["lost", "scenes:2", "--protocol", "avss"], "add --method predictions"),
        ],
    )
    def test_mistakes_give_one_line(self, tmp_path, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(tmp_path)
        assert main(["evaluate", *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
