"""The README of a published adapter, written from its configuration."""

from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .builtin import is_builtin
from .config import SamAVConfig

_METHODS = {
    "sama": "SAMA-AVS: two-layer audio MLPs add an offset before each adapted layer of the frozen image encoder",
    "ap-sam": "AP-SAM: the sound enters the mask decoder as prompt tokens; the image encoder sees no audio",
    "sama+ap-sam": "SAMA-AVS offsets in the frozen image encoder, and the sound as prompt tokens (AP-SAM)",
}
_NOT_STATED = "not stated"
_NO_ADDRESS = "path/to/this/folder"


def render_card(config: SamAVConfig, counts: str, repo_id: str | None = None) -> str:
    """The text of README.md: the Hub's metadata, then what a user wants to know.

    `counts` is the text that `SamAV.print_trainable_parameters` prints; `repo_id` is where the card will stand.
    """
    card = config.card
    named = config.base_model_name_or_path
    base = None if named is None or is_builtin(named) else named  # the Hub links to it, so it must lie there
    metadata = ModelCardData(
        library_name="sam-av",
        pipeline_tag="mask-generation",
        tags=["audio-visual-segmentation", "segment-anything", "adapter", config.method],
        license=card.license,
        base_model=base,
        base_model_relation="adapter" if base else None,
        datasets=[name for name in card.training_data if _is_dataset_id(name)] or None,
        model_name="sam-av adapter" if card.metrics else None,
        eval_results=[result for row in card.metrics for result in _eval_results(row)] or None,
    )
    return str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{_body(config, counts, repo_id)}"))


def address_card(text: str, repo_id: str) -> str:
    """A card that was written into a folder, with the repository in which it will stand in its place."""
    return text.replace(f'from_pretrained("{_NO_ADDRESS}")', f'from_pretrained("{repo_id}")')


def _body(config: SamAVConfig, counts: str, repo_id: str | None) -> str:
    card = config.card
    facts = "\n".join(f"| {name} | {fact} |" for name, fact in adapter_facts(config).items())
    return f"""\
# Audio-visual segmentation adapter

Given a frame and its sound, the mask of what makes the sound. This repository holds the trained adapter only; the
frozen Segment Anything base comes by reference: {_base(config)}.

## Use

```python
from sam_av import SamAV

model = SamAV.from_pretrained("{repo_id or _NO_ADDRESS}")
for frame in model.segment("frame.png", "sound.wav"):
    print(frame.time, frame.mask.shape, frame.score)
```

## Facts

| | |
|---|---|
{facts}

```
{counts}
```

## Training data

{_list(card.training_data)}

Categories: {", ".join(card.training_categories) or _NOT_STATED}

## Scores

{_metrics_table(card.metrics)}

## Licences

| adapter | base | training data | converted checkpoint |
|---|---|---|---|
| {_or(card.license)} | {_or(card.base_license)} | {_or(card.data_license)} | {_or(card.checkpoint_license)} |
"""


def adapter_facts(config: SamAVConfig) -> dict[str, str]:
    """What an adapter is and what it takes, a text for each topic."""
    layers = config.adapter_layers
    adapted = layers if isinstance(layers, str) else ", ".join(map(str, layers))
    encoder = config.audio_encoder or "none (embeddings are passed in)"
    return {
        "method": _METHODS[config.method],
        "encoder layers adapted": adapted if config.adapts_encoder else "none",
        "input": f"{config.image_size} px, {config.resize}; audio window: {config.audio_window}",
        "audio encoder": f"{encoder}, {config.audio_dim} values",
        "threshold": str(config.threshold),
        "file format": f"version {config.format_version}",
    }


def _base(config: SamAVConfig) -> str:
    name = config.base_model_name_or_path
    if name is None:
        return "a base that has no public name"
    if is_builtin(name):
        return f"`{name}`, which is part of the package sam-av"
    return f"`{name}`" + (f" at revision `{config.base_revision}`" if config.base_revision else "")


def _metrics_table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "None recorded."
    head = "| data | split | protocol | size | mIoU | F-score |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(
        f"| {row['dataset']} | {row['split']} | {row['protocol']} | {row['image_size']} "
        f"| {100 * row['miou']:.2f} | {100 * row['f_score']:.2f} |"
        for row in rows
    )


def _eval_results(row: dict[str, Any]) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="mask-generation",
            dataset_type=row["dataset"],
            dataset_name=f"{row['dataset']} ({row['split']}, protocol {row['protocol']})",
            dataset_split=row["split"],
            metric_type=metric,
            metric_value=row[metric],
        )
        for metric in ("miou", "f_score")
    ]


def _is_dataset_id(name: str) -> bool:
    return name.count("/") == 1 and " " not in name


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items) or _NOT_STATED.capitalize() + "."


def _or(text: str | None) -> str:
    return text or _NOT_STATED
