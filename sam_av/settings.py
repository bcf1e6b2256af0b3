"""Settings of a long work: from a YAML file, from flags, or from Python; typed, and what there is not is refused."""

import difflib
import types
import typing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import yaml


@dataclass
class Settings:
    """A dataclass whose fields have the types that their annotations say, whatever YAML or a shell made of them."""

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(type(self)).items():
            setattr(self, name, _as(hint, getattr(self, name), name))

    @classmethod
    def load(cls, path: str | Path | None, changes: dict[str, Any]) -> Self:
        """The recipe in a YAML file, with some fields changed; without a file, the changes alone."""
        settings: dict[str, Any] = {}
        if path is not None:
            if not Path(path).expanduser().is_file():
                raise FileNotFoundError(f"There is no recipe '{path}': give the path of a YAML file, or flags alone.")
            try:
                settings = yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8")) or {}
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise ValueError(f"The recipe '{path}' is no YAML: {error}") from error
            if not isinstance(settings, dict):
                raise ValueError(f"The recipe '{path}' must hold names and values, such as 'batch_size: 4'.")
        for name, value in changes.items():
            merged = isinstance(value, dict) and isinstance(settings.get(name), dict)
            settings[name] = {**settings[name], **value} if merged else value
        check_known(settings, cls, f"The recipe '{path}'" if path else "The recipe")
        return cls(**settings)

    def to_yaml(self) -> str:
        """The settings as text, every field in it."""
        return yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)


def _as(hint: Any, value: Any, name: str) -> Any:
    """The value of a field as its annotation wants it: YAML reads 2e-4 as a text, and 1 as a whole number."""
    if isinstance(hint, types.UnionType):
        if value is None or value in ("null", "none"):  # as a flag says it
            return None
        hint = next(choice for choice in typing.get_args(hint) if choice is not type(None))
    wanted = typing.get_origin(hint) or hint
    if wanted is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if wanted is str and value is False:  # how YAML reads the word no
        return "no"
    if typing.get_origin(hint) is dict and isinstance(value, dict) and typing.get_args(hint)[1] in (int, float):
        return {key: _as(typing.get_args(hint)[1], number, f"{name}: {key}") for key, number in value.items()}
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ValueError(f"{name} must be {getattr(hint, '__name__', hint)}, not {value!r}.")
    return value


def check_known(settings: dict[str, Any], cls: type, where: str) -> None:
    """Raises for a name that is no field of a dataclass, with the names that come near."""
    known = [f.name for f in fields(cls)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else f" (known: {', '.join(known)})."
            raise ValueError(f"{where} has no field '{name}'{hint}")
