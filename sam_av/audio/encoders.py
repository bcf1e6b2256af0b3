"""Audio encoders: what all of them share, and the registry that makes one from the name in a config."""

import difflib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .log_mel import SAMPLING_RATE, WINDOW_SAMPLES


@dataclass(frozen=True)
class AudioFrontEnd:
    """The part of an encoder that has no weights: windows of sound -> the encoder's input.

    Attributes:
        extract: (B, window_samples) floats at 16 kHz -> (B, ...) features.
        window_samples: length of a window.
    """

    extract: Callable[[Tensor], Tensor]
    window_samples: int = WINDOW_SAMPLES

    def __call__(self, windows: Tensor) -> Tensor:
        """(B, window_samples) -> (B, ...)."""
        return self.extract(windows)


class AudioEncoder(nn.Module):
    """A network from `front_end`'s features (B, ...) to embeddings (B, audio_dim); subclasses write `forward`.

    Attributes:
        name: what a config stores and others can resolve with `load_audio_encoder`; None for weights that only this
            machine has.
        audio_dim: length of an embedding.
        front_end: makes the input of `forward` from windows of sound.
        pretrained: whether weights were loaded; False while they are random.
    """

    sampling_rate = SAMPLING_RATE

    def __init__(self, audio_dim: int, front_end: AudioFrontEnd, name: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.audio_dim = audio_dim
        self.front_end = front_end
        self.pretrained = False
        self._has_warned = False

    @property
    def window_samples(self) -> int:
        """Length of the windows of sound that `front_end` takes."""
        return self.front_end.window_samples

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As in torch; once every weight has been loaded, the encoder is no longer random."""
        result = super().load_state_dict(state_dict, strict=strict, assign=assign)
        self.pretrained = self.pretrained or not result.missing_keys
        return result

    def warn_if_random(self) -> None:
        """Warns, once for each encoder, when its weights are random."""
        if self.pretrained or self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"THIS {type(self).__name__} HAS RANDOM WEIGHTS: its embeddings say next to nothing about the sound. Load "
            f"trained weights with {type(self).__name__}.from_pretrained(...) or load_state_dict(...), or take the "
            "encoder from sam_av.audio.load_audio_encoder(name).",
            stacklevel=2,
        )


EncoderFactory = Callable[[str | Path | None], AudioEncoder]
FrontEndFactory = Callable[[str | Path | None], AudioFrontEnd]

_REGISTRY: dict[str, tuple[EncoderFactory, FrontEndFactory]] = {}


def register_audio_encoder(kind: str, factory: EncoderFactory, front_end: FrontEndFactory | None = None) -> None:
    """Makes `kind` and `kind:source` names that `load_audio_encoder` and every config understand.

    Args:
        kind: the part of the name before the colon.
        factory: makes the encoder from the source after the colon, or from None where the name has none. It sets the
            encoder's `name`, and leaves it None for a local source.
        front_end: makes the front end alone, without the weights; left out, the whole encoder is loaded for it.
    """
    if not kind or ":" in kind:
        raise ValueError(f"The kind of an audio encoder is a non-empty text without a colon, not {kind!r}.")
    if kind in _REGISTRY:
        raise ValueError(f"An audio encoder '{kind}' is registered already: choose another name.")
    _REGISTRY[kind] = (factory, front_end or (lambda source: factory(source).front_end))


def load_audio_encoder(name: str, *, weights: str | Path | None = None) -> AudioEncoder:
    """The encoder of a name: "vggish", "ast", "ast:MIT/ast-finetuned-audioset-10-10-0.4593", ...

    Args:
        name: a registered kind, with or without a source behind a colon. A source may be a local path; the encoder
            then has no name to publish.
        weights: a local copy of the named encoder's weights, read instead of downloading them. The encoder keeps its
            name; an adapter's fingerprint tells whether the weights really are those.
    """
    (factory, _), source = _look_up(name)
    encoder = factory(source if weights is None else weights)
    if weights is not None and (source is None or not is_local(source)):
        encoder.name = name
    return encoder


def load_front_end(name: str) -> AudioFrontEnd:
    """The front end of the encoder that `load_audio_encoder(name)` would load, without its weights where it can."""
    (_, front_end), source = _look_up(name)
    return front_end(source)


def resolve_audio_encoder(given: AudioEncoder | str | Path | None, name: str | None) -> AudioEncoder | None:
    """The encoder to use where a user may bring one: as it is given, or `name` with a given file of weights, or `name`.

    None where neither says which.
    """
    if isinstance(given, AudioEncoder):
        return given
    if name is not None:
        return load_audio_encoder(name, weights=given)
    if given is not None:
        raise ValueError(
            f"Nothing says what kind of audio encoder '{given}' holds the weights of: name it in the config "
            f"(audio_encoder={' | '.join(map(repr, _REGISTRY))}), or pass the encoder itself."
        )
    return None


def is_local(source: str | Path) -> bool:
    """Whether a source is a path on this machine rather than the id of a repository."""
    path = Path(source).expanduser()
    return path.is_absolute() or path.exists() or str(source).startswith(".")


def _look_up(name: str) -> tuple[tuple[EncoderFactory, FrontEndFactory], str | None]:
    """What is registered for a name, and the name's source."""
    kind, _, source = name.partition(":")
    if kind not in _REGISTRY:
        nearest = difflib.get_close_matches(kind, _REGISTRY, n=1)
        raise ValueError(
            f"There is no audio encoder '{kind}'"
            + (f"; did you mean '{nearest[0]}'?" if nearest else ".")
            + f" Known: {', '.join(sorted(_REGISTRY))}. More are added with register_audio_encoder; a source follows "
            "its kind, as in 'ast:user/repository'."
        )
    return _REGISTRY[kind], source or None
