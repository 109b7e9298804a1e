"""Slack's own markup, and how to keep it out of what others wrote.

Slack decodes three entities, and has no escape for `*`, `_`, `~` and the backtick: text that is not
ours stands in plain_text objects, where they mean nothing. Only what a template shows is between
the operator's own markup; there each such sign gets zero-width spaces beside it, so that it is seen
as written and pairs with nothing.

Source: Slack, "Formatting message text", Escaping text; "Text object", emoji and verbatim.
"""

from __future__ import annotations

import re

from detector.sinks.cutting import ELLIPSIS, utf16_units

ZERO_WIDTH_SPACE = "\u200b"

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FORMATTING = re.compile(r"[*_~`•]|&gt;|:(?=[\w+'-]+:)")
_PIECE = re.compile(
    rf"{ZERO_WIDTH_SPACE}(?:[*_~`•:]|&gt;){ZERO_WIDTH_SPACE}|&(?:amp|lt|gt);|<[^<>]*>|.", re.DOTALL
)


def plain(text: str) -> str:
    """Return what shows a text in a plain_text object, and nothing else."""
    return "".join(_ENTITIES.get(character, character) for character in text)


def literal(text: str) -> str:
    """Return the markup that shows a text as it is written."""
    return _FORMATTING.sub(_set_apart, plain(text))


def link(href: str, text: str) -> str:
    """Return the markup of a link; `href` has none of its signs."""
    return f"<{plain(href)}|{literal(text.replace('|', '/'))}>"


def cut_markup(markup: str, limit: int) -> str:
    """Return markup of `limit` UTF-16 units at most; entities, links and signs stay whole."""
    if utf16_units(markup) <= limit:
        return markup
    end, room = 0, limit - utf16_units(ELLIPSIS)
    for piece in _PIECE.finditer(markup):
        room -= utf16_units(piece[0])
        if room < 0:
            break
        end = piece.end()
    return markup[:end] + ELLIPSIS


def _set_apart(found: re.Match[str]) -> str:
    return f"{ZERO_WIDTH_SPACE}{found[0]}{ZERO_WIDTH_SPACE}"
