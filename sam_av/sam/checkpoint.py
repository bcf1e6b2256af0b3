"""Segment Anything's own checkpoints and transformers' `SamModel`: one table of names, both ways, bit for bit."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import SamConfig, SamModel

# Prefixes, segment-anything -> transformers; the first that matches a key is taken.
_PREFIXES = (
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.blocks.", "vision_encoder.layers."),
    ("image_encoder.neck.0.", "vision_encoder.neck.conv1."),
    ("image_encoder.neck.1.", "vision_encoder.neck.layer_norm1."),
    ("image_encoder.neck.2.", "vision_encoder.neck.conv2."),
    ("image_encoder.neck.3.", "vision_encoder.neck.layer_norm2."),
    ("image_encoder.", "vision_encoder."),
    (
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "shared_image_embedding.positional_embedding",
    ),
    ("prompt_encoder.point_embeddings.", "prompt_encoder.point_embed."),
    ("prompt_encoder.mask_downscaling.0.", "prompt_encoder.mask_embed.conv1."),
    ("prompt_encoder.mask_downscaling.1.", "prompt_encoder.mask_embed.layer_norm1."),
    ("prompt_encoder.mask_downscaling.3.", "prompt_encoder.mask_embed.conv2."),
    ("prompt_encoder.mask_downscaling.4.", "prompt_encoder.mask_embed.layer_norm2."),
    ("prompt_encoder.mask_downscaling.6.", "prompt_encoder.mask_embed.conv3."),
    ("mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."),
    ("mask_decoder.output_upscaling.1.", "mask_decoder.upscale_layer_norm."),
    ("mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."),
)
_NORMS = tuple((f".{name}.", f".layer_{name}.") for name in ("norm1", "norm2", "norm3", "norm4", "norm_final_attn"))
# The decoder's small MLPs: three Linears in a row there; input, hidden and output projections here.
_MLP = re.compile(r"(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.(.+)\.(weight|bias)")
_MLP_LAYERS = (("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out"))

# transformers keeps the positional matrix under two names that are tied.
_TIED_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"
_POSITIONS = "shared_image_embedding.positional_embedding"

# Not read from tensors: SAM's mask decoder has eight heads in every size, and LayerNorms with torch's own epsilon.
_DECODER_HEADS = 8
_DECODER_NORM_EPS = 1e-5

# The window and the global layers, by depth, of the published models.
_WINDOW = 14
_GLOBAL_LAYERS = {12: [2, 5, 8, 11], 24: [5, 11, 17, 23], 32: [7, 15, 23, 31]}


def to_transformers_key(key: str) -> str:
    """The name in transformers' `SamModel` of a tensor of a segment-anything checkpoint."""
    return _rename(key, forward=True)


def to_segment_anything_key(key: str) -> str:
    """The name in a segment-anything checkpoint of a tensor of transformers' `SamModel`."""
    return _rename(key, forward=False)


