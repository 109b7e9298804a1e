"""The alert for a person at a terminal."""

from __future__ import annotations

import msgspec

from detector.alerts.alert import Alert, NotificationKind
from detector.alerts.plain import clean, listed
from detector.alerts.story import Reading, Story, silence_of, tell

__all__ = ["NotificationKind", "alert_json", "alert_line", "alert_text", "clean", "story_lines"]

MAX_LISTED = 5
"""Names shown of a kind on one line; the JSON form has all that the window kept."""


def alert_json(alert: Alert, kind: NotificationKind) -> bytes:
    """Return an alert for a machine: its fields, and before them what to do with it."""
    return b'{"kind":"' + kind.encode() + b'",' + msgspec.json.encode(alert)[1:]


def alert_text(
    alert: Alert, kind: NotificationKind = "raised", reading: Reading | None = None
) -> str:
    """Return some lines that say what happened, where, who did it, and what to do first.

    Names chosen by whoever called AWS are stripped of control characters, so that none of them can
    move a terminal's cursor or write a line of its own.
    """
    story = tell(alert, kind, reading or Reading())
    return f"{story.headline}\n{story_lines(story)}"


def story_lines(story: Story) -> str:
    """Return a line for each thing that a story tells below its headline."""
    rows = [
        *story.rows,
        *((_LINK_LABELS.get(link.text, link.text), link.href) for link in story.links),
    ]
    steps = story.runbook.split("\n") if story.runbook else []
    rows += [("runbook" if number == 0 else "", step) for number, step in enumerate(steps)]
    return "\n".join(f"  {label:<8} {value}" for label, value in rows)


def alert_line(alert: Alert) -> str:
    """Return one line that says what an alert is about, and how it stands."""
    words = [
        alert.window.start,
        alert.state,
        alert.level,
        f"{alert.count} x {alert.title}",
        *(str(value) for value in alert.group.values()),
        listed(alert.actors, MAX_LISTED),
    ]
    if alert.status != "stable":
        words.append(f"(staged: {alert.status})")
    if alert.suppressed is not None:
        words.append(f"({silence_of(alert)})")
    return clean("  ".join(filter(None, [*words, alert.id])))


_LINK_LABELS = {"CloudTrail event": "event", "SIEM": "siem"}
