"""Training: a recipe in, an adapter out. One loop on Accelerate."""

import json
import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object, send_to_device, set_seed
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from ..augment import Augmentation
from ..data import ClipDataset
from ..digest import digest
from ..evaluate import evaluate
from ..frozen_cache import freeze
from ..hub import write_whole
from ..model import SamAV
from ..predictors import ModelPredictor
from ..publish import create_repository
from ..recipe import Recipe
from ..samples import ClipSamples, Sample, SampleMaker
from ..scoring import scoring_for
from ..stopping import StopRequest
from ..storage import refuse_foreign_config
from .checkpoints import Checkpoints
from .failures import NotFinite, explain_memory
from .feed import ClipFeed, Feed, Position, StreamFeed
from .log import CURVES_NAME, TrainingLog, draw_curves
from .setup import TrainingData, build_model, make_accelerator, open_data, write_card
from .stopping import TrainingStopped
from .validation import validate

RECIPE_NAME, RESULTS_NAME, BEST_NAME, CHECKPOINTS_NAME = "recipe.yaml", "results.json", "best", "checkpoints"


def train(recipe: Recipe, *, model: SamAV | None = None) -> dict[str, Any]:
    """Trains an adapter and writes it into `recipe.output`, as `SamAV.from_pretrained` reads it.

    A run that was stopped goes on from its last whole checkpoint when the same recipe is trained again.

    Args:
        recipe: what to train, on what, and how.
        model: a model whose active adapter is trained, instead of one made from the recipe's `base` or `init_from`.

    Returns:
        What results.json holds.
    """
    if model is None and recipe.base is None and recipe.init_from is None:
        raise ValueError("A recipe needs `base`, a frozen SAM to put adapters on, or `init_from`, an adapter.")
    output = Path(recipe.output).expanduser()
    accelerator = make_accelerator(recipe)
    set_seed(recipe.seed)
    _refuse_other_runs(output, recipe)
    data = open_data(recipe)
    model = build_model(recipe, accelerator) if model is None else model.to(accelerator.device)
    write_card(recipe, model, data, [])  # refuses what no card knows before there is anything to lose
    if recipe.push_to_hub is not None:
        model.check_publishable()
    run = _Run(recipe, output, accelerator, model, data)
    run.resume()
    if accelerator.is_main_process:
        if recipe.push_to_hub is not None:
            create_repository(recipe.push_to_hub, private=recipe.private)  # whether one may is known before, not after
        write_whole(output, {RECIPE_NAME: lambda draft: draft.write_text(recipe.to_yaml(), encoding="utf-8")})
    try:
        run.loop()
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if (advice := explain_memory(error, recipe, model)) is not None:
            raise MemoryError(advice) from error
        raise
    return run.conclude()


