"""From the state to the quarantine's own place: the drain of the table `quarantine`.

An entry is written first and its row deleted afterwards. A crash between the two writes the same
entry once more, under the same name. A place that cannot be reached only delays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from detector.alerts.text import clean
from detector.backoff import backoff_seconds
from detector.errors import QuarantineError
from detector.quarantine.entry import document_of, entry_of
from detector.quarantine.store import QuarantineStore
from detector.state.store import QuarantineCounts, Quarantined
from detector.state.worker import StateWorker
from detector.telemetry.quarantine import QuarantineMetrics

BATCH_ROWS = 100
"""Rows moved at a time: one commit for all of them, and not too many requests at once."""

BATCH_BYTES = 16 << 20
"""Bytes moved at a time: a batch needs some four times as much memory. The longest entry is one."""

RETRY_CAP_SECONDS = 60.0
"""The longest wait after a failure: what waits is bounded, so that an end of an outage counts."""

LOOK_SECONDS = 60.0
"""How often to look without being woken: what is past its retention goes then."""

log = structlog.get_logger()


class QuarantineWorker:
    """Moves what waits in the state, until cancelled."""

    def __init__(
        self,
        store: QuarantineStore,
        state: StateWorker,
        metrics: QuarantineMetrics,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._state = state
        self._metrics = metrics
        self._now = now
        self._wake = asyncio.Event()
        self._moving = asyncio.Lock()

    def wake(self) -> None:
        """Look now: something may just have been put in."""
        self._wake.set()

    async def run(self) -> None:
        """Move what waits, and sleep until there is more.

        Raises:
            StateError: the state cannot be read or written.
        """
        failures = 0
        while True:
            self._wake.clear()
            try:
                while await self.move():
                    failures = 0
            except QuarantineError as error:
                failures += 1
                wait = backoff_seconds(failures, random.random, cap=RETRY_CAP_SECONDS)
                waiting = (await self._count()).rows
                log.warning(
                    "quarantine not written, what is for it waits in the state",
                    error=clean(str(error)),
                    waiting=waiting,
                    seconds=round(wait, 1),
                )
                await asyncio.sleep(wait)
                continue
            failures = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()

    async def move(self) -> int:
        """Move a batch, and return how many that were.

        Raises:
            QuarantineError: the place cannot be reached; nothing is lost.
            StateError: the state cannot be read or written.
        """
        async with self._moving:
            rows = await self._state.call(
                lambda store: store.quarantined(BATCH_ROWS, max_bytes=BATCH_BYTES)
            )
            documents = await asyncio.to_thread(_documents, rows)
            usage = await self._store.make_room(sum(map(len, documents.values())), self._now())
            self._metrics.used(usage)
            if usage.full:
                log.error("quarantine full, the oldest entries were dropped", entries=usage.full)
            if rows:
                await self._store.keep(documents)
                await self._state.call(lambda store: store.drop_quarantined(rows))
                self._metrics.used(await self._store.make_room(0, self._now()))
            await self._count()
        return len(rows)

    async def _count(self) -> QuarantineCounts:
        counts = await self._state.call(lambda store: store.quarantine_counts())
        self._metrics.waiting(counts)
        return counts


def _documents(rows: Sequence[Quarantined]) -> dict[str, bytes]:
    entries = map(entry_of, rows)
    return {entry.id: document_of(entry) for entry in entries}
