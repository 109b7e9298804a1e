"""The source of what is read once more, after a limit or the detector itself was put right.

An entry goes through the same rules, counts and alerts as at first: its events count once, however
often they come. It is deleted when all that it caused is durable; what is rejected again is back in
the quarantine by then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from detector.alerts.text import clean
from detector.backoff import backoff_seconds
from detector.errors import QuarantineError
from detector.quarantine.entry import QUARANTINE, payload_of, read_entry
from detector.quarantine.store import EntryGoneError, Listed, QuarantineStore
from detector.sources.budget import Share
from detector.sources.delivery import Delivery, Payload
from detector.sources.source import Emit, SourceMeter

RETRY_CAP_SECONDS = 60.0
"""The longest wait after a failure: somebody may be waiting for the replay."""

CLOSE_SECONDS = 3.0
"""How long an end waits for deletions. The container's runtime does not wait for ever."""

Ack = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class ReplaySource:
    """Hands on what a person has asked for, until cancelled; it never fails for good."""

    def __init__(self, store: QuarantineStore, share: Share, meter: SourceMeter) -> None:
        self._store = store
        self._share = share
        self._meter = meter
        self._in_hand: set[str] = set()
        """Entries that were handed on and are not deleted yet."""
        self._done: deque[Listed] = deque()
        self._refused: set[str] = set()
        """Entries that cannot be replayed, each of which was spoken of."""
        self._wake = asyncio.Event()

    async def run(self, emit: Emit) -> None:
        """Look for what is to be replayed, again and again."""
        failures = 0
        while True:
            self._wake.clear()
            wait = self._store.poll_seconds
            try:
                await self._look(emit)
                failures = 0
            except Exception as error:  # noqa: BLE001 - no other part depends on a replay
                failures += 1
                wait = backoff_seconds(failures, random.random, cap=RETRY_CAP_SECONDS)
                self._meter.failed("replay")
                known = isinstance(error, QuarantineError)
                log.warning(
                    "quarantine not read, a replay would wait",
                    error=clean(str(error) if known else repr(error)),
                    seconds=round(wait, 1),
                )
                await asyncio.sleep(wait)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def close(self) -> None:
        """Delete what is done with; what remains comes again, and its events count no more."""
        with suppress(QuarantineError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._drop_done()

    async def _look(self, emit: Emit) -> None:
        await self._drop_done()
        found = [
            item
            for item in await self._store.listed("replaying")
            if item.id not in self._in_hand and item.id not in self._refused
        ]
        for item in found:
            hold = await self._share.acquire(item.size)
            try:
                payload = await self._payload(item)
            except BaseException:
                hold.release()
                raise
            if payload is None:
                hold.release()
                continue
            self._meter.fetched(item.size)
            self._in_hand.add(item.id)
            emit(
                Delivery(
                    source=QUARANTINE,
                    payloads=[payload],
                    received_at=time.time(),
                    hold=hold,
                    ack=self._ack_of(item),
                )
            )
            await self._drop_done()
        if found:
            log.info("replaying", entries=len(found))

    def _ack_of(self, item: Listed) -> Ack:
        async def ack() -> None:
            self._done.append(item)
            self._wake.set()

        return ack

    async def _payload(self, item: Listed) -> Payload | None:
        """Return what an entry holds; None where that cannot be replayed."""
        try:
            document = await self._store.read(item)
        except EntryGoneError:
            return None  # dropped since it was listed
        try:
            entry = read_entry(document)
            return payload_of(entry)
        except QuarantineError as error:
            self._refused.add(item.id)
            log.warning("entry cannot be replayed", entry=item.id, error=clean(str(error)))
            return None

    async def _drop_done(self) -> None:
        while self._done:
            item = self._done[0]
            await self._store.drop(item)
            self._done.popleft()
            self._in_hand.discard(item.id)
