"""Alertmanager's API for alerts, as strict as the real one, where a test needs faults.

Source: prometheus/alertmanager, api/v2/openapi.yaml, and `Alert.Validate` in prometheus/common's
model/alert.go.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.checking import Answer, CheckingServer, Received, RefusedError

PATH = "/api/v2/alerts"

_FIELDS = {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SLACK = timedelta(seconds=1)
"""Of the two clocks: both are this machine's, but what is over ends in this very moment."""


class AlertmanagerServer(CheckingServer):
    """One Alertmanager, which keeps what it takes and notifies nobody."""

    def check(self, request: Received) -> Answer:
        """Take a list of alerts, or say what is wrong."""
        if (request.method, request.path) != ("POST", PATH):
            raise RefusedError(Answer(404, '"path was not found"'))
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise RefusedError(Answer(415, '"unsupported media type"'))
        posted = request.json
        fault = next(filter(None, map(_fault_of, posted)), "") if posted else "no alerts"
        if fault:
            raise RefusedError(Answer(400, json.dumps(fault)))
        return Answer(200)


def is_over(alert: Any) -> bool:
    """Return whether a posted alert has ended by now."""
    return datetime.fromisoformat(alert["endsAt"]) <= datetime.now(UTC) + _SLACK


def _fault_of(alert: Any) -> str:
    if set(alert) - _FIELDS or not alert.get("labels"):
        return "the body is no alert"
    for name, value in alert["labels"].items():
        if not _NAME.fullmatch(name) or not isinstance(value, str):
            return f"invalid label set: {name}"
    for name, value in alert.get("annotations", {}).items():
        if not _NAME.fullmatch(name) or not isinstance(value, str):
            return f"invalid annotations: {name}"
    if datetime.fromisoformat(alert["startsAt"]) > datetime.fromisoformat(alert["endsAt"]):
        return "start time must be before end time"
    return ""
