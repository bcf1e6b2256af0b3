"""The recipe of a training: every choice that decides it, from a YAML file, from flags, or from Python."""

from dataclasses import asdict, dataclass
from typing import Any

from .config import METHODS, AdapterCard, SamAVConfig, setting
from .settings import Settings, check_known

PRECISIONS = (None, "no", "bf16", "fp16")

# Fields that change how fast a training runs or what it leaves behind, but not what it learns: they may differ between
# a run and its resumption.
WITHOUT_INFLUENCE = (
    "output", "workers", "keep", "save_every", "trackers", "push_to_hub", "private", "card", "cache",
    "activation_checkpointing",
)  # fmt: skip


@dataclass
class Recipe(Settings):
    """A training. What is left out is as SAMA-AVS was published: AdamW at 2e-4, cosine, 80 epochs, batches of two."""

    data: str = setting("", "Training data: folder, manifest, Hub id, or scenes:1000.")
    output: str = setting("outputs/train", "Folder of the trained adapter, its checkpoints, log and curves.")
    # The model.
    base: str | None = setting(None, "Frozen SAM: Hub id, folder, segment-anything .pth, builtin:demo.")
    init_from: str | None = setting(None, "Adapter to go on from, folder or Hub id, instead of an untrained one.")
    audio_encoder: str | None = setting(None, "Local weights of the audio encoder, instead of the published ones.")
    method: str | None = setting(None, f"{', '.join(METHODS)}; sama where nothing else is said.")
    image_size: int | None = setting(None, "Side of the square input in pixels; the base's own by default.")
    adapter: dict[str, Any] = setting({}, "Further fields of SamAVConfig: prompt_tokens, adapter_layers, loss, ...")
    # The data.
    split: str = setting("train", "Part of the data to train on.")
    layout: str | None = setting(None, "Layout of the data, where it is not recognised.")
    options: dict[str, Any] = setting({}, "Options of the data's reader: fps, subsets, the fields of SceneSettings.")
    validation: str | None = setting("val", "Part of the data to validate on; null: none.")
    validation_options: dict[str, Any] = setting({}, "Options of the reader that differ for validation and test.")
    test: str | None = setting(None, "Part of the data whose scores go into the card when training has ended.")
    fraction: float = setting(1.0, "Share of the training clips: a fixed subset by seed; smaller ones lie in larger.")
    categories: list[str] = setting([], "Train on these categories only.")
    exclude_categories: list[str] = setting([], "Leave these categories out of training.")
    frames_per_clip: int = setting(1, "Annotated frames drawn from a clip each time it comes up, at most.")
    skip_bad: bool = setting(False, "Leave out clips that cannot be used, and list them, instead of stopping.")
    streaming: bool = setting(False, "Read sharded data row by row, for sets larger than the disk.")
    shuffle_buffer: int = setting(1000, "Clips that are shuffled among each other when streaming.")
    augmentation: dict[str, float] = setting({}, "flip, colour, spec_mask, noise_snr; none by default, as published.")
    cache: str | None = setting(None, "Keep what the frozen networks give: memory, or a folder.")
    workers: int = setting(2, "Processes that decode clips, for each training process.")
    # The optimisation.
    epochs: int = setting(80, "Times that the data is gone through.")
    max_steps: int | None = setting(None, "End after so many steps, whatever the epochs say.")
    batch_size: int = setting(2, "Clips that one process takes at a time.")
    accumulation: int = setting(1, "Batches that one step of the optimizer is made of.")
    learning_rate: float = setting(2e-4, "Highest learning rate.")
    final_learning_rate: float = setting(1e-7, "Learning rate at the end of the cosine.")
    warmup_steps: int = setting(0, "Steps in which the learning rate climbs to its highest.")
    weight_decay: float = setting(0.01, "AdamW's weight decay.")
    max_grad_norm: float | None = setting(None, "Gradients longer than this are shortened to it.")
    precision: str | None = setting(None, "no (float32), bf16 or fp16 (CUDA only); as `accelerate launch` says.")
    dtype: str = setting("auto", "Of the frozen image encoder: auto, float32, bfloat16, float16.")
    device: str | None = setting(None, "cpu trains there though there is a GPU.")
    activation_checkpointing: bool = setting(False, "Run encoder layers again in the backward pass, to save memory.")
    compile: bool = setting(False, "Compile the model with torch.compile.")
    seed: int = setting(0, "Of the adapter's first weights, the order of the data and all that is drawn at random.")
    # What is kept and looked at.
    protocol: str = setting("avsbench", "How scores are made.")
    eval_every: int | None = setting(None, "Steps between validations; once an epoch by default.")
    save_every: int | None = setting(None, "Steps between checkpoints; once an epoch by default.")
    keep: int = setting(2, "Checkpoints that are kept.")
    patience: int | None = setting(None, "End after so many validations without a better one.")
    calibrate: bool = setting(False, "Choose the threshold on the validation part when training has ended.")
    trackers: list[str] = setting([], "tensorboard, wandb, ...: Accelerate's names.")
    card: dict[str, Any] = setting({}, "Facts for the adapter's card: license, training_data, ...")
    push_to_hub: str | None = setting(None, "Repository to publish the adapter to when training has ended.")
    private: bool | None = setting(None, "Whether that repository is private.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise ValueError(
                "A recipe needs `data`: a folder, a manifest, the id of a data set on the Hub, scenes:1000."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS[1:])}, not {self.precision!r}.")
        for name in ("epochs", "batch_size", "accumulation", "frames_per_clip", "keep", "shuffle_buffer"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("max_steps", "eval_every", "save_every", "patience"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction is a share above 0 and up to 1, not {self.fraction}.")
        if not 0 <= self.final_learning_rate <= self.learning_rate or self.learning_rate == 0:
            raise ValueError(
                f"The learning rate must fall, from learning_rate to final_learning_rate; these are "
                f"{self.learning_rate} and {self.final_learning_rate}."
            )
        if self.streaming and (self.max_steps is None or self.save_every is None):
            raise ValueError("A stream has no known length, and so no epochs to go by: say max_steps and save_every.")
        if self.streaming and (self.validation is not None or self.test is not None):
            raise ValueError(
                "A stream is for training alone: say validation: null, and score the adapter with `sam-av evaluate` on "
                "a set that is read by number."
            )
        if self.streaming and self.cache is not None:
            raise ValueError("A stream is not kept: leave out cache or streaming.")
        check_known(self.adapter, SamAVConfig, "adapter")
        check_known(self.card, AdapterCard, "card")
        if "metrics" in self.card:
            raise ValueError("card: metrics is filled in by the training itself.")
        if taken := self.options.keys() & {"seed", "skip_bad", "streaming", "layout", "split"}:
            raise ValueError(f"{', '.join(sorted(taken))} stands beside `options` in a recipe, not inside of it.")
        if repeated := self.adapter.keys() & {"method", "image_size", "card"}:
            raise ValueError(f"{', '.join(sorted(repeated))} stands beside `adapter` in a recipe, not inside of it.")

    def differences(self, other: "Recipe") -> list[str]:
        """The fields in which another recipe would train something else, with both values."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} ({theirs[name]!r} then, {mine[name]!r} now)"
            for name in mine
            if mine[name] != theirs[name] and name not in WITHOUT_INFLUENCE
        ]
