"""What a replay reads: log files and objects that lie somewhere, found and not read yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from detector.sources.delivery import Payload


@dataclass(frozen=True, slots=True)
class Stored:
    """A payload that can be read, once.

    `delivered_at` is where it stands in the order of a replay, in seconds since the epoch; None
    where nothing tells it.
    """

    origin: str
    delivered_at: float | None
    read: Callable[[], Payload]


@dataclass(frozen=True, slots=True)
class Period:
    """From one moment to before another, in seconds since the epoch; None has no limit."""

    start: float | None = None
    end: float | None = None

    def holds(self, moment: float | None) -> bool:
        """Return whether a moment lies in the period; an unknown one may."""
        if moment is None:
            return True
        return (self.start is None or self.start <= moment) and (
            self.end is None or moment < self.end
        )


ALL_TIME = Period()


def in_order(items: Iterable[Stored]) -> list[Stored]:
    """Return items by their times of delivery, those of which it is not known first."""
    return sorted(items, key=lambda item: item.delivered_at or 0.0)
