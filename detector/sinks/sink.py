"""What a sink is to the outbox: one method, and one of three answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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


class Sink(Protocol):
    """A destination."""

    @property
    def name(self) -> str:
        """The sink's name in metrics, logs and the outbox."""
        ...

    async def open(self) -> None:
        """Prepare for sending.

        Raises:
            SinkError: the sink is configured so that it can never deliver.
        """
        ...

    async def send(self, notification: Notification) -> Answer:
        """Send one alert, and say what became of it."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
