"""The frozen part: every way to load it, both ways of converting it, other sizes, exact encoder and decoder."""

import copy

import pytest
import segment_anything
import torch
from conftest import GOLDEN, make_sam
from safetensors.torch import load_file, save_file
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch.nn import functional as F
from transformers import SamConfig, SamModel

from sam_av.fingerprint import difference, fingerprint
from sam_av.sam import (
    begin_encoding,
    decode_masks,
    encode_image,
    encode_prompts,
    finish_encoding,
    from_segment_anything,
    grid_positions,
    load_base,
    resize,
    to_segment_anything,
)
from sam_av.sam.checkpoint import to_segment_anything_key, to_transformers_key

CHECKPOINT = GOLDEN / "segment_anything_tiny.pth"
MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
STD = torch.tensor([58.395, 57.12, 57.375])[:, None, None]


def assert_close(ours, theirs, tolerance=1e-4):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def tiny_segment_anything() -> Sam:
    """segment-anything's own model in the size of the golden checkpoint."""
    encoder = ImageEncoderViT(
        img_size=256, patch_size=16, embed_dim=64, depth=4, num_heads=4, out_chans=64, use_rel_pos=True,
        window_size=14, global_attn_indexes=(1, 3), norm_layer=lambda dim: torch.nn.LayerNorm(dim, eps=1e-6),
    )  # fmt: skip
    prompts = PromptEncoder(embed_dim=64, image_embedding_size=(16, 16), input_image_size=(256, 256), mask_in_chans=16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=64, mlp_dim=2048, num_heads=8)
    sam = Sam(encoder, prompts, MaskDecoder(transformer_dim=64, transformer=transformer))
    sam.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    return sam.eval()


@pytest.fixture(scope="module")
def golden_sam():
    return load_base(CHECKPOINT).sam


@pytest.fixture(scope="module")
def reference():
    return load_file(GOLDEN / "segment_anything_tiny.safetensors")


@pytest.fixture(scope="module")
def embeddings(golden_sam, reference):
    pixels = F.pad((reference["image"] - MEAN) / STD, (0, 0, 0, 64))[None]
    with torch.no_grad():
        return encode_image(golden_sam.vision_encoder, pixels)


class TestGolden:
    """The reference implementation's numbers, through our loading."""

    def test_image_embeddings(self, embeddings, reference):
        assert_close(embeddings, reference["image_embeddings"])

    @torch.no_grad()
    def test_points_give_three_masks(self, golden_sam, embeddings, reference):
        output = golden_sam(
            image_embeddings=embeddings,
            input_points=reference["point_coords"][None],
            input_labels=reference["point_labels"][None],
            multimask_output=True,
        )
        assert_close(output.pred_masks[0], reference["points.low_res_logits"])
        assert_close(output.iou_scores[0], reference["points.iou"])
        masks = F.interpolate(output.pred_masks[0], (256, 256), mode="bilinear")[..., :192, :256]
        masks = F.interpolate(masks, (384, 512), mode="bilinear") > 0
        assert (masks != reference["points.masks"]).float().mean() < 1e-4

    @torch.no_grad()
    def test_box_gives_one_mask(self, golden_sam, embeddings, reference):
        positions = golden_sam.shared_image_embedding.positional_embedding
        tokens = encode_prompts(golden_sam.prompt_encoder, positions, None, None, reference["box"])
        logits, iou = decode_masks(
            golden_sam.mask_decoder,
            embeddings,
            grid_positions(positions, 16),
            tokens,
            golden_sam.prompt_encoder.no_mask_embed.weight,
        )
        assert_close(logits, reference["box.low_res_logits"][:, 0])
        assert_close(iou, reference["box.iou"][:, 0])


