"""A request of Amazon Data Firehose to an HTTP endpoint, the response, and what it leaves in S3.

Source: Amazon Data Firehose Developer Guide, "Understand HTTP endpoint delivery request and
response specifications", "Troubleshooting HTTP endpoints".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from detector.alerts.text import clean
from detector.envelopes.compression import GZIP_MAGIC
from detector.envelopes.log_file import skipped_by_name
from detector.envelopes.types import JSON, Inner
from detector.errors import PayloadError

MAX_RECORDS = 10_000
"""Firehose puts no more records into a request."""

MAX_VALUES = 100_000
"""Commas in a body: one for each record, but for fields that Firehose may add to its records one
day. Without this cap 96 MiB of `1,1,1` would decode to gigabytes before the records are counted."""

MAX_REQUEST_BYTES = 96 << 20
"""Firehose's documented limit is 64 MiB before compression. If that is meant of the data, and not
of the base64 that stands for it, a body has 86 MiB: one that can be taken must not be refused."""

MAX_ID_CHARACTERS = 1024
"""Firehose's request ids have 36. This is what still goes into a response and a log line."""

MAX_ERROR_CHARACTERS = 8192
"""A response with a longer errorMessage is not understood. Source: the guide's response format."""

MAX_RETRY_SECONDS = 7200.0
"""The longest retry duration that can be configured for a Firehose stream."""

CLOCK_SLACK_SECONDS = 900.0
"""How much longer than its retry duration a request may have been on its way: the last attempt
itself takes minutes, and clocks differ."""

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STREAM = re.compile(r"arn:aws[a-z-]*:firehose:[a-z0-9-]+:[0-9]{1,12}:deliverystream/(.+)")


class RequestError(PayloadError):
    """A request that is not taken; Firehose sends it again, and puts it into its S3 backup at last.

    `status` is the HTTP status of the response. `retry_after` are the seconds after which another
    attempt could succeed, where that depends on us.
    """

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(reason, message)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class FirehoseRequest:
    """What a request's body says.

    `sent_at` is when Firehose made the request, by its own account, in seconds since the epoch.
    `records` are the data of the records, as a producer put them: any envelope.
    """

    request_id: str
    sent_at: float | None
    records: Sequence[bytes]


def open_firehose_request(body: bytes | bytearray) -> FirehoseRequest:
    """Return what a body says that is inflated already.

    Raises:
        RequestError: 400 `malformed`: the whole request is refused, and nothing of it is kept.
    """
    if len(body) > MAX_VALUES and body.count(b",") > MAX_VALUES:
        raise _malformed(f"it holds more than {MAX_VALUES} values")
    try:
        request = _REQUEST.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from error
    if not 1 <= len(request.requestId) <= MAX_ID_CHARACTERS:
        raise _malformed(f"requestId must have 1 to {MAX_ID_CHARACTERS} characters")
    if not 1 <= len(request.records) <= MAX_RECORDS:
        raise _malformed(f"there must be 1 to {MAX_RECORDS} records, not {len(request.records)}")
    # One by one: other threads get their turn between two records, but not within a decode.
    records = [_data(record, index) for index, record in enumerate(request.records)]
    sent_at = None if request.timestamp is None else request.timestamp / 1000
    return FirehoseRequest(request.requestId, sent_at, records)


def claimed_size(body: bytes) -> int:
    """Return how many bytes a body has once it is inflated, as it says itself.

    Right for what is not gzip, and for one gzip member by an honest writer.
    """
    if not body.startswith(GZIP_MAGIC):
        return len(body)
    return max(len(body), int.from_bytes(body[-4:], "little"))


def response_body(request_id: str, now: float, error: str | None = None) -> bytes:
    """Return a response's body: exactly the fields that Firehose knows, or it sends again.

    `now` is in seconds since the epoch; `error` says why the request is not taken.
    """
    response: dict[str, object] = {"requestId": request_id, "timestamp": int(now * 1000)}
    if error is not None:
        response["errorMessage"] = clean(error)[:MAX_ERROR_CHARACTERS]
    return msgspec.json.encode(response)


def delivered_at(sent_at: float | None, received_at: float) -> float:
    """Return when a request counts as delivered, in seconds since the epoch.

    That is when Firehose made it: a request that has waited for us is not late by CloudTrail's
    fault. A time that cannot be, in our future or longer ago than a request is tried, is not
    believed: the time of arrival takes its place.
    """
    oldest = received_at - MAX_RETRY_SECONDS - CLOCK_SLACK_SECONDS
    if sent_at is not None and oldest <= sent_at <= received_at:
        return sent_at
    return received_at


def header_id(value: str | None) -> str | None:
    """Return the request id that a header gives, None where there is no header.

    Raises:
        RequestError: 400 `malformed`.
    """
    if value is None:
        return None
    if not (1 <= len(value) <= MAX_ID_CHARACTERS and value.isascii() and value.isprintable()):
        raise _malformed(f"X-Amz-Firehose-Request-Id is no text of 1 to {MAX_ID_CHARACTERS} signs")
    return value


def plain_name(text: str) -> str:
    """Return a name fit for an origin and a key in the state: itself, or its digest if it is odd.

    Odd is what is long, has signs that mean something in a path, or reads like the name of a file
    that holds no events: a stream of such a name would be skipped.
    """
    if _PLAIN.fullmatch(text) and skipped_by_name(f"/{text}/") is None:
        return text
    return f"sha256-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:40]}"


def stream_name(arn: str | None) -> str:
    """Return a name for the stream that the header X-Amz-Firehose-Source-Arn names."""
    found = _STREAM.fullmatch(arn or "")
    return plain_name(found.group(1)) if found else "unknown"


def open_error_record(document: JSON) -> list[Inner]:
    """Return the record that one JSON line of a Firehose error prefix in S3 holds.

    Firehose writes such lines for records that it could neither transform nor deliver: rawData in
    base64, beside attemptsMade and arrivalTimestamp. Other fields differ with the destination.
    Source: Amazon Data Firehose Developer Guide, "Handle data delivery failures", "Handle failure
    in data transformation", "Handle errors for data format conversion".

    Raises:
        PayloadError: `unrecognised`: it is none.
    """
    try:
        return [Inner(_ERROR_RECORD.decode(document).rawData)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError("unrecognised", f"not an error record of Firehose: {error}") from error


def _data(record: msgspec.Raw, index: int) -> bytes:
    try:
        return _RECORD.decode(record).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(f"record {index}: {error}") from error


def _malformed(why: str) -> RequestError:
    return RequestError(400, "malformed", f"not a Firehose request: {why}")


class _Request(msgspec.Struct):
    requestId: str  # noqa: N815
    records: list[msgspec.Raw]
    timestamp: float | None = None


class _Record(msgspec.Struct):
    data: bytes
    """msgspec takes base64 in its strict form alone: its own alphabet, padded, nothing between."""


class _ErrorRecord(msgspec.Struct):
    rawData: bytes  # noqa: N815
    attemptsMade: int | str  # noqa: N815
    arrivalTimestamp: int | float | str  # noqa: N815


_REQUEST = msgspec.json.Decoder(_Request)
_RECORD = msgspec.json.Decoder(_Record)
_ERROR_RECORD = msgspec.json.Decoder(_ErrorRecord)
