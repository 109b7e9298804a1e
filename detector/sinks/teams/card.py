"""A message for Teams: an Adaptive Card.

What others wrote is in TextRuns throughout, of RichTextBlocks, as nothing has a meaning of its own
in them. A FactSet would be Markdown, and clients on telephones show its backslashes.

Source: Adaptive Cards schema 1.4, RichTextBlock, TextRun, Container, Action.OpenUrl; Microsoft
Teams, "Format cards", full width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from detector.alerts.text import NotificationKind
from detector.rules.rule import Level
from detector.sinks.chat import SIZES, Telling, shown
from detector.sinks.cutting import cut
from detector.sinks.teams.markdown import cut_markup

VERSION = "1.4"
"""Teams shows cards up to 1.5 everywhere but on telephones, and those up to 1.2 there; all that is
used here is in 1.2."""

MAX_CARD_BYTES = 24_000
"""Of the card as the workflow hands it on: as a string within JSON, each quote escaped.

Teams takes 28,672 bytes. A card of 24,453 was refused as 28,897, after the workflow had answered
202: nobody hears of that, so that some room is left.

Source: MicrosoftDocs/msteams-docs, "New workflow webhook size limit issue".
"""

MARKUP_SHARE = 8
"""What a template makes may be so many times as long as a row."""

_STYLES: dict[Level, str] = {
    "critical": "attention",
    "high": "attention",
    "medium": "warning",
    "low": "accent",
    "informational": "emphasis",
}

Element = dict[str, Any]


def message(telling: Telling) -> bytes:
    """Return the body of a POST to a workflow's webhook, small enough for Teams."""
    for rows, characters in SIZES:
        card = _card(shown(telling, rows, characters), MARKUP_SHARE * characters)
        if _size(card) <= MAX_CARD_BYTES:
            break
    return msgspec.json.encode(
        {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": card,
                }
            ],
        }
    )


def _card(telling: Telling, markup_limit: int) -> Element:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": VERSION,
        "fallbackText": cut(telling.heading, 300),
        "msteams": {"width": "full"},
        "body": list(_body(telling, markup_limit)),
    }
    if telling.links:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": cut(text, 60), "url": href}
            for text, href in telling.links
        ]
    return card


def _body(telling: Telling, markup_limit: int) -> Iterator[Element]:
    yield {
        "type": "Container",
        "style": _style(telling.level, telling.kind),
        "bleed": True,
        "items": [_text(_run(cut(telling.heading, 300), weight="Bolder", size="Large"))],
    }
    if telling.news:
        yield _text(_run(telling.news, weight="Bolder"))
    if telling.markup is not None:
        yield from _paragraphs(cut_markup(telling.markup, markup_limit))
    else:
        if telling.summary:
            yield _text(_run(telling.summary))
        for row in telling.rows:
            label = _run(f"{cut(row.label, 100)}  ", weight="Bolder")
            yield {**_text(label, _run(row.value)), "spacing": "Small"}
        if telling.runbook:
            label = _run("What to do first", weight="Bolder")
            yield {**_text(label), "separator": True, "spacing": "Medium"}
            for line in filter(None, map(str.strip, telling.runbook.split("\n"))):
                yield {**_text(_run(line)), "spacing": "Small"}
    for note in telling.notes:
        yield {
            **_text(_run(cut(note, 500), size="Small", isSubtle=True)),
            "separator": note is telling.notes[0],
        }


def _paragraphs(markup: str) -> Iterator[Element]:
    """Yield the lines of a template's text, as a line's end is none in a TextBlock."""
    for line in filter(None, map(str.rstrip, markup.split("\n"))):
        yield {"type": "TextBlock", "text": line, "wrap": True, "spacing": "Small"}


def _text(*runs: Element) -> Element:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **format_: Any) -> Element:
    return {"type": "TextRun", "text": text, **format_}


def _style(level: Level, kind: NotificationKind) -> str:
    return "good" if kind == "resolved" else _STYLES[level]


def _size(card: Element) -> int:
    return len(msgspec.json.encode(msgspec.json.encode(card).decode()))
