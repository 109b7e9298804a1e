"""The small interface behind which the durable state lies.

All calls block; the service makes them from one thread. `now` is always passed in: the state reads
no clock.
"""

from __future__ import annotations

import enum
import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import msgspec

from detector.alerts.alert import Alert, AlertState
from detector.events.record import Identity
from detector.state.outbox import Notification, Outbox, OutboxCounts
from detector.windows.aligned import GroupValue, WindowKey

__all__ = [
    "Notification",
    "Outbox",
    "OutboxCounts",
    "Position",
    "QuarantineCounts",
    "Quarantined",
    "Revision",
    "S",
    "Seen",
    "Store",
    "Timer",
    "Transaction",
]

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has come: `value` means something to that source alone."""

    source: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What could not be understood, kept for a person to look at and to have read once more.

    `index` is the record's number in its payload, None for a payload as a whole; `delivered_at` is
    the payload's. `body` is only the beginning, or nothing at all, where it is not complete.
    The state sets `kept_at`, in seconds, and `number`, by which it knows the row.
    """

    source: str
    origin: str
    index: int | None
    reason: str
    body: bytes
    message: str = ""
    delivered_at: float | None = None
    is_complete: bool = True
    kept_at: float = field(default=0.0, compare=False)
    number: int = field(default=0, compare=False)

    @property
    def digest(self) -> bytes:
        """What tells it from all others: where it comes from, and what it holds."""
        place = msgspec.json.encode([self.source, self.origin, self.index, self.is_complete])
        return hashlib.sha256(b"%d:%b%b" % (len(place), place, self.body)).digest()


@dataclass(frozen=True, slots=True)
class QuarantineCounts:
    """How much waits for its place in the quarantine; `bytes` are those of the bodies."""

    rows: int
    bytes: int


class Seen(enum.Enum):
    """Whether an event was known: not at all, with this content, or with another one."""

    NEW = "new"
    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Revision:
    """What changes when an alert has been saved and its window goes on, or ends.

    `state`, and `count`, that of the window's events, are None where they are the same. `pages`
    says that somebody must be told now; otherwise sinks are told `update_interval` seconds after
    they were last told.

    `incident` is the alert by which sinks know what it belongs to: a sink that was told neither of
    that nor of the alert itself is paged. Without it only sinks that know the alert hear of it,
    unless it `pages`. With `only_opened` only those hear of an end that know the incident by this
    alert.
    """

    alert_id: str
    state: AlertState | None = None
    count: int | None = None
    pages: bool = False
    incident: str | None = None
    only_opened: bool = False


@dataclass(frozen=True, slots=True)
class Timer:
    """When a key is to be looked at: by the watermark, or by the clock, in seconds."""

    key: WindowKey
    event_at: float | None
    wall_at: float | None


class Transaction(Protocol):
    """What one delivery changes, all of it or nothing."""

    def remember(self, identity: Identity, digest: bytes) -> Seen:
        """Remember an event and the digest of its content, unless it is known already."""
        ...

    def load(self, key: WindowKey, state_type: type[S]) -> S | None:
        """Return the state that is kept under a key, None where there is none."""
        ...

    def save(self, key: WindowKey, state: msgspec.Struct, expires_at: float | None = None) -> None:
        """Keep a state under a key.

        `expires_at` is the event time, in seconds, from which on nothing needs it; without it the
        state is kept until nothing has touched it for the retention and no timer runs for it.
        """
        ...

    def drop(self, key: WindowKey) -> None:
        """Forget the state under a key, and its timer."""
        ...

    def admit(self, rule_id: str, group: Sequence[GroupValue], limit: int) -> bool:
        """Return whether a group of a rule is counted apart: a known one, or one of `limit`."""
        ...

    def set_timer(self, timer: Timer) -> None:
        """Have a key looked at when the watermark or the clock reaches a time.

        A key has one timer: a new one takes the place of the old one; with neither time there is
        none.
        """
        ...

    def due_timers(self, watermark: float, now: float, limit: int) -> list[Timer]:
        """Return timers that have run out, those set in this transaction too; see `Store`."""
        ...

    def save_alert(
        self,
        alert: Alert,
        sinks: Collection[str],
        update_interval: float,
        *,
        pages: bool = True,
        incident: str | None = None,
    ) -> None:
        """Keep an alert as it is now, and tell sinks of it; see `revise_alert` and `Revision`.

        The state counts the revisions: each call of the one or the other makes one.
        """
        ...

    def revise_alert(
        self, revision: Revision, sinks: Collection[str], update_interval: float
    ) -> None:
        """Note that an alert goes on or has ended, and put that into the outbox of each sink.

        A page is due at once, and so is an end; both at the sinks that have been told before, and a
        page at the others too. An update takes the place of one still waiting, and is due
        `update_interval` seconds after the last delivery of the alert to that sink.
        """
        ...

    def alert(self, alert_id: str) -> Alert | None:
        """Return an alert as it was last saved, with the revision and state of now."""
        ...

    def save_position(self, position: Position) -> None:
        """Keep how far a source has come."""
        ...

    def quarantine(self, item: Quarantined) -> int:
        """Keep what could not be understood; what comes again from the same place is kept once.

        Returned is how many older ones were dropped to make room for it.
        """
        ...


class Store(Protocol):
    """The durable state."""

    @property
    def outbox(self) -> Outbox:
        """What is on its way to sinks."""
        ...

    def transaction(self, now: float) -> AbstractContextManager[Transaction]:
        """Open a transaction: committed durably on leaving, rolled back on an exception."""
        ...

    def load(self, key: WindowKey, state_type: type[S]) -> S | None:
        """Return the state that is kept under a key, None where there is none."""
        ...

    def due_timers(self, watermark: float, now: float, limit: int) -> list[Timer]:
        """Return timers that have run out, the longest due first; they stay until set anew."""
        ...

    def next_timer(self) -> float | None:
        """Return the earliest time of the clock at which a timer runs out, None without one."""
        ...

    def expired(self, horizon: float, limit: int) -> list[WindowKey]:
        """Return keys of states that expired at an event time up to the horizon."""
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

    def quarantined(
        self, limit: int | None = None, max_bytes: float = math.inf
    ) -> list[Quarantined]:
        """Return what waits for its place in the quarantine, oldest first.

        No more is returned than `limit`, nor than has `max_bytes`; but one, however large.
        """
        ...

    def drop_quarantined(self, items: Iterable[Quarantined]) -> None:
        """Forget rows that were returned, as they have their place."""
        ...

    def quarantine_counts(self) -> QuarantineCounts:
        """Return how much waits."""
        ...

    def counts(self, alert_ids: Collection[str]) -> int:
        """Return how many events there are in the windows of alerts, together."""
        ...

    def prune(self, before: float, ahead: float) -> None:
        """Drop what was last touched before a time, except what still has to go somewhere.

        That are notifications, and what waits for its place in the quarantine. States that expire
        go by `expired` instead, but for those that begin after `ahead`: their events came from
        clocks that ran ahead.
        """
        ...
