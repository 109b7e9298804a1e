"""What an envelope can turn out to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from detector.errors import PayloadError

T = TypeVar("T", bound=msgspec.Struct)

JSON = bytes | bytearray | msgspec.Raw
"""The text of one JSON document."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """An S3 object that a message announces.

    `key` is decoded; `alternative_key` is another reading of it, to try where there is no such
    object. `announced_at` is the announcement's own time in seconds since the epoch: for a trail's
    bucket, the moment of CloudTrail's delivery.
    """

    bucket: str
    key: str
    size: int | None = None
    version_id: str | None = None
    announced_at: float | None = None
    alternative_key: str | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """What is understood and holds no events for rules; `reason` is a metric label."""

    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """One CloudTrail record, as it lies in its envelope."""

    body: JSON


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a payload that is not understood.

    `is_rest` says that nothing after it was looked at: there may be more in the payload.
    """

    error: PayloadError
    body: bytes
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class Inner:
    """What lies in an envelope and is to be opened in turn."""

    body: bytes


class RecordBatch(Protocol):
    """CloudTrail records as they lie in a payload, not decoded yet."""

    def decode(self, record_type: type[T]) -> Sequence[T | object]:
        """Return the records in order; what is no JSON object comes back as something else.

        Raises:
            PayloadError: the payload cannot be read as a whole.
        """
        ...

    def raw(self) -> Sequence[msgspec.Raw]:
        """Return the bytes of each record, in the same order."""
        ...
