"""A receiver of Standard Webhooks, which verifies by the standard's own library.

Source: Standard Webhooks 1.0.0. The library verifies signatures, and that a message is not older
than five minutes; what the document says besides is checked here.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError

from tests.servers.checking import Answer, CheckingServer, Fault, Received, RefusedError

TOLERANCE_SECONDS = 300
MAX_HEADER_BYTES = 8_190
"""Of one header, as common servers take it."""

_TYPE = re.compile(r"[a-zA-Z0-9_]+(?:\.[a-zA-Z0-9_]+)*")


class StandardWebhooksServer(CheckingServer):
    """Takes what one of its secrets has signed; without secrets what is not signed at all.

    With `is_payload_checked` the body has to be the standard's too, and not one of a user's own.
    """

    def __init__(
        self, *faults: Fault, secrets: tuple[str, ...] = (), is_payload_checked: bool = True
    ) -> None:
        super().__init__(*faults)
        self._webhooks = [Webhook(secret) for secret in secrets]
        self._is_payload_checked = is_payload_checked

    @property
    def ids(self) -> list[str]:
        """The `webhook-id` of each message taken, in order: a repetition has that of the first."""
        return [request.headers["webhook-id"] for request in self.accepted]

    def check(self, request: Received) -> Answer:
        """Take a message, or say why not."""
        headers = request.headers
        _demand(request.method == "POST", 405, "POST is the method")
        for name in ("webhook-id", "webhook-timestamp"):
            _demand(bool(headers.get(name)), 400, f"{name} is missing")
            _demand(len(headers[name]) < MAX_HEADER_BYTES, 431, f"{name} is too long")
        stamp = headers["webhook-timestamp"]
        _demand(stamp.isdecimal(), 400, "webhook-timestamp is no integer")
        age = abs(time.time() - int(stamp))
        _demand(age <= TOLERANCE_SECONDS, 400, "webhook-timestamp is not of this attempt")
        self._verify(request)
        if self._is_payload_checked:
            _check_payload(headers.get("content-type", ""), request.body)
        return Answer(204)

    def _verify(self, request: Received) -> None:
        if not self._webhooks:
            _demand("webhook-signature" not in request.headers, 400, "it is signed by a stranger")
            return
        for webhook in self._webhooks:
            try:
                webhook.verify(request.body, dict(request.headers))
            except WebhookVerificationError as error:
                why = str(error)
            else:
                return
        raise RefusedError(Answer(401, why))


def _check_payload(content_type: str, body: bytes) -> None:
    _demand(content_type.partition(";")[0] == "application/json", 415, "JSON is what is taken")
    try:
        payload: Any = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise RefusedError(Answer(400, f"the body is no JSON: {error}")) from error
    _demand(isinstance(payload, dict), 400, "the body is no object")
    _demand(
        {"type", "timestamp", "data"} <= payload.keys(), 400, "type, timestamp, data: one misses"
    )
    _demand(bool(_TYPE.fullmatch(payload["type"])), 400, "type is no list of identifiers")
    moment = datetime.fromisoformat(payload["timestamp"])
    _demand(moment.tzinfo is not None, 400, "timestamp has no zone")
    _demand(isinstance(payload["data"], dict), 400, "data is no object")


def _demand(holds: bool, status: int, why: str) -> None:
    if not holds:
        raise RefusedError(Answer(status, why))