class _Run:
    """One training in one process: what the steps share."""

    def __init__(
        self, recipe: Recipe, output: Path, accelerator: Accelerator, model: SamAV, data: TrainingData
    ) -> None:
        self.recipe, self.output, self.accelerator, self.data = recipe, output, accelerator, data
        self.network = model
        self.feed = make_feed(recipe, accelerator, model, data)
        self.total_steps = recipe.max_steps or recipe.epochs * (self.feed.steps_per_epoch or 0)
        once_an_epoch = self.feed.steps_per_epoch or self.total_steps
        self.eval_every = recipe.eval_every or once_an_epoch
        self.save_every = recipe.save_every or once_an_epoch

        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        # Accelerate would step a schedule that it has prepared once for each process.
        self.schedule = LambdaLR(optimizer, _cosine(recipe, self.total_steps))
        self.clips = ""
        if isinstance(data.training, ClipDataset):
            self.clips = digest(*(entry.id for entry in data.training.entries))
        self.position = Position()
        accelerator.register_for_checkpointing(self.schedule, self.position)
        self.checkpoints = Checkpoints(output / CHECKPOINTS_NAME, accelerator, recipe.keep)
        if data.validation is not None:
            scoring_for(recipe.protocol, data.validation)  # refuses a protocol that there is not
        if recipe.trackers:
            accelerator.init_trackers("sam-av")
        self.log: TrainingLog | None = None

    # ---------------------------------------------------------------------------------------------------- the steps

    def resume(self) -> None:
        """Takes up the newest whole checkpoint, where there is one."""
        if (place := self.checkpoints.newest(notice=self.accelerator.print)) is not None:
            self.checkpoints.load(place)
            self._take_place(place)
            self.accelerator.print(f"Going on from step {self.position.step:,}.")
        if self.accelerator.is_main_process:
            self.log = TrainingLog(self.output, self.position.step)

    def _save(self) -> None:
        self.position.places = gather_object([(self.position.epoch, self.position.batch)])
        self.position.clips = self.clips
        self.checkpoints.save(self.position.step)

    def _take_place(self, checkpoint: Path) -> None:
        """Goes to where this process stood when a checkpoint was made."""
        places, world = self.position.places, self.accelerator.num_processes
        if len(places) != world:
            raise ValueError(
                f"The checkpoint '{checkpoint}' is of {len(places)} processes, and these are {world}: batches would be "
                f"dealt otherwise. Go on with {len(places)}, or begin anew from the adapter with init_from."
            )
        if self.position.clips != self.clips:
            raise ValueError(
                f"The clips are not those that '{checkpoint}' was trained on: some have come, gone or been left out. "
                "Bring them back, or begin anew from the adapter with init_from."
            )
        self.position.epoch, self.position.batch = places[self.accelerator.process_index]

    def loop(self) -> None:
        """Steps until the recipe's end, an early end, or a signal to stop."""
        if self.position.step == 0 and self.accelerator.is_main_process:
            print(self.network.describe_parameters())
        bar = tqdm(
            total=self.total_steps,
            initial=self.position.step,
            desc="Training",
            unit="step",
            disable=not self.accelerator.is_main_process,
        )
        self.model.train()
        # Closed in the end, whatever ends it: the workers of a DataLoader leave when nobody holds it any more.
        with StopRequest() as stop, bar, closing(self.feed.steps(self.position)) as steps:
            while self.position.step < self.total_steps and not self._patience_is_over():
                begun = self.position.epoch, self.position.batch
                loss, signal = self._step(next(steps), stop.signal, begun)
                self.position.step += 1
                self._record({"loss": loss, "lr": float(self.schedule.get_last_lr()[0])})
                self.schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{loss:.4f}", lr=f"{self.schedule.get_last_lr()[0]:.1e}", refresh=False)
                ended = self.position.step == self.total_steps
                if self.data.validation is not None and (ended or self.position.step % self.eval_every == 0):
                    self._validate()
                if signal or ended or self._patience_is_over() or self.position.step % self.save_every == 0:
                    self._save()
                if signal and not ended:
                    raise TrainingStopped(self.position.step, signal)

    def _step(self, batches: list[Sample], signal: int, begun: tuple[int, int]) -> tuple[float, int]:
        """One step of the optimizer; the mean loss of all processes, and a signal that any of them was given.

        `begun` is the epoch and batch at which the step begins.
        """
        losses = []
        for number, (batch, share) in enumerate(zip(batches, self._shares(batches), strict=True)):
            is_last = number == len(batches) - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                inputs = {key: value for key, value in batch.items() if key != "frames"}
                loss = self.model(**send_to_device(inputs, self.accelerator.device)).loss * share
                self.accelerator.backward(loss)
                losses.append(loss.detach())
        mean, signal = self._agree(torch.stack(losses).sum(), signal)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm or math.inf)
        scaled = self.accelerator.scaler is not None  # in float16, where infinite gradients are looked for there
        if not math.isfinite(mean) or not (scaled or norm is None or math.isfinite(norm)):
            self.position.epoch, self.position.batch = begun  # these batches were not learnt from
            raise self._not_finite(batches)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return mean, signal

    def _shares(self, batches: list[Sample]) -> list[float]:
        """The weight of each batch in a step: its share of the annotated frames, which is what a mean runs over."""
        if len(batches) == 1:
            return [1.0]
        counts = [int(batch["mask_labels"].flatten(1).ne(-1).any(dim=1).sum()) for batch in batches]
        among_all = self.accelerator.reduce(torch.tensor(counts, device=self.accelerator.device), "sum")
        return (among_all / among_all.sum().clamp(min=1)).tolist()

    def _agree(self, loss: Tensor, signal: int) -> tuple[float, int]:
        """The mean of the losses of all processes, and the greatest of their signals."""
        found = self.accelerator.gather(torch.stack([loss.float(), loss.new_tensor(float(signal))])[None])
        return found[:, 0].mean().item(), int(found[:, 1].max().item())

    def _not_finite(self, batches: list[Sample]) -> NotFinite:
        """The error for a loss that is no number; what was learnt before it is saved, if it is still sound."""
        self.optimizer.zero_grad()
        if sound := all(bool(weight.isfinite().all()) for weight in self.network.state_dict().values()):
            self._save()
        return NotFinite.of(self.network, batches, self.position.step + 1, self.checkpoints.folder if sound else None)

    # ------------------------------------------------------------------------------------------------ along the way

    def _predictor(self) -> ModelPredictor:
        return ModelPredictor(self.network, name=self.output.name, batch_size=max(4, self.recipe.batch_size))

    def _validate(self) -> None:
        assert self.data.validation is not None
        scoring = scoring_for(self.recipe.protocol, self.data.validation)
        scores = validate(self._predictor(), self.data.validation, scoring, self.accelerator, self.recipe.workers)
        self.model.train()
        self._record({name: scores[name] for name in ("miou", "f_score")})
        self.position.validations_since_best += 1
        if self.position.best is None or scores["miou"] > self.position.best:
            self.position.best, self.position.validations_since_best = scores["miou"], 0
            self.network.save_pretrained(self.output / BEST_NAME, is_main_process=self.accelerator.is_main_process)
        if self.accelerator.is_main_process:
            tqdm.write(
                f"step {self.position.step:,}: mIoU {100 * scores['miou']:.2f}, F {100 * scores['f_score']:.2f} "
                f"on {self.recipe.validation} (best mIoU {100 * self.position.best:.2f})"
            )

    def _patience_is_over(self) -> bool:
        return self.recipe.patience is not None and self.position.validations_since_best >= self.recipe.patience

    def _record(self, values: dict[str, float]) -> None:
        if self.recipe.trackers:
            self.accelerator.log(values, step=self.position.step)
        if self.log is not None:
            self.log.add({"step": self.position.step, "epoch": self.position.epoch, **values})

    # -------------------------------------------------------------------------------------------------- at the end

    def conclude(self) -> dict[str, Any]:
        """Writes the adapter, the best one where there were validations, with its scores, card and curves."""
        recipe, accelerator, network = self.recipe, self.accelerator, self.network
        if (self.output / BEST_NAME).is_dir():
            network.load_weights(self.output / BEST_NAME)
        if recipe.calibrate and self.data.validation is not None:
            network.config.threshold = self._calibrated_threshold(self.data.validation)
        scored = {recipe.test: self.data.test, recipe.validation: self.data.validation}
        reports = [
            evaluate(
                self._predictor(),
                dataset,
                self.output / f"evaluation-{split}",
                protocol=recipe.protocol,
                workers=recipe.workers,
                accelerator=accelerator,
            )
            for split, dataset in scored.items()
            if dataset is not None
        ]
        rows = [report.card_row() for report in reports]
        write_card(recipe, network, self.data, rows)
        results = {"steps": self.position.step, "best_validation_miou": self.position.best, "scores": rows}
        network.save_pretrained(self.output, is_main_process=accelerator.is_main_process)
        if accelerator.is_main_process:
            _draw_curves(self.output)
            if recipe.push_to_hub is not None:
                network.push_to_hub(recipe.push_to_hub, private=recipe.private)
            text = json.dumps(results, indent=1) + "\n"  # the last file: with it, the training has ended
            write_whole(self.output, {RESULTS_NAME: lambda path: path.write_text(text, encoding="utf-8")})
        accelerator.wait_for_everyone()
        accelerator.end_training()
        return results

    def _calibrated_threshold(self, dataset: ClipDataset) -> float:
        from ..calibrate import calibrate_threshold

        chosen = [0.5]
        if self.accelerator.is_main_process:
            chosen = [calibrate_threshold(self._predictor(), dataset)]
        return broadcast_object_list(chosen)[0]


