"""An SQS queue: long polls, visibility kept up while a message is at work, deletes in batches.

Nothing is deleted but what `delete` was called for. What is let go of becomes visible again when
its time is up, and so counts towards the queue's own redrive.

Source: Amazon SQS API Reference, ReceiveMessage, ChangeMessageVisibilityBatch, DeleteMessageBatch.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import structlog

from detector.aws import AWSCallError, describe, is_permanent
from detector.backoff import backoff_seconds
from detector.sources.s3_sqs.message import Message, message_of
from detector.sources.source import SourceMeter

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import (
        BatchResultErrorEntryTypeDef,
        ReceiveMessageResultTypeDef,
    )

BATCH = 10
"""SQS takes no more entries in a call."""

HEARTBEATS = 3
"""How often visibility is extended in one visibility timeout: two calls may fail."""

MAX_VISIBLE_SECONDS = 12 * 3600 - 60
"""SQS hides a message for 12 hours from its receipt, and refuses what would go beyond; a minute is
for the way of the answer and of the call."""

LAST_RECEIVE_SECONDS = 1.0
"""How long a receive under way may still take when no more is wanted. Messages that wait come at
once; a long poll that goes on longer has none."""

CALL_SECONDS = 10.0
"""How long a delete may take, with the client's own repetitions: one that hangs must not hold up
the others, nor the end of the service."""

DELETE_WAIT_SECONDS = 0.1
"""How long a delete waits for others to share its call."""

DELETE_ATTEMPTS = 5
"""A message whose delete keeps failing comes again, and is found to be a duplicate."""

DELETE_BACKOFF_CAP_SECONDS = 10.0
"""The longest wait between two such attempts: the message is kept hidden all the while."""

log = structlog.get_logger()


class Queue:
    """A queue and what is in hand of it.

    Tells the meter of what fails: `receive` by its caller, `delete`, `visibility`,
    `receipt_expired` (the message is not ours any more) and `visibility_limit` (12 hours).
    """

    def __init__(
        self,
        client: SQSClient,
        url: str,
        meter: SourceMeter,
        *,
        visibility_timeout: int,
        wait: int,
    ) -> None:
        self._client = client
        self._url = url
        self._meter = meter
        self._visibility_timeout = visibility_timeout
        self._wait = wait
        self._in_hand: dict[str, Message] = {}
        """Messages that are kept hidden, by their receipt handle."""
        self._deletes: list[Message] = []
        self._deleting: set[str] = set()
        self._has_deletes = asyncio.Event()
        self._flushing = asyncio.Lock()

    async def has_redrive(self) -> bool:
        """Return whether the queue sets messages aside that were received too often.

        Raises:
            AWSCallError: the call failed; the permission for it is not needed for anything else.
        """
        async with asyncio.timeout(CALL_SECONDS):
            answer = await self._client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["RedrivePolicy"]
            )
        return "RedrivePolicy" in answer.get("Attributes", {})

    async def receive(self) -> list[Message]:
        """Wait for messages; return them, or none when the long poll ends without.

        Raises:
            AWSCallError: the call failed.
        """
        call = asyncio.ensure_future(
            self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=self._wait,
                VisibilityTimeout=self._visibility_timeout,
                AttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            )
        )
        try:
            return self._take(await asyncio.shield(call))
        except asyncio.CancelledError:
            # What SQS hands out at this moment would else stay hidden for the whole timeout.
            await asyncio.wait({call}, timeout=LAST_RECEIVE_SECONDS)
            if call.done() and not call.cancelled() and call.exception() is None:
                self._take(call.result())
            call.cancel()
            raise

    def delete(self, message: Message) -> None:
        """Delete a message soon; it stays hidden until that is done."""
        self._deletes.append(message)
        self._has_deletes.set()

    def let_go(self, message: Message) -> None:
        """Leave a message to its visibility timeout, and so to the queue's redrive."""
        self._in_hand.pop(message.receipt, None)

    async def keep_hidden(self) -> None:
        """Extend the visibility of what is in hand, until cancelled."""
        async with asyncio.TaskGroup() as calls:
            while True:
                # Not longer for a call that hangs: the next one may still come in time.
                await asyncio.sleep(self._heartbeat_seconds)
                for batch in _batches(self._to_be_extended()):
                    calls.create_task(self._extend(batch))

    async def delete_acknowledged(self) -> None:
        """Delete what is to be deleted, until cancelled."""
        while True:
            await self._has_deletes.wait()
            await asyncio.sleep(DELETE_WAIT_SECONDS)
            # Shielded: a call that is under way is waited for in close(), not torn off.
            await asyncio.shield(self.flush())
            failures = max((message.delete_attempts for message in self._deletes), default=0)
            if failures:
                await asyncio.sleep(
                    backoff_seconds(failures, random.random, cap=DELETE_BACKOFF_CAP_SECONDS)
                )

    async def flush(self) -> None:
        """Try once to delete all that is to be deleted; what fails by chance waits for another."""
        async with self._flushing:
            messages, self._deletes = self._deletes, []
            self._has_deletes.clear()
            await asyncio.gather(*(self._delete(batch) for batch in _batches(messages)))

    async def give_back(self) -> None:
        """Make what is in hand visible again at once, as far as that can be done."""
        messages = list(self._in_hand.values())
        self._in_hand.clear()
        await asyncio.gather(
            *(self._change_visibility(batch, 0, CALL_SECONDS) for batch in _batches(messages))
        )

    @property
    def _heartbeat_seconds(self) -> float:
        return self._visibility_timeout / HEARTBEATS

    def _take(self, response: ReceiveMessageResultTypeDef) -> list[Message]:
        messages = [message_of(item) for item in response.get("Messages", [])]
        self._in_hand.update((message.receipt, message) for message in messages)
        return messages

    def _to_be_extended(self) -> list[Message]:
        """Return what is to stay hidden; what may not any longer is let go of."""
        now = time.monotonic()
        for message in list(self._in_hand.values()):
            if now - message.since > MAX_VISIBLE_SECONDS - 1:
                self.let_go(message)
                self._meter.failed("visibility_limit")
                log.error(
                    "message at work for 12 hours, it comes again while it still is",
                    id=message.id,
                    receives=message.receives,
                )
        return [
            message for message in self._in_hand.values() if message.receipt not in self._deleting
        ]

    async def _extend(self, batch: Sequence[Message]) -> None:
        failed = await self._change_visibility(
            batch, self._visibility_timeout, self._heartbeat_seconds
        )
        for message, entry in failed:
            if entry["SenderFault"] and message.receipt in self._in_hand:
                self._lose(message, entry["Code"])

    async def _change_visibility(
        self, batch: Sequence[Message], seconds: int, within: float
    ) -> list[tuple[Message, BatchResultErrorEntryTypeDef]]:
        """Hide messages from now on for so long; return those that were refused."""
        now = time.monotonic()
        try:
            async with asyncio.timeout(within):
                response = await self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {
                            "Id": str(index),
                            "ReceiptHandle": message.receipt,
                            "VisibilityTimeout": min(
                                seconds, int(message.since + MAX_VISIBLE_SECONDS - now)
                            ),
                        }
                        for index, message in enumerate(batch)
                    ],
                )
        except AWSCallError as error:
            self._meter.failed("visibility")
            log.warning("visibility not changed", error=describe(error), messages=len(batch))
            return []
        failed = [(batch[int(entry["Id"])], entry) for entry in response.get("Failed", [])]
        codes = {entry["Code"] for _, entry in failed if not entry["SenderFault"]}
        if codes:
            self._meter.failed("visibility")
            log.warning("visibility not changed", codes=sorted(codes), messages=len(failed))
        return failed

    async def _delete(self, batch: Sequence[Message]) -> None:
        for message in batch:
            message.delete_attempts += 1
        self._deleting.update(message.receipt for message in batch)
        try:
            again = await self._not_deleted(batch)
        finally:
            self._deleting.difference_update(message.receipt for message in batch)
        for message in batch:
            if message not in again:
                self._in_hand.pop(message.receipt, None)
            elif message.delete_attempts < DELETE_ATTEMPTS:
                self.delete(message)
            else:
                log.warning("message will come again: its delete keeps failing", id=message.id)
                self.let_go(message)

    async def _not_deleted(self, batch: Sequence[Message]) -> list[Message]:
        """Delete messages; return those for which another attempt may succeed."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                response = await self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": message.receipt}
                        for index, message in enumerate(batch)
                    ],
                )
        except AWSCallError as error:
            self._meter.failed("delete")
            log.warning("messages not deleted", error=describe(error), messages=len(batch))
            return [] if is_permanent(error) else list(batch)
        again = []
        for entry in response.get("Failed", []):
            message = batch[int(entry["Id"])]
            if entry["SenderFault"]:
                self._lose(message, entry["Code"])
            else:
                self._meter.failed("delete")
                log.warning("message not deleted", id=message.id, code=entry["Code"])
                again.append(message)
        return again

    def _lose(self, message: Message, code: str) -> None:
        """Take note that a receipt is not good any more: no call with it will ever succeed."""
        self.let_go(message)
        self._meter.failed("receipt_expired")
        log.warning("message lost to its visibility timeout", id=message.id, code=code)


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]
