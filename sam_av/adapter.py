"""SAMA-AVS audio adapters: one small MLP per encoder layer turns the sound into an offset for all its tokens.

Paper: "Annotation-free Audio-Visual Segmentation" (WACV 2024, arXiv 2305.11019).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class AudioAdapter(nn.Module):
    """Two-layer MLPs `audio_dim -> hidden_dim -> embed_dim`, the first Linear one per layer, the second shared by all.

    `layers` names the encoder layers that get an offset, out of `num_layers`.
    """

    def __init__(self, audio_dim: int, hidden_dim: int, embed_dim: int, layers: Sequence[int], num_layers: int) -> None:
        super().__init__()
        self.num_layers = num_layers
        first = {str(layer): nn.Linear(audio_dim, hidden_dim) for layer in layers}
        self.first = nn.ModuleDict(first)
        self.shared = nn.Linear(hidden_dim, embed_dim)
        for linear in (*first.values(), self.shared):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, audio: Tensor) -> list[Tensor | None]:
        """Audio embeddings (B, audio_dim) -> for each encoder layer an offset (B, embed_dim), or None."""
        return [
            self.shared(F.gelu(self.first[str(layer)](audio))) if str(layer) in self.first else None
            for layer in range(self.num_layers)
        ]
