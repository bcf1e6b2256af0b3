"""SamAV itself: published numbers, methods, prompts, counts, what trains and what stays frozen."""

import copy
import pickle
import warnings

import pytest
import torch
from conftest import GOLDEN, TinyAudioEncoder, make_model, make_sam
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import SamConfig, SamModel

from sam_av import SamAV, SamAVConfig
from sam_av.audio import VGGish
from sam_av.sam import Base, grid_positions, load_base

METHODS = ("sama", "ap-sam", "sama+ap-sam")
INACTIVE = ("iou_prediction_head", "output_hypernetworks_mlps.1", "output_hypernetworks_mlps.2")


def batch(size=64, frames=2):
    generator = torch.Generator().manual_seed(0)
    return {
        "pixel_values": torch.randn(frames, 3, size, size, generator=generator),
        "audio": torch.randn(frames, 128, generator=generator),
        "mask_labels": (torch.rand(frames, size, size, generator=generator) > 0.5).float(),
    }


def assert_close(ours, theirs, tolerance=1e-4):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.fixture(scope="module")
def sama():
    return SamAV.from_sama_checkpoint(GOLDEN / "sama_tiny.pth", device="cpu")


@pytest.fixture(scope="module")
def sama_output(sama):
    reference = load_file(GOLDEN / "sama_tiny.safetensors")
    output = sama(reference["pixel_values"], reference["audio_embedding"], reference["gt_mask"][:, 0])
    sama.zero_grad()
    output.loss.backward()
    return output, reference


class TestReleasedCheckpoint:
    """The authors' numbers from the authors' checkpoint."""

    def test_forward(self, sama_output):
        output, reference = sama_output
        assert_close(output.image_embeddings, reference["image_embeddings"])
        assert_close(output.mask_logits, reference["low_res_logits"][:, 0])
        assert_close(output.iou_scores, reference["iou_scores"][:, 0])

    def test_loss(self, sama_output):
        output, reference = sama_output
        assert output.loss.item() == pytest.approx(reference["loss"].item(), rel=1e-4)

    def test_upsampled_logits(self, sama, sama_output):
        output, reference = sama_output
        (full, _) = sama.processor.post_process_masks(output.mask_logits, [(256, 256)] * 2, binarize=False)
        assert_close(full, reference["mask_logits"][0, 0])

    def test_adapter_gradients(self, sama, sama_output):
        _, reference = sama_output
        adapter = sama.adapters["default"].audio_adapter
        prefix = "grad.image_encoder.prompt_generator"
        for kind in ("weight", "bias"):
            assert_close(adapter.shared.get_parameter(kind).grad, reference[f"{prefix}.shared_mlp.{kind}"])
            for layer in range(4):
                ours = adapter.first[str(layer)].get_parameter(kind).grad
                assert_close(ours, reference[f"{prefix}.lightweight_mlp_{layer}.0.{kind}"])

    def test_its_adapter_moves_to_a_base_of_another_format(self, sama, sama_output, tmp_path):
        output, reference = sama_output
        sama.sam.save_pretrained(tmp_path / "base")
        sama.save_pretrained(tmp_path / "adapter")
        model = SamAV.from_pretrained(
            tmp_path / "adapter", base=tmp_path / "base", audio_encoder=TinyAudioEncoder(), device="cpu"
        )
        again = model(reference["pixel_values"], reference["audio_embedding"])
        assert_close(again.mask_logits, output.mask_logits, 1e-6)

    def test_clicks_need_the_sam_it_came_from(self, sama, sama_output):
        _, reference = sama_output
        with pytest.raises(ValueError, match="prompt encoder, which a SAMA-AVS checkpoint lacks"):
            sama(reference["pixel_values"], reference["audio_embedding"], input_boxes=torch.zeros(2, 4))
        with pytest.raises(RuntimeError, match="no SAM to fall back to"), sama.disable_adapter():
            pass

    def test_a_base_must_be_the_one_it_was_trained_on(self):
        with pytest.raises(ValueError, match="other weights in its image encoder"):
            SamAV.from_sama_checkpoint(GOLDEN / "sama_tiny.pth", base=GOLDEN / "segment_anything_tiny.pth")

    def test_with_its_audio_encoder(self, tmp_path):
        state = torch.load(GOLDEN / "sama_tiny.pth", weights_only=True)
        vggish = VGGish()
        state |= {f"audio_encoder.audio_backbone.{key}": weight for key, weight in vggish.state_dict().items()}
        torch.save(state, tmp_path / "full.pth")
        model = SamAV.from_sama_checkpoint(tmp_path / "full.pth", device="cpu")
        examples = torch.randn(1, 1, 96, 64)
        with torch.no_grad():
            assert torch.equal(model.encode_audio(examples), vggish(examples))

    def test_other_adapters_need_the_sam_it_came_from(self, sama, tmp_path):
        with pytest.raises(ValueError, match="no whole SAM for other adapters"):
            sama.add_adapter("other", SamAVConfig(audio_encoder=None, audio_dim=128))
        assert list(sama.adapters) == ["default"]

    def test_an_incomplete_one(self, tmp_path):
        state = torch.load(GOLDEN / "sama_tiny.pth", weights_only=True)
        del state["pe_layer.positional_encoding_gaussian_matrix"]
        torch.save(state, tmp_path / "cut.pth")
        with pytest.raises(ValueError, match="incomplete SAMA-AVS checkpoint"):
            SamAV.from_sama_checkpoint(tmp_path / "cut.pth")

    def test_given_as_a_base_it_is_recognised(self):
        with pytest.raises(ValueError, match="use SamAV.from_sama_checkpoint"):
            SamAV.from_base(GOLDEN / "sama_tiny.pth")

    def test_a_plain_sam_is_not_one(self):
        with pytest.raises(ValueError, match=r"not a SAMA-AVS checkpoint.*from_base"):
            SamAV.from_sama_checkpoint(GOLDEN / "segment_anything_tiny.pth")


