"""The alert as it is, and in the envelope of Standard Webhooks.

Source: Standard Webhooks 1.0.0, "Payload structure": `type`, `timestamp` and `data`.
"""

from __future__ import annotations

import msgspec

from detector.alerts.alert import utc
from detector.alerts.text import alert_json
from detector.state.store import Notification


def alert_body(notification: Notification) -> bytes:
    """Return the alert's fields, and before them what to do with it: `kind`."""
    return alert_json(notification.alert, notification.kind)


def standard_body(notification: Notification) -> bytes:
    """Return an event of Standard Webhooks, with what `alert_body` returns as its data."""
    return msgspec.json.encode(
        {
            "type": f"alert.{notification.kind}",
            "timestamp": told_at(notification),
            "data": msgspec.Raw(alert_body(notification)),
        }
    )


def told_at(notification: Notification) -> str:
    """Return when there was this to say, RFC 3339 in UTC; the same on every attempt.

    That is when the message was put into the outbox. One that never was, as in an answer of the
    command line, goes by its last event.
    """
    if notification.made_at:
        return utc(notification.made_at)
    return notification.alert.last_event_time
