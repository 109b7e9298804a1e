"""What becomes of a message: its objects fetched in parts, again where damaged, deleted or not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError

from detector.errors import PayloadError
from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.sources.s3_sqs import handling as handling_module
from detector.sources.s3_sqs import objects as objects_module
from detector.sources.s3_sqs.allowed import AllowedObjects
from detector.sources.s3_sqs.handling import Handling
from detector.sources.s3_sqs.message import Message
from detector.sources.s3_sqs.objects import FETCH_ATTEMPTS, Objects
from detector.sources.s3_sqs.work import PART_BYTES, UNKNOWN_OBJECT_BYTES
from detector.sources.spool import Spool
from tests.sources import Meter
from tests.waiting import until

MAX_OBJECT = 3 * PART_BYTES
OWNER = "111122223333"

Answer = bytes | Exception | dict[str, Any]


class Body:
    def __init__(self, body: bytes | Exception) -> None:
        self._body = body

    async def __aenter__(self) -> Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, size: int = -1) -> bytes:
        await asyncio.sleep(0)
        if isinstance(self._body, Exception):
            raise self._body
        end = size if size > 0 else len(self._body)
        taken, self._body = self._body[:end], self._body[end:]
        return taken


class S3:
    """Answers for each key what it was told to, in turn; the last answer again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[dict[str, str]] = []

    async def get_object(self, **request: str) -> dict[str, Any]:
        self.asked.append(request)
        await asyncio.sleep(0)
        answers = self.answers.get(request["Key"])
        if answers is None:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            answer = {"Body": answer}
        body = answer["Body"]
        given = {"ContentLength": len(body) if isinstance(body, bytes) else 10}
        return {**given, **answer, "Body": Body(body)}