def make_feed(recipe: Recipe, accelerator: Accelerator, model: SamAV, data: TrainingData) -> Feed:
    """The batches of the recipe's data, as this process takes them."""
    maker = SampleMaker(
        model.processor,
        frames_per_clip=recipe.frames_per_clip,
        augmentation=Augmentation.from_dict(recipe.augmentation),
        seed=recipe.seed,
    )
    share: dict[str, Any] = {
        "batch_size": recipe.batch_size,
        "accumulation": recipe.accumulation,
        "workers": recipe.workers,
        "seed": recipe.seed,
        "rank": accelerator.process_index,
        "world": accelerator.num_processes,
    }
    if not isinstance(data.training, ClipDataset):
        return StreamFeed(data.training, maker, buffer=recipe.shuffle_buffer, **share)
    samples = ClipSamples(data.training, maker)
    if recipe.cache is None:
        return ClipFeed(data.training, samples, **share)
    kept = freeze(model, samples, recipe.cache, accelerator=accelerator, workers=recipe.workers)
    return ClipFeed(data.training, kept, **share)


def _refuse_other_runs(output: Path, recipe: Recipe) -> None:
    """Raises where the output folder holds a training that has ended, one of another recipe, or another model."""
    if (output / RESULTS_NAME).is_file():
        raise ValueError(
            f"The training in '{output}' has ended: SamAV.from_pretrained('{output}') loads what it gave. Choose "
            "another `output`, or delete that folder to train anew."
        )
    refuse_foreign_config(output)
    if (output / RECIPE_NAME).is_file() and any((output / CHECKPOINTS_NAME).glob("*")):
        earlier = Recipe.load(output / RECIPE_NAME, {})
        if differences := recipe.differences(earlier):
            raise ValueError(
                f"'{output}' holds the training of another recipe, which this one cannot go on with; they differ in "
                f"{', '.join(differences)}. Choose another `output`, or delete that folder to start anew."
            )


def _cosine(recipe: Recipe, total: int) -> Callable[[int], float]:
    """The learning rate at a step as a share of the highest one: up along a line, then down along a cosine."""
    floor = recipe.final_learning_rate / recipe.learning_rate

    def share(step: int) -> float:
        if step < recipe.warmup_steps:
            return (step + 1) / (recipe.warmup_steps + 1)
        done = (step - recipe.warmup_steps) / max(1, total - recipe.warmup_steps)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return share


def _draw_curves(output: Path) -> None:
    try:
        draw_curves(output)
    except ImportError:
        print(f'No {CURVES_NAME} was drawn, which takes matplotlib: pip install "sam-av[train]"')
