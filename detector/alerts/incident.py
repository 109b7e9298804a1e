"""What all messages of one incident have in common, for receivers that keep its state."""

from __future__ import annotations

from datetime import UTC, datetime

from detector.alerts.alert import Alert
from detector.alerts.plain import plain


def incident_of(alert: Alert) -> str:
    """Return what a receiver knows the incident by."""
    return alert.dedup_key or alert.id


def name_of(alert: Alert, most: int) -> str:
    """Return what the incident's rule is called, in so many characters: its name, or its title.

    The title of the detector's own alerts says how things stand, and is another at the end: their
    rule's id is the same.
    """
    title = "" if alert.counting == "own" else alert.title
    names = (plain(name, most) for name in (alert.rule_name, title))
    return next(filter(None, names), alert.rule_id[:most])


def started_at(alert: Alert) -> datetime:
    """Return when the incident began: the first of its windows, or an event before that."""
    times = [alert.first_event_time]
    if alert.episode is not None:
        times.append(alert.episode.start)
    return min(map(moment, times))


def moment(time: str) -> datetime:
    """Return a time that an alert tells."""
    return datetime.fromisoformat(time).astimezone(UTC)


def stamp(time: datetime) -> str:
    """Return a time as RFC 3339 with milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
