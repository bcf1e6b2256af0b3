"""What is wrong with a data set: one record for each fault, and the one error that carries them all."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """One fault.

    Attributes:
        kind: what faults are counted by, such as "missing file".
        clip: the id of the clip that it spoils, or the place in the metadata.
        detail: what was wanted and what was found.
    """

    kind: str
    clip: str
    detail: str


class DataProblems(ValueError):  # noqa: N818 - it is not one error but all of them
    """All that is wrong with a data set; `problems` is the full list, the text counts it and shows some of each kind.

    Args:
        where: the data set.
        problems: the faults.
        advice: the next step.
    """

    def __init__(self, where: str, problems: Sequence[Problem] = (), advice: str = "") -> None:
        super().__init__(where, problems, advice)
        self.where = where
        self.problems = list(problems)
        self.advice = advice

    def __str__(self) -> str:
        lines = [f"{self.where}: {summarize(self.problems)}"] if self.problems else [self.where]
        return "\n".join([*lines, self.advice] if self.advice else lines)


def summarize(problems: Sequence[Problem]) -> str:
    """How many faults there are of each kind, and the first few of each."""
    kinds = Counter(problem.kind for problem in problems)
    lines = [", ".join(f"{kind} ({count:,})" for kind, count in kinds.items())]
    for kind in kinds:
        of_kind = [problem for problem in problems if problem.kind == kind]
        lines += [f"  {kind}: {problem.clip}: {problem.detail}" for problem in of_kind[:_SHOWN]]
        if len(of_kind) > _SHOWN:
            lines.append(f"  {kind}: ... and {len(of_kind) - _SHOWN:,} more")
    return "\n".join(lines)


@contextmanager
def problems_of(kind: str, clip: str, where: str) -> Iterator[None]:
    """Turns what goes wrong in the `with` block into the fault of a clip."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataProblems(where, [Problem(kind, clip, str(error))]) from error
