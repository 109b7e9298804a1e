"""What a sink is to the outbox: one method, and one of three answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from detector.alerts.story import Reading
from detector.sinks.egress import Egress
from detector.state.store import Notification


@dataclass(frozen=True, slots=True)
class Delivered:
    """The destination has the alert."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now. `after` is the wait in seconds that the destination asked for."""

    why: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Permanent:
    """Never: the same alert would be refused again."""

    why: str


Answer = Delivered | Retry | Permanent


def message_id(notification: Notification) -> str:
    """Return what a repetition of a notification has in common with it, and no other has."""
    alert = notification.alert
    return f"{alert.id}.{alert.revision}.{notification.kind}"


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What every sink gets to work with, beside its own configuration.

    `reading` is how alerts are told to people, `egress` which addresses may be reached, `now` the
    service's time in seconds. `spool` is a folder beside the state, of this sink alone, for what it
    has to keep on disk; it need not be there yet.
    """

    reading: Reading
    egress: Egress
    now: Callable[[], float]
    spool: Path


class Sink(Protocol):
    """A destination."""

    @property
    def name(self) -> str:
        """The sink's name in metrics, logs and the outbox."""
        ...

    @property
    def concurrency(self) -> int:
        """How many messages may be on their way at a time; those of a group go one by one."""
        ...

    async def open(self) -> None:
        """Prepare for sending; what is not there yet may come later.

        Raises:
            SinkError: the sink is configured so that it can never deliver.
        """
        ...

    async def send(self, notification: Notification) -> Answer:
        """Send one alert, and say what became of it.

        Delivered means that the destination has it for good. A reason shows no secret.

        Raises:
            SinkError: the sink has failed for good.
        """
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


@runtime_checkable
class Refreshing(Sink, Protocol):
    """A destination that forgets what it does not hear of again and again."""

    @property
    def refresh_seconds(self) -> float:
        """How often it must hear of what is open."""
        ...

    async def refresh(self, notifications: Sequence[Notification]) -> Answer:
        """Tell it again of all alerts that it has and that are open."""
        ...
