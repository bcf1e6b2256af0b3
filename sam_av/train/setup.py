"""What a recipe asks for, made ready: the data, the model, and the checks that come before any long work."""

import dataclasses
import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

from ..config import AdapterCard, SamAVConfig
from ..data import ClipDataset, IterableClips, open_dataset
from ..data.check import refuse_faulty
from ..digest import digest
from ..model import SamAV
from ..recipe import Recipe


@dataclass(frozen=True)
class TrainingData:
    """The parts of a data set that a training reads; without a validation or test part these are None."""

    training: ClipDataset | IterableClips
    validation: ClipDataset | None
    test: ClipDataset | None


def make_accelerator(recipe: Recipe) -> Accelerator:
    """Accelerate as the recipe wants it: device, precision, trackers, compilation."""
    on_cuda = torch.cuda.is_available() and recipe.device != "cpu"
    if recipe.precision == "fp16" and not on_cuda:
        raise ValueError("precision: fp16 needs a CUDA GPU, and there is none here: choose bf16 or no.")
    if recipe.device not in (None, "cpu"):
        raise ValueError(
            f"device is cpu or left out, not {recipe.device!r}: which GPUs to use is for `accelerate launch` to say."
        )
    known = {str(tracker) for tracker in get_available_trackers()}
    if missing := [tracker for tracker in recipe.trackers if tracker not in known]:
        raise ValueError(
            f"trackers: {', '.join(missing)} cannot be used here: not installed, or unknown to Accelerate. There are: "
            f'{", ".join(sorted(known)) or "none"}. TensorBoard comes with pip install "sam-av[train]".'
        )
    return Accelerator(
        cpu=recipe.device == "cpu",
        mixed_precision=recipe.precision,
        log_with=list(recipe.trackers) or None,
        project_config=ProjectConfiguration(project_dir=str(Path(recipe.output).expanduser())),
        dynamo_backend="inductor" if recipe.compile else None,
        # While the main process writes or scores, the others wait; ten minutes, the default, may be too short.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],
    )


def open_data(recipe: Recipe) -> TrainingData:
    """Opens and checks every part of the data that the recipe names.

    Raises where a part to be scored on holds clips of the training, or where nothing is annotated.
    """
    training = _open(recipe, recipe.split, recipe.options, streaming=recipe.streaming)
    if isinstance(training, ClipDataset):
        _choose_clips(training, recipe)
    elif recipe.fraction < 1 or recipe.categories or recipe.exclude_categories:
        raise ValueError("A stream is taken whole: fraction, categories and exclude_categories need a set that is not.")
    options = {**recipe.options, **recipe.validation_options}
    validation, test = (
        None if part is None else _open(recipe, part, options) for part in (recipe.validation, recipe.test)
    )
    assert not isinstance(validation, IterableClips) and not isinstance(test, IterableClips)
    if isinstance(training, ClipDataset):
        _check_annotation(training)
        for scored in (validation, test):
            if scored is not None:
                _check_apart(training, scored)
    return TrainingData(training, validation, test)


def _open(recipe: Recipe, split: str, options: dict[str, Any], **streaming: bool) -> ClipDataset | IterableClips:
    if not any(streaming.values()):
        streaming = {}  # which layouts other than that of the Hub do not know
    try:
        dataset = open_dataset(
            recipe.data, split, layout=recipe.layout, seed=recipe.seed, skip_bad=recipe.skip_bad, **streaming, **options
        )
    except TypeError as error:  # an option that the reader does not have
        raise ValueError(f"The reader of '{recipe.data}' does not take these options: {error}") from error
    if isinstance(dataset, ClipDataset):
        refuse_faulty(dataset, recipe.workers)
        if recipe.skip_bad:
            dataset.verify(recipe.workers)
    return dataset


def _check_annotation(training: ClipDataset) -> None:
    """Raises where the metadata tells of files but of no mask; what is on no disk tells nothing."""
    known = [entry for entry in training.entries if any(entry.files())]
    if known and not any(entry.tracks or any(mask is not None for mask in entry.masks) for entry in known):
        raise ValueError(f"{training.name} ({training.split}) has no annotated frame: there is nothing to learn from.")


