"""A queue whose batch calls fail entry by entry, and whose receipts expire."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from detector.sources.s3_sqs import queue as queue_module
from detector.sources.s3_sqs.message import Message
from detector.sources.s3_sqs.queue import BATCH, DELETE_ATTEMPTS, MAX_VISIBLE_SECONDS, Queue
from tests.sources import Meter
from tests.waiting import until

Entry = dict[str, Any]
VISIBILITY = 6


class SQS:
    """Hands out messages, and refuses what `refuse` says of an entry: a code, and whose fault."""

    def __init__(self) -> None:
        self.waiting: list[Entry] = []
        self.deleted: list[str] = []
        self.extended: list[tuple[str, int]] = []
        self.calls = 0
        self.refuse: Callable[[Entry], tuple[str, bool] | None] = lambda _: None
        self.error: Exception | None = None
        self.hang = False

    async def receive_message(self, **_: Any) -> dict[str, Any]:
        await self._called()
        messages, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
        return {"Messages": messages} if messages else {}

    async def delete_message_batch(self, QueueUrl: str, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803
        return await self._batch(Entries, lambda item: self.deleted.append(item["ReceiptHandle"]))

    async def change_message_visibility_batch(
        self,
        QueueUrl: str,  # noqa: N803
        Entries: list[Entry],  # noqa: N803
    ) -> dict[str, Any]:
        return await self._batch(
            Entries,
            lambda item: self.extended.append((item["ReceiptHandle"], item["VisibilityTimeout"])),
        )

    async def _batch(self, entries: list[Entry], do: Callable[[Entry], None]) -> dict[str, Any]:
        assert 1 <= len(entries) <= BATCH
        assert len({entry["Id"] for entry in entries}) == len(entries)
        await self._called()
        failed = []
        for entry in entries:
            refused = self.refuse(entry)
            if refused:
                failed.append({"Id": entry["Id"], "Code": refused[0], "SenderFault": refused[1]})
            else:
                do(entry)
        return {"Successful": [], "Failed": failed}

    async def _called(self) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.hang:
            await asyncio.Event().wait()
        if self.error:
            raise self.error


@pytest.fixture
def sqs() -> SQS:
    return SQS()


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def queue(sqs: SQS, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> Queue:
    for name in ("DELETE_WAIT_SECONDS", "DELETE_BACKOFF_CAP_SECONDS"):
        monkeypatch.setattr(queue_module, name, 0.001)
    monkeypatch.setattr(Queue, "_heartbeat_seconds", 0.02)
    return Queue(sqs, "q", meter, visibility_timeout=VISIBILITY, wait=0)  # type: ignore[arg-type]


async def received(queue: Queue, sqs: SQS, count: int = 1) -> list[Message]:
    sqs.waiting += [
        {
            "MessageId": f"m{number}",
            "ReceiptHandle": f"r{number}",
            "Body": "",
            "Attributes": {"SentTimestamp": "1500", "ApproximateReceiveCount": "2"},
        }
        for number in range(count)
    ]
    messages: list[Message] = []
    while len(messages) < count:
        messages += await queue.receive()
    return messages


@asynccontextmanager
async def kept(queue: Queue) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(queue.keep_hidden()),
        asyncio.create_task(queue.delete_acknowledged()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(item, asyncio.CancelledError) for item in ended), ended


async def test_a_message_tells_when_it_was_sent_and_how_often_it_came(
    queue: Queue, sqs: SQS
) -> None:
    (message,) = await received(queue, sqs)
    assert (message.sent_at, message.receives) == (1.5, 2)


async def test_all_in_hand_is_extended_again_and_again_and_what_is_let_go_of_is_not(
    queue: Queue, sqs: SQS
) -> None:
    messages = await received(queue, sqs, 25)
    queue.let_go(messages[0])
    async with kept(queue):
        await until(lambda: len(sqs.extended) >= 3 * 24)
    receipts = {receipt for receipt, _ in sqs.extended}
    assert receipts == {f"r{number}" for number in range(1, 25)}
    assert {seconds for _, seconds in sqs.extended} == {VISIBILITY}


async def test_a_receipt_that_has_expired_is_extended_no_more(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    await received(queue, sqs, 2)
    sqs.refuse = lambda item: (
        ("ReceiptHandleIsInvalid", True) if item["ReceiptHandle"] == "r0" else None
    )
    async with kept(queue):
        await until(lambda: len(sqs.extended) >= 3)
    assert meter.errors == {"receipt_expired": 1}


async def test_what_sqs_itself_fails_at_is_extended_at_the_next_heartbeat(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    await received(queue, sqs)
    chances = itertools.count()
    sqs.refuse = lambda _: ("InternalError", False) if next(chances) < 2 else None
    async with kept(queue):
        await until(lambda: len(sqs.extended) >= 2)
    assert meter.errors == {"visibility": 2}


async def test_a_call_that_hangs_does_not_stop_the_heartbeat(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    await received(queue, sqs)
    sqs.hang = True
    async with kept(queue):
        await until(lambda: meter.errors["visibility"] >= 2)
        sqs.hang = False
        await until(lambda: sqs.extended)


async def test_after_twelve_hours_a_message_is_not_extended_and_that_is_counted(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    old, older = await received(queue, sqs, 2)
    old.since -= MAX_VISIBLE_SECONDS - 3
    older.since -= MAX_VISIBLE_SECONDS
    async with kept(queue):
        await until(lambda: len(sqs.extended) >= 2)
    assert {receipt for receipt, _ in sqs.extended} == {"r0"}
    assert all(0 < seconds <= 3 for _, seconds in sqs.extended)
    assert meter.errors == {"visibility_limit": 1}


async def test_deletes_share_calls_and_what_is_deleted_is_not_in_hand(
    queue: Queue, sqs: SQS
) -> None:
    messages = await received(queue, sqs, 25)
    calls = sqs.calls
    for message in messages:
        queue.delete(message)
    await queue.flush()
    assert (sorted(sqs.deleted), sqs.calls - calls) == (sorted(f"r{n}" for n in range(25)), 3)
    await queue.give_back()
    assert sqs.extended == []


async def test_an_entry_that_fails_by_chance_is_deleted_again_and_the_others_only_once(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    chances = itertools.count()
    sqs.refuse = lambda item: (
        ("InternalError", False)
        if "VisibilityTimeout" not in item and item["ReceiptHandle"] == "r1" and next(chances) < 2
        else None
    )
    async with kept(queue):
        for message in await received(queue, sqs, 3):
            queue.delete(message)
        await until(lambda: len(sqs.deleted) == 3)
    assert sqs.deleted == ["r0", "r2", "r1"]
    assert meter.errors == {"delete": 2}


async def test_an_entry_that_will_never_succeed_is_not_tried_again(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    (message,) = await received(queue, sqs)
    sqs.refuse = lambda _: ("InvalidParameterValue", True)
    queue.delete(message)
    await queue.flush()
    await queue.flush()
    assert (sqs.calls, meter.errors) == (2, {"receipt_expired": 1})


async def test_a_delete_that_keeps_failing_is_given_up_and_the_message_let_go_of(
    queue: Queue, sqs: SQS, meter: Meter
) -> None:
    (message,) = await received(queue, sqs)
    sqs.error = ClientError({"Error": {"Code": "ServiceUnavailable"}}, "DeleteMessageBatch")
    queue.delete(message)
    for _ in range(DELETE_ATTEMPTS + 2):
        await queue.flush()
    assert meter.errors == {"delete": DELETE_ATTEMPTS}
    sqs.error = None
    await queue.give_back()
    assert sqs.extended == []


async def test_a_queue_that_is_gone_takes_no_second_attempt(queue: Queue, sqs: SQS) -> None:
    messages = await received(queue, sqs, 12)
    code = "AWS.SimpleQueueService.NonExistentQueue"
    sqs.error = ClientError({"Error": {"Code": code}}, "DeleteMessageBatch")
    queue.delete(messages[0])
    calls = sqs.calls
    await queue.flush()
    await queue.flush()
    await queue.give_back()
    assert sqs.calls - calls == 1 + 2


async def test_what_is_given_back_is_visible_at_once(queue: Queue, sqs: SQS) -> None:
    await received(queue, sqs, 12)
    await queue.give_back()
    assert sorted(sqs.extended) == sorted((f"r{number}", 0) for number in range(12))


async def test_what_a_receive_brings_at_the_last_moment_is_given_back(
    queue: Queue, sqs: SQS
) -> None:
    task = asyncio.create_task(received(queue, sqs))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await queue.give_back()
    assert sqs.extended == [("r0", 0)]
