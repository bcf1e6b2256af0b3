"""An extension of griffe: fields of dataclasses that carry a help text show it, and their defaults.

Such fields are made by `sam_av.config.setting` and its like, and what these do is not to be seen in the source.
"""

import dataclasses
import importlib

import griffe

_MAKERS = {"setting", "_help"}


class FieldHelp(griffe.Extension):
    """Gives each such field its help text for a docstring."""

    def on_class(self, *, cls: griffe.Class, **_: object) -> None:
        """Called when griffe has read a class."""
        made_so = {name: member for name, member in cls.members.items() if _is_made_so(member)}
        if not made_so:
            return
        owner = getattr(importlib.import_module(cls.module.path), cls.name)
        parameters = cls.members["__init__"].parameters  # made by griffe, of the same fields
        for field in dataclasses.fields(owner):
            if (member := made_so.get(field.name)) is not None:
                member.value = parameters[field.name].default = member.value.arguments[0]
                member.docstring = griffe.Docstring(field.metadata["help"], parent=member)


def _is_made_so(member: griffe.Object | griffe.Alias) -> bool:
    value = getattr(member, "value", None)
    return isinstance(value, griffe.ExprCall) and str(value.function) in _MAKERS
