"""Globs to functions, in linear time whatever an attacker puts into the value."""

from __future__ import annotations

from collections.abc import Callable

import re2

from detector.rules.regex import searcher
from detector.rules.syntax import Glob, Regex, Wild


def compile_glob(glob: Glob) -> Callable[[str], bool]:
    """Return a function that says whether a glob describes a whole text."""
    if Wild.ONE in glob.parts:
        return searcher(Regex(_expression(glob), dot_all=True))
    if glob.is_exact:
        return glob.text.__eq__
    return _runs(glob)


def inline_glob(glob: Glob) -> tuple[str, object]:
    """Return Python for the test of a text `value`, with a place for an operand, and that."""
    if glob.is_exact:
        return "value == {}", glob.text
    runs = [part is Wild.RUN for part in glob.parts]
    texts = [part for part in glob.parts if isinstance(part, str)]
    if Wild.ONE not in glob.parts and len(texts) == 1:
        (text,) = texts
        if runs == [False, True]:
            return "value.startswith({})", text
        if runs == [True, False]:
            return "value.endswith({})", text
        if runs == [True, False, True]:
            return "{} in value", text
    return "{}(value)", compile_glob(glob)


def _expression(glob: Glob) -> str:
    meanings = {Wild.ONE: ".", Wild.RUN: ".*"}
    parts = (meanings[part] if isinstance(part, Wild) else re2.escape(part) for part in glob.parts)
    return rf"\A{''.join(parts)}\z"


def _runs(glob: Glob) -> Callable[[str], bool]:
    """Take each piece between two runs at its first place after the one before: no backtracking."""
    pieces = [""]
    for part in glob.parts:
        if isinstance(part, Wild):
            pieces.append("")
        else:
            pieces[-1] += part
    head, *inner, tail = pieces
    middle = [piece for piece in inner if piece]
    if not head and not tail and len(middle) == 1:
        (only,) = middle
        return lambda text: only in text
    shortest = sum(map(len, pieces))

    def test(text: str) -> bool:
        if len(text) < shortest or not text.startswith(head) or not text.endswith(tail):
            return False
        position = len(head)
        end = len(text) - len(tail)
        for piece in middle:
            found = text.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True

    return test
