"""Evaluation: a predictor and a data set in, a report out; stopped runs are resumed, processes share the work."""

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from . import __version__
from .data import Clip, ClipDataset
from .digest import digest
from .hub import write_whole
from .predictions import MaskFolder, save_predictions
from .predictors import Predictor
from .progress import Progress
from .report import Report
from .scoring import Scoring, scored_size, scoring_for
from .sheet import draw_sheet


def evaluate(
    predictor: Predictor,
    dataset: ClipDataset,
    output: str | Path,
    *,
    protocol: str = "avsbench",
    limit: int | None = None,
    save_masks: bool = False,
    workers: int = 0,
    accelerator: Accelerator | None = None,
) -> Report:
    """Scores a predictor on the annotated frames of a data set and writes the report into a folder.

    Batches are fixed by the protocol and dealt whole to the processes; each leaves a file when it is done, so that a
    run that was stopped goes on where it was, and any number of processes gives the same numbers. All processes need
    the same `output` folder.

    Before it starts, every clip is decoded once. What cannot be used stops the run with the list of it, or is left out
    and reported where the data set was opened with `skip_bad=True`.

    Args:
        predictor: a `ModelPredictor`, a `MaskFolder`, a `SamOracle`, or anything like them.
        dataset: the data set.
        output: the folder: results.json, results.md, per_video.csv, per_category.csv, sheet.png, masks/, progress/.
        protocol: avsbench, sama, dataset, or avss for class ids.
        limit: evaluate the first so many clips only.
        save_masks: also write the predictions, into masks/, as `MaskFolder` reads them, at the protocol's size.
        workers: processes that decode clips.
        accelerator: where the caller has one.

    Returns:
        The report, in every process.
    """
    if not isinstance(dataset, ClipDataset):
        raise TypeError("Evaluation reads clips by their number: open the data set without streaming.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is how many clips to evaluate, at least 1, not {limit}.")
    output = Path(output).expanduser()
    scoring = scoring_for(protocol, dataset)
    accelerator = accelerator or Accelerator()
    progress = Progress(output / "progress")
    if accelerator.is_main_process:
        description = _describe(predictor, dataset, protocol=protocol, limit=limit, save_masks=save_masks)
        progress.begin(description, lambda: _plan(predictor, dataset, limit, workers))
    accelerator.wait_for_everyone()
    plan = progress.plan()
    size = scoring.videos_per_batch
    batches = [plan["clips"][start : start + size] for start in range(0, len(plan["clips"]), size)]
    masks = output / "masks" if save_masks else None
    _run(predictor, dataset, scoring, batches, progress, masks, workers, accelerator)
    accelerator.wait_for_everyone()

    results = progress.results(len(batches))
    if not any(result["clips"] for result in results):
        raise ValueError(f"{dataset.name} ({dataset.split}) has no annotated frame: there is nothing to score.")
    report = Report(
        method=predictor.name,
        identity=predictor.identity(),
        dataset=dataset.name,
        split=dataset.split,
        protocol=protocol,
        input_size=predictor.image_size,
        scored_size=scoring.image_size,
        left_out=plan["left_out"],
        **vars(scoring.tabulate(results, predictor.training_categories)),
    )
    if accelerator.is_main_process:
        report.write(output)
        _write_sheet(output, report, predictor, dataset, scoring)
    accelerator.wait_for_everyone()
    return report


def _run(
    predictor: Predictor,
    dataset: ClipDataset,
    scoring: Scoring,
    batches: list[list[int]],
    progress: Progress,
    masks: Path | None,
    workers: int,
    accelerator: Accelerator,
) -> None:
    """Does this process's share of the batches, which are numbers of clips, as far as it is not done yet."""
    mine = range(accelerator.process_index, len(batches), accelerator.num_processes)
    left = [index for index in mine if not progress.is_finished(index)]
    loader: DataLoader[Clip] = DataLoader(
        dataset, batch_sampler=[batches[index] for index in left], collate_fn=list, num_workers=workers
    )
    bar = tqdm(
        loader,
        desc=f"Evaluating on {dataset.name} ({dataset.split})",
        unit="batch",
        total=len(mine),
        initial=len(mine) - len(left),
        disable=not accelerator.is_main_process,
    )
    for index, clips in zip(left, bar, strict=True):
        clips = [clip for clip in clips if clip.annotated.any()]
        predictions = [predict_annotated(predictor, clip, scored_size(scoring, clip)) for clip in clips]
        if masks is not None:
            for clip, prediction in zip(clips, predictions, strict=True):
                save_predictions(masks, clip, prediction)
        progress.finish(index, scoring.count(index, clips, predictions))


def predict_annotated(predictor: Predictor, clip: Clip, size: tuple[int, int]) -> Tensor:
    """The predictions (T', *size) of a clip, held to what a `Predictor` promises."""
    prediction = predictor.predict(clip, size)
    wanted = (int(clip.annotated.sum()), *size)
    if not isinstance(prediction, Tensor) or tuple(prediction.shape) != wanted or prediction.dtype == torch.bool:
        found = f"{prediction.dtype} {tuple(prediction.shape)}" if isinstance(prediction, Tensor) else type(prediction)
        raise ValueError(
            f"{predictor.name} must predict a tensor of float logits, or of class ids, of shape {wanted} for the clip "
            f"'{clip.id}'; it gave {found}."
        )
    return prediction


def _describe(predictor: Predictor, dataset: ClipDataset, **settings: Any) -> dict[str, Any]:
    """What a run is of, as plain data: it is resumed only where all of this is the same."""
    return {**predictor.identity(), "data": digest(*dataset.content()), "sam-av": __version__, **settings}


def _plan(predictor: Predictor, dataset: ClipDataset, limit: int | None, workers: int) -> dict[str, Any]:
    """The numbers of the clips to evaluate, all of which can be decoded, and the faults of the others."""
    checked = copy.copy(dataset)
    checked.entries = dataset.entries[:limit]
    checked.left_out = list(dataset.left_out)
    checked.verify(workers)
    if isinstance(predictor, MaskFolder):
        predictor.require([entry.id for entry in checked.entries])
    usable = {entry.id for entry in checked.entries}
    return {
        "clips": [number for number, entry in enumerate(dataset.entries[:limit]) if entry.id in usable],
        "left_out": [asdict(problem) for problem in checked.left_out],
    }


def _write_sheet(output: Path, report: Report, predictor: Predictor, dataset: ClipDataset, scoring: Scoring) -> None:
    numbers = {entry.id: number for number, entry in enumerate(dataset.entries)}

    def read(clip_id: str) -> tuple[Clip, Tensor]:
        clip = dataset[numbers[clip_id]]
        return clip, predict_annotated(predictor, clip, scored_size(scoring, clip))

    sheet = draw_sheet(report, read)
    write_whole(output, {"sheet.png": sheet.save})
