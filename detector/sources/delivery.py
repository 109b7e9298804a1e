"""What a source hands to the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from detector.errors import PayloadError
from detector.state.store import Position


@dataclass(frozen=True, slots=True)
class Payload:
    """One body, such as a log file's; or why there is none.

    `origin` names it for people: a path, an s3:// address. `delivered_at` is the moment of
    CloudTrail's delivery in seconds since the epoch, where that is known.
    """

    origin: str
    body: bytes | PayloadError
    delivered_at: float | None = None


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is acknowledged as one: a file, or all objects that a queue message announces.

    `ack` tells the source that all of it is durable; `nack` that something in it could not be
    understood. A delivery that the service never gets to is told neither. `received_at` is when
    the source took it, in seconds since the epoch; `cost` what it acquired of the budget, in bytes.
    """

    source: str
    payloads: Sequence[Payload]
    received_at: float
    cost: int = 0
    positions: Sequence[Position] = ()
    ack: Callable[[], Awaitable[None]] = field(default=_nothing)
    nack: Callable[[], Awaitable[None]] = field(default=_nothing)


Emit = Callable[[Delivery], None]
"""Hands a delivery on. It was paid for from the budget, so there is room."""


class Source(Protocol):
    """A way in."""

    @property
    def name(self) -> str:
        """The source's name in metrics, logs and the state."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether the last attempt to look for something new succeeded."""
        ...

    async def run(self, emit: Emit) -> None:
        """Emit deliveries until cancelled; then fetch no more, but keep what is in hand.

        Raises:
            SourceError: the source has failed for good.
        """
        ...

    async def close(self) -> None:
        """Finish acknowledging, give back what was not processed, and let go of everything."""
        ...
