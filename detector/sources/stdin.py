"""Records piped in: JSON documents of any known shape, one after the other, gzip or not.

A pipe gives nothing back, so that what is in it when the process is killed is gone: it is for
trying out, and for what can be piped in again.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

from detector.config import StdinSourceConfig
from detector.envelopes.compression import Inflated
from detector.envelopes.json_stream import (
    MAX_FAULTS,
    MAX_TOLERATED,
    Broken,
    JSONStream,
    Tolerance,
)
from detector.errors import PayloadError
from detector.sources.delivery import Delivery, Payload
from detector.sources.source import Emit, SourceContext, SourceMeter

DELIVERY_BYTES = 1 << 20
"""How much is handed on together, where there is more than somebody types."""

READ_BYTES = 256 << 10

HandOn = Callable[[bytes | PayloadError], None]


class StdinSource:
    """A `Source` of standard input; it is at its end when that is."""

    def __init__(self, config: StdinSourceConfig, context: SourceContext) -> None:
        self.name = config.name
        self._context = context
        self._stopping, self._stop = os.pipe()
        self._handing_on: Future[None] | None = None
        self._count = 0

    async def run(self, emit: Emit) -> None:
        """Hand on what comes until there is no more; see `Source`."""
        self._context.readiness.is_ready = True
        loop = asyncio.get_running_loop()

        def hand_on(body: bytes | PayloadError) -> None:
            handing_on = asyncio.run_coroutine_threadsafe(self._hand_on(body, emit), loop)
            self._handing_on = handing_on
            handing_on.result()

        reading = asyncio.ensure_future(asyncio.to_thread(self._read, hand_on))
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            os.write(self._stop, b"\0")  # the thread may be waiting for what never comes
            if self._handing_on is not None:
                self._handing_on.cancel()
            await asyncio.wait({reading})
            raise

    async def close(self) -> None:
        """Let go of what a stop is told by; standard input stays open."""
        os.close(self._stop)
        os.close(self._stopping)

    async def _hand_on(self, body: bytes | PayloadError, emit: Emit) -> None:
        size = len(body) if isinstance(body, bytes) else 0
        hold = await self._context.share.acquire(size)
        self._count += 1
        payload = Payload(f"{self.name}:{self._count}", body)
        emit(Delivery(self.name, [payload], received_at=time.time(), hold=hold))

    def _read(self, hand_on: HandOn) -> None:
        """Hand on some documents together, and at once where no more of them are there."""
        tolerance = Tolerance()
        batch = _Batch(hand_on, tolerance)
        source = _Waiting(self._stopping, self._context.meter, batch.flush)
        try:
            body = Inflated(source, max_bytes=sys.maxsize)
            for piece in JSONStream(body, tolerance=tolerance, is_endless=True):
                document = bytes(piece.body).strip()
                if not isinstance(piece, Broken):
                    batch.add(document)
                elif document:
                    batch.add(document, faults=1 + document.count(b"\n"))
                else:
                    batch.flush()
                    hand_on(piece.error)
            batch.flush()
        except (_StoppedError, CancelledError):
            return
        except PayloadError as error:
            batch.flush()
            if error.reason != "empty":
                hand_on(error)


class _StoppedError(Exception):
    """Nothing more is wanted."""


class _Batch:
    """Documents that are handed on together, line by line.

    What bounds the work on a payload bounds that on so much of the pipe, rather than on all of it:
    the tolerance is filled again by what is handed on. Of broken lines a batch has fewer than a
    payload may have, so that the good ones among them are read.
    """

    def __init__(self, hand_on: HandOn, tolerance: Tolerance) -> None:
        self._hand_on = hand_on
        self._tolerance = tolerance
        self._documents: list[bytes] = []
        self._size = 0
        self._faults = 0

    def add(self, document: bytes, faults: int = 0) -> None:
        if self._faults + faults >= MAX_FAULTS:
            self.flush()
        self._documents.append(document)
        self._size += len(document)
        self._faults += faults
        if self._size >= DELIVERY_BYTES or self._faults >= MAX_FAULTS:
            self.flush()

    def flush(self) -> None:
        if self._documents:
            more = self._size * MAX_TOLERATED // DELIVERY_BYTES
            self._tolerance.left = min(self._tolerance.left + more, MAX_TOLERATED)
            documents, self._documents = self._documents, []
            self._size = self._faults = 0
            self._hand_on(b"\n".join(documents))


class _Waiting:
    """Standard input, waited for until there is some of it or a stop is told.

    `before_wait` is called where nothing is there.
    """

    def __init__(self, stopping: int, meter: SourceMeter, before_wait: Callable[[], None]) -> None:
        self._input = sys.stdin.fileno()
        self._stopping = stopping
        self._meter = meter
        self._before_wait = before_wait

    def read(self, size: int, /) -> bytes:
        both = [self._input, self._stopping]
        ready, _, _ = select.select(both, [], [], 0)
        if not ready:
            self._before_wait()
            ready, _, _ = select.select(both, [], [])
        if self._stopping in ready:
            raise _StoppedError
        body = os.read(self._input, min(size, READ_BYTES))
        self._meter.fetched(len(body))
        return body
