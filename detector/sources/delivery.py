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
    understood, or that the detector is stopping. `received_at` is when the source took it, in
    seconds since the epoch.
    """

    source: str
    payloads: Sequence[Payload]
    received_at: float
    positions: Sequence[Position] = ()
    ack: Callable[[], Awaitable[None]] = field(default=_nothing)
    nack: Callable[[], Awaitable[None]] = field(default=_nothing)

    @property
    def size(self) -> int:
        """The bytes that the delivery holds in memory."""
        return sum(len(item.body) for item in self.payloads if isinstance(item.body, bytes))


Emit = Callable[[Delivery], Awaitable[None]]
"""Hands a delivery on; waits until there is room for it, so that a full pipeline stops a source."""


class Source(Protocol):
    """A way in."""

    name: str

    async def run(self, emit: Emit) -> None:
        """Emit deliveries until cancelled.

        Raises:
            SourceError: the source has failed for good.
        """
        ...

    async def close(self) -> None:
        """Finish what acknowledging still asks for, and let go of everything."""
        ...
