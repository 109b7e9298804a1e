"""The alert as a CloudEvent, in the structured mode: the envelope and the data are one document.

Source: CloudEvents 1.0.2, and its JSON event format; "partitionkey" is the extension of that name.
"""

from __future__ import annotations

import msgspec

from detector.alerts.formats.standard import alert_body, told_at
from detector.sinks.sink import message_id
from detector.state.store import Notification

SOURCE = "/cloudtrail-detector"
"""A URI reference, as `source` has to be. All detectors share it: the ids are made from what was
found, so that two that find the same say the same."""


def cloudevents_body(notification: Notification) -> bytes:
    """Return an event whose data is what `alert_body` returns.

    `source` and `id` together are the same on every attempt, and for nothing else. `subject` is the
    incident, `level` and `partitionkey` are for brokers that look at attributes alone.
    """
    alert = notification.alert
    incident = alert.dedup_key or alert.id
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": message_id(notification),
            "source": SOURCE,
            "type": f"cloudtrail-detector.alert.{notification.kind}",
            "subject": incident,
            "time": told_at(notification),
            "datacontenttype": "application/json",
            "level": alert.level,
            "partitionkey": incident,
            "data": msgspec.Raw(alert_body(notification)),
        }
    )
