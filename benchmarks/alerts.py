"""Alerts per second through the outbox to a webhook, and how late an alert is.

    python -m benchmarks.alerts [--alerts 2000] [--turns 5] [--rates 10 200] [--seconds 20]

First the outbox alone: alerts wait in a state on disk, each of a group of its own, and the outbox's
worker sends them to a receiver in another process that only reads. The floor is the same bodies
posted by a bare loop of the same client, as many at a time. Above it come reading the alerts,
planning, and a durable commit for what has arrived.

Then the whole service: see `benchmarks.delivery`.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import aiohttp
import uvloop

from benchmarks import delivery
from benchmarks.firehose import floor_server
from benchmarks.measure import in_turns
from benchmarks.storm import RULE, START, storm
from detector.alerts.routing import Router
from detector.alerts.story import Reading
from detector.alerts.text import alert_json
from detector.config import WebhookSinkConfig
from detector.counting.context import Settings
from detector.pipeline import Pipeline
from detector.rules.ruleset import RuleSet
from detector.sinks.desk import Desk
from detector.sinks.egress import Egress
from detector.sinks.outbox import OutboxWorker
from detector.sinks.policy import Policy
from detector.sinks.sink import SinkContext
from detector.sinks.webhook import WebhookSink
from detector.state.sqlite import SQLiteStore
from detector.state.store import Store
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics

SINK = "hook"
RAISED_AT = START + 86_400.0

T = TypeVar("T")


class TimedState(StateWorker):
    """Notes how often the state's thread is gone to, and how long it works, in seconds.

    A commit is what comes last in what it does; `commits` are those with something to write.
    """

    def __init__(self, store: SQLiteStore) -> None:
        super().__init__(store)
        self.trips = self.commits = 0
        self.seconds = self.commit_seconds = 0.0
        self._commits: list[float] = []
        """When the last commit began, in seconds of the clock."""
        with store.writing() as connection:
            connection.set_trace_callback(self._note)
            self._total_changes: Callable[[], int] = lambda: connection.total_changes

    async def call(self, function: Callable[[Store], T]) -> T:
        """Return what a function makes of the store."""
        return await super().call(lambda store: self._timed(function, store))

    def _note(self, statement: str) -> None:
        if statement == "COMMIT":
            self._commits = [time.perf_counter()]

    def _timed(self, function: Callable[[Store], T], store: Store) -> T:
        began, changes = time.perf_counter(), self._total_changes()
        self._commits = []
        try:
            return function(store)
        finally:
            ended = time.perf_counter()
            self.trips += 1
            self.seconds += ended - began
            if self._commits and self._total_changes() > changes:
                self.commits += 1
                self.commit_seconds += ended - self._commits[0]


def raise_alerts(store: SQLiteStore, rules: RuleSet, alerts: int) -> None:
    """Put so many alerts into the outbox, as the pipeline does."""
    pipeline = Pipeline(rules, store, Settings(routing=Router.to(SINK)))
    for batch in storm(alerts, alerts, alerts):
        pipeline.process(batch, RAISED_AT)
    assert store.outbox.counts(SINK).pending == alerts


async def post_bare(url: str, bodies: Sequence[bytes], concurrency: int) -> None:
    """Post all bodies, so many at a time."""
    waiting = iter(bodies)

    async def post(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with session.post(url, data=body) as response:
                await response.read()
                assert response.ok

    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
        await asyncio.gather(*(post(session) for _ in range(concurrency)))


async def send_all(store: SQLiteStore, url: str, state: StateWorker) -> None:
    """Send all that waits, as the service does."""
    began = time.monotonic()

    def now() -> float:
        return RAISED_AT + time.monotonic() - began

    context = SinkContext(Reading(), Egress(("127.0.0.0/8",)), now, Path("/dev/null/spool"))
    sink = WebhookSink(WebhookSinkConfig(name=SINK, url=url), context)
    desk = Desk(SINK, Policy(), Router.to(SINK), sink.concurrency)
    worker = OutboxWorker(sink, desk, state, Metrics(), now=now)
    await sink.open()
    await worker.send_due()
    await sink.close()
    state.close()
    counts = store.outbox.counts(SINK)
    assert (counts.pending, counts.dead) == (0, 0)


def measure(alerts: int, turns: int) -> None:
    """Measure the outbox alone, and print the figures."""
    rules = RuleSet.load(RULE)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        url = opened.enter_context(floor_server())
        stores = []
        for number in range(turns + 2):
            store = opened.enter_context(SQLiteStore.open(folder / f"{number}.sqlite3"))
            raise_alerts(store, rules, alerts)
            stores.append(store)
        bodies = [alert_json(alert, "raised") for alert in stores[0].alerts()]
        timed, timed_store = TimedState(stores[-1]), stores.pop()

        def send() -> None:
            store = stores.pop()
            uvloop.run(send_all(store, url, StateWorker(store)))

        concurrency = WebhookSink.concurrency
        ratio, works, floors = in_turns(
            send, lambda: uvloop.run(post_bare(url, bodies, concurrency)), turns
        )
        began = time.perf_counter()
        uvloop.run(send_all(timed_store, url, timed))
        whole = time.perf_counter() - began
    size = sum(map(len, bodies)) / alerts
    print(f"{alerts} alerts, {size:,.0f} bytes each in the mean, {concurrency} at a time")
    print(f"  bare posts  {alerts / min(floors):>7,.0f} alerts/s at best")
    print(f"  the outbox  {alerts / min(works):>7,.0f} alerts/s at best")
    print(f"  ratio       {ratio} x the time of bare posts, median of {turns} turns")
    print(
        f"  the state   {timed.seconds / whole:.0%} of the time in {timed.trips} trips,"
        f" {timed.commit_seconds / whole:.0%} in {timed.commits} commits of"
        f" {1e3 * timed.commit_seconds / max(timed.commits, 1):.1f} ms"
    )


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alerts", type=int, default=2_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rates", type=float, nargs="*", default=[10.0, 200.0], help="a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="at each rate")
    arguments = parser.parse_args()
    measure(arguments.alerts, arguments.turns)
    with tempfile.TemporaryDirectory() as folder:
        delivery.measure(Path(folder), arguments.rates, arguments.seconds)


if __name__ == "__main__":
    main()
