"""The Markdown of Adaptive Cards, and how to keep it out of what others wrote.

A TextBlock is Markdown, a subset of CommonMark; a TextRun is not. What a template makes is in
TextBlocks, and the values that it shows are escaped as CommonMark has it.

Source: Microsoft, "Text features" of Adaptive Cards; CommonMark 0.31, Backslash escapes.
"""

from __future__ import annotations

import re

from detector.sinks.cutting import ELLIPSIS, utf16_units

_SIGNS = re.compile(r"[\\`*_{}\[\]()<>#!|~&$@:/]|(?m:^[+-])|(?m:(?<=^\d)[.)])|(?<=\w)\.(?=\w)")
_CUT_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")


def literal(text: str) -> str:
    """Return the Markdown that shows a text as it is written.

    Slashes, colons and the dots of host names are escaped with the rest, as some clients make a
    link of an address that stands there plainly.
    """
    return _SIGNS.sub(r"\\\g<0>", text)


def cut_markup(markup: str, limit: int) -> str:
    """Return Markdown of `limit` UTF-16 units at most, without half an escape."""
    if utf16_units(markup) <= limit:
        return markup
    markup = markup[: limit - utf16_units(ELLIPSIS)]
    while utf16_units(markup) > limit - utf16_units(ELLIPSIS):
        markup = markup[:-1]
    found = _CUT_ESCAPE.search(markup)
    return (markup[:-1] if found else markup) + ELLIPSIS
