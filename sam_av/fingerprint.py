"""Fingerprints: a few sampled weights that tell whether two frozen networks are the same, whatever their dtype.

A fingerprint is the text "1:" followed by the base64 of sampled weights, each rounded to bfloat16 (round to nearest,
ties to even; little endian). Weights that were stored in another precision on the way may round to the neighbouring
bfloat16, so two fingerprints match when every pair of values differs by at most one part in 64 (two bfloat16 steps),
or by 1e-7, below which float16 itself has no more digits.
"""

import base64

import torch
from torch import Tensor, nn

_VERSION = "1:"
_SAMPLES = 96
_STRIDE = 2_654_435_761  # Knuth's multiplicative constant: scatters the sampled positions over a matrix
_RELATIVE, _ABSOLUTE = 1 / 64, 1e-7
# These are resampled when a base is used at another image size, so they cannot tell one base from another.
_DEPEND_ON_SIZE = ("pos_embed", "rel_pos_h", "rel_pos_w")


def fingerprint(network: nn.Module) -> str | None:
    """The fingerprint of `network`: 96 values sampled evenly over its matrices in the order of their names.

    None without matrices, and on the meta device, where weights have no values.
    """
    matrices = sorted(
        (name, weight)
        for name, weight in network.named_parameters()
        if weight.ndim >= 2 and not name.endswith(_DEPEND_ON_SIZE)
    )
    if not matrices or matrices[0][1].is_meta:
        return None
    values = []
    for sample in range(_SAMPLES):
        weight = matrices[sample * len(matrices) // _SAMPLES][1].detach()
        values.append(weight.flatten()[(sample * _STRIDE + 1) % weight.numel()].float())
    rounded = torch.stack(values).to("cpu", torch.bfloat16)
    return _VERSION + base64.b64encode(rounded.view(torch.uint8).numpy().tobytes()).decode()


def difference(first: str, second: str) -> float:
    """The share of sampled weights in which two fingerprints disagree: 0.0 when they are of the same network."""
    a, b = _values(first), _values(second)
    return ((a - b).abs() > torch.maximum(a.abs(), b.abs()) * _RELATIVE + _ABSOLUTE).float().mean().item()


def _values(text: str) -> Tensor:
    if not text.startswith(_VERSION):
        raise ValueError(
            f"Unknown fingerprint '{text[:12]}...': this version of sam-av reads those that begin with '1:'."
        )
    raw = bytearray(base64.b64decode(text.removeprefix(_VERSION)))
    return torch.frombuffer(raw, dtype=torch.bfloat16).float()
