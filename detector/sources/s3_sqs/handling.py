"""A message's way: opened, its objects fetched and handed on, and in the end deleted or let go of.

It is deleted when all that it announces was processed and understood. What could not be understood
is left to the queue, also an object that is gone for good: only the queue's redrive keeps the
evidence of what was not seen, and a person decides about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog

from detector.alerts.text import clean
from detector.envelopes.log_file import skipped_by_name
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError
from detector.sources.budget import Hold, Share
from detector.sources.delivery import Delivery, Payload
from detector.sources.s3_sqs.message import Message
from detector.sources.s3_sqs.object_errors import OURS
from detector.sources.s3_sqs.objects import Larger, Objects
from detector.sources.s3_sqs.opening import open_body
from detector.sources.s3_sqs.queue import Queue
from detector.sources.s3_sqs.work import DAMAGED, Work, in_parts, weight
from detector.sources.source import Emit, SourceMeter
from detector.sources.spool import md5, remove, size_of

REFETCH_SECONDS = 1.0
"""How long a damaged body is left alone before it is fetched once more."""

log = structlog.get_logger()


class Handling:
    """Works on messages, as many as the budget has places for.

    `refused_in_a_row` counts the parts of messages for which S3 gave no object, for reasons that
    meet other objects too.
    """

    def __init__(
        self,
        source: str,
        queue: Queue,
        objects: Objects,
        share: Share,
        meter: SourceMeter,
        *,
        max_object_bytes: int,
        emit: Emit,
    ) -> None:
        self.refused_in_a_row = 0
        self._source = source
        self._queue = queue
        self._objects = objects
        self._share = share
        self._meter = meter
        self._max_object_bytes = max_object_bytes
        self._emit = emit
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def begin(self, message: Message) -> None:
        """Begin to work on a message; return when it has its place in the budget."""
        await self._guarded(message, partial(self._begin, message))

    def stop(self) -> None:
        """Fetch nothing a second time any more: what is in hand is to be finished."""
        self._is_stopping = True

    async def close(self) -> None:
        """Give up what is not handed on yet."""
        await asyncio.sleep(0)  # a task that never began could not give its place back
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self, message: Message) -> None:
        opened = open_body(message.body)
        if not opened.references:
            await self._hand_on_itself(message, opened.payload)
            return
        parts = list(in_parts(opened.references, self._max_object_bytes))
        work = Work(message, len(parts))
        for part in parts:
            hold = await self._share.acquire(self._weight(part))
            self._spawn(work, partial(self._bring, work, part, hold))

    def _weight(self, part: Sequence[ObjectReference]) -> int:
        return sum(weight(reference, self._max_object_bytes) for reference in part)

    async def _hand_on_itself(self, message: Message, body: bytes | PayloadError) -> None:
        """Hand on a message that holds records itself, or that is not understood."""
        size = len(body) if isinstance(body, bytes) else 0
        hold = await self._share.acquire(size)
        self._meter.fetched(size)
        payload = Payload(f"sqs:{message.id}", body, message.sent_at)
        self._hand_on(_Part(Work(message, 1), [], [payload], is_last_attempt=True), hold)

    async def _bring(self, work: Work, references: Sequence[ObjectReference], hold: Hold) -> None:
        """Fetch the objects of a part, and hand them on."""
        part = _Part(work)
        with _given_back_on_error(part, hold):
            await self._fetch(part, references, hold)
            if part.payloads:
                self._hand_on(part, hold)
            else:
                hold.release()
                self._part_done(work)

    async def _bring_alone(self, work: Work, larger: Larger) -> None:
        """Fetch an object that turned out to be larger than its place."""
        hold = await self._share.acquire(larger.room)
        await self._bring(work, [larger.reference], hold)

    async def _bring_again(self, before: _Part, reasons: Collection[str]) -> None:
        """Fetch what was damaged once more, and hand it on if something else comes this time."""
        try:
            digests = await before.digests()
        finally:
            before.let_go()
        await asyncio.sleep(REFETCH_SECONDS)
        hold = await self._share.acquire(before.room)
        part = _Part(before.work, is_last_attempt=True)
        with _given_back_on_error(part, hold):
            await self._fetch(part, before.references, hold)
            if await part.digests() == digests:
                hold.release()
                part.let_go()
                self._part_done(part.work, reasons)
            else:
                self._hand_on(part, hold)

    async def _fetch(self, part: _Part, references: Sequence[ObjectReference], hold: Hold) -> None:
        """Fetch into a part; objects larger than their places become parts of their own."""
        rooms = [self._weight([reference]) for reference in references]
        if len(references) == 1:
            rooms = [hold.size]  # more than its weight where that was found to be too little
        found: dict[int, Payload | Larger] = {}

        async def fetch(index: int) -> None:
            found[index] = await self._objects.fetch(references[index], rooms[index])

        # All are waited for, also by who is cancelled: what came is to be let go of.
        failures: Sequence[BaseException | None] = ()
        try:
            failures = await asyncio.gather(
                *map(fetch, range(len(references))), return_exceptions=True
            )
        finally:
            for index, item in sorted(found.items()):
                if isinstance(item, Payload):
                    part.add(references[index], item, rooms[index])
        for failure in failures:
            if failure is not None:
                raise failure
        size = part.size()
        for item in found.values():
            if isinstance(item, Larger):
                part.work.parts += 1
                self._spawn(part.work, partial(self._bring_alone, part.work, item))
        hold.resize(size)
        self._meter.fetched(size)
        self._count_refused(part)

    def _count_refused(self, part: _Part) -> None:
        reasons = [
            payload.body.reason if isinstance(payload.body, PayloadError) else None
            for reference, payload in zip(part.references, part.payloads, strict=True)
            if not skipped_by_name(reference.key)  # S3 was not asked for it
        ]
        if any(reason is None for reason in reasons):
            self.refused_in_a_row = 0
        elif any(reason in OURS for reason in reasons):
            self.refused_in_a_row += 1

    def _hand_on(self, part: _Part, hold: Hold) -> None:
        work = part.work

        async def ack() -> None:
            part.let_go()
            self._part_done(work)

        async def nack(reasons: Collection[str]) -> None:
            if part.is_last_attempt or self._is_stopping or DAMAGED.isdisjoint(reasons):
                part.let_go()
                self._part_done(work, reasons)
            else:
                self._spawn(work, partial(self._bring_again, part, reasons))

        self._emit(
            Delivery(
                source=self._source,
                payloads=list(part.payloads),
                received_at=work.message.received_at,
                hold=hold,
                has_redrive=True,
                ack=ack,
                nack=nack,
            )
        )

    def _part_done(self, work: Work, reasons: Collection[str] = ()) -> None:
        if not work.part_done(reasons):
            return
        if not work.reasons:
            self._queue.delete(work.message)
            return
        log.warning(
            "message left to the queue",
            source=self._source,
            id=work.message.id,
            receives=work.message.receives,
            reasons=sorted(work.reasons),
        )
        self._queue.let_go(work.message)

    def _spawn(self, work: Work, bring: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._guarded(work.message, bring))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, message: Message, do: Callable[[], Awaitable[None]]) -> None:
        try:
            await do()
        except Exception as error:  # noqa: BLE001 - one message must not end all the others
            self._meter.failed("handling")
            log.error(  # noqa: TRY400 - no traceback reaches a user
                "message not handled, it will come again",
                source=self._source,
                id=message.id,
                error=clean(repr(error)),
            )
            self._queue.let_go(message)


@dataclass(slots=True, eq=False)
class _Part:
    """What is handed on as one delivery: objects of a message, or the message itself."""

    work: Work
    references: list[ObjectReference] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)
    room: int = 0
    """The place that its objects need when they are fetched again."""
    is_last_attempt: bool = False

    def add(self, reference: ObjectReference, payload: Payload, room: int) -> None:
        self.references.append(reference)
        self.payloads.append(payload)
        self.room += room

    def size(self) -> int:
        return sum(
            size_of(item.body) for item in self.payloads if not isinstance(item.body, PayloadError)
        )

    async def digests(self) -> list[bytes]:
        """Return by what each payload is known again."""
        return [
            str(item.body).encode() if isinstance(item.body, PayloadError) else await md5(item.body)
            for item in self.payloads
        ]

    def let_go(self) -> None:
        """Let go of the bodies: they are done with."""
        for item in self.payloads:
            remove(item.body)
        self.payloads.clear()


@contextmanager
def _given_back_on_error(part: _Part, hold: Hold) -> Iterator[None]:
    """Leave nothing of a part that is not handed on, whatever happens: no place, no file."""
    try:
        yield
    except BaseException:
        hold.release()
        part.let_go()
        raise
