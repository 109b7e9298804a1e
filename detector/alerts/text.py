"""The alert for a person at a terminal."""

from __future__ import annotations

import unicodedata

from detector.alerts.alert import Alert

MAX_LISTED = 5
"""Names shown of a kind; the JSON form has all that the window kept."""


def alert_text(alert: Alert, *, is_update: bool = False) -> str:
    """Return some lines that say what happened, where, who did it, and what to do first.

    `is_update` says that the reader has seen the alert before, with fewer events.
    Names chosen by whoever called AWS are stripped of control characters, so that none of them can
    move a terminal's cursor or write a line of its own.
    """
    news = " (update)" if is_update else ""
    if alert.status != "stable":
        news += f" (staged: {alert.status})"
    late = ", late" if alert.late else ""
    group = ", ".join(f"{key} {value}" for key, value in alert.group.items())
    window = f"{alert.window.start} to {alert.window.end}"
    rows = [
        ("what", f"{alert.count} x {_listed(alert.event_names)}"),
        ("who", _listed(alert.actors)),
        ("from", _listed(alert.source_ips)),
        ("where", ", ".join(filter(None, [clean(group), _listed(alert.regions)]))),
        ("window", f"{window}, threshold {alert.threshold}{late}"),
        ("events", f"{alert.first_event_time} to {alert.last_event_time}"),
        ("runbook", clean(alert.runbook)),
        ("alert", alert.id),
    ]
    title = f"[{alert.level.upper()}] {clean(alert.title)}{news}"
    return "\n".join([title, *(f"  {name:<8} {value}" for name, value in rows if value)])


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
