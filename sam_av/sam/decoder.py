"""From image embeddings and prompts to mask logits, with SAM's own prompt encoder and mask decoder."""

import torch
from torch import Tensor
from torch.func import functional_call
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder


def grid_positions(matrix: Tensor, grid: int) -> Tensor:
    """The decoder's positional encoding (1, C, grid, grid) of an image grid, from SAM's random matrix (2, C / 2)."""
    with torch.autocast(matrix.device.type, enabled=False):  # angles of many turns: half precision would lose them
        centres = (torch.arange(grid, device=matrix.device, dtype=torch.float32) + 0.5) / grid
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        angles = 2 * torch.pi * (2 * torch.stack([x, y], dim=-1) - 1) @ matrix.float()
        return torch.cat([angles.sin(), angles.cos()], dim=-1).permute(2, 0, 1)[None]


def encode_prompts(
    encoder: SamPromptEncoder,
    matrix: Tensor,
    points: Tensor | None,
    labels: Tensor | None,
    boxes: Tensor | None,
) -> Tensor | None:
    """Sparse tokens (B, 1, N, C) of clicks (B, N, 2) with labels (B, N) and a box (B, 4), or None without either.

    `matrix` takes the place of the encoder's own positional matrix, so that clicks and image grid speak one language
    also for an adapter that brings a matrix of its own.
    """
    if points is None and labels is not None:
        raise ValueError("Labels belong to clicks: pass input_points with input_labels.")
    if points is not None and points.numel() == 0:
        points, labels = None, None
    if points is None and boxes is None:
        return None
    if points is not None and (points.ndim != 3 or points.shape[-1] != 2):
        raise ValueError(f"Clicks must be (B, N, 2): N clicks (x, y) a frame; these are {tuple(points.shape)}.")
    if boxes is not None and (boxes.ndim != 2 or boxes.shape[-1] != 4):
        raise ValueError(
            f"Boxes must be (B, 4): one (left, top, right, bottom) a frame; these are {tuple(boxes.shape)}."
        )
    if points is not None and labels is not None and labels.shape != points.shape[:-1]:
        raise ValueError(
            f"There must be one label a click, {tuple(points.shape[:-1])}; these are {tuple(labels.shape)}."
        )
    if points is not None and labels is None:
        labels = torch.ones(points.shape[:-1], dtype=torch.int64, device=points.device)
    prompts = (
        None if points is None else points[:, None].float(),
        None if points is None or labels is None else labels[:, None],
        None if boxes is None else boxes[:, None].float(),
        None,
    )
    with torch.autocast(matrix.device.type, enabled=False):
        sparse, _ = functional_call(encoder, {"shared_embedding.positional_embedding": matrix.float()}, prompts)
    return sparse


def decode_masks(
    decoder: SamMaskDecoder, image_embeddings: Tensor, positions: Tensor, sparse: Tensor | None, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Mask logits (B, S / 4, S / 4) and predicted IoU (B,): SAM's first mask, the one for an unambiguous prompt.

    `image_embeddings` (B, C, h, w), `positions` (1, C, h, w), `sparse` (B, 1, N, C) or None, `dense` (1, C): the
    embedding that stands for "no mask given", spread over the grid.
    """
    batch, _, height, width = image_embeddings.shape
    masks, iou = decoder(
        image_embeddings=image_embeddings,
        image_positional_embeddings=positions.expand(batch, -1, -1, -1),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense[:, :, None, None].expand(batch, -1, height, width),
        multimask_output=False,
    )
    return masks[:, 0, 0], iou[:, 0, 0]