class TestCounts:
    """The published counts, on the meta device."""

    @pytest.mark.parametrize(
        ("width", "depth", "heads", "expected"), [(768, 12, 12, 1_186_560), (1024, 24, 16, 2_110_464)]
    )
    def test_other_sizes(self, width, depth, heads, expected):
        assert self.build(width, depth, heads).adapters["default"].num_audio_parameters() == expected

    def test_vit_h(self, capsys):
        model = self.build(1280, 32, 16)
        assert model.adapters["default"].num_audio_parameters() == 2_770_176
        model.print_trainable_parameters()
        printed = capsys.readouterr().out
        assert "2,770,176" in printed
        assert f"{637_026_048 + 4_058_340 + 256 + 72_141_184:,}" in printed
        assert "0.3884%" in printed
        trainable, total = model.get_nb_trainable_parameters()
        assert f"trainable params: {trainable:,} || all params: {total:,}" in printed
        assert trainable == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

    def build(self, width, depth, heads):
        vision = {"hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads}
        with torch.device("meta"):
            model = SamAV(Base(SamModel(SamConfig(vision_config=vision))), VGGish())
            model.add_adapter("default", SamAVConfig())
        return model


class TestMethods:
    @pytest.mark.parametrize("method", METHODS)
    def test_sound_changes_the_mask(self, method):
        model, inputs = make_model(method=method), batch()
        first = model(**inputs).mask_logits
        assert first.shape == (2, 32, 32)
        inputs["audio"] = inputs["audio"].flip(0)
        assert not torch.allclose(first, model(**inputs).mask_logits)

    @pytest.mark.parametrize("method", METHODS)
    def test_clicks_and_boxes_join_the_sound(self, method):
        model, inputs = make_model(method=method), batch()
        points, boxes = torch.rand(2, 3, 2) * 64, torch.tensor([[8.0, 8, 40, 40]] * 2)
        masks = [
            model(**inputs).mask_logits,
            model(**inputs, input_points=points).mask_logits,
            model(**inputs, input_points=points, input_labels=torch.tensor([[1, 0, 1]] * 2)).mask_logits,
            model(**inputs, input_boxes=boxes).mask_logits,
            model(**inputs, input_points=points, input_boxes=boxes).mask_logits,
        ]
        for i, one in enumerate(masks):
            assert not any(torch.allclose(one, other) for other in masks[:i])

    def test_zeroed_adapter_is_the_base(self):
        """With offsets of zero, SAMA is SAM with an empty prompt."""
        model, inputs = make_model(), batch()
        for weight in model.adapters["default"].audio_adapter.shared.parameters():
            torch.nn.init.zeros_(weight)
        ours = model(inputs["pixel_values"], inputs["audio"])
        theirs = model.sam(inputs["pixel_values"], multimask_output=False)
        assert_close(ours.mask_logits, theirs.pred_masks[:, 0, 0], 1e-5)

    @pytest.mark.parametrize("method", METHODS)
    def test_disabled_adapter_is_the_base_with_its_clicks(self, method):
        model, inputs = make_model(method=method), batch()
        with torch.no_grad():
            for weight in model.adapters.parameters():
                weight.add_(0.1)
        points = torch.rand(2, 3, 2) * 64
        with model.disable_adapter():
            ours = model(inputs["pixel_values"], input_points=points)
        theirs = model.sam(inputs["pixel_values"], input_points=points[:, None], multimask_output=False)
        assert_close(ours.mask_logits, theirs.pred_masks[:, 0, 0], 1e-5)
        assert not torch.allclose(model(**inputs, input_points=points).mask_logits, ours.mask_logits)

    def test_prompt_tokens(self):
        model = make_model(method="ap-sam", prompt_tokens=3)
        assert model.adapters["default"].audio_prompt(torch.randn(2, 128)).shape == (2, 1, 3, 32)

    def test_subset_of_layers_leaves_a_frozen_prefix(self):
        model, inputs = make_model(adapter_layers=[2, 3]), batch()
        adapter = model.adapters["default"].audio_adapter
        offsets = adapter(inputs["audio"])
        assert [offset is None for offset in offsets] == [True, True, False, False]
        gradients = []
        for layer in model.sam.vision_encoder.layers:
            layer.mlp.register_forward_hook(lambda *call: gradients.append(call[2].requires_grad))
        model(**inputs)
        assert gradients == [False, False, True, True]

    def test_cached_image_embeddings(self):
        model, inputs = make_model(method="ap-sam"), batch()
        output = model(**inputs)
        again = model(audio=inputs["audio"], image_embeddings=output.image_embeddings)
        assert torch.equal(again.mask_logits, output.mask_logits)

    @pytest.mark.parametrize(
        ("settings", "layers", "kept"),
        [
            ({"method": "ap-sam"}, 4, {"image_embeddings": (2, 32, 8, 8)}),
            ({"adapter_layers": [3, 2]}, 2, {"image_tokens": (2, 8, 8, 32)}),
            ({"adapter_layers": [1], "method": "sama+ap-sam"}, 1, {"image_tokens": (2, 8, 8, 32)}),
            ({"adapter_layers": [0, 3]}, 0, {}),
            ({}, 0, {}),
        ],
    )
    def test_what_the_frozen_layers_give_can_be_kept(self, settings, layers, kept):
        model, inputs = make_model(**settings).train(), batch()
        assert model.frozen_layers == layers
        frozen = model.encode_frozen(inputs["pixel_values"])
        assert {name: tuple(tensor.shape) for name, tensor in frozen.items()} == kept
        assert not any(tensor.requires_grad for tensor in frozen.values())
        if kept:
            results = []
            for start in ({"pixel_values": inputs["pixel_values"]}, frozen):
                model.zero_grad()
                output = model(**start, audio=inputs["audio"], mask_labels=inputs["mask_labels"])
                output.loss.backward()
                gradients = [weight.grad for weight in model.parameters() if weight.requires_grad]
                results.append([output.mask_logits, output.loss, output.image_embeddings, *gradients])
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))

    def test_nothing_is_kept_of_an_encoder_that_trains(self):
        model, inputs = make_model(method="ap-sam"), batch()
        model.add_lora()
        assert model.frozen_layers == 0 and model.encode_frozen(inputs["pixel_values"]) == {}
        model(**inputs).loss.backward()
        gradients = [weight.grad for name, weight in model.sam.named_parameters() if "lora_B" in name]
        assert len(gradients) == 4 and all(gradient.any() for gradient in gradients)
        with model.disable_adapter():
            assert model.frozen_layers == 4

    def test_a_disabled_adapter_leaves_all_layers_as_they_are(self):
        model, inputs = make_model(), batch()
        with model.disable_adapter():
            assert model.frozen_layers == 4
            embeddings = model.encode_frozen(inputs["pixel_values"])["image_embeddings"]
            expected = model(inputs["pixel_values"]).mask_logits
            assert torch.equal(model(image_embeddings=embeddings).mask_logits, expected)

    def test_pixels_may_take_a_gradient_through_frozen_layers(self):
        for settings in ({"method": "ap-sam"}, {"adapter_layers": [2]}):
            model, inputs = make_model(**settings), batch()
            inputs["pixel_values"].requires_grad_()
            model(**inputs).loss.backward()
            assert inputs["pixel_values"].grad.any()

    @pytest.mark.parametrize("settings", [{}, {"method": "ap-sam"}, {"adapter_layers": [0, 2]}])
    def test_image_tokens_need_frozen_first_layers(self, settings):
        with pytest.raises(ValueError, match="image_tokens cannot be passed in: .*behind its first layers"):
            make_model(**settings)(audio=torch.zeros(1, 128), image_tokens=torch.zeros(1, 8, 8, 32))

    def test_image_tokens_of_another_grid(self):
        with pytest.raises(ValueError, match=r"image_tokens must be \(B, 8, 8, 32\), not \(1, 4, 4, 32\)"):
            make_model(adapter_layers=[2])(audio=torch.zeros(1, 128), image_tokens=torch.zeros(1, 4, 4, 32))

    def test_cached_image_embeddings_need_a_deaf_encoder(self):
        with pytest.raises(ValueError, match="brings audio into the image encoder"):
            make_model()(audio=torch.zeros(1, 128), image_embeddings=torch.zeros(1, 32, 8, 8))

    def test_audio_encoder_input_and_its_embedding_are_the_same(self):
        model, inputs = make_model(), batch()
        examples = torch.randn(2, 1, 96, 64)
        embedding = model.encode_audio(examples)
        assert torch.equal(
            model(inputs["pixel_values"], examples).mask_logits, model(inputs["pixel_values"], embedding).mask_logits
        )

    def test_cached_image_embeddings_of_another_grid(self):
        with pytest.raises(ValueError, match=r"must be \(B, 32, 8, 8\)"):
            make_model(method="ap-sam")(audio=torch.zeros(1, 128), image_embeddings=torch.zeros(1, 32, 4, 4))

    def test_no_clicks_at_all_are_no_clicks(self):
        model, inputs = make_model(), batch()
        expected = model(**inputs).mask_logits
        assert torch.equal(model(**inputs, input_points=torch.zeros(2, 0, 2)).mask_logits, expected)

    def test_positions_keep_float32_under_autocast(self):
        matrix = torch.randn(2, 16)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(grid_positions(matrix, 8), grid_positions(matrix, 8).float())
            inside = grid_positions(matrix, 8)
        assert torch.equal(inside, grid_positions(matrix, 8))

    def test_other_image_size(self):
        model = make_model(image_size=128)
        assert model(**batch(128)).mask_logits.shape == (2, 64, 64)
        assert model.config.image_size == 128


