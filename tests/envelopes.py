"""Envelopes as AWS makes them: the encoders are the measure of the product's openers."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.kpl import aggregate

Wrap = Callable[[bytes], bytes]


def compact(value: object) -> str:
    """Return JSON as AWS writes it."""
    return json.dumps(value, separators=(",", ":"))


def sns(body: bytes) -> bytes:
    """Return what SNS sends of a message that is text."""
    message = {"Type": "Notification", "MessageId": "m", "Message": body.decode()}
    return compact(message).encode()


def cloudwatch_logs(*messages: str, message_type: str = "DATA_MESSAGE") -> bytes:
    """Return what a subscription sends of log events, before it is compressed."""
    events = [{"id": str(at), "timestamp": 0, "message": text} for at, text in enumerate(messages)]
    sent = {"messageType": message_type, "owner": "1", "logGroup": "g", "logStream": "s"}
    return compact({**sent, "subscriptionFilters": ["f"], "logEvents": events}).encode()


def lambda_event(body: bytes) -> bytes:
    """Return what Lambda gets of a subscription's data."""
    data = base64.b64encode(gzip.compress(body, mtime=0)).decode()
    return compact({"awslogs": {"data": data}}).encode()


def eventbridge(record: object) -> bytes:
    """Return what CloudTrail puts on the bus of one record."""
    event = {"detail-type": "AWS API Call via CloudTrail", "source": "aws.iam", "detail": record}
    return compact(event).encode()


def members(body: bytes, at: Sequence[int] | None = None) -> bytes:
    """Return gzip in several members, cut at any places."""
    places = sorted({place % (len(body) + 1) for place in (at or [len(body) // 3, len(body) // 2])})
    cuts = [0, *places, len(body)]
    parts = (body[begin:end] for begin, end in pairwise(cuts))
    return b"".join(gzip.compress(part, 1, mtime=0) for part in parts)


def kpl(*bodies: bytes) -> bytes:
    """Return user records in an aggregate."""
    return aggregate([("key", body) for body in bodies])


WRAPPINGS: Mapping[str, Wrap] = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "members": members,
    "sns": sns,
    "cloudwatch_logs": lambda body: cloudwatch_logs(body.decode()),
    "lambda": lambda_event,
    "kpl": kpl,
    "list": lambda body: b"[" + body + b"]",
    "blank": lambda body: f" \r\n\t{body.decode()}\n \n".encode(),
    "byte_order_mark": lambda body: b"\xef\xbb\xbf" + body,
    "cut": lambda body: body[:-9],
    "flip": lambda body: body[:-6] + bytes([body[-6] ^ 1]) + body[-5:],
    "stray_byte": lambda body: body.replace(b"aws-cli", b"aws\xffcli").replace(b"bob", b"b\xc3"),
}
"""By the names under which tests/payloads speaks of them."""


def wrapped(body: bytes, names: Sequence[str]) -> bytes:
    """Return a body in wrappings, the first one innermost."""
    for name in names:
        body = WRAPPINGS[name](body)
    return body


# Records in an envelope, several of them where it can hold them.

Encode = Callable[[Sequence[Mapping[str, Any]]], bytes]

ENCODERS: Mapping[str, Encode] = {
    "log file": lambda records: compact({"Records": records}).encode(),
    "concatenated": lambda records: "".join(map(compact, records)).encode(),
    "lines": lambda records: "".join(compact(record) + "\n" for record in records).encode(),
    "over lines": lambda records: "\n".join(
        json.dumps(item, indent=1) for item in records
    ).encode(),
    "not escaped": lambda records: json.dumps({"Records": records}, ensure_ascii=False).encode(),
    "list": lambda records: compact(records).encode(),
    "cloudwatch logs": lambda records: cloudwatch_logs(*map(compact, records)),
    "eventbridge": lambda records: b"".join(map(eventbridge, records)),
    "kpl": lambda records: kpl(*(compact(record).encode() for record in records)),
}
