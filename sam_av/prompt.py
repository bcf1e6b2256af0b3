"""AP-SAM: the sound as prompt tokens for the mask decoder, beside clicks and boxes."""

from torch import Tensor, nn
from torch.nn import functional as F


class AudioPrompt(nn.Module):
    """An MLP `audio_dim -> hidden_dim -> tokens * prompt_dim` with a ReLU between."""

    def __init__(self, audio_dim: int, hidden_dim: int, prompt_dim: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.hidden = nn.Linear(audio_dim, hidden_dim)
        self.project = nn.Linear(hidden_dim, tokens * prompt_dim)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio embeddings (B, audio_dim) -> sparse prompt tokens (B, 1, tokens, prompt_dim)."""
        return self.project(F.relu(self.hidden(audio))).unflatten(-1, (1, self.tokens, -1))
