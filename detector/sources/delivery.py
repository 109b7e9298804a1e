"""What a source hands to the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detector.errors import PayloadError
from detector.sources.budget import Hold
from detector.state.store import Position, Quarantined


@dataclass(frozen=True, slots=True)
class Payload:
    """One body, such as a log file's; or why there is none.

    `origin` names it for people: a path, an s3:// address. A body that is a path is read when it is
    processed, piece by piece. `delivered_at` is the moment of CloudTrail's delivery in seconds
    since the epoch, where that is known. `again` is what the quarantine kept of it, where it is
    handed on once more.
    """

    origin: str
    body: bytes | Path | PayloadError
    delivered_at: float | None = None
    again: Quarantined | None = None


async def _acked() -> None:
    pass


async def _nacked(_: Collection[str]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is acknowledged as one: a file, or all objects that a queue message announces.

    `ack` tells the source that all of it is durable; `nack` that something in it could not be
    understood, and for which reasons. A delivery that the service never gets to is told neither.

    `has_redrive` says that the transport keeps what is not acknowledged, brings it again, and sets
    it aside in the end. Of the others each delivery is acknowledged, and what could not be
    understood goes into the quarantine, in the same transaction as all the rest.

    `received_at` is when the source took it, in seconds since the epoch; `hold` its place in the
    budget, which the service releases; `positions` how far the source has come with it.

    `delivered_until` is for a source that reads several ordered parts at once, of which one may be
    far ahead of another: up to when all that was delivered has been handed on, in seconds since
    the epoch. The watermark then goes by it, and not by when each payload was delivered.
    """

    source: str
    payloads: Sequence[Payload]
    received_at: float
    hold: Hold | None = None
    positions: Sequence[Position] = ()
    delivered_until: float | None = None
    has_redrive: bool = False
    ack: Callable[[], Awaitable[None]] = field(default=_acked)
    nack: Callable[[Collection[str]], Awaitable[None]] = field(default=_nacked)
