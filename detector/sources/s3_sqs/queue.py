"""An SQS queue: long polls, visibility kept up while a message is at work, deletes in batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from detector.aws import AWSCallError, describe

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef, ReceiveMessageResultTypeDef

BATCH = 10
"""SQS takes no more entries in a call."""

HEARTBEATS = 3
"""How often visibility is extended in one visibility timeout: two calls may fail."""

MAX_VISIBLE_SECONDS = 11 * 3600
"""SQS hides a message for 12 hours at most, however often it is extended."""

LAST_RECEIVE_SECONDS = 1.0
"""How long a receive under way may still take when no more is wanted. Messages that wait come at
once; a long poll that goes on longer has none."""

DELETE_WAIT_SECONDS = 0.1
"""How long a delete waits for others to share its call."""

DELETE_ATTEMPTS = 3
"""A message whose delete keeps failing comes again, and is found to be a duplicate."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Message:
    """A message in hand. `received_at` is the epoch's time, `since` the monotonic clock's."""

    id: str
    body: str
    receipt: str
    received_at: float = field(default_factory=time.time)
    since: float = field(default_factory=time.monotonic)
    delete_attempts: int = 0


class Queue:
    """A queue and what is in hand of it."""

    def __init__(self, client: SQSClient, url: str, *, visibility_timeout: int, wait: int) -> None:
        self._client = client
        self._url = url
        self._visibility_timeout = visibility_timeout
        self._wait = wait
        self._in_hand: dict[str, Message] = {}
        self._deletes: list[Message] = []
        self._has_deletes = asyncio.Event()
        self._flushing = asyncio.Lock()

    async def receive(self, most: int) -> list[Message]:
        """Wait for messages; return them, or none when the long poll ends without.

        Raises:
            AWSCallError: the call failed.
        """
        call = asyncio.ensure_future(
            self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, BATCH),
                WaitTimeSeconds=self._wait,
                VisibilityTimeout=self._visibility_timeout,
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
        while True:
            await asyncio.sleep(self._visibility_timeout / HEARTBEATS)
            oldest = time.monotonic() - MAX_VISIBLE_SECONDS
            messages = [item for item in self._in_hand.values() if item.since > oldest]
            await self._change_visibility(messages, self._visibility_timeout)

    async def delete_acknowledged(self) -> None:
        """Delete what is to be deleted, until cancelled."""
        while True:
            await self._has_deletes.wait()
            await asyncio.sleep(DELETE_WAIT_SECONDS)
            # Shielded: a call that is under way is waited for in close(), not torn off.
            await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Delete all that is to be deleted, and return when that is done."""
        async with self._flushing:
            while self._deletes:
                batch = self._deletes[:BATCH]
                del self._deletes[:BATCH]
                await self._delete(batch)
            self._has_deletes.clear()

    async def give_back(self) -> None:
        """Make what is in hand visible again at once."""
        messages = list(self._in_hand.values())
        self._in_hand.clear()
        await self._change_visibility(messages, 0)

    def _take(self, response: ReceiveMessageResultTypeDef) -> list[Message]:
        messages = [_message(item) for item in response.get("Messages", [])]
        self._in_hand.update((message.receipt, message) for message in messages)
        return messages

    async def _delete(self, batch: Sequence[Message]) -> None:
        for message in batch:
            message.delete_attempts += 1
        try:
            response = await self._client.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": message.receipt}
                    for index, message in enumerate(batch)
                ],
            )
        except AWSCallError as error:
            log.warning("messages not deleted", error=describe(error), messages=len(batch))
            failed = list(batch)
        else:
            failed = [batch[int(entry["Id"])] for entry in response.get("Failed", [])]
        for message in batch:
            if message not in failed:
                self._in_hand.pop(message.receipt, None)
        for message in failed:
            if message.delete_attempts < DELETE_ATTEMPTS:
                self._deletes.append(message)
            else:
                log.warning("message will come again: its delete keeps failing", id=message.id)
                self.let_go(message)

    async def _change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        for batch in _batches(messages):
            try:
                response = await self._client.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {
                            "Id": str(index),
                            "ReceiptHandle": message.receipt,
                            "VisibilityTimeout": seconds,
                        }
                        for index, message in enumerate(batch)
                    ],
                )
            except AWSCallError as error:
                log.warning("visibility not changed", error=describe(error), messages=len(batch))
                continue
            if failed := response.get("Failed", []):
                codes = sorted({entry["Code"] for entry in failed})
                log.warning("visibility not changed", codes=codes, messages=len(failed))


def _message(item: MessageTypeDef) -> Message:
    return Message(item.get("MessageId", ""), item.get("Body", ""), item.get("ReceiptHandle", ""))


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]
