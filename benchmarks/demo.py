"""Scores adapters on held-out drawn scenes: `python benchmarks/demo.py --runs outputs/demo-runs`.

The folder holds an adapter for each method and seed: `<method>-seed<k>/`, where the method is sama, ap-sam,
sama-ap-sam or audio-blind. What each of them reaches is kept in results/demo.json, where it takes the place of an
earlier run of that name: so seeds that were trained on different days come together in one table, results/demo.md.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import audio_blind  # noqa: F401 - the adapters that were trained without sound name its encoder
import bench
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sam_av import SamAV
from sam_av.data import Clip, Scenes, SceneSettings
from sam_av.data.scenes import CATEGORIES, Scene
from sam_av.oracle import SamOracle
from sam_av.predict import EMPTY_SHARE
from sam_av.predictions import to_logits
from sam_av.predictors import ModelPredictor, Predictor
from sam_av.scoring import MaskScoring, scored_size

METHODS = ("sama", "ap-sam", "sama-ap-sam", "audio-blind")
BASE = "builtin:demo"
# The edges of masks of 64 px are softer than those of SAM's 256: of its own limits, the stability would keep none.
MASK_GENERATOR = {"points_per_side": 12, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.7}
SCORING = MaskScoring("avsbench")
KEPT = bench.RESULTS / "demo.json"

Numbers = dict[str, float]
Predict = Callable[[Scene, Clip], Tensor]
"""Logits (T, S, S), at the size at which they are scored, of what sounds in a clip of the scene."""

COLUMNS = {
    "one miou": "one source: mIoU",
    "one f": "MF",
    "two miou": "two sources: mIoU",
    "two f": "MF",
    "swap new": "sound swapped: IoU with the new source",
    "swap old": "with the old one",
    "silence": "silence: empty",
    "absent": "absent class: empty",
    "threshold": "threshold",
}

NOTES = """\
Everything but the threshold in %; means, and the least and the greatest over the seeds.

{frames} frames of {scenes} test scenes with one source and as many with two, at 128 px; 3 to 5 objects, at least two of
them silent. mIoU, MF and the IoUs of swapped sounds by the protocol avsbench (a probability above 0.5 is mask).
Swapped: the same frames with the sound of one of their silent objects. Silence, absent class: the same frames without
sound, or with that of a class that is not in them; empty means fewer than 0.1 % of the pixels above the adapter's own
threshold.

