"""Texts cut to what a service takes: on a character, and never within an escape."""

from __future__ import annotations

from collections.abc import Callable

ELLIPSIS = "…"
"""Stands where a text goes on that is not shown."""


def utf16_units(text: str) -> int:
    """Return the length of a text as JavaScript and .NET count it; never less than characters."""
    return len(text) + sum(character > "\uffff" for character in text)


def as_is(text: str) -> str:
    """Return the text, for destinations where nothing has a meaning of its own."""
    return text


def cut(text: str, limit: int, escape: Callable[[str], str] = as_is) -> str:
    """Return a text escaped, of `limit` UTF-16 units at most after that.

    `escape` is asked for one character at a time, so that no escape is cut in two.
    """
    whole = "".join(map(escape, text[: limit + 1]))
    if len(text) <= limit and utf16_units(whole) <= limit:
        return whole
    pieces, room = [], limit - utf16_units(ELLIPSIS)
    for character in text:
        piece = escape(character)
        room -= utf16_units(piece)
        if room < 0:
            break
        pieces.append(piece)
    return "".join(pieces) + ELLIPSIS
