"""A shard polled with GetRecords, no faster than Kinesis allows.

Source: Kinesis API Reference, GetRecords: five calls a second, 2 MiB a second and 10 MiB an answer,
for each shard and all of its consumers together; an iterator can be used for five minutes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from detector.sources.kinesis.failures import (
    EXPIRED_ITERATOR,
    THROTTLED,
    CallError,
    DamagedAnswerError,
    kind_of,
)
from detector.sources.kinesis.reading import Reading, Retries
from detector.sources.kinesis.shards import From, Shard
from detector.sources.kinesis.stream import Answer, Stream

MAX_ANSWER_BYTES = 10 << 20
"""What one answer holds at most."""

READ_SECONDS = 0.2
"""The least time between two reads of a shard: five in a second."""

BYTES_PER_SECOND = 2 << 20
"""What may be read of a shard: more than that and the next reads are refused."""

ITERATOR_SECONDS = 270.0
"""An iterator older than this is made anew instead of used, half a minute before it expires: a full
pipeline may have held the source back for long."""


class Polling:
    """Polls shards; at most `concurrency` calls are under way at any time."""

    def __init__(
        self, stream: Stream, reading: Reading, *, poll_seconds: float, concurrency: int
    ) -> None:
        self._stream = stream
        self._reading = reading
        self._poll_seconds = poll_seconds
        self._calls = asyncio.Semaphore(concurrency)

    async def read(self, shard: Shard, place: From) -> None:
        """Read a shard from a place on, and return when its end was handed on.

        Raises:
            SourceError: it cannot be read until somebody changes something.
        """
        retries = Retries(self._reading, shard.id)
        iterator = _Iterator(self._stream, shard)
        while not iterator.is_at_end:
            begun = time.monotonic()
            try:
                place, pause = await self._read_once(shard, iterator, place)
            except CallError as error:
                await self._recover(error, iterator, retries)
                continue
            retries.succeeded()
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - begun)))
        await self._reading.hand_on_end(shard)

    async def _read_once(
        self, shard: Shard, iterator: _Iterator, place: From
    ) -> tuple[From, float]:
        """Read once, and hand on what comes; return where that ends, and how long to wait.

        The answer itself is let go of: it is in the budget only until its delivery is done with.
        """
        async with AsyncExitStack() as turn:
            with self._reading.waiting(shard):
                await turn.enter_async_context(self._calls)
                hold = await self._reading.share.acquire(MAX_ANSWER_BYTES)
            try:
                answer = await self._stream.read(await iterator.value(place))
                self._check(answer, shard)
                self._reading.answered(shard, answer, is_end=answer.next_iterator is None)
                if answer.records:
                    place = self._reading.hand_on(shard, answer, hold)
            except BaseException:
                hold.release()
                raise
        if not answer.records:
            hold.release()
        iterator.follow(answer.next_iterator)
        return place, self._pause(answer)

    def _check(self, answer: Answer, shard: Shard) -> None:
        """Refuse what looks like the end of a shard and may be a damaged answer."""
        is_end = answer.has_children or shard.id in self._reading.closed
        if answer.next_iterator is None and not is_end:
            raise DamagedAnswerError("GetRecords: neither an iterator nor child shards")

    async def _recover(self, error: Exception, iterator: _Iterator, retries: Retries) -> None:
        kind = kind_of(error)
        if kind != THROTTLED:
            # Whatever it was: what comes next begins behind what was handed on last.
            iterator.forget()
        await retries.failed(error, at_once=kind == EXPIRED_ITERATOR and not retries.failures)

    def _pause(self, answer: Answer) -> float:
        """Return how long after its beginning a read is followed by the next one of the shard."""
        if answer.next_iterator is None:
            return 0.0
        least = max(READ_SECONDS, answer.size / BYTES_PER_SECOND)
        return least if answer.behind > 0 else max(least, self._poll_seconds)


class _Iterator:
    """The iterator of a shard, made when there is none that can be used."""

    def __init__(self, stream: Stream, shard: Shard) -> None:
        self._stream = stream
        self._shard = shard
        self._value: str | None = None
        self._since = 0.0
        self.is_at_end = False

    async def value(self, place: From) -> str:
        """Return the iterator; `place` is where it begins if it is made now."""
        if self._value is None or time.monotonic() - self._since > ITERATOR_SECONDS:
            self._value = await self._stream.iterator(self._shard, place)
            self._since = time.monotonic()
        return self._value

    def follow(self, value: str | None) -> None:
        """Go on with the iterator that came with an answer; None at the end of the shard."""
        self._value = value
        self._since = time.monotonic()
        self.is_at_end = value is None

    def forget(self) -> None:
        """Make another one for the next read."""
        self._value = None
