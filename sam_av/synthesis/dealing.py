"""Dealing pictures and recordings out to the parts of a data set, so that no two parts share one."""

from collections import Counter
from collections.abc import Mapping, Sequence


class Dealer:
    """Keeps the parts alike: of each category, each part has its share, as nearly as whole pieces allow.

    Args:
        shares: of each part.
        cover: give each part something of a category before any gets its second.
    """

    def __init__(self, shares: Mapping[str, float], *, cover: bool = False) -> None:
        whole = sum(shares.values())
        self._shares = {part: share / whole for part, share in shares.items() if share > 0}
        self._cover = cover
        self._counts: dict[str, Counter[str]] = {}

    def deal(self, categories: Sequence[str], parts: Sequence[str] | None = None) -> str:
        """The part for a piece with things of these categories, where the first of them lacks most."""
        counts = self._counts.setdefault(categories[0], Counter())
        dealt = counts.total() + 1

        def need(part: str) -> tuple[bool, float]:
            return self._cover and not counts[part], self._shares[part] * dealt - counts[part]

        chosen = max(parts or self._shares, key=need)
        for category in categories:
            self._counts.setdefault(category, Counter())[chosen] += 1
        return chosen


def scale(asked: Mapping[str, int], available: int) -> dict[str, int]:
    """How many each part gets where there are fewer than asked for: in proportion, and none to spare."""
    total = sum(asked.values())
    if available >= total:
        return dict(asked)
    exact = {part: available * count / total for part, count in asked.items()}
    scaled = {part: int(count) for part, count in exact.items()}
    for part in sorted(exact, key=lambda part: scaled[part] - exact[part])[: available - sum(scaled.values())]:
        scaled[part] += 1
    return scaled
