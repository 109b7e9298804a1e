"""A message for Slack, in Block Kit.

What others wrote is in plain_text objects throughout, with `emoji` off: they show `*`, `:aws:` and
`<!channel>` as they are. Links are mrkdwn and no buttons: a button of an incoming webhook shows a
warning when it is used, as Slack then wants an answer of an app.

Source: Slack, "Block Kit reference": header, section, context block, text object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from detector.alerts.story import Row
from detector.sinks.chat import SIZES, Telling, shown
from detector.sinks.cutting import cut, utf16_units
from detector.sinks.slack.mrkdwn import cut_markup, link, literal, plain

MAX_HEADER = 150
MAX_SECTION = 3_000
MAX_FIELD = 2_000
MAX_FIELDS = 10

MAX_MESSAGE = 12_000
"""Of all blocks as JSON: with some 13,200 Slack answers msg_blocks_too_long.

It is documented nowhere. Source: slackapi/bolt-js, "msg_blocks_too_long", a report with figures.
"""

MARKUP_SHARE = 9
"""What a template makes may be so many times as long as a row: 9,000 at first, three sections."""

MAX_TEXT = 300
"""The text beside the blocks is for the notification on a telephone, which shows less."""

MAX_FIELD_VALUE = 200
"""A longer value has the message's whole width instead of half of it."""

Block = dict[str, Any]


def message(telling: Telling) -> bytes:
    """Return the body of a POST to an incoming webhook, within all of Slack's limits."""
    for rows, characters in SIZES:
        blocks = list(_blocks(shown(telling, rows, characters), MARKUP_SHARE * characters))
        if _size(blocks) <= MAX_MESSAGE:
            break
    else:
        blocks = [block for block in blocks if block["type"] in {"header", "context"}]
    return msgspec.json.encode(
        {
            "text": cut_markup(literal(telling.heading), MAX_TEXT),
            "blocks": blocks,
            "unfurl_links": False,
            "unfurl_media": False,
        }
    )


def _blocks(telling: Telling, markup_limit: int) -> Iterator[Block]:
    yield {"type": "header", "text": _plain(telling.heading, MAX_HEADER)}
    if telling.news:
        yield {"type": "section", "text": _plain(telling.news, MAX_SECTION)}
    if telling.markup is not None:
        for part in _parts(cut_markup(telling.markup, markup_limit)):
            yield {"type": "section", "text": _mrkdwn(part, MAX_SECTION)}
    else:
        yield from _body(telling)
    if telling.links:
        links = " · ".join(link(href, text) for text, href in telling.links)
        yield {"type": "section", "text": _mrkdwn(links, MAX_SECTION)}
    yield {"type": "context", "elements": [_plain(note, MAX_FIELD) for note in telling.notes]}


def _body(telling: Telling) -> Iterator[Block]:
    if telling.summary:
        yield {"type": "section", "text": _plain(telling.summary, MAX_SECTION)}
    fields: list[Block] = []
    for row in telling.rows:
        if len(row.value) > MAX_FIELD_VALUE or len(fields) == MAX_FIELDS:
            yield from _fields(fields)
            fields = []
        if len(row.value) > MAX_FIELD_VALUE:
            yield {"type": "section", "text": _plain(f"{row.label}: {row.value}", MAX_SECTION)}
        else:
            fields += _pair(row)
    yield from _fields(fields)
    if telling.runbook:
        yield {"type": "divider"}
        yield {"type": "section", "text": _mrkdwn("*What to do first*", MAX_SECTION)}
        yield {"type": "section", "text": _plain(telling.runbook, MAX_SECTION)}


def _pair(row: Row) -> list[Block]:
    return [
        _mrkdwn(f"*{cut_markup(literal(row.label), 100)}*", MAX_FIELD),
        _plain(row.value, MAX_FIELD),
    ]


def _fields(fields: list[Block]) -> Iterator[Block]:
    if fields:
        yield {"type": "section", "fields": fields}


def _parts(markup: str) -> Iterator[str]:
    """Yield markup in parts that a section can hold, parted where a line ends."""
    parts = [""]
    for line in markup.split("\n"):
        piece = cut_markup(line, MAX_SECTION - 1)
        if utf16_units(parts[-1]) + utf16_units(piece) + 1 > MAX_SECTION:
            parts.append("")
        parts[-1] += f"{piece}\n"
    for part in parts:
        if part.strip():
            yield part.strip("\n")


def _plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": cut(text, limit, plain), "emoji": False}


def _mrkdwn(markup: str, limit: int) -> Block:
    return {"type": "mrkdwn", "text": cut_markup(markup, limit), "verbatim": True}


def _size(blocks: list[Block]) -> int:
    return utf16_units(msgspec.json.encode(blocks).decode())
