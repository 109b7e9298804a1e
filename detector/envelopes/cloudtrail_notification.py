"""What CloudTrail itself publishes on a trail's SNS topic: which log files it has delivered.

Keys are plain here, not encoded. Sources: AWS CloudTrail User Guide, "Configuring Amazon SNS
notifications for CloudTrail"; aws-cloudtrail-processing-library for the validation message.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detector import lenient_json
from detector.envelopes.types import JSON, ObjectReference, Skipped
from detector.errors import PayloadError

VALIDATION_MESSAGE = b"CloudTrail validation message."
"""The text, not JSON, that comes first when a topic is given to a trail."""

MAX_KEYS = 1_000
"""A message has some; one of SNS's longest, 256 KiB, has room for two thousand."""


def open_cloudtrail_notification(document: JSON) -> Sequence[ObjectReference | Skipped]:
    """Return the log files that a notification names.

    Raises:
        PayloadError: `unrecognised`: it is not as CloudTrail writes it, or has too many keys.
    """
    try:
        named = lenient_json.decode(_NOTIFICATION, document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PayloadError("unrecognised", f"not CloudTrail's notification: {error}") from error
    if len(named.s3ObjectKey) > MAX_KEYS:
        raise PayloadError("unrecognised", f"it names more than {MAX_KEYS} objects")
    if not named.s3ObjectKey:
        return [Skipped("empty_list")]
    return [ObjectReference(named.s3Bucket, key) for key in named.s3ObjectKey]


class _Notification(msgspec.Struct):
    s3Bucket: str  # noqa: N815
    s3ObjectKey: list[str]  # noqa: N815


_NOTIFICATION = msgspec.json.Decoder(_Notification)
