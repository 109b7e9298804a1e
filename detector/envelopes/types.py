"""What an envelope can turn out to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """An S3 object that a message announces.

    `key` is decoded. `announced_at` is the announcement's own time in seconds since the epoch:
    for a trail's bucket, the moment of CloudTrail's delivery.
    """

    bucket: str
    key: str
    size: int | None = None
    version_id: str | None = None
    announced_at: float | None = None

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class Control:
    """A message that carries no events and is done with once it is read."""

    kind: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A payload that is understood and holds no events for rules; `reason` is a metric label."""

    reason: str


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
