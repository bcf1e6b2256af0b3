"""What an adapter is: its method, the frozen networks that it stands on, and how its inputs are made."""

import difflib
import json
import types
import typing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

FORMAT_VERSION = 1
METHODS = ("sama", "ap-sam", "sama+ap-sam")
AUDIO_WINDOWS = ("example", "centered", "causal")
RESIZE_MODES = ("squash", "pad")
LOSS_TERMS = ("bce", "iou", "empty", "dice", "focal")
_METRIC_FIELDS = ("dataset", "split", "protocol", "image_size", "miou", "f_score")

# A file that lacks one of these cannot be loaded safely; every other field has a meaningful default.
_REQUIRED = (
    "format_version", "method", "image_size", "audio_dim",
    "base_fingerprint", "base_hidden_size", "base_num_layers",
)  # fmt: skip


def setting(default: Any, help: str) -> Any:
    """A field of a dataclass with its help text; a list or dict is copied for each object."""
    if isinstance(default, (list, dict)):
        return field(default_factory=default.copy, metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class AdapterCard:
    """Facts about an adapter that only its maker knows; they travel in config.json and appear in its README."""

    license: str | None = setting(
        None, "Licence of the adapter, as an identifier of the Hub: apache-2.0, cc-by-nc-4.0."
    )
    base_license: str | None = setting(None, "Licence of the base's weights.")
    checkpoint_license: str | None = setting(None, "Licence of the checkpoint that the adapter was converted from.")
    data_license: str | None = setting(None, "Licence of the training data.")
    training_data: list[str] = setting([], "Data sets that the adapter was trained on.")
    training_categories: list[str] = setting([], "Categories seen in training; evaluation tells the unseen apart.")
    metrics: list[dict[str, Any]] = setting(
        [], "Scores, a row each: dataset, split, protocol, image_size, miou, f_score (0 to 1)."
    )

    def __post_init__(self) -> None:
        _check_types(self)
        for row in self.metrics:
            if missing := [name for name in _METRIC_FIELDS if row.get(name) is None]:
                raise ValueError(f"A row of metrics lacks {', '.join(missing)}: {row}.")


@dataclass
class SamAVConfig:
    """The configuration of one adapter, saved as config.json beside its weights.

    Fields that begin with `base_` and `audio_encoder_fingerprint` are filled in when the adapter meets its base; the
    rest is yours to choose.
    """

    method: str = setting("sama", "sama (offsets in the encoder), ap-sam (audio as prompt tokens), or sama+ap-sam.")
    base_model_name_or_path: str | None = setting(None, "Hub id of the frozen SAM, where others can find it.")
    base_revision: str | None = setting(None, "Commit of the base on the Hub.")
    base_fingerprint: str | None = setting(None, "Sampled weights of the base's image encoder.")
    base_hidden_size: int | None = setting(None, "Width of the base's image encoder.")
    base_num_layers: int | None = setting(None, "Depth of the base's image encoder.")
    image_size: int | None = setting(None, "Side of the square input in pixels; None takes the base's own.")
    audio_encoder: str | None = setting("vggish", "Registered audio encoder; None where only embeddings are passed.")
    audio_encoder_fingerprint: str | None = setting(None, "Sampled weights of the audio encoder.")
    audio_dim: int | None = setting(None, "Width of the audio embedding; None takes the encoder's own.")
    adapter_hidden_dim: int = setting(512, "Hidden width of the audio MLPs.")
    adapter_layers: str | list[int] = setting("all", "Encoder layers that get an offset: 'all' or a list of indices.")
    prompt_tokens: int = setting(1, "Number of audio prompt tokens (ap-sam).")
    train_mask_decoder: bool = setting(True, "Train a copy of the mask decoder and keep it with the adapter.")
    decoder_norm_eps: float | None = setting(None, "LayerNorm epsilon of the decoder; None takes the base's own.")
    loss: str = setting("bce+iou", "Terms of the loss joined by '+': bce, iou, empty, dice, focal.")
    resize: str = setting("squash", "squash: both sides to image_size; pad: longest side to it, zeros right and below.")
    image_mean: list[float] = setting([0.485, 0.456, 0.406], "Mean of the pixel values, RGB in 0..1.")
    image_std: list[float] = setting([0.229, 0.224, 0.225], "Standard deviation of the pixel values.")
    audio_window: str = setting("example", "Sound a frame hears: example floor(t / 0.96), centered on t, or causal.")
    threshold: float = setting(0.5, "Probability above which a pixel belongs to the mask.")
    card: AdapterCard = field(default_factory=AdapterCard, metadata={"help": "Facts for the adapter's README."})
    format_version: int = setting(FORMAT_VERSION, "Version of the file format.")

    # Read by transformers' Trainer: what of the output is not worth gathering in an evaluation.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["image_embeddings", "iou_scores"]

    def __post_init__(self) -> None:
        _check_types(self)
        _check_choice("method", self.method, METHODS)
        _check_choice("audio_window", self.audio_window, AUDIO_WINDOWS)
        _check_choice("resize", self.resize, RESIZE_MODES)
        for term in self.loss.split("+"):
            _check_choice("each term of loss", term, LOSS_TERMS)
        if self.adapter_layers != "all" and not isinstance(self.adapter_layers, list):
            raise ValueError(f"adapter_layers must be 'all' or a list of layer indices, not {self.adapter_layers!r}.")
        for name in ("prompt_tokens", "adapter_hidden_dim", "audio_dim", "image_size", "decoder_norm_eps"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be positive, not {value}.")
        if len(self.image_mean) != 3 or len(self.image_std) != 3 or min(self.image_std) <= 0:
            raise ValueError("image_mean and image_std are three numbers each, the latter positive.")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is a probability between 0 and 1, not {self.threshold}.")

    @property
    def adapts_encoder(self) -> bool:
        """Whether audio enters the image encoder."""
        return "sama" in self.method.split("+")

    @property
    def prompts_decoder(self) -> bool:
        """Whether audio enters the mask decoder as prompt tokens."""
        return "ap-sam" in self.method.split("+")

    def layer_indices(self, num_layers: int) -> list[int]:
        """The encoder layers that get an offset, in order, for an encoder of `num_layers` layers."""
        if isinstance(self.adapter_layers, str):
            return list(range(num_layers))
        wrong = [layer for layer in self.adapter_layers if not 0 <= layer < num_layers]
        if wrong or not self.adapter_layers:
            raise ValueError(f"adapter_layers must name layers 0 to {num_layers - 1}, not {wrong or 'none at all'}.")
        return sorted(set(self.adapter_layers))

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain data."""
        return asdict(self)

    def to_json_string(self) -> str:
        """The text of config.json."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, source: str = "the configuration") -> "SamAVConfig":
        """The configuration in `data`; `source` names it in errors."""
        if missing := [name for name in _REQUIRED if data.get(name) is None]:
            raise ValueError(f"{source} is not the configuration of a sam-av adapter: it lacks {', '.join(missing)}.")
        if not isinstance(data["format_version"], int) or data["format_version"] > FORMAT_VERSION:
            raise ValueError(
                f"{source} has format version {data['format_version']}; this sam-av reads up to {FORMAT_VERSION}. "
                "Upgrade: pip install -U sam-av"
            )
        card = data.get("card", {})
        if not isinstance(card, dict):
            raise ValueError(f"'card' in {source} must be an object, not {card!r}.")
        _check_known(card, AdapterCard, f"'card' in {source}")
        _check_known(data, cls, source)
        return cls(**{**data, "card": AdapterCard(**card)})

    @classmethod
    def from_json_file(cls, path: str | Path) -> "SamAVConfig":
        """The configuration in a config.json."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"'{path}' is not valid JSON: {error}") from error
        if not isinstance(data, dict):
            raise ValueError(f"'{path}' is not the configuration of a sam-av adapter: it holds no JSON object.")
        return cls.from_dict(data, source=f"'{path}'")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")


def _check_types(settings: Any) -> None:
    """Holds every field of a dataclass to its annotation: a file may have been edited by hand."""
    for name, hint in typing.get_type_hints(type(settings)).items():
        if typing.get_origin(hint) is not ClassVar and not _fits(value := getattr(settings, name), hint):
            raise ValueError(f"{name} must be {getattr(hint, '__name__', hint)}, not {value!r}.")


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(hint)[0]) for item in value)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, typing.get_origin(hint) or hint)


def _check_known(data: dict[str, Any], cls: type, source: str) -> None:
    known = [f.name for f in fields(cls)]
    for name in data.keys() - set(known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"{source} has an unknown field '{name}'{hint} (known: {', '.join(known)})")
