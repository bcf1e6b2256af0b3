"""What is left out, counted by its cause, so that nothing gets lost in silence."""

from collections import Counter
from typing import Any

_SHOWN = 3


class Tally:
    """How much was left out for each cause, and the first few examples of it."""

    def __init__(self, counts: dict[str, int] | None = None, examples: dict[str, list[str]] | None = None) -> None:
        self.counts: Counter[str] = Counter(counts or {})
        self.examples: dict[str, list[str]] = dict(examples or {})

    def add(self, cause: str, *names: str) -> None:
        """Counts each of the names under a cause."""
        self.counts[cause] += len(names)
        examples = self.examples.setdefault(cause, [])
        examples += names[: max(_SHOWN - len(examples), 0)]

    def merge(self, other: "Tally", prefix: str = "") -> None:
        """Takes up the counts of another tally, its causes after a prefix."""
        for cause, count in other.counts.items():
            if count:
                self.add(prefix + cause, *other.examples[cause])
                self.counts[prefix + cause] += count - len(other.examples[cause])

    def lines(self) -> list[str]:
        """A line for each cause, the most frequent first."""
        lines = []
        for cause, count in self.counts.most_common():
            if count:
                more = ", ..." if count > len(self.examples[cause]) else ""
                lines.append(f"{count:>9,}  {cause}: {', '.join(self.examples[cause])}{more}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The tally as plain data."""
        return {"counts": dict(self.counts), "examples": self.examples}