class TestFrozen:
    @pytest.mark.parametrize("method", METHODS)
    def test_every_trainable_weight_gets_a_gradient_and_no_frozen_one(self, method):
        model = make_model(method=method).train()
        model(**batch()).loss.backward()
        for name, weight in model.named_parameters():
            assert (weight.grad is not None) == weight.requires_grad, name
        trainable = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert trainable and all(name.startswith("adapters.default.") for name in trainable)
        assert not any(part in name for part in INACTIVE for name in trainable)
        assert ("adapters.default.no_mask_embed.weight" in trainable) == ("sama" in method.split("+"))

    def test_frozen_decoder(self):
        model = make_model(method="ap-sam", train_mask_decoder=False)
        model(**batch()).loss.backward()
        trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
        assert all("audio_prompt" in name for name in trained)

    def test_train_mode_leaves_the_frozen_networks_in_eval_mode(self):
        model = make_model().train()
        assert model.training and model.adapters["default"].training
        assert not any(module.training for module in model.sam.modules())
        assert not model.audio_encoder.training

    def test_state_dict_holds_what_is_trained(self):
        model = make_model()
        assert all(name.startswith("adapters.default.") for name in model.state_dict())
        other = make_model(seed=1)
        other.load_state_dict(model.state_dict(), strict=True)
        inputs = batch()
        other.sam.load_state_dict(model.sam.state_dict())
        assert torch.equal(other(**inputs).mask_logits, model(**inputs).mask_logits)

    def test_state_dict_of_a_wrapped_model(self):
        model = make_model()
        wrapped = torch.nn.ModuleDict({"module": model})
        assert {name.removeprefix("module.") for name in wrapped.state_dict()} == set(model.state_dict())
        wrapped.load_state_dict(wrapped.state_dict(), strict=True)

    def test_incomplete_state_dict_is_refused(self):
        model = make_model()
        state = model.state_dict()
        del state["adapters.default.no_mask_embed.weight"]
        with pytest.raises(RuntimeError, match="no_mask_embed"):
            model.load_state_dict(state)

    def test_one_step_trains_the_adapter_and_nothing_else(self):
        model, inputs = make_model().train(), batch()
        before = {name: weight.clone() for name, weight in model.named_parameters()}
        optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=1e-2, weight_decay=0.1)
        losses = []
        for _ in range(8):
            loss = model(**inputs).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
        for name, weight in model.named_parameters():
            assert torch.equal(weight, before[name]) != weight.requires_grad, name

    def test_activation_checkpointing_changes_memory_not_numbers(self):
        gradients = []
        for checkpointing in (False, True):
            model = make_model().train()
            if checkpointing:
                model.activation_checkpointing_enable()
            calls = []
            model.sam.vision_encoder.layers[3].mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            model(**batch()).loss.backward()
            assert len(calls) == (2 if checkpointing else 1)
            gradients.append([weight.grad for weight in model.parameters() if weight.requires_grad])
        for plain, checkpointed in zip(*gradients, strict=True):
            assert torch.allclose(plain, checkpointed, atol=1e-6)

    def test_a_live_base_is_left_as_it_was(self):
        sam = make_sam().half()
        first = SamAV.from_base(sam, audio_encoder=TinyAudioEncoder(), device="cpu")
        second = SamAV.from_base(sam, audio_encoder=TinyAudioEncoder(), device="cpu")
        first.add_lora()
        assert all(weight.requires_grad and weight.dtype == torch.float16 for weight in sam.parameters())
        assert not any("lora" in name for name, _ in [*sam.named_parameters(), *second.named_parameters()])
        second.add_lora()


