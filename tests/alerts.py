"""Alerts, made for tests."""

from __future__ import annotations

from detector.alerts.alert import Alert, build_alert
from detector.windows.aligned import Observation, WindowKey, add
from tests.records import NOON, record
from tests.rules import iam_rule

KEY = WindowKey("rule", ("111122223333",), int(NOON), 300)


def alert(actor: str = "alice", names: int = 1) -> Alert:
    """Return the IAM rule's alert for some events, each by an actor of another name."""
    matches = [
        (
            Observation(
                time=NOON + number,
                event_id=f"e{number}",
                is_late=False,
                event_name="PutUserPolicy",
                actor=f"{actor}{number or ''}",
                source_ip="203.0.113.7",
                region="us-east-1",
                account="111122223333",
                record=record(),
            ),
            None,
        )
        for number in range(names)
    ]
    rule = iam_rule()
    state = add(None, matches, rule.file.window)
    return build_alert(rule, KEY, state)
