"""SamAVProcessor: pictures and sounds of any form to tensors, masks back to the pictures."""

import copy
import pickle

import numpy as np
import pytest
import torch
from conftest import GOLDEN, make_model
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from sam_av import SamAVConfig, SamAVProcessor
from sam_av.audio import log_mel_examples
from sam_av.audio.vggish import LOG_MEL
from sam_av.losses import mask_loss
from sam_av.sam import encode_image, load_base


def make(**settings) -> SamAVProcessor:
    return SamAVProcessor(SamAVConfig(image_size=64, audio_dim=128, **settings), LOG_MEL)


def picture(height=48, width=80) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def noise(seconds=5.0):
    return np.random.default_rng(1).uniform(-1, 1, int(seconds * 16_000)).astype(np.float32)


class TestPictures:
    def test_squashed_as_published(self):
        """PIL's own bilinear resize, then ImageNet's mean and standard deviation, within one grey level."""
        image = picture()
        resized = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR), dtype=np.float32) / 255
        expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        ours = make()(image)["pixel_values"]
        assert ours.shape == (1, 3, 64, 64)
        assert np.abs(ours[0].permute(1, 2, 0).numpy() - expected).max() <= 1 / 255 / 0.224 + 1e-5

    @pytest.mark.cuda
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_bytes_on_a_gpu_stay_there_and_differ_by_a_grey_level_at_most(self):
        image = torch.from_numpy(np.array(picture())).permute(2, 0, 1)
        expected, ours = (make()(x)["pixel_values"] for x in (image, image.cuda()))
        assert ours.device.type == "cuda"
        assert (ours.cpu() - expected).abs().max() <= 1 / 255 / 0.224 + 1e-5

    def test_padded_as_sam_does(self):
        """The golden image is resized already: normalise, pad, and the reference's embeddings come out."""
        reference = load_file(GOLDEN / "segment_anything_tiny.safetensors")
        processor = SamAVProcessor(SamAVConfig(image_size=256, audio_dim=128, resize="pad"))
        pixels = processor(reference["image"] / 255)["pixel_values"]
        with torch.no_grad():
            embeddings = encode_image(load_base(GOLDEN / "segment_anything_tiny.pth").sam.vision_encoder, pixels)
        assert (embeddings - reference["image_embeddings"]).abs().max() < 1e-4

    def test_padding_is_zero_after_normalising(self):
        pixels = make(resize="pad")(picture(32, 64))["pixel_values"]
        assert pixels[0, :, :32].abs().min() > 0 and not pixels[0, :, 32:].any()

    def test_all_forms_of_a_picture_are_one(self):
        image, processor = picture(), make()
        array = np.asarray(image)
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        expected = processor(image)["pixel_values"]
        for form in (array, tensor, image.convert("RGBA")):
            assert torch.equal(processor(form)["pixel_values"], expected)
        assert torch.allclose(processor(tensor / 255)["pixel_values"], expected, atol=0.02)
        for many in ([image, array], np.stack([array, array]), torch.stack([tensor, tensor])):
            assert torch.equal(processor(many)["pixel_values"], expected.repeat(2, 1, 1, 1))

    def test_a_very_long_picture(self):
        assert make(resize="pad")(picture(1, 2000))["pixel_values"].shape == (1, 3, 64, 64)

    def test_pictures_of_different_sizes(self):
        inputs = make(resize="pad")([picture(40, 60), picture(100, 30)])
        assert inputs["pixel_values"].shape == (2, 3, 64, 64)
        assert inputs["original_sizes"].tolist() == [[40, 60], [100, 30]]

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((4, 4)), r"must be a picture|as an array must be \(H, W, 3\)"),
            (np.zeros((4, 4, 4), np.uint8), r"must be \(H, W, 3\)"),
            (torch.zeros(4, 4, 3), r"must be \(3, H, W\)"),
            (torch.full((3, 4, 4), 255.0), r"must lie in 0..1; this one runs from 255 to 255"),
            (torch.full((3, 4, 4), float("nan")), "NaN"),
            (np.zeros((4, 4, 3), np.int64), "uint8, or floats"),
            (np.zeros((0, 4, 3), np.uint8), "picture is empty"),
            ([], "`images` is empty"),
        ],
    )
    def test_bad_pictures(self, image, message):
        with pytest.raises((ValueError, TypeError), match=message):
            make()(image)

    def test_object_that_is_no_picture(self):
        with pytest.raises(TypeError, match="not str"):
            make()(["picture.png"])