class TestFormats:
    def test_checkpoint_round_trip_is_bit_equal(self):
        original = torch.load(CHECKPOINT, weights_only=True)
        back = to_segment_anything(load_base(CHECKPOINT).sam)
        assert back.keys() == original.keys()
        assert all(torch.equal(back[key], original[key]) for key in original)

    def test_transformers_round_trip_is_bit_equal(self, sam, tmp_path):
        sam.save_pretrained(tmp_path)
        loaded = load_base(tmp_path).sam
        through = from_segment_anything(to_segment_anything(loaded))
        expected = sam.state_dict()
        assert through.state_dict().keys() == expected.keys()
        assert all(torch.equal(through.state_dict()[key], expected[key]) for key in expected)
        for section in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
            ours, theirs = getattr(through.config, section), getattr(sam.config, section)
            for field in (
                "hidden_size",
                "image_size",
                "patch_size",
                "mlp_dim",
                "window_size",
                "num_attention_heads",
            ):
                if hasattr(theirs, field):
                    assert getattr(ours, field) == getattr(theirs, field), (section, field)
        assert list(through.config.vision_config.global_attn_indexes) == [1, 3]

    def test_half_precision_folder_stays_half(self, sam, tmp_path):
        sam.half().save_pretrained(tmp_path)
        assert load_base(tmp_path).sam.mask_decoder.iou_token.weight.dtype == torch.float16

    def test_all_published_sizes_are_read_from_their_tensors(self):
        for build, width, depth, heads in (
            ("vit_b", 768, 12, 12),
            ("vit_l", 1024, 24, 16),
            ("vit_h", 1280, 32, 16),
        ):
            with torch.device("meta"):
                model = segment_anything.sam_model_registry[build]()
            vision = from_segment_anything(model.state_dict()).config.vision_config
            assert (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads) == (
                width,
                depth,
                heads,
            )
            assert (vision.image_size, vision.patch_size, vision.window_size) == (1024, 16, 14)
            assert len(vision.global_attn_indexes) == 4

    def test_live_segment_anything_model(self):
        live = tiny_segment_anything()
        pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert_close(encode_image(load_base(live).sam.vision_encoder, pixels), live.image_encoder(pixels))

    def test_written_checkpoint_loads_into_segment_anything(self, tmp_path):
        live = tiny_segment_anything()
        torch.save(to_segment_anything(load_base(CHECKPOINT).sam), tmp_path / "sam.pth")
        live.load_state_dict(torch.load(tmp_path / "sam.pth", weights_only=True), strict=True)

    def test_live_transformers_model_keeps_its_hub_name(self, sam):
        sam.config._name_or_path = "someone/sam-tiny"
        assert load_base(sam).name == "someone/sam-tiny"
        sam.config._name_or_path = str(GOLDEN)
        assert load_base(sam).name is None

    def test_a_grid_as_wide_as_the_window_still_has_windows(self):
        """At 224 px a checkpoint's tables cannot tell windows from global layers; at any other size it matters."""
        config = SamConfig(
            vision_config={"hidden_size": 32, "num_attention_heads": 2, "mlp_dim": 32, "image_size": 224}
        )
        sam = SamModel(config).eval()
        through = from_segment_anything(to_segment_anything(sam))
        assert through.config.vision_config.window_size == 14
        assert list(through.config.vision_config.global_attn_indexes) == [2, 5, 8, 11]
        pixels = torch.randn(1, 3, 448, 448)
        with torch.no_grad():
            ours, theirs = (encode_image(resize(model, 448).vision_encoder, pixels) for model in (through, sam))
        assert_close(ours, theirs, 1e-5)

    def test_key_table_goes_both_ways(self):
        for key in torch.load(CHECKPOINT, weights_only=True):
            assert to_segment_anything_key(to_transformers_key(key)) == key


