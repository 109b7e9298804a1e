"""An outbox whose time the test has in its hand: a day passes as fast as its work is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from detector.alerts.alert import Alert
from detector.alerts.routing import Router
from detector.sinks.desk import Desk
from detector.sinks.outbox import OutboxWorker
from detector.sinks.policy import Policy
from detector.sinks.sink import Answer, Delivered, Retry, Sink
from detector.state.sqlite import SQLiteStore
from detector.state.store import Notification, Revision, Store
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics
from tests.alerts import alert
from tests.records import NOON

INTERVAL = 60.0
HOUR = 3600.0
DAY = 24 * HOUR


def numbered(number: int, **fields: object) -> Alert:
    """Return an alert that differs from those of other numbers in id and group."""
    made = msgspec.structs.replace(
        alert(),
        id=f"{number:032x}",
        dedup_key=f"{number:032x}",
        group={"recipientAccountId": f"{number:012d}"},
    )
    return msgspec.structs.replace(made, **fields)


class ScriptedSink:
    """A sink that keeps what it takes; what it answers is decided by `answer`."""

    def __init__(self, name: str = "s", concurrency: int = 1) -> None:
        self.name = name
        self.concurrency = concurrency
        self.taken: list[Notification] = []
        self.tried: list[Notification] = []
        self.answer: Callable[[Notification], Answer] = lambda _: Delivered()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, notification: Notification) -> Answer:
        self.tried.append(notification)
        answer = self.answer(notification)
        if isinstance(answer, Delivered):
            self.taken.append(notification)
        return answer

    @property
    def told(self) -> list[tuple[str, str]]:
        """The id and kind of what it has taken."""
        return [(item.alert.id, item.kind) for item in self.taken]


class Outboxes:
    """Sinks with their workers over one state, and the clock of all of them."""

    def __init__(
        self, store: SQLiteStore, *sinks: Sink, policies: dict[str, Policy] | None = None
    ) -> None:
        self.store = store
        self.now = NOON
        self.metrics = Metrics()
        self.state = StateWorker(store)
        self.router = Router.to(*(sink.name for sink in sinks))
        self.policies = {sink.name: Policy() for sink in sinks} | (policies or {})
        self.sinks = list(sinks)
        self.workers: dict[str, OutboxWorker] = {}

    async def start(self) -> None:
        """Begin as a new process does: what was in memory is gone."""
        for sink in self.sinks:
            desk = Desk(sink.name, self.policies[sink.name], self.router, sink.concurrency)
            await self.state.call(partial(_open, desk, self.now))
            self.workers[sink.name] = OutboxWorker(
                sink, desk, self.state, self.metrics, now=lambda: self.now
            )

    async def save(self, *alerts: Alert, sinks: Sequence[str] | None = None) -> None:
        """Keep alerts that page, in one transaction, as they are raised."""
        names = self.router.names if sinks is None else sinks

        def write(_: object) -> None:
            with self.store.transaction(self.now) as transaction:
                for item in alerts:
                    transaction.save_alert(item, names, INTERVAL, incident=item.id)

        await self.state.call(write)

    async def revise(self, *revisions: Revision) -> None:
        """Note that alerts go on or have ended."""

        def write(_: object) -> None:
            with self.store.transaction(self.now) as transaction:
                for revision in revisions:
                    transaction.revise_alert(revision, self.router.names, INTERVAL)

        await self.state.call(write)

    async def update(self, *alerts: Alert) -> None:
        """Keep alerts as they are now, which pages nobody."""

        def write(_: object) -> None:
            with self.store.transaction(self.now) as transaction:
                for item in alerts:
                    transaction.save_alert(item, self.router.names, INTERVAL, pages=False)

        await self.state.call(write)

    async def resolve(self, *alerts: Alert) -> None:
        """End alerts."""
        await self.revise(*(Revision(item.id, "resolved") for item in alerts))

    async def drain(self) -> None:
        """Do all that is to be done at this moment."""
        busy = True
        while busy:
            busy = False
            for worker in self.workers.values():
                while (await worker.step()).has_more:
                    busy = True

    async def wait(self, seconds: float) -> None:
        """Let time pass; each worker does what it does when it wakes."""
        end = self.now + seconds
        while True:
            await self.drain()
            waits = []
            for worker in self.workers.values():
                work = await worker.step()
                waits.append(await worker.pause(work))
            if min(waits) <= 0:
                continue
            if self.now + min(waits) > end:
                break
            self.now += min(waits)
        self.now = end
        await self.drain()

    def pending(self, sink: str = "s") -> int:
        """Return how many notifications wait."""
        return self.store.outbox.counts(sink).pending

    def dead(self, sink: str = "s") -> int:
        """Return how many notifications were refused."""
        return self.store.outbox.counts(sink).dead

    def close(self) -> None:
        """End the state's thread."""
        self.state.close()


def _open(desk: Desk, now: float, store: Store) -> None:
    desk.open(store, now)


Make = Callable[..., Outboxes]
"""From sinks, and policies by their names, to outboxes over one state: the fixture `make`."""


def down(_: Notification) -> Answer:
    """Answer as a sink that is not there."""
    return Retry("no connection")
