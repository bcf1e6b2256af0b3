"""Large JSON files, one object at a time: the arrays of the outermost object, read without building them.

An annotation file of COCO's kind is one object whose arrays hold a million small ones, most of whose text are polygons
that nobody needs yet. Here each small object comes as its text and its place in the file, found by a pattern that runs
in C; what is parsed of it, and when, is for the reader to say.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

_BLOCK = 1 << 23  # bytes that are read at a time
_LONGEST = 1 << 28  # bytes in which one element must end
_DEEPEST = 6  # levels of brackets inside of an object

_STRING = rb'"(?:[^"\\]++|\\.)*+"'


def _bracketed(levels: int) -> bytes:
    """The pattern of an array or an object that nests up to so many levels deep."""
    inner = b"|" + _bracketed(levels - 1) if levels else b""
    return rb"[\[{](?:[^\[\]{}\"]++|" + _STRING + inner + rb")*+[\]}]"


_SPACE = rb"[ \t\r\n]*+"
VALUE = re.compile(_bracketed(_DEEPEST) + b"|" + _STRING + rb'|[^\[\]{},:" \t\r\n]++(?=[ \t\r\n,\]}])', re.DOTALL)
_KEY = re.compile(_SPACE + rb",?" + _SPACE + b"(" + _STRING + b")" + _SPACE + b":" + _SPACE, re.DOTALL)
_ELEMENT = re.compile(_SPACE + b",?" + _SPACE + b"(" + VALUE.pattern + b")", re.DOTALL)
_END = re.compile(_SPACE + rb"([\]}])")
_START = re.compile(rb"(?:\xef\xbb\xbf)?" + _SPACE + rb"\{")
_OPEN = re.compile(rb"\[")


def read_arrays(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """The elements of all arrays of a file's outermost object: the array's key, the place in the file, the text.

    Memory stays at a few blocks, whatever the size of the file.
    """
    with path.open("rb") as file:
        reader = _Reader(file.read, path)
        reader.take(_START)
        while reader.take_if(_END) is None:
            key = reader.take(_KEY)[1][1:-1].decode()
            if reader.take_if(_OPEN) is None:
                reader.take(VALUE)
                continue
            while reader.take_if(_END) is None:
                match = reader.take(_ELEMENT)
                yield key, reader.place - len(match[1]), match[1]


class _Reader:
    """A window on a file, and where in it the reading is."""

    def __init__(self, read: Callable[[int], bytes], path: Path) -> None:
        self._read = read
        self._path = path
        self._text = b""
        self._at = 0
        self._before = 0  # bytes of the file that lie before the window
        self._ended = False

    @property
    def place(self) -> int:
        """How many bytes of the file have been taken."""
        return self._before + self._at

    def take_if(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Takes what fits the pattern, if something does; a pattern of a few bytes."""
        if len(self._text) - self._at < 64:
            self._more()
        match = pattern.match(self._text, self._at)
        if match:
            self._at = match.end()
        return match

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        """Takes what fits the pattern, which must come now."""
        while (match := pattern.match(self._text, self._at)) is None:
            if self._ended or len(self._text) - self._at > _LONGEST:
                found = self._text[self._at : self._at + 40].decode("utf-8", "replace")
                raise ValueError(
                    f"'{self._path}' is no whole JSON file: at byte {self.place:,} there is "
                    f"{found!r}{'' if found else ', the end'}. It is cut off or damaged: get it again."
                )
            self._more()
        self._at = match.end()
        return match

    def _more(self) -> None:
        if self._ended:
            return
        block = self._read(_BLOCK)
        self._ended = not block
        self._before += self._at
        self._text = self._text[self._at :] + block
        self._at = 0