class TestBadFiles:
    def test_missing_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no file of weights"):
            load_base(tmp_path / "sam.pth")

    def test_missing_folder(self):
        with pytest.raises(FileNotFoundError, match="neither a folder"):
            load_base("./no/such/folder")

    def test_checkpoint_with_objects_is_not_unpickled(self, tmp_path):
        torch.save({"model": make_sam}, tmp_path / "objects.pth")
        with pytest.raises(ValueError, match="can run code"):
            load_base(tmp_path / "objects.pth")

    def test_truncated_checkpoint(self, tmp_path):
        (tmp_path / "cut.pth").write_bytes(CHECKPOINT.read_bytes()[:100_000])
        with pytest.raises(ValueError, match="damaged or truncated"):
            load_base(tmp_path / "cut.pth")

    def test_foreign_checkpoint(self, tmp_path):
        torch.save({"backbone.weight": torch.zeros(2)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"not a segment-anything checkpoint.*backbone"):
            load_base(tmp_path / "other.pth")

    def test_checkpoint_with_a_missing_and_an_extra_tensor(self, tmp_path):
        state = torch.load(CHECKPOINT, weights_only=True)
        state["stray"] = state.pop("prompt_encoder.not_a_point_embed.weight")
        torch.save(state, tmp_path / "sam.pth")
        with pytest.raises(ValueError, match=r"not_a_point_embed.*stray"):
            load_base(tmp_path / "sam.pth")

    def test_folder_of_another_model(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "vit"}')
        with pytest.raises(ValueError, match="type 'vit'"):
            load_base(tmp_path)

    def test_folder_with_truncated_weights(self, sam, tmp_path):
        sam.save_pretrained(tmp_path)
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
        with pytest.raises(ValueError, match="cannot be read"):
            load_base(tmp_path)

    def test_object_that_is_no_sam(self):
        with pytest.raises(TypeError, match="Linear"):
            load_base(torch.nn.Linear(1, 1))


class TestResize:
    @pytest.mark.parametrize("size", [40, 64, 128, 200])
    def test_any_multiple_of_the_patch(self, sam, size):
        resized = resize(sam, size)
        grid = size // 8
        with torch.no_grad():
            assert encode_image(resized.vision_encoder, torch.zeros(2, 3, size, size)).shape == (
                2,
                32,
                grid,
                grid,
            )
        assert resized.config.vision_config.image_size == resized.prompt_encoder.input_image_size == size
        assert resized.prompt_encoder.image_embedding_size == (grid, grid)
        assert sam.config.vision_config.image_size == 64, "the original is left as it was"

    def test_tables_are_resampled_not_re_initialised(self, sam):
        resized = resize(sam, 128).vision_encoder
        old, new = sam.vision_encoder.pos_embed, resized.pos_embed
        expected = F.interpolate(old.permute(0, 3, 1, 2), (16, 16), mode="bicubic").permute(0, 2, 3, 1)
        assert torch.equal(new, expected)
        old, new = sam.vision_encoder.layers[1].attn.rel_pos_h, resized.layers[1].attn.rel_pos_h
        assert torch.equal(new, F.interpolate(old.T[None], 31, mode="linear")[0].T)

    def test_windows_and_weights_are_shared(self, sam):
        resized = resize(sam, 128)
        changed = {
            name
            for name, weight in sam.named_parameters()
            if resized.get_parameter(name).data_ptr() != weight.data_ptr()
        }
        assert changed == {"vision_encoder.pos_embed"} | {
            f"vision_encoder.layers.{layer}.attn.rel_pos_{axis}" for layer in (1, 3) for axis in "hw"
        }
        assert resized.shared_image_embedding.positional_embedding is (
            resized.prompt_encoder.shared_embedding.positional_embedding
        )

    def test_resized_model_is_saved_with_its_size(self, sam, tmp_path):
        resize(sam, 128).save_pretrained(tmp_path)
        assert load_base(tmp_path).sam.config.vision_config.image_size == 128

    def test_size_that_the_patch_does_not_divide(self, sam):
        with pytest.raises(ValueError, match=r"multiple of the patch size 8.*try 96"):
            resize(sam, 100)


class TestEncoder:
    @torch.no_grad()
    def test_without_offsets_it_is_transformers_encoder(self, sam):
        pixels = torch.randn(2, 3, 64, 64)
        assert_close(encode_image(sam.vision_encoder, pixels), sam.vision_encoder(pixels).last_hidden_state, 1e-5)

    @torch.no_grad()
    def test_an_offset_is_added_to_every_token_before_its_layer(self, sam):
        pixels, offset = torch.randn(2, 3, 64, 64), torch.randn(2, 32)
        with_offset = encode_image(sam.vision_encoder, pixels, [None, None, offset, None])
        handle = sam.vision_encoder.layers[2].register_forward_pre_hook(
            lambda layer, inputs: (inputs[0] + offset[:, None, None, :],)
        )
        expected = sam.vision_encoder(pixels).last_hidden_state
        handle.remove()
        assert_close(with_offset, expected, 1e-5)

    @pytest.mark.parametrize("layers", range(5))
    @torch.no_grad()
    def test_it_goes_on_from_any_layer(self, sam, layers):
        encoder, pixels = sam.vision_encoder, torch.randn(2, 3, 64, 64)
        offsets = [None] * layers + list(torch.randn(4 - layers, 2, 32))
        tokens = begin_encoding(encoder, pixels, layers)
        assert tokens.shape == (2, 8, 8, 32) and tokens.is_contiguous()
        embeddings = finish_encoding(encoder, tokens, layers, offsets)
        assert embeddings.is_contiguous()
        assert torch.equal(embeddings, encode_image(encoder, pixels, offsets))

    def test_positions_are_those_of_transformers(self, sam):
        ours = grid_positions(sam.shared_image_embedding.positional_embedding, 8)
        assert_close(ours, sam.get_image_wide_positional_embeddings(), 1e-5)


class TestPrompts:
    def encode(self, sam, **prompts):
        arguments = {"points": None, "labels": None, "boxes": None, **prompts}
        return encode_prompts(sam.prompt_encoder, sam.shared_image_embedding.positional_embedding, **arguments)

    def test_none(self, sam):
        assert self.encode(sam) is None

    def test_labels_default_to_on_the_object(self, sam):
        points = torch.rand(2, 3, 2) * 64
        assert torch.equal(
            self.encode(sam, points=points),
            self.encode(sam, points=points, labels=torch.ones(2, 3, dtype=torch.int64)),
        )

    def test_matrix_takes_the_place_of_the_encoders_own(self, sam):
        other = copy.deepcopy(sam)
        torch.nn.init.normal_(other.shared_image_embedding.positional_embedding)
        points = torch.rand(2, 3, 2) * 64
        ours = encode_prompts(sam.prompt_encoder, other.shared_image_embedding.positional_embedding, points, None, None)
        assert torch.equal(ours, self.encode(other, points=points))

    @pytest.mark.parametrize(
        ("prompts", "message"),
        [
            ({"points": torch.zeros(1, 1, 3, 2)}, r"\(B, N, 2\)"),
            ({"boxes": torch.zeros(1, 1, 4)}, r"\(B, 4\)"),
            ({"points": torch.zeros(1, 3, 2), "labels": torch.zeros(1, 2)}, "one label a click"),
        ],
    )
    def test_wrong_shapes(self, sam, prompts, message):
        with pytest.raises(ValueError, match=message):
            self.encode(sam, **prompts)


class TestFingerprint:
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_same_weights_in_another_dtype(self, sam, dtype):
        other = copy.deepcopy(sam).to(dtype)
        assert difference(fingerprint(sam.vision_encoder), fingerprint(other.vision_encoder)) == 0

    def test_half_precision_on_the_way(self, sam):
        other = copy.deepcopy(sam).half().float().bfloat16()
        assert difference(fingerprint(sam.vision_encoder), fingerprint(other.vision_encoder)) == 0

    def test_same_weights_in_another_format_and_size(self, sam):
        other = resize(from_segment_anything(to_segment_anything(sam)), 128)
        assert difference(fingerprint(sam.vision_encoder), fingerprint(other.vision_encoder)) == 0

    def test_other_weights(self, sam):
        assert difference(fingerprint(sam.vision_encoder), fingerprint(make_sam(seed=1).vision_encoder)) > 0.9

    def test_slightly_fine_tuned_weights(self, sam):
        tuned = copy.deepcopy(sam)
        with torch.no_grad():
            for weight in tuned.parameters():
                weight += 0.02 * weight.std() * torch.randn_like(weight)
        assert difference(fingerprint(sam.vision_encoder), fingerprint(tuned.vision_encoder)) > 0

    def test_no_values_on_the_meta_device(self, sam):
        assert fingerprint(sam.to("meta").vision_encoder) is None

    def test_unknown_version(self, sam):
        with pytest.raises(ValueError, match="Unknown fingerprint"):
            difference("9:abc", fingerprint(sam.vision_encoder))


def test_safetensors_of_sam_are_not_taken_for_a_folder(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="is a file: pass the folder"):
        load_base(tmp_path / "model.safetensors")
