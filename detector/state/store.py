"""The small interface behind which the durable state lies.

All calls block; the service makes them from one thread. `now` is always passed in: the state reads
no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from detector.alerts.alert import Alert
from detector.events.record import Identity
from detector.windows.aligned import WindowKey

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has come: `value` means something to that source alone."""

    source: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record that could not be understood, kept for a person to look at."""

    source: str
    origin: str
    index: int
    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Notification:
    """An alert on its way to one sink.

    `attempts` counts the failed ones since the last delivery; `is_update` says that the sink has
    taken an earlier revision.
    """

    alert: Alert
    attempts: int = 0
    is_update: bool = False


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How a sink's outbox stands; `oldest` is when the oldest pending entry was made."""

    pending: int
    dead: int
    oldest: float | None


class Transaction(Protocol):
    """What one delivery changes, all of it or nothing."""

    def remember(self, identity: Identity) -> bool:
        """Remember an event; return False where it was known already."""
        ...

    def load(self, key: WindowKey, state_type: type[S]) -> S | None:
        """Return the state that is kept under a key, None where there is none."""
        ...

    def save(self, key: WindowKey, state: msgspec.Struct) -> None:
        """Keep a state under a key."""
        ...

    def save_alert(self, alert: Alert, sinks: Collection[str], update_interval: float) -> None:
        """Keep an alert, and put it into the outbox of each sink.

        A new alert is due at once. A new revision takes the place of one still waiting, and is due
        `update_interval` seconds after the last delivery of the alert to that sink.
        """
        ...

    def save_position(self, position: Position) -> None:
        """Keep how far a source has come."""
        ...

    def quarantine(self, record: Quarantined) -> None:
        """Keep a record that could not be understood."""
        ...


class Store(Protocol):
    """The durable state."""

    def transaction(self, now: float) -> AbstractContextManager[Transaction]:
        """Open a transaction: committed durably on leaving, rolled back on an exception."""
        ...

    def positions(self, source: str) -> Mapping[str, str]:
        """Return a source's positions by key."""
        ...

    def forget_positions(self, source: str, keys: Iterable[str]) -> None:
        """Drop positions of a source."""
        ...

    def alerts(self) -> list[Alert]:
        """Return all alerts kept, by the start of their window."""
        ...

    def quarantined(self) -> list[Quarantined]:
        """Return all quarantined records, oldest first."""
        ...

    def due(self, sink: str, now: float, limit: int) -> list[Notification]:
        """Return notifications that are due, the longest due first."""
        ...

    def next_due(self, sink: str) -> float | None:
        """Return when the next notification is due, or None where none is waiting."""
        ...

    def delivered(
        self, sink: str, notification: Notification, now: float, update_interval: float
    ) -> None:
        """Note that a sink has taken a notification."""
        ...

    def retry_later(self, sink: str, notification: Notification, due_at: float, why: str) -> None:
        """Note that a sink could not take a notification now."""
        ...

    def bury(self, sink: str, notification: Notification, why: str) -> None:
        """Note that a sink will never take a notification: the dead-letter state."""
        ...

    def revive(self, sink: str, now: float) -> int:
        """Make a sink's dead letters due once more, and return how many they are."""
        ...

    def outbox_counts(self, sink: str) -> OutboxCounts:
        """Return how a sink's outbox stands."""
        ...

    def prune(self, before: float) -> None:
        """Drop what was last touched before a time, except what the outbox still has to send."""
        ...
