"""PagerDuty's Events API v2, and what becomes of the incidents.

Source: PagerDuty developer documentation, Events API v2: "Overview", "Send an alert event",
"Rate limits" (120 a minute).
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from tests.servers.checking import Answer, CheckingServer, Fault, Received, RefusedError
from tests.servers.rate import RateLimit

ROUTING_KEY = "s3cretRoutingKey0123456789abcdef"
PATH = "/v2/enqueue"

MAX_BYTES = 512_000

_EVENT = {
    "routing_key",
    "event_action",
    "dedup_key",
    "payload",
    "client",
    "client_url",
    "links",
    "images",
}
_PAYLOAD = {
    "summary",
    "source",
    "severity",
    "timestamp",
    "component",
    "group",
    "class",
    "custom_details",
}


@dataclass
class Incident:
    """What somebody is paged for, once; later triggers are kept beside the first."""

    dedup_key: str
    triggers: list[Any] = field(default_factory=list)
    is_open: bool = True


class PagerDutyServer(CheckingServer):
    """Services, by routing key. `incidents` are in the order in which they were opened."""

    def __init__(
        self,
        *faults: Fault,
        per_minute: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(*faults, tls=tls)
        self.incidents: list[Incident] = []
        self.dropped = 0
        self._open: dict[tuple[str, str], Incident] = {}
        self._rate = RateLimit(per_minute, 60)

    @property
    def url(self) -> str:
        """The address of the API."""
        return self.address + PATH

    @property
    def pages(self) -> int:
        """How many times somebody was paged: once for each incident."""
        return len(self.incidents)

    @property
    def open_incidents(self) -> list[Incident]:
        """Those that nobody has resolved."""
        return [incident for incident in self.incidents if incident.is_open]

    def check(self, request: Received) -> Answer:
        """Return 202, or what is wrong."""
        if request.method != "POST" or request.path != PATH:
            raise RefusedError(Answer(404, json.dumps({"status": "not found"})))
        self._rate.check(json.dumps({"status": "throttle exceeded", "message": "Too many"}))
        if len(request.body) > MAX_BYTES:
            raise RefusedError(Answer(413, json.dumps({"message": "Payload Too Large"})))
        try:
            event = request.json
        except (msgspec.DecodeError, UnicodeDecodeError):
            _refuse("Event object is invalid", ["JSON cannot be parsed"])
        faults = list(faults_of(event))
        if faults:
            _refuse("Event object is invalid", faults)
        key = event.get("dedup_key") or f"made-{len(self.accepted)}"
        self._take(event, key)
        taken = {"status": "success", "message": "Event processed", "dedup_key": key}
        return Answer(202, json.dumps(taken))

    def _take(self, event: Any, key: str) -> None:
        at = (event["routing_key"], key)
        incident = self._open.get(at)
        if event["event_action"] == "trigger":
            if incident is None:
                incident = self._open[at] = Incident(key)
                self.incidents.append(incident)
            incident.triggers.append(event)
        elif incident is None:
            self.dropped += 1
        elif event["event_action"] == "resolve":
            incident.is_open = False
            del self._open[at]


def faults_of(event: Any) -> Iterator[str]:
    """Yield all that is wrong with an event."""
    if not isinstance(event, dict):
        yield "Event is not an object"
        return
    for name in set(event) - _EVENT:
        yield f"'{name}' is not known"
    if not re.fullmatch(r"[0-9A-Za-z]{32}", str(event.get("routing_key"))):
        # PagerDuty says no such thing of the key, and a proxy might.
        yield f"Length of 'routing_key' is incorrect: {event.get('routing_key')}"
    action, key = event.get("event_action"), event.get("dedup_key", "")
    if action not in {"trigger", "acknowledge", "resolve"}:
        yield "'event_action' is invalid"
    if action == "trigger":
        yield from _faults_of_payload(event.get("payload"))
    elif not key:
        yield "'dedup_key' is missing or blank"
    if not isinstance(key, str) or len(key) > 255:
        yield "'dedup_key' is too long (maximum is 255 characters)"
    yield from _not_strings(event, "client", "client_url")
    yield from _faults_of_links(event.get("links", []))


def _faults_of_links(links: Any) -> Iterator[str]:
    for link in links:
        if not str(link.get("href", "")).startswith(("http://", "https://")):
            yield "'links' has a href that is no URL"
        if set(link) - {"href", "text"}:
            yield "'links' has unknown fields"


def _faults_of_payload(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing or blank"
        return
    for name in set(payload) - _PAYLOAD:
        yield f"'payload.{name}' is not known"
    for name in ("summary", "source", "severity"):
        if not str(payload.get(name, "")).strip():
            yield f"'payload.{name}' is missing or blank"
    yield from _not_strings(payload, "summary", "source", "component", "group", "class")
    if len(str(payload.get("summary"))) > 1024:
        yield "'payload.summary' is too long (maximum is 1024 characters)"
    if payload.get("severity") not in {"critical", "error", "warning", "info"}:
        yield "'payload.severity' is invalid"
    if not isinstance(payload.get("custom_details", {}), dict):
        yield "'payload.custom_details' is no object"
    try:
        datetime.fromisoformat(payload.get("timestamp", "2026-01-01T00:00:00Z"))
    except (TypeError, ValueError):
        yield "'payload.timestamp' is invalid"


def _not_strings(values: dict[str, Any], *names: str) -> Iterator[str]:
    for name in names:
        if not isinstance(values.get(name, ""), str):
            yield f"'{name}' is no string"


def _refuse(message: str, errors: list[str]) -> Any:
    answer = {"status": "invalid event", "message": message, "errors": errors}
    raise RefusedError(Answer(400, json.dumps(answer)))
