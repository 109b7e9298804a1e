"""Alerts, made for tests."""

from __future__ import annotations

from typing import Any

from detector.alerts.alert import Alert, build_alert
from detector.windows.aligned import Observation, WindowKey, gathered
from tests.records import NOON, record
from tests.rules import iam_rule

KEY = WindowKey("rule", ("111122223333",), int(NOON), 300)


def observation(number: int, **fields: Any) -> Observation:
    """Return the observation of an event that differs from all others."""
    values: dict[str, Any] = {
        "time": float(number),
        "event_id": f"e{number:05d}",
        "is_late": False,
        "event_name": "PutUserPolicy",
        "actor": "alice",
        "source_ip": "203.0.113.7",
        "region": "us-east-1",
        "account": "111122223333",
        "record": {"eventID": f"e{number:05d}"},
    }
    return Observation(**{**values, **fields})


def alert(actor: str = "alice", names: int = 1) -> Alert:
    """Return the IAM rule's alert for some events, each by an actor of another name."""
    observations = [
        observation(
            number,
            time=NOON + number,
            event_id=f"e{number}",
            actor=f"{actor}{number or ''}",
            record=record(),
        )
        for number in range(names)
    ]
    return build_alert(iam_rule(), KEY, gathered(None, observations))
