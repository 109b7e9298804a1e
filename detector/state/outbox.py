"""What is on its way to sinks, as the durable state keeps it.

There is one entry for each sink and alert. It is pending while there is something that the sink has
not taken, delivered once it has, and dead when it never will or has waited for too long. All calls
block, and each is durable when it returns; within `writing` they are so together, at its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from detector.alerts.alert import Alert
from detector.alerts.digest import Mention
from detector.alerts.text import NotificationKind

HOLDING_UP = 10
"""Attempts after which an alert that a sink cannot take, while it takes others, holds up nothing
any more: a quarter of an hour. Fewer, and a moment's trouble loses the order; more, and one alert
that a receiver chokes on keeps the next ones of its rule and group from everybody."""

LONGEST_WAIT_SECONDS = 7200.0
"""The longest time for which an attempt is ever put off. A time further ahead was meant by a clock
that was set back since."""

EntryState = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class Notification:
    """An alert on its way to one sink.

    `attempts` counts the failed ones since the last delivery; `made_at` is when it was put into the
    outbox, in seconds.
    """

    alert: Alert
    kind: NotificationKind = "raised"
    attempts: int = 0
    made_at: float = field(default=0.0, compare=False)
    digest: str | None = field(default=None, compare=False)
    """The id of the digest in which alone the sink was told of the alert."""
    was_told: bool = field(default=False, compare=False)
    """Whether the sink has taken an earlier revision."""


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """How a sink's outbox stands; `oldest` is when the oldest pending entry was made."""

    pending: int
    dead: int
    oldest: float | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, for its operator. Times are in seconds."""

    sink: str
    alert: Alert
    kind: NotificationKind
    state: EntryState
    attempts: int
    made_at: float
    due_at: float
    delivered_at: float | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries an operator means: all but those that something given leaves out.

    With `made_until` those alone that were put in up to then, in seconds.
    """

    sinks: Collection[str] = ()
    alerts: Collection[str] = ()
    states: Collection[EntryState] = ("pending", "dead")
    made_until: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many entries of a sink stand alike."""

    sink: str
    state: EntryState
    entries: int


class Outbox(Protocol):
    """The entries of all sinks."""

    def writing(self) -> AbstractContextManager[object]:
        """Open a transaction for several calls; within another one it is a part of that."""
        ...

    def due(self, sink: str, now: float, limit: int) -> list[Notification]:
        """Return notifications that are due, the longest due first.

        Each has its alert as it was last saved, with the revision and state of now. One that
        follows on another of the same rule and group, which the sink could not take, waits for it.
        """
        ...

    def notifications(self, sink: str, alert_ids: Sequence[str]) -> list[Notification]:
        """Return what waits for a sink of some alerts, in their order."""
        ...

    def due_mentions(
        self, sink: str, now: float, limit: int, series: str | None = None
    ) -> list[Mention]:
        """Return what a digest says of notifications that are due, or of those of a series."""
        ...

    def open(self, sink: str, limit: int) -> list[Notification]:
        """Return the alerts that a sink has been told of and that are open."""
        ...

    def next_due(self, sink: str, after: float = 0.0) -> float | None:
        """Return when the next notification is due after a time, or None where none is."""
        ...

    def delivered(
        self, sink: str, notification: Notification, now: float, update_interval: float
    ) -> None:
        """Note that a sink has taken a notification; what is newer than it stays pending."""
        ...

    def digested(self, sink: str, told: Iterable[Mention], digest_id: str, now: float) -> None:
        """Note that a digest stands for notifications; what is newer than it stays pending."""
        ...

    def passed_over(self, sink: str, mention: Mention, now: float) -> None:
        """Note that a sink need not hear of a notification; what is newer stays pending."""
        ...

    def is_digest_over(self, sink: str, digest_id: str) -> bool:
        """Return whether an open digest has no open alert that it alone told a sink of."""
        ...

    def retry_later(
        self, sink: str, notification: Notification, due_at: float, why: str, *, counts: bool = True
    ) -> None:
        """Note that a sink could not take a notification now.

        It `counts` if it may be due to the alert, as the sink takes others.
        """
        ...

    def retry_now(self, sink: str, now: float, limit: int | None = None) -> int:
        """Make due what a sink could not take; return how many notifications that were."""
        ...

    def bury(self, sink: str, notification: Notification, why: str) -> None:
        """Note that a sink will never take a notification: the dead-letter state."""
        ...

    def expire(self, sink: str, before: float, why: str) -> int:
        """Bury what was put in before a time and waits; return how many notifications that were."""
        ...

    def hand_over(self, sink: str, other: str, now: float, alert_id: str | None = None) -> int:
        """Have another sink page for what waits at one or was refused, or for one alert.

        Each page is handed over once. Returned is how many alerts those are.
        """
        ...

    def revive(self, sink: str, now: float) -> int:
        """Make a sink's dead letters due once more, and return how many they are."""
        ...

    def counts(self, sink: str) -> OutboxCounts:
        """Return how a sink's outbox stands."""
        ...

    def mend_clock(self, now: float) -> int:
        """Make due what was put off to a time that only a clock set back since can have meant.

        Returned is how many notifications that were.
        """
        ...

    def entries(self, selection: Selection, limit: int) -> Sequence[Entry]:
        """Return entries, the oldest first."""
        ...

    def tally(self, selection: Selection) -> Sequence[Tally]:
        """Return how many entries there are, by sink and state."""
        ...

    def retry(self, selection: Selection, now: float) -> int:
        """Make entries due now; return how many they are."""
        ...

    def drop(self, selection: Selection) -> int:
        """Forget entries: their sinks are told nothing more of that; return how many they are."""
        ...
