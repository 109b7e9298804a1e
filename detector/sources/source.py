"""What a way in is, and what the service gives it to work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.sources.budget import Share
from detector.sources.delivery import Delivery
from detector.sources.spool import Spool

Emit = Callable[[Delivery], None]
"""Hands a delivery on. It has its place in the budget, so there is room."""

Forget = Callable[[Iterable[str]], Awaitable[None]]
"""Drops positions of the source, by their keys, from the state."""


class SourceMeter(Protocol):
    """Where a source tells of its work; see `detector.telemetry.metrics`."""

    def fetched(self, size: int) -> None:
        """Take note that so many bytes came in."""
        ...

    def failed(self, kind: str) -> None:
        """Take note of an error. `kind` is a word from a small fixed set, fit for a label."""
        ...

    def behind(self, seconds: float) -> None:
        """Take note of how old the newest is that the source has not fetched yet."""
        ...


class Readiness:
    """Whether the last attempt of a source to look for something new succeeded.

    `successes` counts how often one did, over all runs of the source.
    """

    def __init__(self) -> None:
        self.successes = 0
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """Whether the last attempt succeeded."""
        return self._is_ready

    @is_ready.setter
    def is_ready(self, is_ready: bool) -> None:
        self._is_ready = is_ready
        self.successes += is_ready


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source works with.

    `positions` are those that the state held when the source was made, by key. `spool` is where
    payloads may lie that are too large for memory.
    """

    share: Share
    meter: SourceMeter
    readiness: Readiness
    positions: Mapping[str, str]
    forget: Forget
    spool: Spool


class Source(Protocol):
    """A way in, for one run: what has ended or failed is closed, and made anew."""

    async def run(self, emit: Emit) -> None:
        """Emit deliveries until cancelled; then fetch no more, but keep what is in hand.

        Returns by itself only where there will never be more, as at the end of a pipe.

        Raises:
            SourceError: the source has failed; it is closed and made anew after a while. What
                passes by itself is retried inside the source.
        """
        ...

    async def close(self) -> None:
        """Finish acknowledging, give back what was not processed, and let go of everything.

        It is called once, after `run` has ended and, if time allows, all in hand is done with.
        """
        ...