audio-blind is trained and scored with zeros for embeddings. The lower rows hear nothing: of SAM's automatic masks the
one that is most like the truth; the largest object of each frame; all of its objects."""


@dataclass(frozen=True)
class HeldOut:
    """Test scenes, drawn once, in which one or two objects sound throughout."""

    one: list[Scene]
    two: list[Scene]

    @classmethod
    def draw(cls, count: int) -> "HeldOut":
        settings = replace(SceneSettings.demo(size=128), silence=0, absent=0, switching=0)
        return cls(*(_draw(replace(settings, sources=(n, n)), count) for n in (1, 2)))

    def first(self, count: int) -> "HeldOut":
        return HeldOut(self.one[:count], self.two[:count])


def _draw(settings: SceneSettings, count: int) -> list[Scene]:
    scenes = Scenes(settings, split="test", length=count)
    return [scenes.scene(k) for k in tqdm(range(count), desc=f"Drawing, {settings.sources[0]} sounding", leave=False)]


# -------------------------------------------------------------------------------------------------------- the numbers


def measure_masks(predict: Predict, scenes: HeldOut) -> Numbers:
    """How well masks fit: in scenes with one source and with two."""
    numbers = {}
    for name, chosen in (("one", scenes.one), ("two", scenes.two)):
        clips = [scene.clip() for scene in chosen]
        logits = [predict(scene, clip) for scene, clip in zip(chosen, clips, strict=True)]
        scores = score(clips, logits)
        numbers |= {f"{name} miou": scores["miou"], f"{name} f": scores["f_score"]}
    return numbers


def measure_sound(predict: Predict, scenes: HeldOut, threshold: float) -> Numbers:
    """What becomes of the masks when the same frames get another sound, none, or one that belongs to nothing in them.

    A mask is empty when fewer than 0.1 % of its pixels are above the threshold.
    """
    swapped, old, emptied = [], [], {"silence": [], "absent": []}
    logits = []
    for k, scene in enumerate(scenes.one):
        silent = scene.silent_objects
        swapped.append(scene.swap(silent[k % len(silent)]))
        old.append(replace(swapped[-1], masks=scene.clip().masks))
        logits.append(predict(scene, swapped[-1]))
        seen = {thing.category for thing in scene.objects}
        lacking = [category for category in CATEGORIES if category not in seen]
        for name, clip in (("silence", scene.silence()), ("absent", scene.absent(lacking[k % len(lacking)]))):
            share = (predict(scene, clip).sigmoid() > threshold).float().mean((1, 2))
            emptied[name] += (share < EMPTY_SHARE).tolist()
    return {
        "swap new": score(swapped, logits)["miou"],
        "swap old": score(old, logits)["miou"],
        **{name: fmean(empty) for name, empty in emptied.items()},
    }


def measure(predict: Predict, scenes: HeldOut, threshold: float = 0.5) -> Numbers:
    return measure_masks(predict, scenes) | measure_sound(predict, scenes, threshold)


def score(clips: list[Clip], logits: list[Tensor]) -> Numbers:
    """mIoU and MF by the protocol avsbench, as `sam-av evaluate` makes them."""
    size = SCORING.videos_per_batch
    results = [
        SCORING.count(index, clips[start : start + size], logits[start : start + size])
        for index, start in enumerate(range(0, len(clips), size))
    ]
    return SCORING.tabulate(results, seen=()).scores


# ----------------------------------------------------------------------------------------------------- what is scored


def of_predictor(predictor: Predictor) -> Predict:
    return lambda _scene, clip: predictor.predict(clip, scored_size(SCORING, clip))


def every_object(scene: Scene, clip: Clip) -> Tensor:
    """All objects, whatever is heard."""
    return of_masks(np.any([thing.masks for thing in scene.objects], axis=0), clip)


def largest_object(scene: Scene, clip: Clip) -> Tensor:
    """In each frame the object of which most shows, whatever is heard."""
    masks = np.stack([thing.masks for thing in scene.objects])
    largest = masks.sum(axis=(2, 3)).argmax(axis=0)
    return of_masks(masks[largest, np.arange(masks.shape[1])], clip)


def of_masks(masks: np.ndarray, clip: Clip) -> Tensor:
    """Masks (T, H, W) as predictions for the clip."""
    return to_logits(torch.from_numpy(masks).float(), scored_size(SCORING, clip))


def find_runs(folder: Path) -> dict[str, list[Path]]:
    """The adapters of each method, by their seeds."""
    runs: dict[str, list[Path]] = {method: [] for method in METHODS}
    for path in sorted(folder.glob("*-seed*")):
        name = re.fullmatch(r"(.+)-seed\d+", path.name)
        if name is None or name[1] not in METHODS:
            raise SystemExit(f"'{path}' should be named <method>-seed<k>, with a method of {', '.join(METHODS)}.")
        runs[name[1]].append(path)
    if not any(runs.values()):
        raise SystemExit(f"'{folder}' holds no adapter <method>-seed<k>/.")
    return {method: paths for method, paths in runs.items() if paths}


def measure_run(path: Path, scenes: HeldOut) -> Numbers:
    model = SamAV.from_pretrained(path, device="cpu")
    threshold = model.config.threshold
    predictor = ModelPredictor(model, batch_size=32)
    return {**measure(of_predictor(predictor), scenes, threshold), "threshold": threshold}


# --------------------------------------------------------------------------------------------------------- the report


def row(name: str, runs: Iterable[Numbers]) -> list[object]:
    """Means over the runs, and from where to where they go."""
    runs = list(runs)
    return [name, *(_cell([run[key] for run in runs if key in run], key) for key in COLUMNS)]


def _cell(values: list[float], key: str) -> str:
    if not values:
        return "-"
    shown = [f"{value:.2f}" if key == "threshold" else f"{100 * value:.1f}" for value in values]
    if len(values) == 1 or len(set(shown)) == 1:
        return shown[0]
    mean = fmean(values)
    low, high = (shown[values.index(extreme(values))] for extreme in (min, max))
    return f"{mean:.2f} ({low} to {high})" if key == "threshold" else f"{100 * mean:.1f} ({low} to {high})"


def count_frames(scenes: list[Scene]) -> int:
    return sum(len(scene.frames) for scene in scenes)


def measure_deaf(scenes: HeldOut, oracle_scenes: int) -> dict[str, Numbers]:
    """What masks that follow no sound reach."""
    few = scenes.first(oracle_scenes)
    oracle = SamOracle(BASE, **MASK_GENERATOR)
    return {
        f"SAM oracle, {count_frames(few.one)} frames": measure_masks(of_predictor(oracle), few),
        "largest object": measure(largest_object, scenes),
        "every object": measure(every_object, scenes),
    }


def rows_of(kept: dict[str, dict[str, Numbers]]) -> list[list[object]]:
    """A row for each method, of all its seeds, and one for each that is deaf."""
    rows = []
    for method in METHODS:
        runs = [numbers for name, numbers in kept["runs"].items() if name.rpartition("-seed")[0] == method]
        if runs:
            rows.append(row(f"{method}, {len(runs)} seed{'s' * (len(runs) > 1)}", runs))
    return rows + [row(name, [numbers]) for name, numbers in kept["deaf"].items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the adapters")
    parser.add_argument("--scenes", type=int, default=120, help="with one source, and as many with two")
    parser.add_argument("--oracle-scenes", type=int, default=20, help="of these, for the SAM oracle, which is slow")
    options = parser.parse_args()
    paths = [path for runs in find_runs(options.runs).values() for path in runs]
    scenes = HeldOut.draw(options.scenes)
    setup = {"scenes": options.scenes, "oracle_scenes": options.oracle_scenes}
    kept = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    if kept.get("setup") != setup:
        kept = {"setup": setup, "runs": {}, "deaf": measure_deaf(scenes, options.oracle_scenes)}
    for path in tqdm(paths, "Scoring", unit="adapter"):
        kept["runs"][path.name] = measure_run(path, scenes)
    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    facts = {"frames": count_frames(scenes.one), "scenes": options.scenes}
    table = bench.table(["method", *COLUMNS.values()], rows_of(kept))
    bench.write("demo", f"# The demo's adapters on held-out scenes\n\n{NOTES.format(**facts)}\n\n{table}")


if __name__ == "__main__":
    main()
