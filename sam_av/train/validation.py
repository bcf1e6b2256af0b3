"""The scores of a predictor on a data set, in memory, shared by all processes: what a training looks at on its way."""

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.utils.data import DataLoader

from ..data import Clip, ClipDataset
from ..evaluate import predict_annotated
from ..predictors import Predictor
from ..scoring import Row, Scoring, scored_size
from .stopping import leave_signals_alone


def validate(
    predictor: Predictor, dataset: ClipDataset, scoring: Scoring, accelerator: Accelerator, workers: int = 0
) -> Row:
    """The scores over all clips, the same in every process; `evaluate` gives the same numbers, and a report.

    Batches are those of the protocol, dealt whole to the processes.
    """
    size = scoring.videos_per_batch
    batches = [list(range(start, min(start + size, len(dataset)))) for start in range(0, len(dataset), size)]
    mine = range(accelerator.process_index, len(batches), accelerator.num_processes)
    loader: DataLoader[Clip] = DataLoader(
        dataset,
        batch_sampler=[batches[index] for index in mine],
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=leave_signals_alone,
    )
    results = []
    for index, clips in zip(mine, loader, strict=True):
        clips = [clip for clip in clips if clip.annotated.any()]
        predictions = [predict_annotated(predictor, clip, scored_size(scoring, clip)) for clip in clips]
        results.append((index, scoring.count(index, clips, predictions)))
    gathered = sorted(gather_object(results), key=lambda pair: pair[0])
    return scoring.tabulate([result for _, result in gathered], ()).scores
