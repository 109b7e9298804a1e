"""An S3 event notification, as SQS carries it when the bucket sends it directly.

Source: Amazon S3 User Guide, "Event message structure". Object keys are form-encoded there
(a space is `+`), whichever encoder an emulator or another S3 uses for the rest.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote_plus

import msgspec

from detector.envelopes.types import Control, ObjectReference
from detector.errors import PayloadError

MAX_MESSAGE_RECORDS = 1_000
"""S3 puts one record into a message; a queue message of 1 MiB could hold some thousand."""


def open_s3_notification(body: str | bytes) -> list[ObjectReference] | Control:
    """Return the objects that a message announces, or the kind of a message without any.

    A notification of anything but a creation announces nothing to read, and is left out.

    Raises:
        PayloadError: `unrecognised_message`: the body is something else; the reason says what.
    """
    try:
        message = msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unrecognised(str(error)) from error
    if message.Event == "s3:TestEvent":
        return Control("s3_test_event")
    if message.Records is msgspec.UNSET:
        raise _unrecognised("it has neither Records nor Event")
    if len(message.Records) > MAX_MESSAGE_RECORDS:
        raise _unrecognised(f"it has more than {MAX_MESSAGE_RECORDS} records")
    references = [_reference(record) for record in message.Records]
    return [reference for reference in references if reference is not None]


def _reference(record: _Record) -> ObjectReference | None:
    if record.eventSource != "aws:s3":
        raise _unrecognised(f"a record is from {record.eventSource!r}, not aws:s3")
    if not record.eventName.removeprefix("s3:").startswith("ObjectCreated:"):
        return None
    item = record.s3.object
    return ObjectReference(
        bucket=record.s3.bucket.name,
        key=unquote_plus(item.key),
        size=item.size,
        version_id=item.versionId,
        announced_at=_seconds(record.eventTime),
    )


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _unrecognised(why: str) -> PayloadError:
    return PayloadError("unrecognised_message", f"not an S3 event notification: {why}")


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
    eventSource: str  # noqa: N815
    eventName: str  # noqa: N815
    s3: _Entity
    eventTime: str | None = None  # noqa: N815


class _Message(msgspec.Struct):
    Records: list[_Record] | msgspec.UnsetType = msgspec.UNSET
    Event: str | None = None
