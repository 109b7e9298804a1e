"""Splunk's HTTP Event Collector, as far as it judges what it is sent.

Sources: Splunk, "Format events for HTTP Event Collector", "HTTP Event Collector REST API endpoints"
and "Troubleshoot HTTP Event Collector" (the codes and their statuses).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.checking import Answer, CheckingServer, Fault, Received, RefusedError

TOKEN = "11111111-2222-4333-8444-555555555555"

MAX_CONTENT_BYTES = 838_860_800
"""`max_content_length` of limits.conf, as it is shipped."""

_STATUS = {0: 200, 1: 403, 2: 401, 3: 401, 4: 403, 5: 400, 6: 400, 7: 400, 8: 500, 9: 503}
_TEXTS = {
    0: "Success",
    1: "Token disabled",
    2: "Token is required",
    3: "Invalid authorization",
    4: "Invalid token",
    5: "No data",
    6: "Invalid data format",
    7: "Incorrect index",
    8: "Internal server error",
    9: "Server is busy",
    10: "Data channel is missing",
    11: "Invalid data channel",
    12: "Event field is required",
    13: "Event field cannot be blank",
    14: "ACK is disabled",
    15: "Error in handling indexed fields",
}
_METADATA = {"time", "host", "source", "sourcetype", "index", "event", "fields"}


def said(code: int, **more: object) -> Answer:
    """Return the collector's answer with a code."""
    body = json.dumps({"text": _TEXTS[code], "code": code, **more})
    return Answer(_STATUS.get(code, 400), body, {"Content-Type": "application/json"})


class SplunkServer(CheckingServer):
    """A collector with one token, which allows some indexes.

    With `acknowledges` the token has indexer acknowledgement, and an event is on disk when it was
    asked for so many times. `events` are those taken, with their metadata.
    """

    def __init__(
        self,
        *faults: Fault,
        indexes: Collection[str] = ("main", "security"),
        acknowledges: int | None = None,
    ) -> None:
        super().__init__(*faults)
        self.events: list[dict[str, Any]] = []
        self.asked: dict[int, int] = {}
        self.channels: set[str] = set()
        self._indexes = indexes
        self._acknowledges = acknowledges

    def check(self, request: Received) -> Answer:
        """Take events, or a question for acknowledgements."""
        url = urlsplit(request.path)
        _demand(request.method == "POST", Answer(405))
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        _demand(bool(scheme), said(2))
        _demand(scheme == "Splunk", said(3))
        _demand(token == TOKEN, said(4))
        if url.path == "/services/collector/ack":
            return self._acknowledge(request, parse_qs(url.query).get("channel", [""])[0])
        _demand(url.path in {"/services/collector", "/services/collector/event"}, Answer(404))
        channel = request.headers.get("x-splunk-request-channel", "")
        if self._acknowledges is not None:
            _demand(bool(channel), said(10))
        if channel:
            self._check_channel(channel)
        _demand(len(request.body) <= MAX_CONTENT_BYTES, Answer(413))
        _demand(bool(request.body.strip()), said(5))
        taken = [self._event(item, number) for number, item in enumerate(_documents(request.body))]
        self.events += taken
        if self._acknowledges is None:
            return said(0)
        ack_id = len(self.asked)
        self.asked[ack_id] = 0
        return said(0, ackId=ack_id)

    def _event(self, item: Any, number: int) -> dict[str, Any]:
        invalid = {"invalid-event-number": number}
        _demand(isinstance(item, dict), said(6, **invalid))
        _demand("event" in item, said(12, **invalid))
        _demand(item["event"] not in (None, "", {}), said(13, **invalid))
        _demand(item.keys() <= _METADATA, said(6, **invalid))
        _demand(isinstance(item.get("time", 0), int | float), said(6, **invalid))
        for name in ("host", "source", "sourcetype", "index"):
            _demand(isinstance(item.get(name, "x"), str), said(6, **invalid))
        _demand(item.get("index", "main") in self._indexes, said(7, **invalid))
        fields = item.get("fields", {})
        is_flat = isinstance(fields, dict) and not any(
            isinstance(value, dict) for value in fields.values()
        )
        _demand(is_flat, said(15, **invalid))
        return dict(item)

    def _acknowledge(self, request: Received, channel: str) -> Answer:
        _demand(self._acknowledges is not None, said(14))
        assert self._acknowledges is not None
        _demand(bool(channel), said(10))
        self._check_channel(channel)
        acks = {}
        for ack_id in request.json["acks"]:
            self.asked[ack_id] += 1
            acks[str(ack_id)] = self.asked[ack_id] > self._acknowledges
        return Answer(200, json.dumps({"acks": acks}))

    def _check_channel(self, channel: str) -> None:
        try:
            uuid.UUID(channel)
        except ValueError as error:
            raise RefusedError(said(11)) from error
        self.channels.add(channel)


def _documents(body: bytes) -> list[Any]:
    """Return the objects of a body, one after the other without anything between them."""
    decoder, text, at = json.JSONDecoder(), body.decode(), 0
    found: list[Any] = []
    while at < len(text):
        try:
            item, at = decoder.raw_decode(text, at)
        except ValueError as error:
            number = {"invalid-event-number": len(found)}
            raise RefusedError(said(6, **number)) from error
        found.append(item)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def _demand(holds: bool, otherwise: Answer) -> None:
    if not holds:
        raise RefusedError(otherwise)
