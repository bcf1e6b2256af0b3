"""The Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778) as an audio encoder, from transformers."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError
from torch import Tensor

from .encoders import AudioEncoder, AudioFrontEnd, is_local, register_audio_encoder
from .log_mel import SAMPLING_RATE

if TYPE_CHECKING:
    from transformers import ASTFeatureExtractor, ASTModel

DEFAULT_SOURCE = "MIT/ast-finetuned-audioset-10-10-0.4593"
_MODEL_TYPE = "audio-spectrogram-transformer"


class AstEncoder(AudioEncoder):
    """Spectrograms (B, max_length, mel_bins) -> the transformer's pooled output (B, hidden_size).

    It hears the same 0.96 s windows as VGGish, which the extractor pads to the length that the model was trained on.

    Args:
        model: the transformer; one that was made from a config counts as random.
        extractor: makes its spectrograms.
        name: what a config stores, "ast:" and the id of the repository.
    """

    def __init__(self, model: "ASTModel", extractor: "ASTFeatureExtractor", name: str | None = None) -> None:
        wanted = (model.config.max_length, model.config.num_mel_bins, SAMPLING_RATE)
        found = (extractor.max_length, extractor.num_mel_bins, extractor.sampling_rate)
        if wanted != found:
            raise ValueError(
                f"The AST model takes {wanted[0]} frames of {wanted[1]} mel bins of {wanted[2]} Hz sound; its "
                f"extractor makes {found[0]} of {found[1]} of {found[2]} Hz. Load both from one repository."
            )
        super().__init__(audio_dim=model.config.hidden_size, front_end=_front_end(extractor), name=name)
        self.model = model
        self.pretrained = bool(model.name_or_path)

    def forward(self, features: Tensor) -> Tensor:
        """(B, max_length, mel_bins) -> (B, hidden_size)."""
        return self.model(features).pooler_output

    @classmethod
    def from_pretrained(cls, source: str | Path | None = None) -> Self:
        """AST from a repository on the Hub or a folder in transformers format; its classifier is left out."""
        from transformers import ASTModel

        source = DEFAULT_SOURCE if source is None else source
        extractor = _load_extractor(source)
        model, report = _load(ASTModel, source, output_loading_info=True)
        if report["missing_keys"]:
            raise ValueError(
                f"'{source}' lacks weights of the audio spectrogram transformer: {sorted(report['missing_keys'])[:4]}."
            )
        return cls(model, extractor, name=None if is_local(source) else f"ast:{source}").eval()


def _front_end(extractor: "ASTFeatureExtractor") -> AudioFrontEnd:
    return AudioFrontEnd(partial(_extract, extractor))


def _extract(extractor: "ASTFeatureExtractor", windows: Tensor) -> Tensor:
    """(B, 15600) -> (B, max_length, mel_bins); the extractor knows arrays on the CPU only."""
    arrays = list(windows.detach().float().cpu().numpy())
    return extractor(arrays, sampling_rate=SAMPLING_RATE, return_tensors="pt")["input_values"].to(windows.device)


def _load_extractor(source: str | Path) -> "ASTFeatureExtractor":
    """The extractor of an AST repository or folder, once it is sure that it is one."""
    from transformers import ASTFeatureExtractor, AutoConfig

    model_type = _load(AutoConfig, source).model_type
    if model_type != _MODEL_TYPE:
        raise ValueError(f"'{source}' is a model of the type '{model_type}'; 'ast' needs '{_MODEL_TYPE}'.")
    return _load(ASTFeatureExtractor, source)


def _load(transformers_class: Any, source: str | Path, **options: Any) -> Any:
    """`from_pretrained`, with errors that tell a missing repository from a missing connection."""
    if is_local(source) and not Path(source).expanduser().is_dir():
        raise FileNotFoundError(f"The AST encoder is loaded from a folder in transformers format; '{source}' is none.")
    try:
        return transformers_class.from_pretrained(Path(source).expanduser() if is_local(source) else source, **options)
    except (OSError, ValueError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, RepositoryNotFoundError):
            reason = "there is no such repository, or it is private: check the name, or log in with `hf auth login`"
        elif isinstance(cause, LocalEntryNotFoundError):
            reason = f"it is not in the cache, and the Hub cannot be reached ({cause.__cause__ or cause})"
        else:
            reason = str(error).splitlines()[0]
        raise FileNotFoundError(f"The audio encoder 'ast:{source}' could not be loaded: {reason}.") from error
    except SafetensorError as error:
        raise ValueError(f"The weights of 'ast:{source}' are damaged or incomplete: get them again.") from error


register_audio_encoder(
    "ast", AstEncoder.from_pretrained, lambda source: _front_end(_load_extractor(source or DEFAULT_SOURCE))
)
