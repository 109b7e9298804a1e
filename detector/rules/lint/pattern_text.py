"""Where the conditions of a JSON filter pattern stand in its text: the tree does not say.

Only for patterns that were parsed: what is looked for here is found in no other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from detector.errors import Edit

_BRACKETS = r"""\[(?:\*|\s*\d+\s*|\s*(?:'[^']*'|"[^"]*")\s*)\]"""
_SELECTOR = rf"\$(?:\.\*|\.?{_BRACKETS}|\.[A-Za-z0-9_-]+)+"
_VALUE = r""""(?:[^"\\]|\\.)*"|%[^%]*%|(?:(?!&&|\|\|)[^\s"%(){}])+"""
_CONDITION = (
    rf"{_SELECTOR}\s*"
    r"(?:IS\s+(?:NULL|TRUE|FALSE)|NOT\s+EXISTS"
    rf"|(?:!=|<=|>=|=|<|>)\s*(?P<value>{_VALUE}))"
)
_TOKEN = re.compile(rf"(?P<condition>{_CONDITION})|&&|\|\||[()]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Span:
    """Where a condition stands in a pattern, and its value: `value` is empty if it has none."""

    start: int
    end: int
    value_start: int
    value: str


def condition_spans(pattern: str) -> list[Span]:
    """Return where each condition of a pattern stands, from left to right."""
    return [
        Span(token.start(), token.end(), token.start("value"), token.group("value") or "")
        for token in _TOKEN.finditer(pattern)
        if token.group("condition")
    ]


@dataclass(slots=True)
class _Level:
    """What stands between two parentheses: the operands of `&&` in groups that `||` joins."""

    start: int
    groups: list[list[tuple[int, int]]] = field(default_factory=lambda: [[]])

    def insertions(self) -> list[tuple[int, str]]:
        if len(self.groups) == 1:
            return []
        joined = (group for group in self.groups if len(group) > 1)
        return [item for group in joined for item in ((group[0][0], "("), (group[-1][1], ")"))]


def implied_parentheses(pattern: str) -> Edit | None:
    """Return the edit that writes the parentheses that `&&` before `||` stands for.

    None if there is nothing to write.
    """
    levels = [_Level(0)]
    insertions: list[tuple[int, str]] = []
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if text == "(":
            levels.append(_Level(token.start()))
        elif text == ")" and len(levels) > 1:
            closed = levels.pop()
            insertions += closed.insertions()
            levels[-1].groups[-1].append((closed.start, token.end()))
        elif text == "||":
            levels[-1].groups.append([])
        elif token.group("condition"):
            levels[-1].groups[-1].append(token.span())
    insertions += levels[0].insertions()
    if not insertions:
        return None
    insertions.sort()
    start, end = insertions[0][0], insertions[-1][0]
    written = pattern[start:end]
    for offset, mark in reversed(insertions):
        written = Edit(offset - start, 0, mark).apply(written)
    return Edit(start, end - start, written)
