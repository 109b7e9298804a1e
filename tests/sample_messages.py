"""What Slack, Teams and PagerDuty are sent for one IAM policy change, as the documents show it."""

from __future__ import annotations

from typing import Any

import msgspec

from detector.alerts.alert import Alert, build_alert
from detector.alerts.story import Reading, tell
from detector.alerts.text import NotificationKind
from detector.events.actor import actor
from detector.sinks.chat import Words, telling
from detector.sinks.pagerduty.event import event
from detector.sinks.slack import blocks
from detector.sinks.teams import card
from detector.state.store import Notification
from detector.windows.aligned import Observation, WindowKey, gathered
from tests.records import ACCOUNT, NOON, record
from tests.rules import iam_rule

READING = Reading({ACCOUNT: "production"}, "https://siem.example/search?q={event_id}")

RECORD = record(
    "AttachUserPolicy",
    91,
    eventID="9e2b8d2e-5b5c-4b0e-9c59-6c5f0a4c2d11",
    userIdentity={
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice",
        "accountId": ACCOUNT,
        "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "Admin"}},
    },
    requestParameters={
        "userName": "bob",
        "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess",
    },
)
"""Alice, in the role Admin, makes bob an administrator."""


def sample_alert() -> Alert:
    """Return the alert of `RECORD`."""
    observation = Observation(
        time=NOON + 91,
        event_id=RECORD["eventID"],
        is_late=False,
        event_name=RECORD["eventName"],
        actor=actor(RECORD),
        source_ip=RECORD["sourceIPAddress"],
        region=RECORD["awsRegion"],
        account=ACCOUNT,
        record=RECORD,
    )
    rule = iam_rule()
    key = WindowKey(rule.id, (ACCOUNT,), int(NOON), 300)
    return build_alert(rule, key, gathered(None, [observation]))


def messages(kind: NotificationKind = "raised") -> dict[str, Any]:
    """Return the messages by the kinds of their sinks, decoded."""
    notification = Notification(sample_alert(), kind, made_at=NOON + 300)
    story = tell(notification.alert, kind, READING)
    told = telling(notification, story)
    encoded = {
        "slack": blocks.message(told),
        "teams": card.message(told),
        "pagerduty": event(notification, story, Words(None, None, ()), "R" * 32),
    }
    return {name: msgspec.json.decode(body) for name, body in encoded.items()}
