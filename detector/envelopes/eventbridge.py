"""EventBridge events: S3's "Object Created", and CloudTrail's own, which hold one record each.

Sources: Amazon S3 User Guide, "EventBridge event message structure"; Amazon EventBridge User Guide,
"AWS service events delivered via AWS CloudTrail".
"""

from __future__ import annotations

from urllib.parse import unquote_plus

import msgspec

from detector import lenient_json
from detector.envelopes.times import seconds
from detector.envelopes.types import JSON, ObjectReference, Record, Skipped
from detector.errors import PayloadError

VIA_CLOUDTRAIL = "via CloudTrail"
"""How the `detail-type` ends of what CloudTrail puts on the bus."""


def open_eventbridge_event(document: JSON) -> list[ObjectReference | Record | Skipped]:
    """Return what an event is about.

    Raises:
        PayloadError: `unrecognised`: it is of another kind, or not as its service writes it.
    """
    try:
        event = lenient_json.decode(_EVENT, document)
        if event.detail_type.endswith(VIA_CLOUDTRAIL):
            return [Record(event.detail)]
        if event.source != "aws.s3":
            raise PayloadError(
                "unrecognised", f"an EventBridge event of the type {event.detail_type[:100]!r}"
            )
        if event.detail_type != "Object Created":
            return [Skipped("s3_event")]
        detail = lenient_json.decode(_CREATED, event.detail)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError("unrecognised", f"not an EventBridge event: {error}") from error
    return [_announced(detail, event.time)]


def _announced(detail: _Created, time: object) -> ObjectReference:
    # Whether the key is encoded is documented nowhere: it is not, as far as anyone has seen.
    key = detail.object.key
    decoded = unquote_plus(key)
    return ObjectReference(
        bucket=detail.bucket.name,
        key=key,
        size=detail.object.size,
        version_id=detail.object.version_id,
        announced_at=seconds(time),
        alternative_key=decoded if decoded != key else None,
    )


class _Event(msgspec.Struct):
    detail_type: str = msgspec.field(name="detail-type")
    detail: msgspec.Raw
    source: object = None
    time: object = None


class _Bucket(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    key: str
    size: int | None = None
    version_id: str | None = msgspec.field(name="version-id", default=None)


class _Created(msgspec.Struct):
    bucket: _Bucket
    object: _Object


_EVENT = msgspec.json.Decoder(_Event)
_CREATED = msgspec.json.Decoder(_Created)
