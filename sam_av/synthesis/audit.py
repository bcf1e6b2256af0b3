"""The audit: some triplets of each category on a page and a sheet, for a person to look at and to listen to."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..audio.log_mel import log_mel_examples
from ..data.media import read_picture
from ..data.writing import encode_wav
from ..digest import digest
from ..hub import write_whole
from ..viz import PictureRow, grid, overlay
from .categories import CategoryMap
from .composition import RULE_TEXTS, RULES, SINGLE, Triplet
from .plan import Plan, make_plan
from .recipe import SynthesisRecipe
from .render import Unusable, check_picture, draw_mask, mix_sounds

FOLDER = "audit"
"""In the output of the recipe."""

_SAMPLES = 4
_SIDE = 240  # pixels of a picture
_DIM = 0.4
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #20222c; background: #fafafc; margin: 24px; }
h1 { font-size: 22px; } h2 { font-size: 18px; margin: 28px 0 4px; } .faint { color: #747888; }
.row { display: flex; flex-wrap: wrap; gap: 16px; } figure { margin: 8px 0; width: 240px; }
figure img { width: 240px; display: block; margin-bottom: 4px; } audio { width: 240px; height: 32px; }
figcaption { font-size: 12px; overflow-wrap: anywhere; } pre { white-space: pre-wrap; }
"""


class _Sample:
    """A triplet as it is shown: the picture with its mask, the spectrogram, the sound."""

    def __init__(self, triplet: Triplet, recipe: SynthesisRecipe) -> None:
        size = check_picture(triplet)
        mask = draw_mask(triplet, size, recipe.min_area)
        self.triplet = triplet
        self.picture = overlay(read_picture(Path(triplet.picture[1])), mask, dim=_DIM)
        self.sound = mix_sounds(triplet, recipe.seconds)
        self.spectrogram = draw_spectrogram(self.sound)


def audit(recipe: SynthesisRecipe) -> str:
    """Writes index.html and sheet.png into the folder `audit` of the recipe's output: what the data set would hold.

    Returns:
        What to look at, in words.
    """
    plan = make_plan(recipe)
    category_map = CategoryMap.load(recipe.category_map)
    blocks = {name: _samples(triplets, plan, recipe) for name, triplets in _by_category(plan).items()}
    blocks = {name: samples for name, samples in blocks.items() if samples}
    if not blocks:
        raise ValueError("Not one of the sampled triplets can be made: sam-av synthesize counts the causes.")
    folder = Path(recipe.output).expanduser() / FOLDER
    page = _page(blocks, plan, category_map)
    sheet = _sheet(blocks, plan)
    write_whole(folder, {"index.html": lambda path: path.write_text(page, encoding="utf-8"), "sheet.png": sheet.save})
    doubtful = [name for name in blocks if name in category_map.categories and category_map.categories[name].note]
    return (
        f"{folder / 'index.html'}   {len(blocks)} blocks of up to {_SAMPLES} triplets, with their sounds to play\n"
        f"{folder / 'sheet.png'}    the same as one picture\n"
        f"Look first at the links that the map calls likely: {', '.join(doubtful) or 'there is none'}."
    )


def _by_category(plan: Plan) -> dict[str, list[Triplet]]:
    """The triplets of each category, and after them those of each rule but the plain one."""
    blocks: dict[str, list[Triplet]] = {}
    for triplet in plan.triplets:
        blocks.setdefault(triplet.categories[0] if triplet.rule == SINGLE else triplet.rule, []).append(triplet)
    order = [*sorted(name for name in blocks if name not in RULES), *(rule for rule in RULES if rule in blocks)]
    return {name: blocks[name] for name in order}


def _samples(triplets: Sequence[Triplet], plan: Plan, recipe: SynthesisRecipe) -> list[_Sample]:
    """Some triplets at random; those that training would give a sound get one of their pool."""
    samples: list[_Sample] = []
    for triplet in sorted(triplets, key=lambda one: digest(recipe.seed, "audit", one.id)):
        if not triplet.sounds:
            pool = plan.pool[triplet.categories[0]]
            triplet.sounds = [pool[int(digest(triplet.id), 16) % len(pool)]]
        try:
            samples.append(_Sample(triplet, recipe))
        except Unusable as unusable:
            plan.left_out.add(unusable.cause, unusable.name)
        if len(samples) == _SAMPLES:
            break
    return samples


