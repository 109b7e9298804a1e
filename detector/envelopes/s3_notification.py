"""An S3 event notification: what a bucket itself sends to SQS, SNS or Lambda.

Source: Amazon S3 User Guide, "Event message structure". Object keys are form-encoded there
(a space is `+`), whichever encoder an emulator or another S3 uses for the rest.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

import msgspec

from detector import lenient_json
from detector.envelopes.times import seconds
from detector.envelopes.types import JSON, ObjectReference, Skipped
from detector.errors import PayloadError

MAX_MESSAGE_RECORDS = 1_000
"""S3 puts one record into a message; a queue message of 1 MiB could hold some thousand."""

EVENT_SOURCE = "aws:s3"
"""By which the records of a notification are told from those of a log file."""

TEST_EVENT = "s3:TestEvent"
"""What S3 sends once when notifications are configured."""


def open_s3_notification(document: JSON) -> list[ObjectReference | Skipped]:
    """Return the objects that a notification announces.

    One of anything but a creation announces nothing to read, and is skipped.

    Raises:
        PayloadError: `unrecognised`: a record is not as S3 writes it; or there are too many.
    """
    try:
        notified = lenient_json.decode(_NOTIFICATION, document).Records
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unrecognised(str(error)) from error
    if len(notified) > MAX_MESSAGE_RECORDS:
        raise _unrecognised(f"it has more than {MAX_MESSAGE_RECORDS} records")
    return [_announced(record) for record in notified]


def s3_records(document: JSON) -> list[bool]:
    """Return of each of the `Records` of a document whether it is S3's; none if it has no such."""
    try:
        sources = lenient_json.decode(_SOURCES, document).Records
    except (msgspec.DecodeError, RecursionError):
        return []
    return [isinstance(item, dict) and item.get("eventSource") == EVENT_SOURCE for item in sources]


def open_s3_test_event(document: JSON) -> list[Skipped]:
    """Return that there is nothing in what S3 sends when notifications are configured.

    Raises:
        PayloadError: `unrecognised`: it is another event.
    """
    try:
        event = lenient_json.decode(_EVENT, document).Event
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unrecognised(str(error)) from error
    if event != TEST_EVENT:
        raise _unrecognised(f"an event {event[:100]!r}")
    return [Skipped("s3_test_event")]


def _announced(record: _Record) -> ObjectReference | Skipped:
    if not record.eventName.removeprefix("s3:").startswith("ObjectCreated:"):
        return Skipped("s3_event")
    item = record.s3.object
    return ObjectReference(
        bucket=record.s3.bucket.name,
        key=unquote_plus(item.key),
        size=item.size,
        version_id=item.versionId,
        announced_at=seconds(record.eventTime),
    )


def _unrecognised(why: str) -> PayloadError:
    return PayloadError("unrecognised", f"not an S3 event notification: {why}")


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str
    size: int | None = None
    versionId: str | None = None  # noqa: N815


class _Entity(msgspec.Struct):
    bucket: _Bucket
    object: _Object


class _Record(msgspec.Struct):
    eventName: str  # noqa: N815
    s3: _Entity
    eventTime: str | None = None  # noqa: N815


class _Notification(msgspec.Struct):
    Records: list[_Record]


class _Sources(msgspec.Struct):
    Records: list[Any]


class _Event(msgspec.Struct):
    Event: str


_NOTIFICATION = msgspec.json.Decoder(_Notification)
_SOURCES = msgspec.json.Decoder(_Sources)
_EVENT = msgspec.json.Decoder(_Event)
