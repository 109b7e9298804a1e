"""Which of the shapes that we know a JSON document has, and what lies in it.

A shape is told by one key that the others have not; the module of the shape looks at the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from detector import lenient_json
from detector.envelopes.cloudtrail_notification import open_cloudtrail_notification
from detector.envelopes.cloudwatch_logs import open_cloudwatch_logs, open_lambda_event
from detector.envelopes.eventbridge import open_eventbridge_event
from detector.envelopes.firehose import open_error_record
from detector.envelopes.log_file import LogFile
from detector.envelopes.s3_notification import (
    open_s3_notification,
    open_s3_test_event,
    s3_records,
)
from detector.envelopes.sns import open_sns_message
from detector.envelopes.types import JSON, Inner, ObjectReference, Record, Skipped
from detector.errors import PayloadError

Content = Record | LogFile | Inner | ObjectReference | Skipped

_MAX_NAMED = 8
"""Keys of an unknown document that an error names."""


def open_document(document: JSON) -> Sequence[Content]:
    """Return what a JSON document holds, in its order.

    Raises:
        PayloadError: `unrecognised`, `not_a_log_file`, `malformed_json` or `too_deep`.
    """
    try:
        keys = lenient_json.decode(_KEYS, document)
        for key, opens in _SHAPES:
            if getattr(keys, key) is not msgspec.UNSET:
                return opens(document)
        named = sorted(lenient_json.decode(_ANY_OBJECT, document).keys())[:_MAX_NAMED]
    except msgspec.ValidationError:
        return _elements(document)
    except msgspec.DecodeError as error:
        raise PayloadError("malformed_json", f"the document is not JSON: {error}") from error
    except RecursionError as error:
        raise PayloadError("too_deep", "the document is nested too deeply") from error
    raise PayloadError("unrecognised", f"a JSON object of no known shape; it has {named}")


def _elements(document: JSON) -> Sequence[Inner | Skipped]:
    """Return the elements of a list of documents."""
    try:
        elements = lenient_json.decode(_RAWS, document)
    except msgspec.ValidationError as error:
        raise PayloadError("unrecognised", "JSON, but neither an object nor a list") from error
    return [Inner(bytes(item)) for item in elements] or [Skipped("empty_list")]


def _open_records(document: JSON) -> Sequence[Content]:
    """Return a log file, or what S3 says in the records of a notification."""
    are_s3 = s3_records(document)
    if not any(are_s3):
        return [LogFile(document)]
    if all(are_s3):
        return open_s3_notification(document)
    # Nobody sends both in one; neither is to be taken for the other.
    contents: list[Content] = []
    for is_s3, record in zip(are_s3, LogFile(document).raw(), strict=True):
        if is_s3:
            contents += open_s3_notification(b'{"Records":[' + bytes(record) + b"]}")
        else:
            contents.append(Record(record))
    return contents


def _open_record(document: JSON) -> Sequence[Record]:
    return [Record(document)]


def _open_digest(_: JSON) -> Sequence[Skipped]:
    return [Skipped("digest")]


_SHAPES: Sequence[tuple[str, Callable[[JSON], Sequence[Content]]]] = (
    ("eventName", _open_record),
    ("eventVersion", _open_record),  # Insights events have no eventName
    ("Records", _open_records),
    ("messageType", open_cloudwatch_logs),
    ("detail_type", open_eventbridge_event),
    ("Message", open_sns_message),
    ("s3ObjectKey", open_cloudtrail_notification),
    ("Event", open_s3_test_event),
    ("awslogs", open_lambda_event),
    ("digestEndTime", _open_digest),
    ("rawData", open_error_record),
)
"""By which key a shape is told, the most frequent first."""

_Mark = msgspec.Raw | msgspec.UnsetType


class _Keys(msgspec.Struct):
    eventName: _Mark = msgspec.UNSET  # noqa: N815
    eventVersion: _Mark = msgspec.UNSET  # noqa: N815
    Records: _Mark = msgspec.UNSET
    messageType: _Mark = msgspec.UNSET  # noqa: N815
    detail_type: _Mark = msgspec.field(name="detail-type", default=msgspec.UNSET)
    Message: _Mark = msgspec.UNSET
    s3ObjectKey: _Mark = msgspec.UNSET  # noqa: N815
    Event: _Mark = msgspec.UNSET
    awslogs: _Mark = msgspec.UNSET
    digestEndTime: _Mark = msgspec.UNSET  # noqa: N815
    rawData: _Mark = msgspec.UNSET  # noqa: N815


_KEYS = msgspec.json.Decoder(_Keys)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
