"""The `sam-av` command as a user types it."""

import subprocess
import sys
import time

import pytest
import torch
from conftest import GOLDEN, TinyAudioEncoder, make_sam

from sam_av import SamAV
from sam_av.cli import main
from sam_av.data import Scenes, SceneSettings, write_dataset


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "sam_av.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_is_quick_and_lists_the_verbs():
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        done = run("--help")
        times.append(time.perf_counter() - begin)
    assert done.returncode == 0 and "convert" in done.stdout and "demo" in done.stdout
    assert min(times) < 0.5


class TestConvert:
    def test_there_and_back_is_bit_equal(self, tmp_path, capsys):
        assert main(["convert", str(GOLDEN / "segment_anything_tiny.pth"), str(tmp_path / "folder")]) == 0
        assert main(["convert", str(tmp_path / "folder"), str(tmp_path / "sam.pth")]) == 0
        original = torch.load(GOLDEN / "segment_anything_tiny.pth", weights_only=True)
        back = torch.load(tmp_path / "sam.pth", weights_only=True)
        assert back.keys() == original.keys() and all(torch.equal(back[key], original[key]) for key in original)
        assert "transformers format" in capsys.readouterr().out

    def test_half_precision_stays_half(self, tmp_path):
        make_sam().half().save_pretrained(tmp_path / "folder")
        assert main(["convert", str(tmp_path / "folder"), str(tmp_path / "sam.pth")]) == 0
        back = torch.load(tmp_path / "sam.pth", weights_only=True)
        assert {tensor.dtype for tensor in back.values()} == {torch.float16}

    def test_sama_checkpoint_becomes_an_adapter(self, tmp_path):
        arguments = ["convert", str(GOLDEN / "sama_tiny.pth"), str(tmp_path / "adapter"), "--base", "someone/sam-tiny"]
        assert main(arguments) == 0
        model = SamAV.from_sama_checkpoint(GOLDEN / "sama_tiny.pth", device="cpu")
        model.sam.save_pretrained(tmp_path / "base")
        converted = SamAV.from_pretrained(
            tmp_path / "adapter", base=tmp_path / "base", audio_encoder=TinyAudioEncoder(), device="cpu"
        )
        assert converted.config.base_model_name_or_path == "someone/sam-tiny"
        pixels, audio = torch.randn(1, 3, 256, 256), torch.randn(1, 128)
        assert torch.equal(converted(pixels, audio).mask_logits, model(pixels, audio).mask_logits)

    @pytest.mark.parametrize(
        ("source", "target", "result"),
        [
            (GOLDEN / "segment_anything_tiny.pth", "sam", "in transformers format to 'sam'"),
            ("builtin:demo", "sam.pth", "230 tensors (4,286,608 bytes) in segment-anything format to 'sam.pth'"),
            (GOLDEN / "sama_tiny.pth", "adapter", "to 'adapter', on a base without a name"),
        ],
    )
    def test_dry_run_reads_and_writes_nothing(self, tmp_path, monkeypatch, capsys, source, target, result):
        monkeypatch.chdir(tmp_path)
        assert main(["convert", str(source), target, "--dry-run"]) == 0
        told = capsys.readouterr().out
        assert f"Read '{source}'" in told and result in told
        assert list(tmp_path.iterdir()) == []
        assert main(["convert", str(source), target]) == 0
        assert capsys.readouterr().out.strip() == f"Wrote {told.partition('Would write ')[2].strip()}", "as it said"
        if target != "adapter":
            (weights,) = tmp_path.rglob("*.safetensors") if target == "sam" else tmp_path.glob(target)
            size = int(told.partition("tensors (")[2].partition(" bytes")[0].replace(",", ""))
            assert size < weights.stat().st_size < 1.05 * size

    @pytest.mark.parametrize(
        ("tensor", "message"),
        [(None, "missing ['image_encoder.neck.3.bias']"), (torch.zeros(3), "do not fit each other")],
    )
    def test_dry_run_checks_every_tensor(self, tmp_path, capsys, tensor, message):
        state = torch.load(GOLDEN / "segment_anything_tiny.pth", weights_only=True)
        state["image_encoder.neck.3.bias"] = tensor
        torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, tmp_path / "sam.pth")
        assert main(["convert", str(tmp_path / "sam.pth"), str(tmp_path / "out"), "--dry-run"]) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error

    def test_a_failed_write_leaves_nothing(self, tmp_path, monkeypatch, capsys):
        def fail(self, folder, **_):
            (folder / "config.json").parent.mkdir()
            (folder / "config.json").write_text("{}")
            raise OSError("no space left on device")

        monkeypatch.setattr("transformers.SamModel.save_pretrained", fail)
        assert main(["convert", str(GOLDEN / "segment_anything_tiny.pth"), str(tmp_path / "out")]) == 1
        assert "no space left" in capsys.readouterr().err and list(tmp_path.iterdir()) == []

    def test_a_place_where_nothing_can_be_written(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        assert main(["convert", str(GOLDEN / "segment_anything_tiny.pth"), str(tmp_path / "file" / "out")]) == 1
        assert f"'{tmp_path / 'file'}' is no folder in which you may write" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["lost.pth", "out"], "There is no file of weights 'lost.pth'"),
            (["./lost", "out"], "neither a folder on this disk nor"),
            ([str(GOLDEN / "segment_anything_tiny.pth"), str(GOLDEN)], "exists already"),
            ([str(GOLDEN / "segment_anything_tiny.pth"), "out", "--base", "x/y"], "--base goes with a SAMA-AVS"),
            ([str(GOLDEN / "sama_tiny.pth"), "out.pth"], "becomes an adapter folder"),
            ([str(GOLDEN / "sama_tiny.pth"), "out", "--base", "/local/sam"], "not '/local/sam'"),
        ],
    )
    def test_mistakes_give_one_line(self, tmp_path, monkeypatch, capsys, arguments, message):
        monkeypatch.chdir(tmp_path)
        assert main(["convert", *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
        assert list(tmp_path.iterdir()) == []


class TestDataOptions:
    """The reader's options, which every verb that reads data takes."""

    def test_they_reach_the_reader(self, tmp_path, capsys):
        scenes = Scenes(SceneSettings.demo(size=64), length=2, split="test")
        write_dataset(scenes, tmp_path / "mine", "folder")
        assert main(["check-data", str(tmp_path / "mine"), "--option", "fps=0.5"]) == 1, (
            "masks lie beyond the videos now"
        )
        assert main(["check-data", str(tmp_path / "mine"), "--option", "fps=1"]) == 0
        assert "layout folder" in capsys.readouterr().out

    def test_form(self, tmp_path, capsys):
        assert main(["check-data", str(tmp_path), "--option", "fps"]) == 1
        assert "NAME=VALUE, such as fps=25, not 'fps'" in capsys.readouterr().err
