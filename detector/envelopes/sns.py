"""An SNS message as a queue gets it where raw message delivery is off.

Source: Amazon SNS Developer Guide, "Amazon SNS message and JSON formats".
"""

from __future__ import annotations

import msgspec

from detector import lenient_json
from detector.envelopes.types import JSON, Inner
from detector.errors import PayloadError

NOTIFICATION = "Notification"
"""The `Type` of what somebody has published."""


def open_sns_message(document: JSON) -> list[Inner]:
    """Return what was published.

    Raises:
        PayloadError: `unrecognised`: it is no notification.
    """
    try:
        message = lenient_json.decode(_MESSAGE, document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError("unrecognised", f"not an SNS message: {error}") from error
    if message.Type != NOTIFICATION:
        raise PayloadError("unrecognised", f"an SNS message of the type {message.Type[:100]!r}")
    return [Inner(message.Message.encode())]


class _Message(msgspec.Struct):
    Type: str
    Message: str


_MESSAGE = msgspec.json.Decoder(_Message)
