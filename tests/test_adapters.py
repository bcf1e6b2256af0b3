"""Several adapters on one base, LoRA beside them, and PEFT around the whole."""

import json

import pytest
import torch
from conftest import TinyAudioEncoder, make_model, make_sam
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from test_model import batch

from sam_av import SamAV, SamAVConfig


def saved(folder, **settings):
    make_model(**settings).save_pretrained(folder)
    return folder


def storage(module):
    return {weight.data_ptr() for weight in module.parameters()}


class TestSeveral:
    def test_load_switch_delete(self, tmp_path):
        second = make_model(method="ap-sam")
        with torch.no_grad():
            second.adapters["default"].mask_decoder.mask_tokens.weight.add_(1)
        second.save_pretrained(tmp_path)
        model, inputs = make_model(), batch()
        base = storage(model.sam)
        first_masks, second_masks = model(**inputs).mask_logits, second(**inputs).mask_logits

        model.load_adapter(tmp_path, "second")
        assert model.active_adapter == "second" and model.config.method == "ap-sam"
        assert torch.equal(model(**inputs).mask_logits, second_masks)
        model.set_adapter("default")
        assert torch.equal(model(**inputs).mask_logits, first_masks)
        assert storage(model.sam) == base, "the base is neither copied nor reloaded"
        model.delete_adapter("second")
        assert list(model.adapters) == ["default"]

    def test_only_the_active_adapter_trains(self):
        model = make_model()
        model.add_adapter("other")
        model(**batch()).loss.backward()
        trained = {name.split(".")[1] for name, weight in model.named_parameters() if weight.grad is not None}
        assert trained == {"other"}
        assert {n.split(".")[1] for n, w in model.named_parameters() if w.requires_grad} == {"other"}

    def test_only_the_active_adapter_is_saved(self, tmp_path):
        model = make_model()
        model.add_adapter("other", SamAVConfig(method="ap-sam"))
        model.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["method"] == "ap-sam"

    def test_disable_restores_the_active_adapter_after_an_error(self):
        model, inputs = make_model(), batch()
        expected = model(**inputs).mask_logits
        with pytest.raises(KeyError), model.disable_adapter():
            raise KeyError
        assert torch.equal(model(**inputs).mask_logits, expected)

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="no adapter 'x'; this model has: default"):
            make_model().set_adapter("x")

    def test_taken_and_impossible_names(self):
        model = make_model()
        with pytest.raises(ValueError, match="'default' already"):
            model.add_adapter("default")
        for name in ("a.b", "", "keys", "train"):
            with pytest.raises(ValueError, match="without a dot"):
                model.add_adapter(name)

    def test_a_configuration_for_another_base(self):
        model = make_model()
        model.base_name = "someone/sam-tiny"
        with pytest.raises(
            ValueError, match="names the base 'someone/other', but this model stands on 'someone/sam-tiny'"
        ):
            model.add_adapter("x", SamAVConfig(base_model_name_or_path="someone/other"))

    def test_deleting_the_active_adapter(self):
        with pytest.raises(ValueError, match="switch to another"):
            make_model().delete_adapter("default")

    def test_merging_says_why_not(self):
        for merge in (make_model().merge_adapter, make_model().merge_and_unload):
            with pytest.raises(RuntimeError, match="depends on the sound"):
                merge()

    def test_another_image_size_cannot_share_the_model(self, tmp_path):
        with pytest.raises(ValueError, match="128 px and this model at 64 px"):
            make_model().load_adapter(saved(tmp_path, image_size=128), "large")

    def test_another_audio_encoder_cannot_share_the_model(self, tmp_path):
        other = SamAV.from_base(make_sam(), audio_encoder=TinyAudioEncoder(seed=1), device="cpu")
        with pytest.raises(ValueError, match="Wrong audio encoder"):
            other.load_adapter(saved(tmp_path), "second")

    def test_a_failed_load_changes_nothing(self, tmp_path):
        model = make_model()
        with pytest.raises(ValueError, match="px"):
            model.load_adapter(saved(tmp_path, image_size=128), "large")
        assert model.active_adapter == "default" and list(model.adapters) == ["default"]


