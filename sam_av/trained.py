"""Everything that one adapter trains, saves and swaps; the frozen SAM stays outside and untouched."""

import copy

from torch import Tensor, nn
from transformers import SamModel
from transformers.models.sam.modeling_sam import SamMaskDecoder

from .adapter import AudioAdapter
from .config import SamAVConfig
from .prompt import AudioPrompt


class TrainedParts(nn.Module):
    """The audio MLPs, the mask decoder and the no-mask embedding of one adapter.

    A part that the method does not train is None, and the base's own is used in its place. The decoder and the no-mask
    embedding begin as copies of the base's. `positional_embedding` (2, C / 2) is not trained; it is held only where it
    differs from the base's, as in the released SAMA-AVS checkpoints.
    """

    positional_embedding: Tensor | None

    def __init__(self, config: SamAVConfig, sam: SamModel) -> None:
        super().__init__()
        if config.audio_dim is None:
            raise ValueError("audio_dim is not known: name an audio encoder, or set SamAVConfig(audio_dim=...).")
        self.config = config
        vision = sam.config.vision_config
        prompt_dim = sam.config.prompt_encoder_config.hidden_size
        hidden_dim = config.adapter_hidden_dim

        self.audio_adapter: AudioAdapter | None = None
        self.audio_prompt: AudioPrompt | None = None
        self.mask_decoder: SamMaskDecoder | None = None
        self.no_mask_embed: nn.Embedding | None = None
        if config.adapts_encoder:
            layers = config.layer_indices(vision.num_hidden_layers)
            self.audio_adapter = AudioAdapter(
                config.audio_dim, hidden_dim, vision.hidden_size, layers, vision.num_hidden_layers
            )
            self.no_mask_embed = copy.deepcopy(sam.prompt_encoder.no_mask_embed)
        if config.prompts_decoder:
            self.audio_prompt = AudioPrompt(config.audio_dim, hidden_dim, prompt_dim, config.prompt_tokens)
        if config.train_mask_decoder:
            self.mask_decoder = copy.deepcopy(sam.mask_decoder)
            if config.decoder_norm_eps is not None:
                _set_norm_eps(self.mask_decoder, config.decoder_norm_eps)
        self.register_buffer("positional_embedding", None)
        self.float()  # the frozen encoder may be bfloat16; what trains is float32
        self.set_trainable(True)

    def set_trainable(self, trainable: bool) -> None:
        """Lets gradients into every part that the loss reaches, or into none.

        The loss sees only the first mask, never the predicted IoU: their heads get no gradient, and an optimizer's
        weight decay must not wear them down.
        """
        self.requires_grad_(trainable)
        if self.mask_decoder is not None:
            self.mask_decoder.iou_prediction_head.requires_grad_(False)
            for unused in list(self.mask_decoder.output_hypernetworks_mlps)[1:]:
                unused.requires_grad_(False)

    def num_audio_parameters(self) -> int:
        """Parameters of the audio MLPs alone, as the papers count them."""
        audio_parts = [part for part in (self.audio_adapter, self.audio_prompt) if part is not None]
        return sum(weight.numel() for part in audio_parts for weight in part.parameters())


def _set_norm_eps(decoder: SamMaskDecoder, eps: float) -> None:
    decoder.config = copy.deepcopy(decoder.config)
    decoder.config.layer_norm_eps = eps
    for layer in decoder.transformer.layers:
        for norm in (layer.layer_norm1, layer.layer_norm2, layer.layer_norm3, layer.layer_norm4):
            norm.eps = eps
