"""Messages in, deliveries out: each message's objects fetched together, acknowledged as one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from detector.aws import AWSCallError, describe, is_permanent
from detector.backoff import backoff_seconds
from detector.config import S3SQSSourceConfig
from detector.envelopes.message import message_bytes, open_message
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError, SourceError
from detector.sources.budget import Hold
from detector.sources.delivery import Delivery, Payload
from detector.sources.s3_sqs.objects import fetch
from detector.sources.s3_sqs.queue import BATCH, Message, Queue
from detector.sources.source import Emit, SourceContext

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

PERMANENT_ATTEMPTS = 5
"""How often a permanent error may come in a row. A new role or policy takes seconds to be known
everywhere, so the first one proves nothing."""

RECEIVE_BACKOFF_CAP_SECONDS = 30.0
"""The longest wait between polls that fail: each one is a page that may come late."""

UNKNOWN_OBJECT_BYTES = 1 << 20
"""What an object is taken to weigh where its announcement does not say."""

log = structlog.get_logger()


class S3SQSSource:
    """A `Source` of S3 objects announced on a queue."""

    def __init__(self, config: S3SQSSourceConfig, context: SourceContext) -> None:
        self.name = config.name
        self._config = config
        self._share = context.share
        self._meter = context.meter
        self._readiness = context.readiness
        self._fetches = asyncio.Semaphore(config.concurrency)
        self._handlers: set[asyncio.Task[None]] = set()
        self._keepers: set[asyncio.Task[None]] = set()
        self._clients = AsyncExitStack()
        self._queue: Queue | None = None

    async def run(self, emit: Emit) -> None:
        """Receive and fetch until cancelled; see `Source`."""
        config = self._config
        session = get_session()
        aws = AioConfig(
            max_pool_connections=config.concurrency + config.receivers + 4,
            connect_timeout=5,
            read_timeout=config.wait_seconds + 30,
            retries={"mode": "standard", "max_attempts": 4},
        )
        try:
            sqs = await self._clients.enter_async_context(
                session.create_client(
                    "sqs", config.region, endpoint_url=config.endpoint_url, config=aws
                )
            )
            s3 = await self._clients.enter_async_context(
                session.create_client(
                    "s3", config.region, endpoint_url=config.endpoint_url, config=aws
                )
            )
        except AWSCallError as error:
            raise SourceError(
                f"source {self.name}: {describe(error)}",
                remedy="set sources.region, and give the detector credentials",
            ) from error
        queue = self._queue = Queue(
            sqs,
            config.queue_url,
            visibility_timeout=config.visibility_timeout_seconds,
            wait=config.wait_seconds,
        )
        # These two go on while the service drains: they end in close().
        self._keepers = {
            asyncio.create_task(queue.keep_hidden()),
            asyncio.create_task(queue.delete_acknowledged()),
        }
        receivers = [
            asyncio.create_task(self._receive(queue, s3, emit)) for _ in range(config.receivers)
        ]
        try:
            ended, _ = await asyncio.wait(
                {*receivers, *self._keepers}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()
        finally:
            for task in receivers:
                task.cancel()
            await asyncio.gather(*receivers, return_exceptions=True)

    async def close(self) -> None:
        """Delete what was acknowledged, make the rest visible again at once, and disconnect."""
        for task in (*self._handlers, *self._keepers):
            task.cancel()
        await asyncio.gather(*self._handlers, *self._keepers, return_exceptions=True)
        if self._queue is not None:
            await self._queue.flush()
            await self._queue.give_back()
        await self._clients.aclose()

    async def _receive(self, queue: Queue, s3: S3Client, emit: Emit) -> None:
        failures = permanent = 0
        slots = asyncio.Semaphore(max(1, self._config.concurrency // self._config.receivers))
        while True:
            async with slots:
                pass  # at least one message can be worked on
            try:
                messages = await queue.receive(BATCH)
            except AWSCallError as error:
                failures += 1
                permanent = permanent + 1 if is_permanent(error) else 0
                self._readiness.is_ready = False
                self._meter.failed("receive")
                log.warning("queue not read", source=self.name, error=describe(error))
                if permanent >= PERMANENT_ATTEMPTS:
                    raise SourceError(
                        f"source {self.name}: the queue cannot be read: {describe(error)}",
                        remedy="check sources.queue_url and the role's sqs permissions",
                    ) from error
                wait = backoff_seconds(failures, random.random, cap=RECEIVE_BACKOFF_CAP_SECONDS)
                await asyncio.sleep(wait)
                continue
            failures = permanent = 0
            self._readiness.is_ready = True
            for message in messages:
                await slots.acquire()
                task = asyncio.create_task(self._handle(queue, s3, message, emit))
                self._handlers.add(task)
                task.add_done_callback(self._handlers.discard)
                task.add_done_callback(lambda _: slots.release())
                task.add_done_callback(_report)

    async def _handle(self, queue: Queue, s3: S3Client, message: Message, emit: Emit) -> None:
        """Fetch what a message announces, or take it as it is, and hand it on."""
        references: Sequence[ObjectReference] = ()
        own: Payload | None = None
        try:
            references = open_message(message.body)
            if not references:
                own = Payload(f"sqs:{message.id}", message_bytes(message.body))
        except PayloadError as error:
            own = Payload(f"sqs:{message.id}", error)
        cost = sum(_weight(reference, self._config.max_object_bytes) for reference in references)
        hold = await self._share.acquire(cost + len(message.body))
        try:
            payloads = await asyncio.gather(*(self._fetch(s3, item) for item in references))
        except BaseException:
            hold.release()
            raise
        bodies = (item.body for item in payloads if isinstance(item.body, bytes))
        self._meter.fetched(sum(map(len, bodies)))
        emit(self._delivery(queue, message, payloads if own is None else [own], hold))

    def _delivery(
        self, queue: Queue, message: Message, payloads: list[Payload], hold: Hold
    ) -> Delivery:
        async def ack() -> None:
            queue.delete(message)

        async def nack(_: Collection[str]) -> None:
            queue.let_go(message)

        return Delivery(
            source=self.name,
            payloads=payloads,
            received_at=message.received_at,
            hold=hold,
            has_redrive=True,
            ack=ack,
            nack=nack,
        )

    async def _fetch(self, s3: S3Client, reference: ObjectReference) -> Payload:
        async with self._fetches:
            return await fetch(s3, reference, self._config.max_object_bytes)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("message not handled, it will come again", error=repr(task.exception()))


def _weight(reference: ObjectReference, max_bytes: int) -> int:
    size = UNKNOWN_OBJECT_BYTES if reference.size is None else reference.size
    return min(size, max_bytes)
