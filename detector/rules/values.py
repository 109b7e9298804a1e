"""What rules see of a value, where both evaluators must see the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeGuard

import msgspec

from detector.rules.folding import folded
from detector.rules.syntax import Columns, TimeUnit

MISSING = msgspec.UNSET
"""The value of a field that a record does not have."""

MAX_SPELLED_BITS = 14_000
"""A JSON integer longer than this spells nothing: Python refuses to write it in decimal."""


def number_text(value: float) -> str:
    """Return a JSON number's text as a rule sees it: an integral one without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and value.bit_length() > MAX_SPELLED_BITS:
        return ""
    return str(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a JSON number: in Python a boolean is an integer too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number_of(text: str) -> float | None:
    """Return the number that a text spells in decimal, or None."""
    return float(text) if _NUMBER.fullmatch(text) else None


MAX_SOUGHT = 64
"""Values of a field that are sought within those of another. Both fields may be long lists, and
each pair is compared; no CloudTrail record has such lists where a rule would compare them."""


def sigma_text(value: object) -> str | None:
    """Return a value's text as Sigma compares it, or None where it has none.

    An object has its JSON text; a list has none, since its elements are looked at instead.
    """
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, Mapping):
        return record_text(value)
    return None


class OwnText:
    """A record's text, read and folded at most once."""

    __slots__ = ("_folded", "_read", "_text")

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._text: str | None = None
        self._folded: str | None = None

    @property
    def text(self) -> str:
        """The record as it was delivered."""
        if self._text is None:
            self._text = self._read()
        return self._text

    @property
    def folded(self) -> str:
        """The same without regard to case."""
        if self._folded is None:
            self._folded = folded(self.text)
        return self._folded


def record_text(record: Mapping[str, object]) -> str:
    """Return an object's compact JSON text."""
    try:
        return msgspec.json.encode(record).decode()
    except (TypeError, ValueError, RecursionError):  # no JSON: nothing that came from a decoder
        return ""


def time_part(text: str, unit: TimeUnit) -> int | None:
    """Return a part of the time that a text tells, as it is written, or None."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.isocalendar().week if unit == "week" else int(getattr(moment, unit))


def epoch_seconds(text: str) -> float | None:
    """Return the time that a text tells, UTC where it names no zone, in seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def columns_of(text: str, columns: Columns) -> dict[str, str] | None:
    """Return the columns of a line by their names, or None where it has too few.

    A run in brackets or double quotes is one column. The last name takes the rest of the line.
    """
    names = columns.names
    gap = names.index(None) if None in names else len(names)
    words = _words(text, most=None if gap < len(names) else len(names))
    if len(words) < len(names) - (gap < len(names)):
        return None
    behind = names[gap + 1 :]
    named = [*zip(names[:gap], words, strict=False)]
    named += zip(behind, words[len(words) - len(behind) :], strict=True)
    return {name: word for name, word in named if name is not None}


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CLOSING = {"[": "]", '"': '"'}
_BEGIN = re.compile(r"\S")
_WORD = re.compile(r"\S+")


def _words(text: str, most: int | None) -> list[str]:
    words: list[str] = []
    unclosed: set[str] = set()
    offset = 0
    while begin := _BEGIN.search(text, offset):
        start = begin.start()
        if most is not None and len(words) == most - 1:
            words.append(text[start:].rstrip())
            break
        closing = _CLOSING.get(text[start])
        end = -1 if closing is None or closing in unclosed else text.find(closing, start + 1)
        if end < 0:
            if closing is not None:
                unclosed.add(closing)  # never looked for again: the time stays linear
            word = _WORD.match(text, start)
            assert word is not None  # noqa: S101 - it begins here
            words.append(word.group())
            offset = word.end()
        else:
            words.append(text[start + 1 : end])
            offset = end + 1
    return words


def values_at(record: object, steps: Sequence[object]) -> list[object]:
    """Return what one field's steps lead to where a list stands for each of its elements.

    An empty list at the end is itself the value, so that a field that is there never looks missing.
    """
    values = [record]
    for step in steps:
        found: list[object] = []
        for value in values:
            items = _elements(value)
            found += [item[step] for item in items if isinstance(item, Mapping) and step in item]
        values = found
    return [item for value in values for item in _elements(value) or [value]]


def _elements(value: object) -> list[object]:
    """Return a list's elements, with lists in it opened too; of anything else, itself."""
    if not isinstance(value, (list, tuple)):
        return [value]
    found: list[object] = []
    pending = list(reversed(value))
    while pending:
        item = pending.pop()
        if isinstance(item, (list, tuple)):
            pending.extend(reversed(item))
        else:
            found.append(item)
    return found