def draw_spectrogram(sound: np.ndarray) -> np.ndarray:
    """The log-mel spectrogram of a sound (n,) as a picture, low notes below, (64, frames, 3) uint8."""
    examples = log_mel_examples(torch.from_numpy(sound))  # (n, 1, 96, 64)
    bands = examples.squeeze(1).reshape(-1, examples.shape[-1]).numpy().T[::-1]
    level = np.clip((bands - bands.min()) / max(float(np.ptp(bands)), 1e-6), 0, 1)[..., None]
    dark, middle, light = (np.array(colour, float) for colour in ((20, 16, 60), (200, 50, 90), (255, 236, 150)))
    colours = np.where(level < 0.5, dark + 2 * level * (middle - dark), middle + (2 * level - 1) * (light - middle))
    return colours.round().astype(np.uint8)


def _sheet(blocks: dict[str, list[_Sample]], plan: Plan) -> Image.Image:
    rows = [
        PictureRow(
            [cell for sample in samples for cell in (sample.picture, _stretched(sample.spectrogram, sample.picture))],
            [f"{name}: {', '.join(sample.triplet.id for sample in samples)}"],
        )
        for name, samples in blocks.items()
    ]
    columns = ["picture and mask", "what is heard"] * max(len(samples) for samples in blocks.values())
    title = f"Audit: {len(blocks)} categories and rules, {len(plan.triplets):,} triplets"
    return grid(title, "Does each masked thing make the sound beside it?", {"": rows}, columns)


def _stretched(spectrogram: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The spectrogram in the shape of the picture."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(Image.fromarray(spectrogram).resize(size, Image.Resampling.NEAREST))


def _page(blocks: dict[str, list[_Sample]], plan: Plan, category_map: CategoryMap) -> str:
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Audit of a synthesis</title>",
        f"<style>{_STYLE}</style></head><body><h1>Does each masked thing make the sound under it?</h1>",
        f"<p>{len(plan.triplets):,} triplets are planned; up to {_SAMPLES} of each category are shown. What is wrong "
        "here is put right in the category map: take a name away, or put it under <code>excluded</code> with the "
        "reason.</p>",
    ]
    for name, samples in tqdm(blocks.items(), desc="Writing the page", unit="category"):
        parts.append(f"<h2>{html.escape(name)}</h2><p class='faint'>{_about(name, plan, category_map)}</p>")
        parts.append(f"<div class='row'>{''.join(map(_figure, samples))}</div>")
    if lines := plan.left_out.lines():
        parts.append(f"<h2>Left out</h2><pre>{html.escape(chr(10).join(lines))}</pre>")
    for side, names in plan.unlinked.items():
        shown = ", ".join(f"{name} ({count:,})" for name, count in names.items())
        parts.append(
            f"<h2>Not linked, {html.escape(side)}: {len(names):,}</h2><p class='faint'>{html.escape(shown)}</p>"
        )
    return "\n".join([*parts, "</body></html>"])


def _about(name: str, plan: Plan, category_map: CategoryMap) -> str:
    """What the map says of a category, or what a rule is."""
    if name in RULE_TEXTS:
        return html.escape(RULE_TEXTS[name])
    category = category_map.categories[name]
    count = sum(triplet.categories == [name] and triplet.rule == SINGLE for triplet in plan.triplets)
    sides = [
        f"{side}: " + "; ".join(f"{', '.join(names)} ({vocabulary})" for vocabulary, names in of_side.items())
        for side, of_side in (("seen", category.pictures), ("heard", category.sounds))
        if of_side
    ]
    note = [f"Link: {category.link}. {category.note}" if category.note else f"Link: {category.link}"]
    return html.escape(". ".join([f"{count:,} triplets", *sides, *note]))


def _figure(sample: _Sample) -> str:
    triplet = sample.triplet
    picture = Image.fromarray(sample.picture)
    picture.thumbnail((2 * _SIDE, 2 * _SIDE))
    sounds = ", ".join(name for name, _ in triplet.sounds)
    levels = [f"SNR {', '.join(map(str, triplet.snrs))} dB"] if triplet.snrs else []
    levels += [f"noise {triplet.noise_snr} dB below"] if triplet.noise_snr is not None else []
    heard = ", ".join(triplet.categories) if triplet.rule != SINGLE else ""
    caption = " · ".join(filter(None, [triplet.id, heard, sounds, *levels]))
    return (
        f"<figure><img alt='' src='{_data(picture, 'jpeg')}'>"
        f"<img alt='' style='height:80px' src='{_data(Image.fromarray(sample.spectrogram), 'png')}'>"
        f"<audio controls preload='none' src='data:audio/wav;base64,{_base64(encode_wav(sample.sound))}'></audio>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _data(picture: Image.Image, form: str) -> str:
    file = io.BytesIO()
    picture.save(file, form)
    return f"data:image/{form};base64,{_base64(file.getvalue())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
