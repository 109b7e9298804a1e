"""What a person is told of an alert, before it is written for where it is shown.

A story is plain text: without control characters, cut, and not escaped. Whoever shows it escapes
each value for the destination, as names in it were chosen by whoever called AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from detector.alerts.alert import Alert
from detector.alerts.text import NotificationKind, alert_rows, clean, news_of
from detector.rules.rule import Level

MAX_VALUE_CHARACTERS = 1_000
"""Of one row's value: a terminal's screen is filled by some more."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How alerts are told: what people call accounts, and the link to their own SIEM.

    `siem_link` holds names in braces, of those in `detector.config.LINK_FIELDS`.
    """

    account_names: Mapping[str, str] = field(default_factory=dict)
    siem_link: str | None = None


class Row(NamedTuple):
    """A line of a story: `who`, and who it was."""

    label: str
    value: str


class Link(NamedTuple):
    """Somewhere to go from a story."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Story:
    """An alert as a person reads it.

    `headline` is its title with its level and with what is new of it; `summary` says in one line
    what happened. `rows` are all that is to be known, the most telling ones first; the runbook is
    not among them.
    """

    level: Level
    kind: NotificationKind
    title: str
    headline: str
    summary: str
    rows: tuple[Row, ...]
    runbook: str
    links: tuple[Link, ...]
    alert_id: str


def tell(alert: Alert, kind: NotificationKind, reading: Reading) -> Story:
    """Return the story of an alert."""
    del reading
    rows = tuple(Row(label, _cut(value)) for label, value in alert_rows(alert) if value)
    title = _cut(clean(alert.title))
    first = next((row.value for row in rows if row.label == "what"), title)
    return Story(
        level=alert.level,
        kind=kind,
        title=title,
        headline=f"[{alert.level.upper()}] {title}{news_of(alert, kind)}",
        summary=first,
        rows=tuple(row for row in rows if row.label != "runbook"),
        runbook=clean(alert.runbook),
        links=(),
        alert_id=alert.id,
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"
