"""Plain text from strings that somebody else wrote: without control characters, and cut."""

from __future__ import annotations

import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    """Return the text with control, format and line-separating characters replaced by spaces.

    Lone surrogates, which JSON can carry and no encoding can write, are among them.
    """
    if text.isprintable():  # and so has none of them
        return text
    return "".join(
        " " if unicodedata.category(character) in _UNSEEN else character for character in text
    )


def cut(text: str, most: int) -> str:
    """Return at most so many characters of a text; the last one says that there were more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def plain(text: str, most: int) -> str:
    """Return a text on one line, without double spaces, cut to so many characters."""
    # Somewhat more than is shown is looked at, as spaces go: never ten million characters.
    return cut(" ".join(clean(text[: 4 * most + 1]).split()), most)


def listed(names: list[str] | tuple[str, ...], most: int, *, are_all: bool = True) -> str:
    """Return the first names of many, and how many more there are; at least, if not all are."""
    shown = ", ".join(names[:most])
    more = len(names) - most
    if are_all:
        return f"{shown} and {more} more" if more > 0 else shown
    return f"{shown} and {more} more at least" if more > 0 else f"{shown} and more"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the right form: `1 event`, `3 events`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
