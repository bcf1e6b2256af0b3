"""SAM's encoder layer without its N x N tensors: the same numbers from less time and memory.

SAM adds to the score of query q and key (y, x) a learned term rel_h[q, y] + rel_w[q, x]. Written out for all pairs, as
usual, it takes a tensor of heads x N x N. Nothing needs that tensor:

- On the CPU a block of scores at a time is made, turned into probabilities and used up while it is in the cache. The
  backward pass makes each block again.
- On other devices the bias is folded into longer queries and keys, [q, rel_h, rel_w] . [k, onehot(y), onehot(x)]
  (FlashBias, arXiv 2505.12044), so that the fused kernels of `scaled_dot_product_attention` apply.

SAM pads its grid to whole windows, and what it pads with takes part as keys. After the first norm that is zero, so all
padded keys of a window share one key and one value, those of a zero token, and count as a single key whose bias is the
log of their summed exp(bias). So the network runs on real tokens only.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from transformers.models.sam.modeling_sam import SamVisionAttention, SamVisionLayer

# Scores that are alive at a time on the CPU: 4 MB of float32, which stays in the cache.
_BLOCK = 1 << 20
# Tokens that go through the MLP at a time when nothing is kept for a backward pass.
_MLP_TOKENS = 1024


def encoder_layer(layer: SamVisionLayer, hidden: Tensor) -> Tensor:
    """One layer of SAM's image encoder: (B, H, W, C) -> (B, H, W, C)."""
    hidden = hidden + self_attention(layer.attn, layer.layer_norm1(hidden), layer.window_size)
    if torch.is_grad_enabled():
        return hidden + layer.mlp(layer.layer_norm2(hidden))
    tokens = hidden.flatten(0, 2)  # a new tensor, so it may be added to in place
    for part in tokens.split(_MLP_TOKENS):
        part += layer.mlp(layer.layer_norm2(part))
    return tokens.view(hidden.shape)


def self_attention(attention: SamVisionAttention, normed: Tensor, window: int) -> Tensor:
    """Attention inside of windows, or of all tokens for a window of 0: (B, H, W, C) -> (B, H, W, C)."""
    batch, height, width, channels = normed.shape
    heads = attention.num_attention_heads
    qkv = attention.qkv(normed).view(batch, height, width, 3, heads, -1)
    if window == 0:
        return attention.proj(_attend_windows(attention, qkv, (height, width), (height, width), None).flatten(-2))
    padding = attention.qkv(normed.new_zeros(channels)).view(3, heads, -1)
    strips = [
        torch.cat(
            [
                _attend_windows(attention, qkv[:, rows, columns], (tall, wide), (window, window), padding)
                for columns, wide in _regions(width, window)
            ],
            dim=2,
        )
        for rows, tall in _regions(height, window)
    ]
    return attention.proj(torch.cat(strips, dim=1).flatten(-2))


def _regions(length: int, window: int) -> list[tuple[slice, int]]:
    """One axis of the grid as a stretch of whole windows and, where they do not fill it, a narrower one."""
    whole = length // window * window
    regions = [(slice(0, whole), window), (slice(whole, length), length - whole)]
    return [(stretch, size) for stretch, size in regions if stretch.stop > stretch.start]


