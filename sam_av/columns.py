"""Plain text in columns."""

from collections.abc import Mapping


def align(facts: Mapping[str, str]) -> str:
    """A line for each fact: its name, and its text under those of the others."""
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in facts.items())
