"""The alert for a person at a terminal."""

from __future__ import annotations

import unicodedata
from typing import Literal

import msgspec

from detector.alerts.alert import Alert

MAX_LISTED = 5
"""Names shown of a kind; the JSON form has all that the window kept."""


NotificationKind = Literal["raised", "updated", "resolved"]
"""What a receiver should do: page somebody, add to what it has shown, or close it."""


def alert_json(alert: Alert, kind: NotificationKind) -> bytes:
    """Return an alert for a machine: its fields, and before them what to do with it."""
    return b'{"kind":"' + kind.encode() + b'",' + msgspec.json.encode(alert)[1:]


def alert_text(alert: Alert, kind: NotificationKind = "raised") -> str:
    """Return some lines that say what happened, where, who did it, and what to do first.

    Names chosen by whoever called AWS are stripped of control characters, so that none of them can
    move a terminal's cursor or write a line of its own.
    """
    title = f"[{alert.level.upper()}] {clean(alert.title)}{news_of(alert, kind)}"
    rows = alert_rows(alert)
    return "\n".join([title, *(f"  {name:<8} {value}" for name, value in rows if value)])


def news_of(alert: Alert, kind: NotificationKind) -> str:
    """Return what is to be said of an alert behind its title."""
    news = _NEWS[kind]
    if alert.state == "withdrawn":
        news = " (withdrawn: later events have undone it)"
    if alert.status != "stable":
        news += f" (staged: {alert.status})"
    if alert.overflow:
        news += " (all groups beyond the limit)"
    return news


def alert_rows(alert: Alert) -> list[tuple[str, str]]:
    """Return what there is to know of an alert, line by line; a value may be empty."""
    late = ", late" if alert.late else ""
    group = ", ".join(f"{key} {value}" for key, value in alert.group.items())
    window = f"{alert.window.start} to {alert.window.end}"
    what, events = clean(alert.description), ""
    if alert.count:  # else nothing has happened, and that is what it is about
        what = f"{alert.count} x {_listed(alert.event_names)}"
        events = f"{alert.first_event_time} to {alert.last_event_time}"
    return [
        ("what", what),
        ("who", _listed(alert.actors)),
        ("from", _listed(alert.source_ips)),
        ("where", ", ".join(filter(None, [clean(group), _listed(alert.regions)]))),
        ("window", f"{window}, threshold {alert.threshold:g}{late}"),
        ("episode", _episode(alert)),
        ("silence", _silence(alert)),
        ("why", clean(alert.reason)),
        ("events", events),
        ("runbook", clean(alert.runbook)),
        ("alert", alert.id),
    ]


def alert_line(alert: Alert) -> str:
    """Return one line that says what an alert is about, and how it stands."""
    words = [
        alert.window.start,
        alert.state,
        alert.level,
        f"{alert.count} x {alert.title}",
        *(str(value) for value in alert.group.values()),
        _listed(alert.actors),
    ]
    if alert.status != "stable":
        words.append(f"(staged: {alert.status})")
    if alert.suppressed is not None:
        words.append(f"({_silence(alert)})")
    return clean("  ".join(filter(None, [*words, alert.id])))


_NEWS: dict[NotificationKind, str] = {
    "raised": "",
    "updated": " (update)",
    "resolved": " (resolved)",
}


def _episode(alert: Alert) -> str:
    episode = alert.episode
    if episode is None or episode.windows == 1:
        return ""
    return f"{episode.windows} windows since {episode.start}, {episode.count} events, {episode.id}"


def _silence(alert: Alert) -> str:
    silence = alert.suppressed
    if silence is None:
        return ""
    return clean(f"not sent, by {silence.author} until {silence.end}: {silence.reason}")


def clean(text: str) -> str:
    """Return the text with control, format and line-separating characters replaced by spaces."""
    return "".join(
        " " if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else character
        for character in text
    )


def _listed(names: list[str]) -> str:
    shown = ", ".join(clean(name) for name in names[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    return f"{shown} and {more} more" if more > 0 else shown