class TestSound:
    def test_frames_of_a_clip_hear_their_examples(self):
        """AVSBench's rule: frame k of a five-second clip goes with example k."""
        waveform = noise()
        inputs = make()([picture()] * 5, waveform, 16_000)
        assert torch.allclose(inputs["audio"], log_mel_examples(waveform), atol=1e-6)

    @pytest.mark.parametrize(("rule", "start"), [("example", 0), ("centered", 32_200), ("causal", 64_400)])
    def test_single_picture_is_the_moment_its_sound_is_about(self, rule, start):
        waveform = noise()
        heard = make(audio_window=rule)(picture(), waveform, 16_000)["audio"]
        assert torch.allclose(heard, log_mel_examples(waveform[start : start + 15_600]), atol=1e-5)

    def test_times(self):
        waveform = noise()
        heard = make(audio_window="causal")([picture()] * 2, waveform, 16_000, times=[2.0, 3.5])["audio"]
        assert torch.allclose(heard[1:], log_mel_examples(waveform[56_000 - 15_600 : 56_000]), atol=1e-5)

    def test_one_waveform_for_each_picture(self):
        waves = [noise(), noise()[::-1].copy()]
        heard = make()([picture()] * 2, waves, 16_000)["audio"]
        assert torch.allclose(heard[1:], log_mel_examples(waves[1])[:1], atol=1e-6)

    def test_other_rates_and_channels(self):
        stereo = torch.from_numpy(np.stack([noise(), noise()]))
        assert make()(picture(), stereo, 44_100)["audio"].shape == (1, 1, 96, 64)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((noise(), None), "sampling_rate=16000"),
            ((np.zeros(0, np.float32), 16_000), "waveform is empty"),
            ((np.full(16_000, np.nan, np.float32), 16_000), "NaN"),
            ((np.zeros((2, 2, 9), np.float32), 16_000), r"must be \(n,\) or \(channels, n\)"),
            (([noise()] * 3, 16_000), "1 pictures, 3 waveforms"),
        ],
    )
    def test_bad_sound(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            make()(picture(), *arguments)

    def test_a_stack_that_may_be_channels_or_waveforms(self):
        with pytest.raises(ValueError, match="channels or waveforms"):
            make()([picture()] * 2, np.stack([noise(), noise()]), 16_000)

    def test_times_in_milliseconds(self):
        with pytest.raises(ValueError, match=r"beyond the sound, which lasts 5.00 s; the first is at 2000.00 s"):
            make()(picture(), noise(), 16_000, times=[2000])

    def test_sound_alone(self):
        assert make()(audio=noise(), sampling_rate=16_000, times=[0.0, 1.0, 2.0])["audio"].shape == (3, 1, 96, 64)

    def test_without_an_audio_encoder(self):
        with pytest.raises(ValueError, match="names no audio encoder"):
            SamAVProcessor(SamAVConfig(image_size=64))(picture(), noise(), 16_000)


class TestPromptsAndMasks:
    def test_clicks_and_boxes_move_with_the_picture(self):
        squashed = make()(picture(48, 80), input_points=[[[40, 24]]], input_labels=[[1]], input_boxes=[[0, 0, 80, 48]])
        assert squashed["input_points"].tolist() == [[[32, 32]]]
        assert squashed["input_boxes"].tolist() == [[0, 0, 64, 64]]
        padded = make(resize="pad")(picture(48, 80), input_points=[[[40, 24]]])
        assert padded["input_points"].tolist() == [[[pytest.approx(32), pytest.approx(24 * 38 / 48)]]]

    def test_clicks_need_their_pictures(self):
        with pytest.raises(ValueError, match="2 rows for 1 pictures"):
            make()(picture(), input_points=[[[1, 1]], [[2, 2]]])

    @pytest.mark.parametrize("resize", ["squash", "pad"])
    def test_mask_goes_in_and_comes_back(self, resize):
        mask = np.zeros((48, 80), bool)
        mask[10:40, 20:70] = True
        processor = make(resize=resize)
        label = processor(picture(48, 80), masks=mask)["mask_labels"]
        assert label.shape == (1, 64, 64) and label.dtype == torch.int8
        logits = F.interpolate(label[None].float() * 20 - 10, (64, 64))[0]
        (back,) = processor.post_process_masks(logits, [(48, 80)])
        assert back.shape == (48, 80)
        assert (back.numpy() & mask).sum() / (back.numpy() | mask).sum() > 0.9

    def test_pictures_without_annotation(self):
        masks = [np.ones((48, 80), bool), None, np.full((48, 80), -1)]
        labels = make()([picture()] * 3, masks=masks)["mask_labels"]
        assert (labels[0] == 1).all() and (labels[1:] == -1).all()
        logits = torch.zeros(3, 16, 16, requires_grad=True)
        mask_loss(logits, labels).backward()
        assert logits.grad[0].any() and not logits.grad[1:].any()

    @pytest.mark.parametrize(
        ("masks", "message"),
        [([np.ones((4, 4))], r"its picture's size, \(48, 80\)"), ([np.ones((48, 80))] * 2, "2 for 1"),
         ([np.ones((1, 48, 80))], "its picture's size")],
    )  # fmt: skip
    def test_masks_that_do_not_fit(self, masks, message):
        with pytest.raises(ValueError, match=message):
            make()(picture(), masks=masks)

    def test_threshold(self):
        logits = torch.tensor([0.3, 0.6, 0.8]).logit().reshape(1, 1, 3).expand(1, 3, 3)
        (mask,) = make(threshold=0.7).post_process_masks(logits, [(3, 3)])
        assert mask[0].tolist() == [False, False, True]
        (mask,) = make().post_process_masks(logits, [(3, 3)], threshold=0.2)
        assert mask.all()
        with pytest.raises(ValueError, match="between 0 and 1, not 50"):
            make().post_process_masks(logits, [(3, 3)], threshold=50)
        (raw,) = make().post_process_masks(logits, [(3, 3)], binarize=False)
        assert torch.allclose(raw, logits[0])


class TestHandling:
    def test_inputs_go_straight_into_the_model(self):
        model = make_model()
        inputs = model.processor([picture()] * 2, noise(), 16_000, masks=[np.ones((48, 80))] * 2)
        assert model(**inputs).loss.isfinite()

    def test_save_and_load(self, tmp_path):
        processor = make(resize="pad", audio_window="causal")
        config = processor.config
        config.base_fingerprint, config.base_hidden_size, config.base_num_layers = "1:", 32, 4
        processor.save_pretrained(tmp_path)
        again = SamAVProcessor.from_pretrained(tmp_path)
        assert again.config == config
        assert torch.equal(again(picture(), noise(), 16_000)["audio"], processor(picture(), noise(), 16_000)["audio"])

    def test_it_is_small_enough_for_data_workers(self):
        processor = make_model().processor
        assert len(pickle.dumps(processor)) < 20_000
        assert torch.equal(
            pickle.loads(pickle.dumps(processor))(picture(), noise(), 16_000)["audio"],
            copy.deepcopy(processor)(picture(), noise(), 16_000)["audio"],
        )

    def test_another_models_configuration_is_not_replaced(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "sam"}')
        with pytest.raises(ValueError, match="belongs to another model"):
            make().save_pretrained(tmp_path)

    def test_unknown_tensors(self):
        with pytest.raises(ValueError, match="'pt' or 'np', not 'tf'"):
            make()(picture(), return_tensors="tf")

    def test_numpy(self):
        assert isinstance(make()(picture(), return_tensors="np")["pixel_values"], np.ndarray)
