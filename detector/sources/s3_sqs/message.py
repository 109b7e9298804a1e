"""A message of an SQS queue, as the source holds it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_aiobotocore_sqs.type_defs import MessageTypeDef


@dataclass(slots=True, eq=False)
class Message:
    """A message in hand. `received_at` is the epoch's time, `since` the monotonic clock's.

    `sent_at` is when it was put on the queue, None where the queue does not tell; `receives` counts
    how often it was handed out.
    """

    id: str
    body: str
    receipt: str
    sent_at: float | None = None
    receives: int = 1
    received_at: float = field(default_factory=time.time)
    since: float = field(default_factory=time.monotonic)
    delete_attempts: int = 0


def message_of(item: MessageTypeDef) -> Message:
    """Return a message as SQS gave it; its attributes may be missing."""
    attributes = item.get("Attributes", {})
    sent = attributes.get("SentTimestamp")
    return Message(
        item.get("MessageId", ""),
        item.get("Body", ""),
        item.get("ReceiptHandle", ""),
        sent_at=int(sent) / 1000 if sent else None,
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
    )