def _rename(key: str, *, forward: bool) -> str:
    def table(pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
        return [pair if forward else (pair[1], pair[0]) for pair in pairs]

    if match := _MLP.fullmatch(key):
        head, layer, kind = match.groups()
        return f"{head}.{dict(table(_MLP_LAYERS)).get(layer, layer)}.{kind}"
    for old, new in table(_PREFIXES):
        if key.startswith(old):
            key = new + key.removeprefix(old)
            break
    for old, new in table(_NORMS):
        key = key.replace(old, new)
    return key


def config_from_tensors(state: Mapping[str, Tensor]) -> SamConfig:
    """The sizes of a SAM, read from the shapes of its segment-anything tensors."""
    try:
        return _config_from_tensors(state)
    except KeyError as error:
        raise ValueError(
            f"This is not a segment-anything checkpoint: it has no tensor {error}. Its {len(state)} keys begin with "
            f"{sorted({key.split('.')[0] for key in state})}."
        ) from error


def _config_from_tensors(state: Mapping[str, Tensor]) -> SamConfig:
    _, grid, _, hidden_size = state["image_encoder.pos_embed"].shape
    patch_size = state["image_encoder.patch_embed.proj.weight"].shape[-1]
    depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("image_encoder.blocks."))
    rel_pos = [state[f"image_encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
    # A layer is global when its table spans the whole grid. Where the window spans it too, both are the same function.
    global_layers = [i for i, table in enumerate(rel_pos) if table.shape[0] == 2 * grid - 1]
    if len(global_layers) == depth and grid == _WINDOW and depth in _GLOBAL_LAYERS:
        # At this size windows span the grid too; which layers have them shows only at another size.
        global_layers = _GLOBAL_LAYERS[depth]
    windows = {(table.shape[0] + 1) // 2 for i, table in enumerate(rel_pos) if i not in global_layers}
    decoder_dim = state["mask_decoder.iou_token.weight"].shape[1]
    decoder_layer = "mask_decoder.transformer.layers.{}.mlp.lin1.weight"
    iou_head = state["mask_decoder.iou_prediction_head.layers.0.weight"]
    cross_attention = state["mask_decoder.transformer.final_attn_token_to_image.q_proj.weight"]
    mask_channels = state.get("prompt_encoder.mask_downscaling.3.weight")
    return SamConfig(
        vision_config={
            "hidden_size": hidden_size,
            "output_channels": state["image_encoder.neck.0.weight"].shape[0],
            "num_hidden_layers": depth,
            "num_attention_heads": hidden_size // rel_pos[0].shape[1],
            "image_size": grid * patch_size,
            "patch_size": patch_size,
            "qkv_bias": "image_encoder.blocks.0.attn.qkv.bias" in state,
            "mlp_dim": state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
            "window_size": windows.pop() if windows else 0,
            "global_attn_indexes": global_layers,
            "num_pos_feats": decoder_dim // 2,
        },
        prompt_encoder_config={
            "hidden_size": decoder_dim,
            "image_size": grid * patch_size,
            "patch_size": patch_size,
            "mask_input_channels": 16 if mask_channels is None else mask_channels.shape[0],
        },
        mask_decoder_config={
            "hidden_size": decoder_dim,
            "mlp_dim": state[decoder_layer.format(0)].shape[0],
            "num_hidden_layers": sum(decoder_layer.format(i) in state for i in range(depth)),
            "num_attention_heads": _DECODER_HEADS,
            "attention_downsample_rate": decoder_dim // cross_attention.shape[0],
            "num_multimask_outputs": state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            "iou_head_hidden_dim": iou_head.shape[0],
            "layer_norm_eps": _DECODER_NORM_EPS,
        },
    )


def from_segment_anything(state: Mapping[str, Tensor], *, strict: bool = True) -> SamModel:
    """A `SamModel` from a segment-anything state dict of any size.

    The model holds the very tensors of `state`. With `strict=False` tensors may be missing, as the prompt encoder is in
    the checkpoints of SAMA-AVS; those stay zero.
    """
    with torch.device("meta"):
        sam = SamModel(config_from_tensors(state))
    renamed = {to_transformers_key(key): tensor for key, tensor in state.items()}
    if _POSITIONS in renamed:
        renamed[_TIED_POSITIONS] = renamed[_POSITIONS]
    expected = sam.state_dict()
    missing, unexpected = sorted(expected.keys() - renamed.keys()), sorted(renamed.keys() - expected.keys())
    if unexpected or (missing and strict):
        lost, stray = ([to_segment_anything_key(key) for key in keys[:5]] for keys in (missing, unexpected))
        raise ValueError(
            f"The checkpoint is not a Segment Anything model: missing {lost} ({len(missing)} in all), unexpected "
            f"{stray} ({len(unexpected)} in all)."
            + (" It looks like one of SAMA-AVS: use SamAV.from_sama_checkpoint." if _is_sama(state) else "")
        )
    for key in missing:
        renamed[key] = torch.zeros(expected[key].shape)
    try:
        sam.load_state_dict(renamed, assign=True)
    except RuntimeError as error:
        raise ValueError(f"The checkpoint's tensors do not fit each other: {error}") from error
    sam.tie_weights()
    return sam.eval()


def _is_sama(state: Mapping[str, Tensor]) -> bool:
    return any(".prompt_generator." in key for key in state)


def to_segment_anything(sam: SamModel) -> dict[str, Tensor]:
    """The state dict of `sam` under segment-anything's names, ready for `torch.save` and for its model registry."""
    state = {key: tensor for key, tensor in sam.state_dict().items() if key != _TIED_POSITIONS}
    return {to_segment_anything_key(key): tensor.detach().clone() for key, tensor in state.items()}
