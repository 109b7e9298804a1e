"""Comparing text without regard to case."""

from __future__ import annotations

_DOTTED_CAPITAL_I = "\u0130"
"""The one character whose lower case is two characters."""


def folded(text: str) -> str:
    """Return a text as it is compared without regard to case, character by character.

    A part of a text folds as it does in the whole, and to as many characters: what has no lower
    case of one character stays as it is, and Greek's two small sigmas are one letter.
    """
    if text.isascii():
        return text.lower()
    parts = text.split(_DOTTED_CAPITAL_I)
    return _DOTTED_CAPITAL_I.join(part.lower() for part in parts).replace("\u03c2", "\u03c3")
