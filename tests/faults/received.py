"""What one receiver was told of alerts, over all lives of the service that told it."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import msgspec

FIXED = (
    "rule_id",
    "title",
    "status",
    "level",
    "group",
    "window",
    "threshold",
    "comparison_operator",
    "controls",
    "tags",
    "description",
    "runbook",
)
"""What all revisions of an alert have in common: what it is about, and what is to be done."""


class Received:
    """Every copy of every alert. Only digests of most are kept: there may be many thousands."""

    def __init__(self) -> None:
        self.copies = 0
        self.latest: dict[str, dict[str, Any]] = {}
        """The copy with the highest revision of each alert, by its id."""
        self.differing: list[str] = []
        """Alerts of which two copies differ in what must be equal."""
        self._lock = threading.Lock()
        self._revisions: dict[tuple[str, int, str], bytes] = {}
        self._fixed: dict[str, bytes] = {}

    @property
    def repeated(self) -> int:
        """How many copies said what the receiver had been told before."""
        return self.copies - len(self._revisions)

    def take(self, alert: dict[str, Any]) -> None:
        """Take note of a copy."""
        alert_id, revision, kind = alert["id"], alert["revision"], alert["kind"]
        # How far its episode has come is told with each copy; nobody acts on it.
        digest = _digest({**alert, "episode": None})
        fixed = _digest({name: alert[name] for name in FIXED})
        with self._lock:
            self.copies += 1
            # Evidence as well, though no receiver acts on it: a copy is a copy.
            if self._revisions.setdefault((alert_id, revision, kind), digest) != digest:
                self.differing.append(f"revision {revision}, {kind}, of {alert_id}")
            if self._fixed.setdefault(alert_id, fixed) != fixed:
                self.differing.append(alert_id)
            latest = self.latest.setdefault(alert_id, alert)
            if latest["revision"] <= revision:
                if latest["count"] > alert["count"]:
                    self.differing.append(f"the count of {alert_id}, which has shrunk")
                self.latest[alert_id] = alert

    def counts(self) -> dict[str, int]:
        """Return the latest count of each alert by its id."""
        with self._lock:
            return {alert_id: alert["count"] for alert_id, alert in self.latest.items()}


def _digest(value: object) -> bytes:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).digest()
