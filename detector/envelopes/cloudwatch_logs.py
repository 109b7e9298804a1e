"""What a CloudWatch Logs subscription sends: log events, of which each message is a record's JSON.

The data is gzip, in Kinesis and Firehose as it is, for Lambda in base64 besides. Source: Amazon
CloudWatch Logs User Guide, "Using subscription filters".
"""

from __future__ import annotations

import binascii

import msgspec

from detector import lenient_json
from detector.envelopes.types import JSON, Inner, Skipped
from detector.errors import PayloadError

DATA_MESSAGE = "DATA_MESSAGE"
CONTROL_MESSAGE = "CONTROL_MESSAGE"
"""Asks whether the destination can be reached; the text in it means nothing."""


def open_cloudwatch_logs(document: JSON) -> list[Inner | Skipped]:
    """Return the messages of the log events, in their order.

    Raises:
        PayloadError: `unrecognised`: it is not as CloudWatch Logs writes it.
    """
    try:
        sent = lenient_json.decode(_SENT, document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError("unrecognised", f"not from CloudWatch Logs: {error}") from error
    if sent.messageType == CONTROL_MESSAGE:
        return [Skipped("control_message")]
    if sent.messageType != DATA_MESSAGE:
        kind = sent.messageType[:100]
        raise PayloadError("unrecognised", f"a CloudWatch Logs message of the type {kind!r}")
    return [Inner(event.message.encode()) for event in sent.logEvents] or [Skipped("empty_list")]


def open_lambda_event(document: JSON) -> list[Inner]:
    """Return the gzip data that Lambda gets of a subscription.

    Raises:
        PayloadError: `unrecognised`: there is none in it.
    """
    try:
        data = lenient_json.decode(_LAMBDA, document).awslogs.data
        return [Inner(binascii.a2b_base64(data, strict_mode=True))]
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise PayloadError("unrecognised", f"not from CloudWatch Logs: {error}") from error


class _LogEvent(msgspec.Struct):
    message: str


class _Sent(msgspec.Struct):
    messageType: str  # noqa: N815
    logEvents: list[_LogEvent] = []  # noqa: N815


class _Data(msgspec.Struct):
    data: str


class _Lambda(msgspec.Struct):
    awslogs: _Data


_SENT = msgspec.json.Decoder(_Sent)
_LAMBDA = msgspec.json.Decoder(_Lambda)
