"""What polling and enhanced fan-out have in common: deliveries, positions, failures."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager

import structlog

from detector.backoff import backoff_seconds
from detector.envelopes.log_file import STREAM_ORIGIN
from detector.sources.budget import Hold, Share
from detector.sources.delivery import Delivery, Payload
from detector.sources.kinesis.failures import kind_of, passes, source_error, told
from detector.sources.kinesis.progress import Progress
from detector.sources.kinesis.shards import END, After, From, Shard, position_key
from detector.sources.kinesis.stream import Answer, Record
from detector.sources.source import Emit, SourceContext
from detector.state.store import Position

PERMANENT_ATTEMPTS = 5
"""How often an error that does not pass by itself may come in a row. A new role or policy takes
seconds to be known everywhere, so the first one proves nothing."""

BACKOFF_CAP_SECONDS = 30.0
"""The longest wait between calls that fail: each one is a page that may come late."""

LOGGED_FAILURES = 10
"""Of failures in a row the first is logged, and then one in so many: a stream may have a thousand
shards, and all of them fail at once."""

log = structlog.get_logger()


class Reading:
    """Hands on what is read of the shards of a stream, each shard's in its order.

    `committed` is called with positions when they are in the state.
    """

    def __init__(
        self,
        source: str,
        stream: str,
        context: SourceContext,
        emit: Emit,
        committed: Callable[[Sequence[Position]], None],
    ) -> None:
        self.source = source
        self.share: Share = context.share
        self.closed: set[str] = set()
        """The ids of the shards that were closed when they were last listed."""
        self._stream = stream
        self._meter = context.meter
        self._readiness = context.readiness
        self._emit = emit
        self._committed = committed
        self._progress = Progress()
        self._failing: set[str] = set()
        self._has_read = False

    def begin(self, shard: Shard) -> None:
        """Take note that a shard is being read from now on."""
        self._progress.begin(shard.id)

    def forget(self, shard_ids: Collection[str]) -> None:
        """Let go of shards that are gone, or of which all children that can be read have begun."""
        self._progress.forget(shard_ids)
        self._failing.difference_update(shard_ids)

    def waiting(self, shard: Shard) -> AbstractContextManager[None]:
        """Take note that a shard is not asked as long as this lasts: it waits for its turn."""
        return self._progress.waiting(shard.id)

    def answered(self, shard: Shard, answer: Answer, *, is_end: bool) -> None:
        """Take note of an answer, with records or without any; `is_end` at the shard's end."""
        if is_end:
            self._progress.ended(shard.id, time.time())
        else:
            self._progress.answered(shard.id, time.time(), answer.behind)
        self._has_read = True
        self._meter.fetched(answer.size)
        self._meter.behind(self._progress.behind)

    def hand_on(self, shard: Shard, answer: Answer, hold: Hold) -> From:
        """Hand an answer's records on as one delivery; return where reading goes on after them."""
        hold.resize(answer.weight)
        place = After(answer.records[-1].sequence_number)
        payloads = [self._payload(shard, record) for record in answer.records]
        self._deliver(payloads, (self._position(shard, str(place)),), hold)
        return place

    async def hand_on_end(self, shard: Shard) -> None:
        """Hand on that a shard was read to its end; its children wait for that to be committed."""
        with self.waiting(shard):
            hold = await self.share.acquire(0)
        self._deliver((), (self._position(shard, END),), hold)

    async def keep(self, key: str, value: str) -> None:
        """Have a position in the state, and return when it is there."""
        done = asyncio.Event()
        hold = await self.share.acquire(0)
        self._deliver((), (Position(self.source, key, value),), hold, done.set)
        await done.wait()

    def failed(self, what: str, error: Exception) -> None:
        """Take note that the call for a shard, or another one, failed."""
        self._meter.failed(kind_of(error))
        self._failing.add(what)
        self._readiness.is_ready = False

    def succeeded(self, what: str) -> None:
        """Take note that the call for a shard, or another one, succeeded.

        A role that may list shards and not read them has not made the source ready.
        """
        self._failing.discard(what)
        if self._has_read and not self._failing:
            self._readiness.is_ready = True

    def _deliver(
        self,
        payloads: Sequence[Payload],
        positions: Sequence[Position],
        hold: Hold,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        async def ack() -> None:
            self._committed(positions)
            then()

        self._emit(
            Delivery(
                source=self.source,
                payloads=payloads,
                received_at=time.time(),
                hold=hold,
                positions=positions,
                delivered_until=self._progress.delivered_until(),
                ack=ack,
            )
        )

    def _payload(self, shard: Shard, record: Record) -> Payload:
        origin = f"{STREAM_ORIGIN}{self._stream}/{shard.id}/{record.sequence_number}"
        return Payload(origin, record.data, record.arrived_at)

    def _position(self, shard: Shard, value: str) -> Position:
        return Position(self.source, position_key(self._stream, shard), value)


class Retries:
    """Failures in a row of one kind of call, for one shard: `what` names it."""

    def __init__(self, reading: Reading, what: str) -> None:
        self._reading = reading
        self._what = what
        self.failures = 0
        self._permanent = 0

    def succeeded(self) -> None:
        """Take note of a call that succeeded."""
        self.failures = self._permanent = 0
        self._reading.succeeded(self._what)

    async def failed(self, error: Exception, *, least: float = 0.0, at_once: bool = False) -> None:
        """Take note of one that failed, and wait: longer each time, `least` seconds at least.

        `at_once` is for an error whose remedy is another call.

        Raises:
            SourceError: it would fail again and again until somebody changes something.
        """
        self.failures += 1
        self._permanent = 0 if passes(error) else self._permanent + 1
        self._reading.failed(self._what, error)
        if self.failures % LOGGED_FAILURES == 1:
            log.warning(
                "stream not read",
                source=self._reading.source,
                what=self._what,
                error=told(error),
                failures=self.failures,
            )
        if self._permanent >= PERMANENT_ATTEMPTS:
            raise source_error(self._reading.source, error) from error
        if not at_once:
            wait = backoff_seconds(self.failures, random.random, cap=BACKOFF_CAP_SECONDS)
            await asyncio.sleep(max(least, wait))