def _attend_windows(
    attention: SamVisionAttention,
    qkv: Tensor,
    tile: tuple[int, int],
    window: tuple[int, int],
    padding: Tensor | None,
) -> Tensor:
    """Attention inside of each tile of a region: qkv (B, H, W, 3, heads, d) -> (B, H, W, heads, d).

    A tile is what of a window lies on the grid; `padding` (3, heads, d) is what a zero token gives.
    """
    batch, height, width, _, heads, dim = qkv.shape
    (tall, wide), down, across = tile, height // tile[0], width // tile[1]
    tiles = qkv.view(batch, down, tall, across, wide, 3, heads, dim).permute(5, 0, 1, 3, 6, 2, 4, 7)
    q, k, v = tiles.reshape(3, -1, tall, wide, dim).unbind(0)  # each (G, tall, wide, d), G = tiles x heads
    # A query's bias for every row and column of the window, those beyond the tile included.
    rel_h, rel_w = q.new_zeros(*q.shape[:-1], window[0]), q.new_zeros(*q.shape[:-1], window[1])
    if attention.use_rel_pos:
        rows = attention.get_rel_pos(window[0], window[0], attention.rel_pos_h)[:tall]
        columns = attention.get_rel_pos(window[1], window[1], attention.rel_pos_w)[:wide]
        rel_h, rel_w = torch.einsum("gyxd,ykd->gyxk", q, rows), torch.einsum("gyxd,xkd->gyxk", q, columns)
    rel_h, rel_w, q = rel_h.flatten(1, 2), rel_w.flatten(1, 2), q.flatten(1, 2) * attention.scale

    k, v, mass = k.flatten(1, 2), v.flatten(1, 2), None
    if padding is not None and tile != window:
        _, key, value = padding.repeat(1, len(q) // heads, 1)
        k, v = torch.cat([k, key[:, None]], dim=1), torch.cat([v, value[:, None]], dim=1)
        mass = _log_mass(rel_h, rel_w, tall, wide).to(q.dtype)
    # A compiler would write out every block; it gets the fused kernel to call.
    in_blocks = q.device.type == "cpu" and not torch.compiler.is_compiling()
    attend = _BlockedAttention.apply if in_blocks else _folded_attention
    out = attend(q, k, v, rel_h[..., :tall], rel_w[..., :wide], mass)
    return (
        out.view(batch, down, across, heads, tall, wide, dim)
        .permute(0, 1, 4, 2, 5, 3, 6)
        .reshape(batch, height, width, heads, dim)
    )


def _log_mass(rel_h: Tensor, rel_w: Tensor, tall: int, wide: int) -> Tensor:
    """Log of the summed exp(bias) of the padded keys, those below the tile and those beside it: (G, N, .) -> (G, N)."""
    rows, below = rel_h.split([tall, rel_h.shape[-1] - tall], dim=-1)
    beside = rel_w[..., wide:]
    masses = []
    if below.shape[-1]:
        masses.append(below.logsumexp(-1) + rel_w.logsumexp(-1))
    if beside.shape[-1]:
        masses.append(rows.logsumexp(-1) + beside.logsumexp(-1))
    return torch.stack(masses).logsumexp(0)


# Both ways below take scaled queries q (G, N, d), keys and values (G, M, d), rel_h (G, N, rows), rel_w (G, N, columns)
# and, where the last key stands for the padded ones, its bias `mass` (G, N). They return (G, N, d).


def _folded_attention(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, mass: Tensor | None) -> Tensor:
    """Attention with the bias as further dimensions of queries and keys, for fused kernels."""
    rows, columns, dim = rel_h.shape[-1], rel_w.shape[-1], q.shape[-1]
    biases = [rel_h, rel_w] if mass is None else [rel_h, rel_w, mass[..., None]]
    row_codes = torch.eye(rows, device=k.device, dtype=k.dtype).repeat_interleave(columns, dim=0)
    column_codes = torch.eye(columns, device=k.device, dtype=k.dtype).repeat(rows, 1)
    which = torch.cat([row_codes, column_codes], dim=1)  # (rows x columns, rows + columns): where each key stands
    if mass is not None:
        which = F.pad(which, (0, 1, 0, 1))
        which[-1, -1] = 1
    q = torch.cat([q, *biases], dim=-1)
    k = torch.cat([k, which.expand(len(k), -1, -1)], dim=-1)
    length = -(-q.shape[-1] // 8) * 8  # fused kernels want one head dimension for all three, a multiple of 8
    q, k, v = (F.pad(x, (0, length - x.shape[-1]))[:, None] for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0, :, :dim]


class _BlockedAttention(torch.autograd.Function):
    """Attention by blocks of scores that stay in the cache, in the forward and in the backward pass."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, mass: Tensor | None) -> Tensor:
        out = torch.empty_like(q)
        buffer = _buffer(q, k)
        for g, n in _blocks(q, k):
            out[g, n] = _probabilities(q, k, rel_h, rel_w, mass, g, n, buffer) @ v[g]
        ctx.save_for_backward(q, k, v, rel_h, rel_w, mass, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, rel_h, rel_w, mass, out = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        d_rel_h, d_rel_w = torch.empty_like(rel_h), torch.empty_like(rel_w)
        d_mass = None if mass is None else torch.empty_like(mass)
        mean = (grad_out * out).sum(-1, keepdim=True)  # (G, N, 1): the mean of d_probabilities under the probabilities
        first, second = _buffer(q, k), _buffer(q, k)
        for g, n in _blocks(q, k):
            probabilities = _probabilities(q, k, rel_h, rel_w, mass, g, n, first)
            d_probabilities = torch.bmm(grad_out[g, n], v[g].mT, out=_view(second, probabilities.shape))
            dv[g].baddbmm_(probabilities.mT, grad_out[g, n])
            d_scores = d_probabilities.sub_(mean[g, n]).mul_(probabilities)
            dq[g, n] = d_scores @ k[g]
            dk[g].baddbmm_(d_scores.mT, q[g, n])
            grid = _grid(d_scores, rel_h, rel_w)
            d_rel_h[g, n], d_rel_w[g, n] = grid.sum(-1), grid.sum(-2)
            if d_mass is not None:
                d_mass[g, n] = d_scores[..., -1]
        return dq, dk, dv, d_rel_h, d_rel_w, d_mass


def _blocks(q: Tensor, k: Tensor) -> list[tuple[slice, slice]]:
    """Stretches of G and of N that make at most `_BLOCK` scores: several small windows, or some of a large one."""
    groups, queries, keys = len(q), q.shape[1], k.shape[1]
    together, rows = max(1, _BLOCK // (queries * keys)), min(queries, max(1, _BLOCK // keys))
    return [
        (slice(g, min(g + together, groups)), slice(n, min(n + rows, queries)))
        for g in range(0, groups, together)
        for n in range(0, queries, rows)
    ]


def _buffer(q: Tensor, k: Tensor) -> Tensor:
    """Room for the scores of one block."""
    return q.new_empty(max(_BLOCK, k.shape[1]))


def _view(buffer: Tensor, shape: tuple[int, ...]) -> Tensor:
    return buffer[: shape[0] * shape[1] * shape[2]].view(shape)


def _grid(scores: Tensor, rel_h: Tensor, rel_w: Tensor) -> Tensor:
    """Scores (g, n, M), the padded key's left out, by row and column of the key: (g, n, rows, columns)."""
    rows, columns = rel_h.shape[-1], rel_w.shape[-1]
    return scores[..., : rows * columns].unflatten(-1, (rows, columns))


def _probabilities(
    q: Tensor,
    k: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    mass: Tensor | None,
    g: slice,
    n: slice,
    buffer: Tensor,
) -> Tensor:
    """The probabilities of one block, (g, n, M), made in the buffer: as few passes over it as there can be."""
    queries = q[g, n]
    scores = _view(buffer, (len(queries), queries.shape[1], k.shape[1]))
    torch.add(rel_h[g, n, :, None], rel_w[g, n, None, :], out=_grid(scores, rel_h, rel_w))
    if mass is not None:
        scores[..., -1] = mass[g, n]
    scores.baddbmm_(queries, k[g].mT)
    return torch.softmax(scores, dim=-1, out=scores)