def _check_apart(training: ClipDataset, scored: ClipDataset) -> None:
    shared = {entry.id for entry in training.entries} & {entry.id for entry in scored.entries}
    if shared:
        raise ValueError(
            f"{len(shared):,} clips of {scored.name} are in the parts {training.split!r} and {scored.split!r}, such as "
            f"'{min(shared)}': scores on what was trained on say nothing. Tell the parts apart (a folder does so in "
            "splits.csv), or train without: validation: null."
        )


def _choose_clips(dataset: ClipDataset, recipe: Recipe) -> None:
    """Leaves in the data set what the recipe's categories and fraction take."""
    known = {entry.category for entry in dataset.entries}
    for name in (*recipe.categories, *recipe.exclude_categories):
        if name not in known:
            there = ", ".join(sorted(str(category) for category in known if category)) or "none"
            raise ValueError(f"{dataset.name} has no training clip of the category {name!r}; its categories: {there}.")
    wanted = set(recipe.categories) or known
    entries = [entry for entry in dataset.entries if entry.category in wanted - set(recipe.exclude_categories)]
    # By a digest of each clip's name: the smaller share lies in the larger one, whatever else is in the set.
    ranked = sorted(entries, key=lambda entry: digest(recipe.seed, entry.id))
    chosen = {entry.id for entry in ranked[: math.ceil(recipe.fraction * len(entries))]}
    dataset.entries = [entry for entry in entries if entry.id in chosen]
    if not dataset.entries:
        raise ValueError(f"Nothing of {dataset.name} is left to train on: exclude_categories leaves out all of it.")


def build_model(recipe: Recipe, accelerator: Accelerator) -> SamAV:
    """The model with the adapter that is to be trained, on the accelerator's device."""
    options: dict[str, Any] = {
        "audio_encoder": recipe.audio_encoder,
        "device": accelerator.device,
        "dtype": "auto" if recipe.dtype == "auto" else getattr(torch, recipe.dtype, recipe.dtype),
    }
    if recipe.init_from is not None:
        model = SamAV.from_pretrained(recipe.init_from, base=recipe.base, **options)
        _check_continuation(recipe, model.config)
        loss = recipe.adapter.get("loss", model.config.loss)
        model.config.loss = dataclasses.replace(
            model.config, loss=loss
        ).loss  # which looks whether there is such a loss
        model.config.card = AdapterCard()  # what it says is of the earlier training
    else:
        assert recipe.base is not None
        settings = {"method": recipe.method or "sama", "image_size": recipe.image_size, **recipe.adapter}
        model = SamAV.from_base(recipe.base, SamAVConfig(**settings), **options)
    if recipe.activation_checkpointing:
        model.activation_checkpointing_enable()
    return model


def _check_continuation(recipe: Recipe, config: SamAVConfig) -> None:
    """Raises where the recipe asks for another adapter than the one that it goes on from; its loss alone may change."""
    wanted = {"method": recipe.method, "image_size": recipe.image_size, **recipe.adapter}
    for name, value in wanted.items():
        if name != "loss" and value is not None and value != (found := getattr(config, name)):
            raise ValueError(
                f"The recipe asks for {name} = {value!r}, but the adapter '{recipe.init_from}' that it goes on from "
                f"has {found!r}: leave {name} out, or begin with `base` instead of `init_from`."
            )


def write_card(recipe: Recipe, model: SamAV, data: TrainingData, scores: list[dict[str, Any]]) -> None:
    """Writes into the adapter's configuration what it was trained on and how it scores."""
    training = data.training
    categories = list(training.categories)
    if isinstance(training, ClipDataset):
        named = {entry.category for entry in training.entries if entry.category is not None}
        categories = sorted(named) or categories
    facts = {"training_data": [training.name], "training_categories": categories, **recipe.card}
    model.config.card = dataclasses.replace(model.config.card, metrics=scores, **facts)
