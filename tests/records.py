"""CloudTrail records and log files, made for tests."""

from __future__ import annotations

import gzip
import itertools
from datetime import UTC, datetime
from typing import Any

import msgspec

from detector.sources.delivery import Delivery, Payload

ACCOUNT = "111122223333"
NOON = datetime(2026, 9, 16, 12, 0, tzinfo=UTC).timestamp()

_numbers = itertools.count(1)


def record(event_name: str = "PutUserPolicy", at: float = 0, **fields: Any) -> dict[str, Any]:
    """Return a record; `at` is in seconds after noon, `fields` replace those of an ordinary one."""
    number = next(_numbers)
    made: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/alice",
            "accountId": ACCOUNT,
            "userName": "alice",
        },
        "eventTime": datetime.fromtimestamp(NOON + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "iam.amazonaws.com",
        "eventName": event_name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.31.0",
        "requestParameters": {"userName": "bob"},
        "responseElements": None,
        "eventID": f"00000000-0000-4000-8000-{number:012d}",
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
    }
    made.update(fields)
    return {key: value for key, value in made.items() if value is not ...}


def log_file(*records: Any) -> bytes:
    """Return a log file as CloudTrail writes it, not compressed."""
    return msgspec.json.encode({"Records": list(records)})


def zipped_log_file(*records: Any) -> bytes:
    """Return a log file as CloudTrail delivers it."""
    return gzip.compress(log_file(*records))


def delivery(*records: Any, source: str = "test", delivered_at: float | None = None) -> Delivery:
    """Return a delivery of one log file."""
    return delivery_of(log_file(*records), source=source, delivered_at=delivered_at)


def delivery_of(
    *bodies: bytes, source: str = "test", delivered_at: float | None = None
) -> Delivery:
    """Return a delivery of some bodies."""
    payloads = [
        Payload(f"memory:{number}", body, delivered_at) for number, body in enumerate(bodies)
    ]
    return Delivery(source, payloads, received_at=NOON)
