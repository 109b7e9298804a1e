"""An explanation as lines for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

import click

from detector.alerts.text import clean
from detector.rules.explain import Explanation, seen_text

_MARKS = ("✗", "✓")
_PLAIN_MARKS = ("-", "+")
_WORDS = ("fails", "holds")
_COLOURS = ("red", "green")

Mark = Callable[[bool], str]
"""From an outcome to its mark and word."""


def plain_mark(holds: bool) -> str:
    """Return an outcome's mark and word in ASCII."""
    return f"{_PLAIN_MARKS[holds]} {_WORDS[holds]}"


def terminal_mark() -> Mark:
    """Return the marks that standard output can show, coloured if a person looks at it.

    NO_COLOR, set to anything, forbids colours (no-color.org).
    """
    stream = sys.stdout
    try:
        "".join(_MARKS).encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        marks = _PLAIN_MARKS
    else:
        marks = _MARKS
    coloured = stream.isatty() and not os.environ.get("NO_COLOR")
    return partial(_mark, marks, coloured)


def _mark(marks: tuple[str, str], coloured: bool, holds: bool) -> str:
    text = f"{marks[holds]} {_WORDS[holds]}"
    return click.style(text, fg=_COLOURS[holds]) if coloured else text


def tree_lines(explanation: Explanation, mark: Mark = plain_mark, depth: int = 1) -> Iterator[str]:
    """Yield a line for each node, indented by its depth, with what each condition saw."""
    said = explanation.spelling
    if explanation.exception is not None:
        said = f"{said}: {explanation.exception}"
    if not explanation.parts and said[:7] not in {"all of ", "any of "}:
        said = f"{said}, {seen_text(explanation)}"
    yield f"{'  ' * depth}{mark(explanation.holds)}  {clean(said)}"
    for part in explanation.parts:
        yield from tree_lines(part, mark, depth + 1)
