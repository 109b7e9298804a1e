"""An incident as an alert of Alertmanager. Pure.

Alertmanager knows an alert by its labels, all of them: what changes while an incident goes on may
not be among them. Source: Prometheus Alertmanager, "Alerts API" and api/v2/openapi.yaml; for names
of labels Prometheus, "Data model".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from detector.alerts.alert import Alert
from detector.alerts.incident import incident_of, name_of, stamp, started_at
from detector.alerts.plain import cut, plain
from detector.alerts.story import Reading, Story, tell
from detector.alerts.story_text import story_text
from detector.config import is_url
from detector.state.store import Notification

MAX_LABEL_CHARACTERS = 1_024
"""Of a label's value, and of its name. Alertmanager has no limit; it holds all labels in memory,
and puts them into each message."""

MAX_ANNOTATION_CHARACTERS = 4_000
"""Of an annotation: receivers show less of it."""

MAX_GROUP_LABELS = 20
"""Fields of a group that become labels; a rule rarely groups by more than three."""

FIRING_INTERVALS = 4
"""An alert that is not sent again for so many intervals is over; Prometheus uses as many, so that
one or two lost requests resolve nothing."""

_NAMED = {"recipientAccountId": "account", "awsRegion": "region"}
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]+")


def labels_of(alert: Alert, added: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of an alert's incident.

    Only what all of its messages have in common is among them. The incident itself is, so that one
    that ends does not end another of the same rule and group.
    """
    labels = {
        "alertname": name_of(alert, MAX_LABEL_CHARACTERS),
        "severity": alert.level,
        "rule_id": alert.rule_id,
        "incident": incident_of(alert),
        "test": "true" if alert.test else "",
        **added,
    }
    for field, value in list(alert.group.items())[:MAX_GROUP_LABELS]:
        label = _free(_NAMED.get(field) or label_name(field), labels)
        labels[label] = _text(value)
    shown = {label: plain(value, MAX_LABEL_CHARACTERS) for label, value in labels.items()}
    return {label: value for label, value in shown.items() if value}


def label_name(field: str) -> str:
    """Return a field's name as one of a label.

    What no label can have becomes `_`. Names with `__` in front are Prometheus's own.
    """
    name = _NOT_IN_NAMES.sub("_", field).strip("_")[:MAX_LABEL_CHARACTERS]
    if not name:
        return "field"
    return f"_{name}" if name[0].isdigit() else name


def postable(
    notification: Notification,
    *,
    now: datetime,
    resend_seconds: float,
    added: Mapping[str, str],
    reading: Reading,
) -> dict[str, Any]:
    """Return an alert as it is posted: firing, or resolved as of now."""
    alert, kind = notification.alert, notification.kind
    story = tell(alert, kind, reading)
    is_over = kind == "resolved"
    ends = now if is_over else now + timedelta(seconds=FIRING_INTERVALS * resend_seconds)
    # Events can have times in the future, and an alert that begins after its end is refused.
    posted: dict[str, Any] = {
        "labels": labels_of(alert, added),
        "annotations": _annotations(alert, story),
        "startsAt": stamp(min(started_at(alert), now)),
        "endsAt": stamp(ends),
    }
    if story.links and is_url(story.links[0].href):
        posted["generatorURL"] = story.links[0].href
    return posted


def newest_of_each(notifications: Sequence[Notification]) -> list[Notification]:
    """Return one notification for each incident: that of its last window."""
    newest: dict[str, Notification] = {}
    for notification in notifications:
        incident = incident_of(notification.alert)
        known = newest.get(incident)
        if known is None or known.alert.window.end <= notification.alert.window.end:
            newest[incident] = notification
    return list(newest.values())


def _annotations(alert: Alert, story: Story) -> dict[str, str]:
    episode = alert.episode
    values = {
        "summary": f"{story.headline}: {story.summary}",
        "description": story_text(story),
        "runbook": story.runbook,
        "count": str(episode.count if episode else alert.count),
        "actors": ", ".join(alert.actors),
        "event_names": ", ".join(alert.event_names),
        "source_ips": ", ".join(alert.source_ips),
        "accounts": ", ".join(alert.accounts),
        "regions": ", ".join(alert.regions),
        "alert_id": alert.id,
        "first_event_time": alert.first_event_time,
        "last_event_time": alert.last_event_time,
    }
    # The description has lines; all else is on one.
    shown = {
        name: cut(value, MAX_ANNOTATION_CHARACTERS)
        if name == "description"
        else plain(value, MAX_ANNOTATION_CHARACTERS)
        for name, value in values.items()
    }
    return {name: value for name, value in shown.items() if value}


def _free(name: str, taken: Mapping[str, str]) -> str:
    """Return the name, or one like it where it is taken: fields may look the same as labels."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