class TestHandling:
    """What PyTorch users do with any module."""

    def test_deepcopy_and_pickle(self):
        model, inputs = make_model(), batch()
        expected = model(**inputs).mask_logits
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(twin(**inputs).mask_logits, expected)
            assert twin.state_dict().keys() == model.state_dict().keys()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_dtype_of_the_whole_model(self, dtype):
        model, inputs = make_model(), batch()
        expected = model(**inputs).mask_logits
        ours = model.to(dtype)(**inputs)
        assert ours.mask_logits.dtype == torch.float32 and ours.loss.isfinite()
        assert (ours.mask_logits - expected).abs().max() < (
            0.05 if dtype == torch.bfloat16 else 1e-3
        ) * expected.abs().max()

    def test_half_precision_encoder_keeps_the_adapter_in_float32(self):
        model = SamAV.from_base(make_sam(), audio_encoder=TinyAudioEncoder(), device="cpu", dtype=torch.bfloat16)
        assert {weight.dtype for weight in model.sam.vision_encoder.parameters()} == {torch.bfloat16}
        assert {weight.dtype for weight in model.adapters.parameters()} == {torch.float32}
        assert model.sam.shared_image_embedding.positional_embedding.dtype == torch.float32
        model(**batch()).loss.backward()

    def test_autocast(self):
        model, inputs = make_model(), batch()
        with torch.autocast("cpu", torch.bfloat16):
            output = model(**inputs)
        output.loss.backward()
        expected = model(**inputs).mask_logits
        assert (output.mask_logits - expected).abs().max() < 0.05 * expected.abs().max()

    def test_compile(self):
        model, inputs = make_model(method="sama+ap-sam"), batch()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        output = compiled(**inputs)
        assert_close(output.mask_logits, model(**inputs).mask_logits, 1e-5)
        output.loss.backward()

    @pytest.mark.cuda
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    def test_cuda_takes_bfloat16_by_itself(self):
        model = SamAV.from_base(make_sam(), audio_encoder=TinyAudioEncoder())
        assert model.device.type == "cuda"
        assert model.sam.vision_encoder.patch_embed.projection.weight.dtype == torch.bfloat16
        model(**{key: value.cuda() for key, value in batch().items()}).loss.backward()


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"pixel_values": torch.zeros(2, 3, 32, 32)}, r"must be \(B, 3, 64, 64\)"),
            ({"pixel_values": None}, "Pass `pixel_values`"),
            ({"audio": None}, "needs `audio`"),
            ({"audio": torch.zeros(2, 64)}, r"embeddings \(B, 128\)"),
            ({"audio": torch.zeros(3, 128)}, "batch of 3"),
            ({"mask_labels": torch.zeros(64, 64)}, r"must be \(B, H, W\)"),
            ({"input_points": torch.zeros(2, 1, 3, 2)}, r"must be \(B, N, 2\)"),
            ({"input_boxes": torch.zeros(1, 4)}, "batch of 1"),
            ({"input_labels": torch.ones(2, 1)}, "Labels belong to clicks"),
            ({"pixel_values": torch.zeros(2, 3, 64, 64, dtype=torch.uint8)}, "normalised floats"),
            ({"pixel_values": torch.zeros(0, 3, 64, 64)}, "at least one frame"),
            ({"audio": torch.zeros(128)}, "needs a batch axis"),
            ({"image_embeddings": torch.zeros(2, 32, 8, 8)}, "pixel_values or image_embeddings, not both"),
            ({"image_tokens": torch.zeros(2, 8, 8, 32)}, "pixel_values or image_tokens, not both"),
        ],
    )
    def test_shapes(self, change, message):
        with pytest.raises(ValueError, match=message):
            make_model()(**{**batch(), **change})

    def test_no_audio_encoder(self):
        model = SamAV.from_base(make_sam(), SamAVConfig(audio_encoder=None, audio_dim=128), device="cpu")
        with pytest.raises(ValueError, match="No audio encoder is loaded"):
            model(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 96, 64))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"method": "samba"}, "method must be one of sama, ap-sam"),
            ({"adapter_layers": [0, 4]}, r"layers 0 to 3, not \[4\]"),
            ({"adapter_layers": "some"}, "'all' or a list"),
            ({"image_size": 100}, "multiple of the patch size"),
            ({"loss": "bce+iuo"}, "each term of loss must be one of bce, iou"),
            ({"audio_dim": 64}, "gives 128"),
            ({"prompt_tokens": 0}, "prompt_tokens must be positive"),
            ({"image_std": [0.0, 1.0, 1.0]}, "the latter positive"),
            ({"adapter_hidden_dim": "512"}, "adapter_hidden_dim must be int, not '512'"),
            ({"adapter_layers": [True]}, "adapter_layers must be"),
            ({"audio_encoder": "ast"}, "names the audio encoder 'ast', but this model has 'tiny'"),
            ({"threshold": 1.5}, "between 0 and 1"),
            ({"base_model_name_or_path": "/home/me/sam"}, "id of a Hub repository"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            make_model(**settings)

    def test_dtype(self):
        with pytest.raises(ValueError, match="'auto' or a torch.dtype"):
            SamAV.from_base(make_sam(), audio_encoder=TinyAudioEncoder(), dtype="half")

    def test_random_audio_encoder_is_loud_once(self):
        model = SamAV.from_base(make_sam(), audio_encoder=VGGish(), device="cpu")
        examples = torch.zeros(1, 1, 96, 64)
        with pytest.warns(UserWarning, match="RANDOM WEIGHTS"):
            model.encode_audio(examples)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.encode_audio(examples)

    def test_adapted_sam_model_is_refused(self):
        sam = make_sam()
        sam.add_adapter(LoraConfig(target_modules=["qkv"]))
        with pytest.raises(ValueError, match="already carries PEFT adapters"):
            load_base(sam)