class Queue:
    """Remembers what was deleted, and what was let go of."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.left: list[str] = []

    def delete(self, message: Message) -> None:
        self.deleted.append(message.id)

    def let_go(self, message: Message) -> None:
        self.left.append(message.id)


class Desk:
    """A `Handling` and what is around it."""

    def __init__(
        self,
        *,
        max_bytes: int = 1 << 30,
        request_payer: bool = False,
        spool: Spool | None = None,
    ) -> None:
        self.s3, self.queue, self.meter = S3(), Queue(), Meter()
        self.budget = Budget(max_deliveries=64, max_bytes=max_bytes)
        self.emitted: list[Delivery] = []
        objects = Objects(
            self.s3,  # type: ignore[arg-type]
            AllowedObjects("any", OWNER),
            self.meter,
            max_bytes=MAX_OBJECT,
            concurrency=4,
            request_payer=request_payer,
            spool=spool,
        )
        self.handling = Handling(
            "trail",
            self.queue,  # type: ignore[arg-type]
            objects,
            self.budget.share(),
            self.meter,
            max_object_bytes=MAX_OBJECT,
            emit=self.emitted.append,
        )

    async def begin(self, *keys: str, sizes: Collection[int | None] = ()) -> None:
        """Begin with a message of CloudTrail's own, or of S3's where sizes are given."""
        if sizes:
            body = json.dumps(
                {"Records": [s3_record(*item) for item in zip(keys, sizes, strict=True)]}
            )
        else:
            body = json.dumps({"s3Bucket": "trail", "s3ObjectKey": keys})
        await self.handling.begin(Message("m", body, "r", sent_at=5.0))

    async def next(self) -> Delivery:
        await until(lambda: self.emitted)
        return self.emitted.pop(0)

    async def done(self, delivery: Delivery, *reasons: str) -> None:
        """Do with a delivery what the service does."""
        await (delivery.nack(reasons) if reasons else delivery.ack())
        assert delivery.hold is not None
        delivery.hold.release()


def s3_record(key: str, size: int | None) -> dict[str, Any]:
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "trail"}, "object": {"key": key, "size": size}},
    }


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling_module, "REFETCH_SECONDS", 0)
    monkeypatch.setattr(objects_module, "backoff_seconds", lambda *_: 0)


def bodies(delivery: Delivery) -> list[object]:
    return [
        item.body.reason if isinstance(item.body, PayloadError) else item.body
        for item in delivery.payloads
    ]


async def test_a_message_is_deleted_when_all_of_its_objects_are_done_with() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"A"], "b": [b"B"]}
    await desk.begin("a", "b")
    delivery = await desk.next()
    assert bodies(delivery) == [b"A", b"B"]
    assert (delivery.has_redrive, desk.queue.deleted) == (True, [])
    assert desk.budget.bytes == 2
    await desk.done(delivery)
    assert (desk.queue.deleted, desk.queue.left, desk.meter.bytes) == (["m"], [], 2)
    assert desk.budget.deliveries == 0
    assert desk.s3.asked[0] == {"Bucket": "trail", "Key": "a", "ExpectedBucketOwner": OWNER}


async def test_objects_that_do_not_fit_together_are_parts_and_the_message_waits_for_all() -> None:
    desk = Desk()
    large = b"x" * (PART_BYTES - 1)
    desk.s3.answers = {"a": [large], "b": [large], "c": [b"C"]}
    await desk.begin("a", "b", "c", sizes=[len(large), len(large), 1])
    first, second = await desk.next(), await desk.next()
    assert [len(first.payloads), len(second.payloads)] == [1, 2]
    await desk.done(first, "too_deep")
    assert (desk.queue.deleted, desk.queue.left) == ([], [])
    await desk.done(second)
    assert (desk.queue.deleted, desk.queue.left) == ([], ["m"])


async def test_an_object_larger_than_its_place_waits_for_a_larger_one() -> None:
    desk = Desk(max_bytes=2 * UNKNOWN_OBJECT_BYTES)
    large = b"x" * (2 * UNKNOWN_OBJECT_BYTES)
    desk.s3.answers = {"small": [b"S"], "large": [large]}
    await desk.begin("small", "large")
    first = await desk.next()
    assert bodies(first) == [b"S"]
    for _ in range(20):
        await asyncio.sleep(0)
    assert desk.emitted == []
    await desk.done(first)
    second = await desk.next()
    assert bodies(second) == [large]
    assert desk.queue.deleted == []
    await desk.done(second)
    assert desk.queue.deleted == ["m"]
    assert desk.budget.bytes == 0


async def test_only_a_place_in_the_budget_lets_a_receiver_go_on() -> None:
    desk = Desk(max_bytes=10)
    desk.s3.answers = {"a": [b"A" * 8]}
    await desk.begin("a", sizes=[8])
    second = asyncio.create_task(desk.begin("a", sizes=[8]))
    delivery = await desk.next()
    assert not second.done()
    await desk.done(delivery)
    await second
    await desk.done(await desk.next())


@pytest.mark.parametrize("reason", ["truncated", "corrupt", "malformed_json"])
async def test_a_damaged_body_is_fetched_once_more_and_counted_if_it_is_whole(reason: str) -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"dam", b"whole"]}
    await desk.begin("a")
    await desk.done(await desk.next(), reason)
    again = await desk.next()
    assert bodies(again) == [b"whole"]
    assert (desk.queue.deleted, desk.queue.left) == ([], [])
    await desk.done(again)
    assert (desk.queue.deleted, desk.queue.left) == (["m"], [])


async def test_one_that_is_damaged_where_it_lies_is_left_to_the_queue_at_once() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"damaged"]}
    await desk.begin("a")
    await desk.done(await desk.next(), "truncated")
    await until(lambda: desk.queue.left)
    assert (desk.emitted, len(desk.s3.asked), desk.budget.deliveries) == ([], 2, 0)


async def test_a_body_that_is_damaged_in_two_ways_is_not_fetched_a_third_time() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"one", b"other", b"whole"]}
    await desk.begin("a")
    await desk.done(await desk.next(), "corrupt")
    await desk.done(await desk.next(), "truncated")
    assert (desk.queue.left, len(desk.s3.asked)) == (["m"], 2)


async def test_what_is_damaged_while_the_source_stops_is_left_to_the_queue() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"dam", b"whole"]}
    await desk.begin("a")
    desk.handling.stop()
    await desk.done(await desk.next(), "truncated")
    assert (desk.queue.left, len(desk.s3.asked)) == (["m"], 1)


async def test_a_transfer_that_breaks_off_is_repeated_and_counted() -> None:
    desk = Desk()
    broken = {"Body": IncompleteReadError(actual_bytes=1, expected_bytes=10)}
    desk.s3.answers = {"a": [broken, TimeoutError(), b"whole"]}
    await desk.begin("a")
    assert bodies(await desk.next()) == [b"whole"]
    assert desk.meter.errors == {"object_incomplete": 1, "object_unavailable": 1}


async def test_a_transfer_that_always_breaks_off_is_given_up() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [{"Body": IncompleteReadError(actual_bytes=1, expected_bytes=10)}]}
    await desk.begin("a")
    assert bodies(await desk.next()) == ["object_incomplete"]
    assert len(desk.s3.asked) == FETCH_ATTEMPTS


async def test_a_body_shorter_than_announced_is_fetched_again() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"who", b"whole"]}
    await desk.begin("a", sizes=[5])
    assert bodies(await desk.next()) == [b"whole"]


async def test_a_body_of_another_md5_than_its_etag_is_fetched_again() -> None:
    desk = Desk()
    etag = f'"{hashlib.md5(b"whole").hexdigest()}"'  # noqa: S324
    desk.s3.answers = {"a": [{"Body": b"whalo", "ETag": etag}, {"Body": b"whole", "ETag": etag}]}
    await desk.begin("a")
    assert bodies(await desk.next()) == [b"whole"]


async def test_what_comes_twice_the_same_is_what_there_is_whatever_was_announced() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"overwritten since"]}
    await desk.begin("a", sizes=[5])
    assert bodies(await desk.next()) == [b"overwritten since"]
    assert len(desk.s3.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"ETag": f'"{"0" * 32}"', "ServerSideEncryption": "aws:kms"},
        {"ETag": f'"{"0" * 32}-2"'},
        {"ETag": f'"{"0" * 32}"', "ChecksumSHA256": "compared by the client"},
        {},
    ],
)
async def test_an_etag_that_is_no_md5_raises_no_doubt(answer: dict[str, str]) -> None:
    desk = Desk()
    desk.s3.answers = {"a": [{"Body": b"whole", **answer}]}
    await desk.begin("a")
    assert bodies(await desk.next()) == [b"whole"]
    assert len(desk.s3.asked) == 1


async def test_a_key_of_eventbridge_is_decoded_only_where_there_is_none_as_given() -> None:
    desk = Desk()
    desk.s3.answers = {"a+b": [b"as given"], "c d": [b"decoded"]}
    for key in ("a+b", "c+d", "e+f"):
        event = {
            "detail-type": "Object Created",
            "source": "aws.s3",
            "detail": {"bucket": {"name": "trail"}, "object": {"key": key}},
        }
        await desk.handling.begin(Message(key, json.dumps(event), key))
    found = {
        delivery.payloads[0].origin: bodies(delivery)
        for delivery in [await desk.next(), await desk.next(), await desk.next()]
    }
    assert found == {
        "s3://trail/a+b": [b"as given"],
        "s3://trail/c+d": [b"decoded"],
        "s3://trail/e+f": ["object_missing"],
    }


async def test_a_message_that_holds_records_is_handed_on_itself() -> None:
    desk = Desk()
    body = json.dumps({"detail-type": "AWS API Call via CloudTrail", "detail": {}})
    await desk.handling.begin(Message("m", body, "r", sent_at=5.0))
    delivery = await desk.next()
    (payload,) = delivery.payloads
    assert (payload.origin, payload.body, payload.delivered_at) == ("sqs:m", body.encode(), 5.0)
    assert desk.budget.bytes == len(body)


@pytest.mark.parametrize("body", ["hello", "\ud800", '{"Records": 1}', ""])
async def test_a_message_that_is_not_understood_is_left_to_the_queue(body: str) -> None:
    desk = Desk()
    await desk.handling.begin(Message("m", body, "r"))
    delivery = await desk.next()
    await desk.done(delivery, "unrecognised")
    assert (desk.queue.deleted, desk.queue.left) == ([], ["m"])


async def test_a_fault_of_ours_in_one_message_leaves_it_to_the_queue_and_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Objects, "fetch", fail)
    await desk.begin("a")
    await until(lambda: desk.queue.left)
    assert (desk.queue.left, desk.budget.deliveries) == (["m"], 0)
    assert desk.meter.errors == {"handling": 1}


async def test_refusals_that_meet_other_objects_too_are_counted_until_one_is_read() -> None:
    desk = Desk()
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
    desk.s3.answers = {"denied": [denied], "good": [b"G"]}
    for expected, key in enumerate(("denied", "denied"), 1):
        await desk.begin(key)
        assert bodies(await desk.next()) == ["object_owner_differs"]
        assert desk.handling.refused_in_a_row == expected
    await desk.begin("gone")
    await desk.next()
    assert desk.handling.refused_in_a_row == 2
    await desk.begin("good")
    await desk.next()
    assert desk.handling.refused_in_a_row == 0


async def test_a_bucket_that_has_its_readers_pay_is_asked_for_at_our_cost() -> None:
    desk = Desk(request_payer=True)
    desk.s3.answers = {"a": [b"A"]}
    await desk.begin("a")
    await desk.next()
    assert desk.s3.asked[0]["RequestPayer"] == "requester"


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def spooled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each object of more than a byte go to the spool."""
    monkeypatch.setattr(objects_module, "IN_MEMORY_BYTES", 1)
    desk.s3.answers = {"a": [b"on disk"], "b": [b"on disk too"]}