def with_lora(strength=0.3, **settings):
    model = make_model(**settings)
    model.add_lora(LoraConfig(r=2, target_modules=r"vision_encoder.*attn\.qkv"))
    for name, weight in model.sam.named_parameters():
        if "lora_B" in name:
            torch.nn.init.constant_(weight, strength)
    return model


class TestLora:
    def test_it_trains_beside_the_adapter(self):
        model = with_lora()
        model(**batch()).loss.backward()
        trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
        assert any("lora_A" in name for name in trained) and any("audio_adapter" in name for name in trained)
        assert trained == {name for name, weight in model.named_parameters() if weight.requires_grad}

    def test_default_is_rank_8_on_qkv(self):
        model = make_model()
        model.add_lora()
        ranks = {w.shape[0] for name, w in model.sam.named_parameters() if "lora_A" in name}
        adapted = {name.split(".lora_A")[0] for name, _ in model.sam.named_parameters() if "lora_A" in name}
        assert ranks == {8} and len(adapted) == 4 and all(name.endswith("attn.qkv") for name in adapted)
        with pytest.raises(ValueError, match="has LoRA already"):
            model.add_lora()

    def test_round_trip(self, tmp_path):
        model, inputs = with_lora(base_model_name_or_path="someone/sam-tiny"), batch()
        model.save_pretrained(tmp_path)
        assert sorted(path.name for path in (tmp_path / "lora").iterdir()) == [
            "adapter_config.json", "adapter_model.safetensors",
        ]  # fmt: skip
        again = SamAV.from_pretrained(tmp_path, base=make_sam(), audio_encoder=TinyAudioEncoder(), device="cpu")
        assert torch.allclose(again(**inputs).mask_logits, model(**inputs).mask_logits, atol=1e-6)
        trainable = {name for name, weight in model.named_parameters() if weight.requires_grad}
        assert {name for name, weight in again.named_parameters() if weight.requires_grad} == trainable

    def test_plain_peft_reads_it(self, tmp_path):
        model = with_lora(base_model_name_or_path="someone/sam-tiny")
        model.save_pretrained(tmp_path)
        peft_model = PeftModel.from_pretrained(make_sam(), str(tmp_path), subfolder="lora")
        assert peft_model.peft_config["default"].base_model_name_or_path == "someone/sam-tiny"
        pixels = batch()["pixel_values"]
        with torch.no_grad():
            theirs = peft_model.base_model.model.vision_encoder(pixels).last_hidden_state
            ours = model.sam.vision_encoder(pixels).last_hidden_state
            base = make_sam().vision_encoder(pixels).last_hidden_state
        assert torch.allclose(ours, theirs, atol=1e-6) and not torch.allclose(ours, base)

    def test_saving_without_lora_removes_an_earlier_one(self, tmp_path):
        with_lora().save_pretrained(tmp_path)
        make_model().save_pretrained(tmp_path)
        assert not list((tmp_path / "lora").iterdir())

    def test_saving_deletes_nothing_else(self, tmp_path):
        (tmp_path / "lora").mkdir()
        (tmp_path / "lora" / "mine.txt").write_text("precious")
        make_model().save_pretrained(tmp_path)
        assert (tmp_path / "lora" / "mine.txt").read_text() == "precious"

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"target_modules": ["qkv"], "bias": "lora_only"}, "bias='none'"),
            ({"target_modules": ["qkv"], "modules_to_save": ["neck"]}, "no modules_to_save"),
            ({"target_modules": ["q_proj"]}, "and no others, but .* matches .'mask_decoder"),
            ({"target_modules": ["nothing"]}, "matches nothing"),
        ],
    )
    def test_what_would_touch_the_base_is_refused(self, settings, message):
        model = make_model()
        with pytest.raises(ValueError, match=message):
            model.add_lora(LoraConfig(r=2, **settings))
        model.add_lora()

    def test_it_may_adapt_the_mlp_where_no_audio_enters(self):
        model = make_model(method="ap-sam")
        model.add_lora(LoraConfig(r=2, target_modules=r"vision_encoder.*mlp\.lin1"))
        model(**batch()).loss.backward()
        assert all(w.grad is not None for name, w in model.sam.named_parameters() if "lora_B" in name)

    def test_dropout_acts_in_training_only(self):
        model = make_model()
        model.add_lora(LoraConfig(r=2, target_modules=r"vision_encoder.*attn\.qkv", lora_dropout=0.5))
        for name, weight in model.sam.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(weight, 0.3)
        inputs = batch()
        model.train()
        assert not torch.equal(model(**inputs).mask_logits, model(**inputs).mask_logits)
        model.eval()
        assert torch.equal(model(**inputs).mask_logits, model(**inputs).mask_logits)

    def test_disabled_stays_disabled_while_adapters_are_switched(self):
        model, inputs = with_lora(), batch()
        model.add_adapter("plain")
        with model.disable_adapter():
            expected = model(inputs["pixel_values"]).mask_logits
            model.set_adapter("default")
            assert torch.equal(model(inputs["pixel_values"]).mask_logits, expected)

    def test_a_damaged_file_changes_nothing(self, tmp_path):
        with_lora().save_pretrained(tmp_path)
        file = tmp_path / "lora" / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:-50])
        model = make_model()
        with pytest.raises(ValueError, match="damaged"):
            model.load_adapter(tmp_path, "second")
        assert model.active_adapter == "default" and list(model.adapters) == ["default"]
        assert not any("lora" in name for name, _ in model.named_parameters())

    def test_half_precision_files(self, tmp_path):
        with_lora().save_pretrained(tmp_path, dtype=torch.float16)
        tensors = load_file(tmp_path / "lora" / "adapter_model.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}

    def test_every_run_writes_the_same_file(self, tmp_path):
        model = make_model()
        model.add_lora(LoraConfig(r=2, target_modules=["qkv", "lin1", "lin2"], exclude_modules=r"mask_decoder.*"))
        model.save_pretrained(tmp_path)
        written = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
        assert written["target_modules"] == ["lin1", "lin2", "qkv"]

    def test_switching_and_disabling(self):
        model, inputs = with_lora(), batch()
        with_it = model(**inputs).mask_logits
        plain = make_model()(**inputs).mask_logits
        base = make_sam()(inputs["pixel_values"], multimask_output=False).pred_masks[:, 0, 0]
        with model.disable_adapter():
            assert torch.allclose(model(**inputs).mask_logits, base, atol=1e-5)
        assert torch.equal(model(**inputs).mask_logits, with_it)
        model.add_adapter("plain")
        model.adapters["plain"].load_state_dict(make_model().adapters["default"].state_dict())
        assert torch.allclose(model(**inputs).mask_logits, plain, atol=1e-6)
        model.set_adapter("default")
        assert torch.equal(model(**inputs).mask_logits, with_it)
        model.set_adapter("plain")
        model.delete_adapter("default")
        assert torch.allclose(model(**inputs).mask_logits, plain, atol=1e-6)

    def test_state_dict_holds_it(self):
        names = with_lora().state_dict()
        assert any("lora_A" in name for name in names)
        assert all("lora_" in name or name.startswith("adapters.") for name in names)

    def test_bfloat16_base_keeps_lora_in_float32(self):
        model = SamAV.from_base(make_sam(), audio_encoder=TinyAudioEncoder(), device="cpu", dtype=torch.bfloat16)
        model.add_lora()
        assert {w.dtype for name, w in model.sam.named_parameters() if "lora_" in name} == {torch.float32}
        model(**batch()).loss.backward()


class TestPeftAroundTheWhole:
    def test_get_peft_model(self, tmp_path):
        model, inputs = make_model(), batch()
        expected = model(**inputs).mask_logits
        wrapped = get_peft_model(model, LoraConfig(r=2, target_modules=r"sam\.vision_encoder.*attn\.qkv"))
        assert torch.allclose(wrapped(**inputs).mask_logits, expected, atol=1e-6), "LoRA begins as nothing"
        wrapped(**inputs).loss.backward()
        assert all("lora_" in name for name, weight in wrapped.named_parameters() if weight.grad is not None)
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(weight, 0.3)
        wrapped.save_pretrained(tmp_path)
        again = PeftModel.from_pretrained(make_model(), str(tmp_path))
        assert torch.allclose(again(**inputs).mask_logits, wrapped(**inputs).mask_logits, atol=1e-6)
