"""The outbox's drain: one worker for each sink, so that none waits for another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from detector.alerts.text import clean
from detector.errors import DetectorError
from detector.sinks.desk import Desk, Work
from detector.sinks.sink import Answer, Delivered, Permanent, Refreshing, Retry, Sink
from detector.state.store import Notification, OutboxCounts, Store
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics

IDLE_SECONDS = 10.0
"""The longest sleep. A wake-up that got lost delays a page by no more than that."""

HOUSEKEEPING_SECONDS = 60.0
"""How often what is too old, or too much, is looked for."""

SENDING_SECONDS = 0.25
"""How long alerts are sent before it is noted which have arrived: what has arrived and is not noted
is sent twice if the process is killed, and what is more urgent waits for so long."""

COUNT_SECONDS = 1.0
"""How often the outbox is counted while there is more to send: all that waits is gone through, and
for a long outbox that is more work than to send some of it."""

log = structlog.get_logger()


class OutboxWorker:
    """Sends what is due to one sink, in order within each rule and group, until cancelled.

    `wake_others` is called when something was put into the outbox of another sink.
    """

    def __init__(
        self,
        sink: Sink,
        desk: Desk,
        state: StateWorker,
        metrics: Metrics,
        *,
        now: Callable[[], float],
        wake_others: Callable[[], None] = lambda: None,
    ) -> None:
        self.sink = sink
        self._desk = desk
        self._state = state
        self._metrics = metrics
        self._now = now
        self._wake_others = wake_others
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._planned_at = 0.0
        self._refresh_at = 0.0
        self._clean_at = 0.0
        self._count_at = 0.0

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
        revived = await self._state.call(lambda store: self._desk.open(store, self._now()))
        if revived:
            log.info("trying dead letters once more", sink=self.sink.name, alerts=revived)
        while True:
            self._wake.clear()
            while (work := await self.step()).has_more:
                pass
            wait = await self.pause(work)
            with suppress(TimeoutError):
                # Not asyncio.wait_for: in Python 3.11 it can swallow a cancellation.
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def send_due(self) -> int:
        """Send what is due now, and return how many alerts were tried."""
        sent = 0
        while (work := await self.step()).has_more:
            sent += len(work.send)
        return sent

    async def step(self) -> Work:
        """Do what is next, and return what it was."""
        async with self._sending:
            now = self._now()
            await self._clean(now)
            await self._refresh(now)
            self._planned_at = now
            work, counts = await self._state.call(lambda store: self._plan(store, now))
            if counts is not None:
                self._metrics.outbox(self.sink.name, counts, now)
            if work.digested:
                self._metrics.digested(self.sink.name, work.digested)
            if work.send:
                work = replace(work, send=await self._send(work.send))
            elif work.concerns_others:
                self._wake_others()
        health = self._desk.health
        self._metrics.sink_health(self.sink.name, health.failing_since, self._now())
        return work

    def _plan(self, store: Store, now: float) -> tuple[Work, OutboxCounts | None]:
        """Return what to do, and how the outbox stands if it is time to count that."""
        work = self._desk.plan(store, now)
        if work.has_more and now < self._count_at:
            return work, None
        self._count_at = now + COUNT_SECONDS
        return work, self._desk.counts(store)

    async def _send(self, notifications: Sequence[Notification]) -> Sequence[Notification]:
        """Send alerts, as many as can be, and keep account of them; return which were tried."""
        pairs = await self._answers(notifications)
        now = self._now()
        concerns_others = await self._state.call(lambda store: self._desk.settle(store, pairs, now))
        for notification, answer in pairs:
            self._report(notification, answer)
        if concerns_others:
            self._wake_others()
        return [notification for notification, _ in pairs]

    async def _answers(
        self, notifications: Sequence[Notification]
    ) -> list[tuple[Notification, Answer]]:
        """Send alerts, so many at a time; return those that were sent with their answers.

        No more are begun when the sink cannot take one now, or when it has taken long: the rest is
        planned anew.
        """
        waiting = iter(notifications)
        pairs: list[tuple[Notification, Answer]] = []
        until = self._now() + SENDING_SECONDS
        can_take = True

        async def send(notification: Notification | None) -> None:
            nonlocal can_take
            while notification is not None:
                answer = await self._answer(notification)
                pairs.append((notification, answer))
                can_take = can_take and not isinstance(answer, Retry)
                is_on = can_take and self._now() < until
                notification = next(waiting, None) if is_on else None

        first = list(itertools.islice(waiting, self.sink.concurrency))
        await asyncio.gather(*map(send, first))
        return pairs

    async def _answer(self, notification: Notification) -> Answer:
        name = self.sink.name
        began = self._now()
        answer = await self._guarded(self.sink.send(notification), alert=notification.alert.id)
        self._metrics.sent(name, _result(answer), self._now() - began)
        return answer

    async def _guarded(self, answering: Awaitable[Answer], **context: str) -> Answer:
        """Return an answer: an alert that a sink cannot write must not take all others with it."""
        try:
            return await answering
        except DetectorError:
            raise
        except Exception as error:
            log.exception("sink failed unexpectedly", sink=self.sink.name, **context)
            return Permanent(f"unexpected {type(error).__name__}: this is a bug")

    def _report(self, notification: Notification, answer: Answer) -> None:
        context = {"sink": self.sink.name, "alert": notification.alert.id}
        if isinstance(answer, Permanent):
            log.error("alert not delivered, and never will be", why=clean(answer.why), **context)
        elif not isinstance(answer, Delivered):
            log.warning(
                "alert not delivered yet",
                why=clean(answer.why),
                attempt=notification.attempts + 1,
                **context,
            )

    async def _refresh(self, now: float) -> None:
        """Remind a sink that forgets of what is open."""
        sink, desk = self.sink, self._desk
        if not isinstance(sink, Refreshing) or now < max(
            self._refresh_at, desk.health.closed_until
        ):
            return
        self._refresh_at = now + sink.refresh_seconds
        notifications = await self._state.call(desk.open_alerts)
        if not notifications:
            return
        answer = await self._guarded(sink.refresh(notifications))
        concerns_others = await self._state.call(
            lambda store: desk.refreshed(store, answer, self._now())
        )
        if not isinstance(answer, Delivered):
            log.warning("sink not reminded of open alerts", sink=sink.name, why=clean(answer.why))
        if concerns_others:
            self._wake_others()

    async def _clean(self, now: float) -> None:
        if now < self._clean_at:
            return
        self._clean_at = now + HOUSEKEEPING_SECONDS
        name, desk = self.sink.name, self._desk
        expired = await self._state.call(lambda store: desk.expire(store, now))
        if expired:
            log.error("alerts have waited for too long", sink=name, alerts=expired)
        while relieved := await self._state.call(lambda store: desk.relieve(store, now)):
            self._metrics.digested(name, relieved)
            log.warning("too many alerts wait: some were put together", sink=name, alerts=relieved)

    async def pause(self, work: Work) -> float:
        """Return for how long there is nothing to do, in seconds."""
        name, now = self.sink.name, self._now()
        overdue_at = self._desk.overdue_at()
        is_overdue = overdue_at is not None and now >= overdue_at
        if is_overdue and await self._state.call(lambda store: self._desk.look(store, now)):
            self._wake_others()
        times = [now + IDLE_SECONDS, self._desk.overdue_at()]
        if isinstance(self.sink, Refreshing):
            times.append(max(self._refresh_at, self._desk.health.closed_until))
        if work.wait is not None:
            times.append(now + work.wait)
        else:
            # What was due then and was not sent waits for something else that is.
            planned = self._planned_at
            times.append(await self._state.call(lambda store: store.outbox.next_due(name, planned)))
        return max(min(time for time in times if time is not None) - now, 0.0)


def _result(answer: Answer) -> str:
    if isinstance(answer, Delivered):
        return "delivered"
    return "permanent" if isinstance(answer, Permanent) else "retry"
