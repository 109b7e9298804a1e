"""A queue message: what it announces, told by its content, one message at a time.

Queues are shared: S3's own notifications, what came through SNS or EventBridge, and CloudTrail's
own messages can lie in one. EventBridge also puts CloudTrail's events themselves there.
"""

from __future__ import annotations

from detector.envelopes.payload import Limits, open_payload
from detector.envelopes.types import ObjectReference, Skipped
from detector.errors import PayloadError

_LIMITS = Limits(max_inflated_bytes=4 << 20)
"""A queue message has 1 MiB at most."""


def message_bytes(body: str) -> bytes:
    """Return a message's text as bytes; half a surrogate pair, which SQS lets nobody send, too."""
    return body.encode(errors="surrogatepass")


def open_message(body: str) -> list[ObjectReference]:
    """Return the objects that a message announces.

    There are none where the message itself is what there is to read: records, a control message,
    or something that is not understood.

    Raises:
        PayloadError: `unrecognised`: it announces objects and holds something else besides, so that
            neither way would have all of it.
    """
    contents = [
        item for item in open_payload(message_bytes(body), _LIMITS) if not isinstance(item, Skipped)
    ]
    references = [item for item in contents if isinstance(item, ObjectReference)]
    if references and len(references) < len(contents):
        raise PayloadError("unrecognised", "it announces objects and holds something else besides")
    return references
