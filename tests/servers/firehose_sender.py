"""A sender that delivers to an HTTP endpoint as Amazon Data Firehose says that it does.

Source: Amazon Data Firehose Developer Guide, "Understand HTTP endpoint delivery request and
response specifications", "Handle data delivery failures", "Troubleshooting HTTP endpoints".
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

STREAM_ARN = "arn:aws:firehose:us-east-1:111122223333:deliverystream/trail"
ACCESS_KEY = "an access key of 26 signs"

ANSWER_SECONDS = 60.0
"""A third of what Firehose waits: a test that hangs should not do so for long."""
MAX_RESPONSE_BYTES = 1 << 20
MAX_ERROR_CHARACTERS = 8192
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 120.0
JITTER = 0.15

_FIELDS = ("requestId", "timestamp")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: a fault is why it was none that Firehose takes for a success."""

    status: int | None
    fault: str | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Sent:
    """What became of a batch: delivered, put into the S3 backup, or (by a 413) lost."""

    request_id: str
    is_delivered: bool = False
    is_backed_up: bool = False
    answers: list[Answer] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def statuses(self) -> list[int | None]:
        """The status of each attempt; None where there was no response."""
        return [answer.status for answer in self.answers]


def body_of(records: Iterable[bytes], request_id: str, timestamp: float | None = None) -> bytes:
    """Return a request's body before compression; `timestamp` is in seconds, now without it."""
    moment = time.time() if timestamp is None else timestamp
    return json.dumps(
        {
            "requestId": request_id,
            "timestamp": int(moment * 1000),
            "records": [{"data": base64.b64encode(record).decode()} for record in records],
        },
        separators=(",", ":"),
    ).encode()


@dataclass(slots=True)
class FirehoseSender:
    """A stream that delivers to an endpoint.

    `sleep` and `clock` can be those of a test: then waiting takes no time. `retry_seconds` is the
    stream's retry duration.
    """

    url: Callable[[], str]
    access_key: str | None = ACCESS_KEY
    stream_arn: str = STREAM_ARN
    compress: bool = False
    retry_seconds: float = 300.0
    tls: ssl.SSLContext | None = None
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = lambda: random.uniform(-JITTER, JITTER)  # noqa: S311

    def send(self, records: Sequence[bytes], request_id: str | None = None) -> Sent:
        """Deliver a batch, again and again for as long as the stream's retry duration."""
        sent = Sent(request_id or str(uuid.uuid4()))
        body = body_of(records, sent.request_id)
        started = self.clock()
        while True:
            answer = self.post(body, sent.request_id)
            sent.answers.append(answer)
            if answer.fault is None:
                sent.is_delivered = True
                return sent
            if answer.status == 413:
                return sent
            wait = wait_before(len(sent.answers), self.jitter())
            if self.clock() - started + wait > self.retry_seconds:
                sent.is_backed_up = True
                return sent
            sent.waits.append(wait)
            self.sleep(wait)

    def post(self, body: bytes, request_id: str, **headers: str | None) -> Answer:
        """Make one attempt; `headers` replace those that Firehose sends, None leaves one out."""
        if self.compress:
            body = gzip.compress(body, 6)
        sent: dict[str, str | None] = {
            "X-Amz-Firehose-Protocol-Version": "1.0",
            "X-Amz-Firehose-Request-Id": request_id,
            "X-Amz-Firehose-Source-Arn": self.stream_arn,
            "X-Amz-Firehose-Access-Key": self.access_key,
            "X-Amz-Firehose-Common-Attributes": '{"commonAttributes":{"env":"test"}}',
            "Content-Type": "application/json",
            "Content-Encoding": "gzip" if self.compress else None,
            "User-Agent": "Amazon Kinesis Data Firehose Agent/1.0",
        }
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        given = {name: value for name, value in sent.items() if value is not None}
        address = urlsplit(self.url())
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            connection = http.client.HTTPSConnection(
                address.netloc, timeout=ANSWER_SECONDS, context=self.tls
            )
        else:
            connection = http.client.HTTPConnection(address.netloc, timeout=ANSWER_SECONDS)
        try:
            connection.request("POST", address.path or "/", body, given)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            content = response.read(MAX_RESPONSE_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            return Answer(None, f"no response: {error!r}")
        finally:
            connection.close()
        fault = fault_of(response.status, answered, content, request_id)
        return Answer(response.status, fault, content, answered)


def wait_before(attempts: int, jitter: float) -> float:
    """Return the seconds between an attempt that failed, the nth, and the next one."""
    wait = min(FIRST_WAIT_SECONDS * 2.0 ** (attempts - 1), LONGEST_WAIT_SECONDS)
    return min(wait * (1 + jitter), LONGEST_WAIT_SECONDS)


def fault_of(status: int, headers: dict[str, str], body: bytes, request_id: str) -> str | None:
    """Return why a response is no success, None if it is one."""
    fault = form_fault_of(status, headers, body, request_id)
    if fault is None and status != 200:
        return f"status {status}"
    return fault


def form_fault_of(status: int, headers: dict[str, str], body: bytes, request_id: str) -> str | None:
    """Return what is wrong with a response's form, whether it tells of a success or not."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return "not JSON"
    given = document if isinstance(document, dict) else {}
    error = given.get("errorMessage", "")
    well_formed = {
        "Content-Type": headers.get("content-type", "").partition(";")[0] == "application/json",
        "Content-Length": headers.get("content-length") == str(len(body)),
        "Content-Encoding": "content-encoding" not in headers,
        "size": len(body) <= MAX_RESPONSE_BYTES,
        "fields": set(given) == set(_FIELDS if status == 200 else (*_FIELDS, "errorMessage")),
        "requestId": given.get("requestId") == request_id,
        "timestamp": type(given.get("timestamp")) is int,
        "errorMessage": isinstance(error, str) and len(error) <= MAX_ERROR_CHARACTERS,
    }
    return next((name for name, is_so in well_formed.items() if not is_so), None)