async def test_a_body_that_cannot_be_looked_at_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.s3.answers = {"a": [b"A"]}

    def fail(_: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(handling_module, "size_of", fail)
    await desk.begin("a")
    await until(lambda: desk.queue.left)
    assert desk.budget.deliveries == 0


@pytest.mark.parametrize("failing", ["the first body", "the second body"])
async def test_a_damaged_body_that_cannot_be_compared_leaves_no_place_and_no_file(
    failing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk = Desk(spool=Spool(tmp_path))
    spooled(desk, monkeypatch)
    await desk.begin("a")
    delivery = await desk.next()
    calls = 0

    async def md5(_: object) -> bytes:
        nonlocal calls
        calls += 1
        if calls == (1 if failing == "the first body" else 2):
            raise OSError
        return b""

    monkeypatch.setattr(handling_module, "md5", md5)
    await desk.done(delivery, "truncated")
    await until(lambda: desk.queue.left)
    assert (desk.budget.deliveries, files_in(tmp_path)) == (0, [])
    assert desk.meter.errors == {"handling": 1}


@pytest.mark.parametrize("when", ["at once", "while one is compared"])
async def test_what_is_cancelled_leaves_no_place(
    when: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk = Desk(spool=Spool(tmp_path))
    spooled(desk, monkeypatch)
    await desk.begin("a")
    if when == "while one is compared":
        delivery = await desk.next()
        compared = 0

        async def md5(_: object) -> bytes:
            nonlocal compared
            compared += 1
            if compared == 2:
                await asyncio.Event().wait()
            return b""

        monkeypatch.setattr(handling_module, "md5", md5)
        await desk.done(delivery, "truncated")
        await until(lambda: compared == 2)
    await desk.handling.close()
    assert (desk.budget.deliveries, desk.emitted) == (0, [])
    if when == "while one is compared":
        assert files_in(tmp_path) == []


@pytest.mark.parametrize("ending", ["fails", "is cancelled"])
async def test_where_one_object_fails_the_files_of_the_others_are_removed(
    ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk = Desk(spool=Spool(tmp_path))
    spooled(desk, monkeypatch)
    go_on = asyncio.Event()
    fetch = Objects.fetch
    fetched = []

    async def fetch_or_fail(self: Objects, reference: Any, room: int) -> Any:
        if reference.key == "b" and ending == "fails":
            raise ZeroDivisionError
        if reference.key == "b" or ending == "fails":
            await go_on.wait()
        fetched.append(reference.key)
        return await fetch(self, reference, room)

    monkeypatch.setattr(Objects, "fetch", fetch_or_fail)
    await desk.begin("a", "b")
    if ending == "fails":
        for _ in range(20):
            await asyncio.sleep(0)
        assert desk.budget.deliveries == 1  # one is still being fetched
        go_on.set()
        await until(lambda: desk.queue.left)
    else:
        await until(lambda: [path.read_bytes() for path in files_in(tmp_path)] == [b"on disk"])
        await desk.handling.close()
    assert fetched == ["a"]
    assert (desk.budget.deliveries, files_in(tmp_path)) == (0, [])


async def test_a_body_whose_etag_cannot_be_compared_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk = Desk(spool=Spool(tmp_path))
    spooled(desk, monkeypatch)
    desk.s3.answers["a"] = [{"Body": b"on disk", "ETag": f'"{"0" * 32}"'}]

    async def md5(_: object) -> bytes:
        raise OSError

    monkeypatch.setattr(objects_module, "md5", md5)
    await desk.begin("a")
    await until(lambda: desk.queue.left)
    assert (desk.budget.deliveries, files_in(tmp_path)) == (0, [])


async def test_a_body_of_untold_length_has_no_more_room_than_its_place() -> None:
    desk = Desk()
    body = b"x" * (3 * UNKNOWN_OBJECT_BYTES)
    desk.s3.answers = {"a": [{"Body": body, "ContentLength": None}]}
    await desk.begin("a")
    delivery = await desk.next()
    assert bodies(delivery) == [body]
    # Places of 1 MiB, 2 MiB and 4 MiB, of which in the end what it has is kept.
    assert (len(desk.s3.asked), desk.budget.bytes) == (3, len(body))
    await desk.done(delivery, "truncated")
    await until(lambda: desk.queue.left)
    assert (len(desk.s3.asked), desk.budget.deliveries) == (4, 0)
    assert desk.meter.errors == {}


async def test_a_body_of_untold_length_is_refused_past_the_cap() -> None:
    desk = Desk()
    desk.s3.answers = {"a": [{"Body": b"x" * (MAX_OBJECT + 1), "ContentLength": None}]}
    await desk.begin("a")
    assert bodies(await desk.next()) == ["too_large"]


async def test_a_large_body_of_untold_length_lies_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(objects_module, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(objects_module, "_CHUNK_BYTES", 600)
    desk = Desk(spool=Spool(tmp_path))
    body = bytes(range(250)) * 10
    desk.s3.answers = {"a": [{"Body": body, "ContentLength": None}]}
    await desk.begin("a")
    (payload,) = (await desk.next()).payloads
    assert isinstance(payload.body, Path)
    assert payload.body.read_bytes() == body


async def test_a_full_disk_is_counted_and_slows_the_queue_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    desk = Desk(spool=Spool(tmp_path / "file"))
    spooled(desk, monkeypatch)
    await desk.begin("a")
    assert bodies(await desk.next()) == ["no_space"]
    assert desk.meter.errors == {"no_space": 1}
    assert desk.handling.refused_in_a_row == 1


async def test_an_object_that_is_skipped_by_its_name_does_not_end_a_row_of_refusals() -> None:
    desk = Desk()
    desk.s3.answers = {"denied": [ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")]}
    digest = "AWSLogs/1/CloudTrail-Digest/eu-west-1/2026/01/02/1_CloudTrail-Digest_x.json.gz"
    for keys in (["denied"], [digest], ["denied", digest]):
        await desk.begin(*keys)
        await desk.next()
    assert desk.handling.refused_in_a_row == 2
    assert [request["Key"] for request in desk.s3.asked] == ["denied", "denied"]
