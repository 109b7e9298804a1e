"""S3 objects that an SQS queue announces: connected, received, and let go of.

A message is received before its place in the budget is known, as only it says what its objects
weigh. So a receiver asks for more only when all that it has received have got their places: of
each receiver at most one batch waits, ten messages of up to 1 MiB, which is kept hidden while it
does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from detector.aws import AWSCallError, describe, error_code, is_permanent
from detector.backoff import backoff_seconds
from detector.config import S3SQSSourceConfig
from detector.errors import SourceError
from detector.sources.s3_sqs.allowed import AllowedObjects
from detector.sources.s3_sqs.handling import Handling
from detector.sources.s3_sqs.message import Message
from detector.sources.s3_sqs.objects import Objects
from detector.sources.s3_sqs.queue import Queue
from detector.sources.source import Emit, SourceContext

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sqs import SQSClient

PERMANENT_ATTEMPTS = 5
"""How often a permanent error may come in a row. A new role or policy takes seconds to be known
everywhere, so the first one proves nothing."""

RECEIVE_BACKOFF_CAP_SECONDS = 30.0
"""The longest wait between polls that fail: each one is a page that may come late."""

ANSWER_SECONDS = 30.0
"""How long SQS or S3 may be silent, beyond a long poll's own time."""

log = structlog.get_logger()


class S3SQSSource:
    """A `Source` of S3 objects announced on a queue."""

    def __init__(self, config: S3SQSSourceConfig, context: SourceContext) -> None:
        self.name = config.name
        self._config = config
        self._share = context.share
        self._meter = context.meter
        self._spool = context.spool
        self._readiness = context.readiness
        self._keepers: set[asyncio.Task[None]] = set()
        self._clients = AsyncExitStack()
        self._queue: Queue | None = None
        self._handling: Handling | None = None

    async def run(self, emit: Emit) -> None:
        """Receive and fetch until cancelled; see `Source`."""
        config = self._config
        sqs, s3 = await self._connect()
        queue = self._queue = Queue(
            sqs,
            config.queue_url,
            self._meter,
            visibility_timeout=config.visibility_timeout_seconds,
            wait=config.wait_seconds,
        )
        handling = self._handling = Handling(
            self.name,
            queue,
            self._objects(s3),
            self._share,
            self._meter,
            max_object_bytes=config.max_object_bytes,
            emit=emit,
        )
        # These two go on while the service drains: they end in close().
        self._keepers = {
            asyncio.create_task(queue.keep_hidden()),
            asyncio.create_task(queue.delete_acknowledged()),
        }
        receivers = [
            asyncio.create_task(self._receive(queue, handling)) for _ in range(config.receivers)
        ]
        looking = asyncio.create_task(self._look_at(queue))
        try:
            ended, _ = await asyncio.wait(
                {*receivers, *self._keepers}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()
        finally:
            handling.stop()
            for task in (*receivers, looking):
                task.cancel()
            await asyncio.gather(*receivers, looking, return_exceptions=True)

    async def close(self) -> None:
        """Delete what was acknowledged, make the rest visible again at once, and disconnect."""
        if self._handling is not None:
            await self._handling.close()
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if self._queue is not None:
            await self._queue.flush()
            await self._queue.give_back()
        await self._clients.aclose()

    async def _connect(self) -> tuple[SQSClient, S3Client]:
        config = self._config
        session = get_session()
        try:
            sqs = await self._clients.enter_async_context(
                session.create_client(
                    "sqs",
                    config.region,
                    endpoint_url=config.endpoint_url,
                    config=_client_config(config.receivers + 4, config.wait_seconds),
                )
            )
            s3 = await self._clients.enter_async_context(
                session.create_client(
                    "s3",
                    config.region,
                    endpoint_url=config.endpoint_url,
                    config=_client_config(config.concurrency),
                )
            )
        except AWSCallError as error:
            raise SourceError(
                f"source {self.name}: {describe(error)}",
                remedy="set sources.region, and give the detector credentials",
            ) from error
        return sqs, s3

    def _objects(self, s3: S3Client) -> Objects:
        config = self._config
        buckets = config.buckets or ()
        if buckets == "any":
            log.warning(
                "whatever bucket a message names is read: anybody who can send to the queue can"
                " have records counted; list the trail's under sources.buckets",
                source=self.name,
            )
        return Objects(
            s3,
            AllowedObjects(buckets, config.bucket_owner),
            self._meter,
            max_bytes=config.max_object_bytes,
            concurrency=config.concurrency,
            request_payer=config.request_payer,
            spool=self._spool,
        )

    async def _look_at(self, queue: Queue) -> None:
        """Warn of a queue that never sets aside what cannot be understood."""
        try:
            has_redrive = await queue.has_redrive()
        except AWSCallError as error:
            # The permission is a convenience; what is wrong with the queue the receivers find.
            log.info("queue not looked at", source=self.name, error=describe(error))
            return
        if not has_redrive:
            log.warning(
                "the queue has no redrive policy: a message that cannot be understood comes again"
                " and again, until its retention ends and it is lost",
                source=self.name,
            )

    async def _receive(self, queue: Queue, handling: Handling) -> None:
        failures = permanent = 0
        while True:
            if handling.refused_in_a_row:
                # Each message that is received in vain is nearer to being set aside.
                await asyncio.sleep(_backoff(handling.refused_in_a_row))
            try:
                messages = await queue.receive()
            except AWSCallError as error:
                failures += 1
                permanent = permanent + 1 if _is_permanent(error) else 0
                self._readiness.is_ready = False
                self._meter.failed("receive")
                log.warning("queue not read", source=self.name, error=describe(error))
                if permanent >= PERMANENT_ATTEMPTS:
                    raise SourceError(
                        f"source {self.name}: the queue cannot be read: {describe(error)}",
                        remedy="check sources.queue_url and the role's sqs permissions",
                    ) from error
                await asyncio.sleep(_backoff(failures))
                continue
            failures = permanent = 0
            self._readiness.is_ready = True
            self._tell_lag(messages)
            for message in messages:
                await handling.begin(message)

    def _tell_lag(self, messages: Sequence[Message]) -> None:
        """Tell how old the oldest message is; one that comes again says nothing of the queue."""
        new = [item.sent_at for item in messages if item.sent_at is not None and item.receives == 1]
        if new:
            self._meter.behind(max(0.0, time.time() - min(new)))
        elif not messages:
            self._meter.behind(0.0)


def _client_config(connections: int, wait: float = 0.0) -> AioConfig:
    return AioConfig(
        max_pool_connections=connections,
        connect_timeout=5,
        read_timeout=wait + ANSWER_SECONDS,
        retries={"mode": "standard", "max_attempts": 4},
    )


def _is_permanent(error: Exception) -> bool:
    """Return whether a person must look; so they must if the queue's own KMS key is withheld."""
    if isinstance(error, ClientError) and error_code(error).lower().startswith("kms"):
        return "throttl" not in error_code(error).lower()
    return is_permanent(error)


def _backoff(failures: int) -> float:
    return backoff_seconds(failures, random.random, cap=RECEIVE_BACKOFF_CAP_SECONDS)
