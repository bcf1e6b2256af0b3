"""Score an adapter, a folder of predictions or the SAM oracle on a data set. Stopped runs are resumed."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .data_arguments import add_data_arguments, reader_options
from .model_arguments import add_model_arguments, load_model

if TYPE_CHECKING:
    from ..data import ClipDataset, DataProblems
    from ..predictors import Predictor

HELP = "score an adapter, a folder of predictions or the SAM oracle on a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sam-av evaluate`."""
    parser.add_argument(
        "adapter",
        help="adapter (Hub id or folder); the folder of PNGs for --method predictions; the base for sam-oracle",
    )
    add_data_arguments(parser)
    parser.add_argument("--split", default="test", help="part of the data set (default: %(default)s)")
    parser.add_argument(
        "--protocol",
        choices=["avsbench", "sama", "dataset", "avss"],
        default="avsbench",
        help="how scores are made (default: %(default)s); avss scores a folder of class-id PNGs",
    )
    parser.add_argument(
        "--method",
        choices=["model", "predictions", "sam-oracle"],
        default="model",
        help="what is evaluated (default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/evaluate"), help="folder of the report (default: %(default)s)"
    )
    parser.add_argument("--save-masks", action="store_true", help="write the predictions into the output folder, too")
    parser.add_argument("--limit", type=int, metavar="N", help="evaluate the first N clips only")
    parser.add_argument("--skip-bad", action="store_true", help="leave out clips that cannot be used, and list them")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep audio embeddings here for other runs")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode clips (default: %(default)s)")
    add_model_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Runs `sam-av evaluate`."""
    from datetime import timedelta

    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    from ..data import ClipDataset, DataProblems, open_dataset
    from ..evaluate import evaluate

    # Processes wait for the slowest one, which may take longer than the ten minutes that they wait by default.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    accelerator = Accelerator(cpu=options.device == "cpu", kwargs_handlers=[patience])
    try:
        dataset = open_dataset(
            options.data,
            options.split,
            layout=options.layout,
            skip_bad=options.skip_bad,
            **reader_options(options),
        )
        assert isinstance(dataset, ClipDataset)  # streams are opened by those who ask for them
        report = evaluate(
            _predictor(options, dataset, options.device or accelerator.device),
            dataset,
            options.output,
            protocol=options.protocol,
            limit=options.limit,
            save_masks=options.save_masks,
            workers=options.workers,
            accelerator=accelerator,
        )
    except DataProblems as error:
        if options.skip_bad or not error.problems:
            raise
        raise _written(error, options.output / "problems.csv") from error
    accelerator.print(f"{report.to_markdown()}\nWritten to '{options.output}'.")
    accelerator.end_training()


def _written(error: "DataProblems", path: Path) -> "DataProblems":
    """The error with a pointer to a file that holds the full list, of which its own text shows some."""
    from dataclasses import asdict

    from ..data import DataProblems
    from ..data.writing import write_table
    from ..hub import write_whole

    rows = [asdict(problem) for problem in error.problems]
    write_whole(path.parent, {path.name: lambda draft: write_table(draft, rows)})
    advice = f"The full list is in '{path}'. Mend them, or go on without what they spoil: --skip-bad."
    return DataProblems(error.where, error.problems, advice)


def _predictor(options: argparse.Namespace, dataset: "ClipDataset", device: str) -> "Predictor":
    if options.method == "predictions":
        from ..predictions import ClassIdFolder, MaskFolder

        if options.protocol == "avss":
            return ClassIdFolder(options.adapter, len(dataset.categories))
        return MaskFolder(options.adapter)
    if options.protocol == "avss":
        raise ValueError("The protocol avss scores a folder of class-id PNGs: add --method predictions.")
    if options.method == "sam-oracle":
        from ..oracle import SamOracle

        return SamOracle(options.adapter, device=device)

    from ..predictors import ModelPredictor

    model = load_model(options, device)
    return ModelPredictor(model, name=options.adapter, batch_size=options.batch_size, cache=options.cache)
