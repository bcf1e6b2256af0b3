"""The synthesis: a plan, written by several processes, taken up again where it was stopped."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from .. import __version__
from ..hub import write_whole
from ..progress import Progress
from .audit import FOLDER as AUDIT
from .categories import CategoryMap
from .composition import Triplet
from .output import DRAFT, WRITERS, Chunk, Row
from .plan import EmptyJoin, Plan, make_plan
from .recipe import SynthesisRecipe
from .tally import Tally

REPORT, PROGRESS = "synthesis.json", ".progress"


@dataclass
class SynthesisReport:
    """What came out.

    Attributes:
        output: the folder of the data set.
        asked: how many triplets each part was to have.
        made: how many it has.
        categories: how many triplets each category has in each part; a mixture counts for each of its own.
        rules: how many triplets were made by each rule.
        left_out: what was left out, counted by cause.
        unlinked: names of both sides that the map does not link.
        licenses: the licences of pictures, outlines and sounds, and for how many triplets each counts.
    """

    output: str
    asked: dict[str, int]
    made: dict[str, int]
    categories: dict[str, dict[str, int]]
    rules: dict[str, int]
    left_out: Tally = field(default_factory=Tally)
    unlinked: dict[str, dict[str, int]] = field(default_factory=dict)
    licenses: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**vars(self), "left_out": self.left_out.to_dict()}


def synthesize(recipe: SynthesisRecipe) -> SynthesisReport:
    """Writes the data set of a recipe into `recipe.output`, as `open_dataset` reads it.

    A run that was stopped goes on when the same recipe is synthesized again, and writes nothing twice; once it has
    ended, it only gives its report again.

    Raises:
        EmptyJoin: where no picture and no sound belong together; nothing is written then.
    """
    root = Path(recipe.output).expanduser()
    CategoryMap.load(recipe.category_map)
    identity = json.loads(json.dumps({**recipe.identity(), "sam-av": __version__, "map": _map_text(recipe)}))
    if (report := _finished(root, identity)) is not None:
        return report
    progress = Progress(root / PROGRESS)
    if not progress.has_results:
        if progress.has_begun:  # killed before a chunk was kept; what it wrote may be another recipe's
            _clear(root)
        _refuse_strangers(root)
    progress.begin(identity, lambda: make_plan(recipe).to_dict())
    plan = Plan.from_dict(progress.plan())
    _sweep(root)
    chunks = _chunks(plan, recipe)
    _write(chunks, root, recipe, progress)
    rows, kept = _gather(chunks, progress, plan)
    if not kept:
        _clear(root)  # the sources may be mended, and all that was kept is that nothing could be made
        raise EmptyJoin("No triplet could be made:\n" + "\n".join(plan.left_out.lines()))
    WRITERS[recipe.layout](root, recipe).conclude(rows, plan.pool)
    report = _report(plan, kept, recipe)
    text = json.dumps({"identity": identity, "report": report.to_dict()}, indent=1, ensure_ascii=False) + "\n"
    write_whole(
        root,
        {
            "recipe.yaml": lambda path: path.write_text(recipe.to_yaml(), encoding="utf-8"),
            "categories.yaml": lambda path: path.write_text(_map_text(recipe), encoding="utf-8"),
            REPORT: lambda path: path.write_text(text, encoding="utf-8"),
        },
    )
    rmtree(progress.folder)
    return report


def _map_text(recipe: SynthesisRecipe) -> str:
    return CategoryMap.file_of(recipe.category_map).read_text(encoding="utf-8")


def _finished(root: Path, identity: dict[str, Any]) -> SynthesisReport | None:
    """The report of the same run, where it has ended; that of another is an error."""
    if not (root / REPORT).is_file():
        return None
    data = json.loads((root / REPORT).read_text(encoding="utf-8"))
    earlier = data["identity"]
    if changed := [name for name in {**earlier, **identity} if earlier.get(name) != identity.get(name)]:
        raise ValueError(
            f"'{root}' holds another synthesis, which differs in {', '.join(changed)}: choose another output, or "
            "delete that folder."
        )
    report = data["report"]
    return SynthesisReport(**{**report, "left_out": Tally(**report["left_out"])})


def _refuse_strangers(root: Path) -> None:
    if root.exists() and (not root.is_dir() or {path.name for path in root.iterdir()} - {AUDIT, PROGRESS}):
        raise FileExistsError(f"'{root}' is not empty: a data set is written into a folder of its own.")


def _clear(root: Path) -> None:
    """Takes away all that a run has written, which began in a folder with nothing but an audit; its progress last."""
    for path in sorted(root.iterdir(), key=lambda path: path.name == PROGRESS):
        if path.name != AUDIT:
            rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sweep(root: Path) -> None:
    """Takes away what a run that was killed left half written."""
    for folder in [root, *(path for path in root.iterdir() if path.is_dir())]:
        for draft in (*folder.glob(f"{DRAFT}*"), *folder.glob(".writing-*")):
            if draft.is_dir():
                rmtree(draft)
            else:
                draft.unlink()


def _chunks(plan: Plan, recipe: SynthesisRecipe) -> list[Chunk]:
    """The triplets of each part, and the sounds that training draws from, some hundreds at a time."""
    size = recipe.shard_size
    chunks = []
    for split in recipe.splits:
        triplets = [triplet for triplet in plan.triplets if triplet.split == split]
        count = -(-len(triplets) // size)
        chunks += [Chunk(split, k, count, triplets[k * size : (k + 1) * size]) for k in range(count)]
    sounds = sorted({sound for of_one in plan.pool.values() for sound in of_one})
    count = -(-len(sounds) // size)
    return chunks + [Chunk("train", k, count, sounds=sounds[k * size : (k + 1) * size]) for k in range(count)]


class _Chunks(Dataset[dict[str, Any]]):
    """Writes a chunk when it is asked for; what it gives is kept by `Progress`."""

    def __init__(self, chunks: Sequence[Chunk], numbers: Sequence[int], root: Path, recipe: SynthesisRecipe) -> None:
        self._chunks, self._numbers = chunks, numbers
        self._writer = WRITERS[recipe.layout](root, recipe)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rows, faults = self._writer.write(self._chunks[self._numbers[index]])
        return {
            "rows": [json.dumps(row, ensure_ascii=False) for row in rows],
            "faults": [list(pair) for pair in faults],
        }


def _write(chunks: Sequence[Chunk], root: Path, recipe: SynthesisRecipe, progress: Progress) -> None:
    """Writes the chunks that are not whole yet."""
    numbers = [number for number in range(len(chunks)) if not progress.is_finished(number)]
    results = DataLoader(
        _Chunks(chunks, numbers, root, recipe), batch_size=None, num_workers=min(recipe.workers, len(numbers))
    )
    sizes = [len(chunk.triplets) + len(chunk.sounds) for chunk in chunks]
    done = sum(sizes) - sum(sizes[number] for number in numbers)
    with tqdm(desc=f"Writing {root.name}", unit="file", total=sum(sizes), initial=done) as bar:
        for number, result in zip(numbers, results, strict=True):
            progress.finish(number, result)
            bar.update(sizes[number])


def _gather(chunks: Sequence[Chunk], progress: Progress, plan: Plan) -> tuple[list[Row], list[Triplet]]:
    """The rows of all chunks, and the triplets that they are of; what could not be made is counted."""
    rows: list[Row] = []
    for result in progress.results(len(chunks)):
        rows += [json.loads(row) for row in result["rows"]]
        for cause, name in result["faults"]:
            plan.left_out.add(cause, name)
    names = {row.get("id", row.get("instance_id")) for row in rows}
    return rows, [triplet for triplet in plan.triplets if triplet.id in names]


def _report(plan: Plan, kept: Sequence[Triplet], recipe: SynthesisRecipe) -> SynthesisReport:
    categories: dict[str, Counter[str]] = {}
    licenses: Counter[str] = Counter()
    for triplet in kept:
        for category in triplet.categories:
            categories.setdefault(category, Counter())[triplet.split] += 1
        parts = [triplet.origin["picture"], *triplet.origin["outlines"], *triplet.origin["sounds"]]
        licenses.update({f"{part['source']}: {part.get('license', 'not stated')}" for part in parts})
    made = Counter(triplet.split for triplet in kept)
    return SynthesisReport(
        output=recipe.output,
        asked=recipe.splits,
        made={split: made[split] for split in recipe.splits},
        categories={name: dict(categories[name]) for name in sorted(categories)},
        rules=dict(Counter(triplet.rule for triplet in kept)),
        left_out=plan.left_out,
        unlinked=plan.unlinked,
        licenses=dict(licenses.most_common()),
    )
