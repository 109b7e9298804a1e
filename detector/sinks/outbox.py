"""The outbox's drain: one worker for each sink, so that none waits for another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from detector.backoff import backoff_seconds
from detector.counting.current import Current
from detector.sinks.sink import Delivered, Permanent, Sink
from detector.state.store import Notification, Store
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics

BATCH = 20
"""Notifications taken from the state at a time."""

IDLE_SECONDS = 30.0
"""The longest sleep. A wake-up that got lost delays a page by no more than that."""

log = structlog.get_logger()


class OutboxWorker:
    """Sends what is due to one sink, one after the other, until cancelled."""

    def __init__(
        self,
        sink: Sink,
        state: StateWorker,
        metrics: Metrics,
        *,
        update_interval: float,
        now: Callable[[], float],
    ) -> None:
        self.sink = sink
        self._state = state
        self._metrics = metrics
        self._update_interval = update_interval
        self._now = now
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()

    def wake(self) -> None:
        """Look for due notifications now: some may just have been put in."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due and sleep until more is.

        Dead letters get one more attempt at the start: whoever has just put a topic's policy or a
        webhook's token right starts the detector anew, and must not lose the alerts in between.

        Raises:
            SinkError: the sink has failed for good.
            StateError: the state cannot be read or written.
        """
        name, started = self.sink.name, self._now()
        revived = await self._state.call(lambda store: store.outbox.revive(name, started))
        if revived:
            log.info("trying dead letters once more", sink=name, alerts=revived)
        while True:
            self._wake.clear()
            while await self.send_due():
                pass
            next_due = await self._state.call(lambda store: store.outbox.next_due(name))
            wait = IDLE_SECONDS if next_due is None else next_due - self._now()
            with suppress(TimeoutError):
                # Not asyncio.wait_for: in Python 3.11 it can swallow a cancellation.
                async with asyncio.timeout(min(max(wait, 0.0), IDLE_SECONDS)):
                    await self._wake.wait()

    async def send_due(self) -> int:
        """Send a batch of what is due now, and return how many that were."""
        name = self.sink.name
        async with self._sending:
            now = self._now()
            notifications = await self._state.call(lambda store: _due(store, name, now))
            for notification in notifications:
                await self._send(notification)
        counts = await self._state.call(lambda store: store.outbox.counts(name))
        self._metrics.outbox(name, counts, self._now())
        return len(notifications)

    async def _send(self, notification: Notification) -> None:
        name = self.sink.name
        answer = await self.sink.send(notification)
        now = self._now()
        context = {"sink": name, "alert": notification.alert.id}
        if isinstance(answer, Delivered):
            self._metrics.sent(name, "delivered")
            await self._state.call(
                lambda store: store.outbox.delivered(name, notification, now, self._update_interval)
            )
        elif isinstance(answer, Permanent):
            self._metrics.sent(name, "permanent")
            log.error("alert not delivered, and never will be", why=answer.why, **context)
            await self._state.call(lambda store: store.outbox.bury(name, notification, answer.why))
        else:
            self._metrics.sent(name, "retry")
            wait = backoff_seconds(notification.attempts + 1, random.random)
            wait = max(wait, answer.after or 0.0)
            log.warning("alert not delivered yet", why=answer.why, again_in=wait, **context)
            await self._state.call(
                lambda store: store.outbox.retry_later(name, notification, now + wait, answer.why)
            )


def _due(store: Store, sink: str, now: float) -> list[Notification]:
    """Return what is due to a sink, each alert as it is now."""
    now_of = Current(store).alert
    return [replace(item, alert=now_of(item.alert)) for item in store.outbox.due(sink, now, BATCH)]
