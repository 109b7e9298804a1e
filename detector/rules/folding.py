"""Comparing text without regard to case."""

from __future__ import annotations

from functools import lru_cache


def folded(text: str) -> str:
    """Return a text as it is compared without regard to case, character by character.

    A part of a text folds as it does in the whole, and to as many characters: Greek's two small
    sigmas are one letter, and what has no lower case of one character stays as it is.
    """
    return text.lower() if text.isascii() else "".join(map(_folded_character, text))


@lru_cache(maxsize=4096)
def _folded_character(character: str) -> str:
    lower = character.lower()
    if len(lower) > 1:
        return character
    return "\u03c3" if lower == "\u03c2" else lower
