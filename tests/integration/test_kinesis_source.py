"""The Kinesis source against a small Kinesis that fails when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from detector.config import KinesisSourceConfig
from detector.errors import SourceError
from detector.sources.delivery import Delivery
from detector.sources.kinesis import KinesisSource, polling, reading
from detector.sources.kinesis.shards import END, position_key, start_key
from tests.aws import CREDENTIALS
from tests.kpl import aggregate
from tests.servers.fault_proxy import edited, fault_proxy, operation, truncated
from tests.servers.small_kinesis import SmallKinesis, name, small_kinesis
from tests.sources import Reader
from tests.waiting import until

pytestmark = pytest.mark.integration

STARTED = {start_key("trail"): "TRIM_HORIZON"}
ROOM = 64 << 20


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(polling, "READ_SECONDS", 0.01)
    monkeypatch.setattr(reading, "backoff_seconds", lambda *_, **__: 0.01)


@pytest.fixture
async def kinesis() -> AsyncIterator[SmallKinesis]:
    async with small_kinesis() as server:
        server.add(0)
        yield server


def reader(
    kinesis: SmallKinesis, positions: dict[str, str] | None = None, **changes: Any
) -> Reader[KinesisSource]:
    config = msgspec.convert(
        {
            "type": "kinesis",
            "name": "trail",
            "stream": "trail",
            "region": "us-east-1",
            "endpoint_url": kinesis.address,
            "poll_seconds": 0.02,
            "shards_poll_seconds": 0.5,
            **changes,
        },
        KinesisSourceConfig,
    )
    given = STARTED if positions is None else positions
    return Reader(lambda context: KinesisSource(config, context), given, max_bytes=ROOM)


def bodies(delivery: Delivery) -> list[Any]:
    return [payload.body for payload in delivery.payloads]


def key(kinesis: SmallKinesis, number: int) -> str:
    return position_key("trail", kinesis.shard(number))


async def fails(reader: Reader[KinesisSource]) -> str:
    """Run a source that is to fail, taking what it hands on; return what it says."""
    task = asyncio.create_task(reader.source.run(reader._deliveries.put_nowait))
    try:
        async with asyncio.timeout(30):
            while not task.done():
                if reader.waiting:
                    await reader.next()
                await asyncio.sleep(0.005)
    finally:
        await reader.source.close()
    error = task.exception()
    assert isinstance(error, SourceError)
    return str(error)


async def test_records_come_with_their_origin_their_arrival_and_a_position(
    kinesis: SmallKinesis,
) -> None:
    kinesis.put(0, b"one", b"two", arrived=1_789_560_000.5)
    source = reader(kinesis)
    async with source.running():
        delivery = await source.next()
    assert bodies(delivery) == [b"one", b"two"]
    first, second = delivery.payloads
    assert first.origin == f"kinesis:trail/{name(0)}/1001"
    assert second.delivered_at == 1_789_560_000.5
    assert source.positions[key(kinesis, 0)] == "1002:0"
    assert not delivery.has_redrive
    assert source.meter.bytes == 6
    assert source.readiness.is_ready
    assert source.budget.bytes == 0


async def test_an_aggregate_is_committed_as_a_whole(kinesis: SmallKinesis) -> None:
    body = aggregate([("a", b"1"), ("b", b"2"), ("c", b"3")])
    kinesis.put(0, body)
    source = reader(kinesis)
    async with source.running():
        assert bodies(await source.next()) == [body]
    assert source.positions[key(kinesis, 0)] == "1001:0"


async def test_reading_goes_on_behind_the_position_in_the_state(kinesis: SmallKinesis) -> None:
    kinesis.put(0, b"one", b"two", b"three")
    source = reader(kinesis, {**STARTED, key(kinesis, 0): "1002:7"})
    async with source.running():
        assert bodies(await source.next()) == [b"three"]


async def test_a_child_is_read_when_the_end_of_its_parent_is_committed(
    kinesis: SmallKinesis,
) -> None:
    kinesis.put(0, b"old")
    kinesis.add(1, 0)
    kinesis.put(1, b"new")
    source = reader(kinesis, shards_poll_seconds=0.05)
    async with source.running():
        assert bodies(await source.next()) == [b"old"]
        await until(lambda: source.waiting)
        listings = len(kinesis.calls("ListShards"))
        await until(lambda: len(kinesis.calls("ListShards")) > listings + 1)
        assert {call["ShardId"] for call in kinesis.calls("GetShardIterator")} == {name(0)}
        end = await source.next()
        assert (bodies(end), [item.value for item in end.positions]) == ([], [END])
        assert bodies(await source.next()) == [b"new"]


async def test_shards_are_listed_anew_when_one_has_ended(kinesis: SmallKinesis) -> None:
    source = reader(kinesis, shards_poll_seconds=3600)
    async with source.running():
        await until(lambda: kinesis.calls("GetRecords"))
        kinesis.add(1, 0)
        kinesis.put(1, b"new")
        assert bodies(await source.next()) == []
        assert bodies(await source.next()) == [b"new"]


async def test_where_the_first_start_began_is_kept_before_anything_is_read(
    kinesis: SmallKinesis,
) -> None:
    kinesis.date = 1_789_560_000.0
    kinesis.put(0, b"before", arrived=kinesis.date - 1)
    kinesis.put(0, b"after", arrived=kinesis.date + 1)
    source = reader(kinesis, {}, start="LATEST")
    async with source.running():
        await until(lambda: source.waiting)
        assert kinesis.calls("GetShardIterator") == []
        kept = await source.next()
        assert kept.positions[0].value == "2026-09-16T12:00:00.000+00:00"
        assert bodies(await source.next()) == [b"after"]
    (asked,) = kinesis.calls("GetShardIterator")
    assert (asked["ShardIteratorType"], asked["Timestamp"]) == ("AT_TIMESTAMP", kinesis.date)


async def test_latest_stays_the_moment_of_the_first_start(kinesis: SmallKinesis) -> None:
    """Neither a restart before the first record nor a new shard skips anything."""
    kinesis.date = 1_789_560_000.0
    first = reader(kinesis, {}, start="LATEST")
    async with first.running():
        await first.next()
    kinesis.put(0, b"while it was down", arrived=kinesis.date + 10)
    kinesis.add(1, 0)
    kinesis.put(1, b"in a child", arrived=kinesis.date + 20)
    kinesis.date += 3600
    second = reader(kinesis, first.positions, start="LATEST")
    async with second.running():
        found = [bodies(await second.next()) for _ in range(3)]
    assert found == [[b"while it was down"], [], [b"in a child"]]


async def test_a_start_that_is_to_come_is_refused(kinesis: SmallKinesis) -> None:
    kinesis.date = 1_789_560_000.0
    said = await fails(reader(kinesis, {}, start="2026-09-16T12:00:01Z"))
    assert "sources.start lies in the future; set it to LATEST" in said


async def test_an_expired_iterator_is_made_anew_behind_what_was_handed_on(
    kinesis: SmallKinesis,
) -> None:
    kinesis.put(0, b"one")
    source = reader(kinesis, start="LATEST")
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
        kinesis.fail("GetRecords", "ExpiredIteratorException")
        kinesis.put(0, b"two")
        assert bodies(await source.next()) == [b"two"]
    last = kinesis.calls("GetShardIterator")[-1]
    assert last["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"
    assert last["StartingSequenceNumber"] == "1001"
    assert source.meter.errors == {"expired_iterator": 1}


async def test_an_old_iterator_is_not_used(
    kinesis: SmallKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "ITERATOR_SECONDS", 0.0)
    kinesis.most = 1
    kinesis.put(0, b"one", b"two", b"three")
    source = reader(kinesis)
    async with source.running():
        assert [bodies(await source.next()) for _ in range(3)] == [[b"one"], [b"two"], [b"three"]]
    asked = [call.get("StartingSequenceNumber") for call in kinesis.calls("GetShardIterator")]
    assert asked[:3] == [None, "1001", "1002"]


@pytest.mark.parametrize(
    ("operation", "code", "kind"),
    [
        ("GetRecords", "ProvisionedThroughputExceededException", "throttled"),
        ("GetRecords", "KMSThrottlingException", "throttled"),
        ("GetRecords", "InternalFailureException", "unavailable"),
        ("GetRecords", "AccessDeniedException", "denied"),
        ("GetShardIterator", "ProvisionedThroughputExceededException", "throttled"),
        ("ListShards", "LimitExceededException", "throttled"),
        ("ListShards", "ResourceInUseException", "in_use"),
        ("ListShards", "ExpiredTokenException", "expired_token"),
    ],
)
async def test_what_passes_is_tried_again(
    kinesis: SmallKinesis, operation: str, code: str, kind: str
) -> None:
    kinesis.fail(operation, code, times=3)
    kinesis.put(0, b"one")
    source = reader(kinesis)
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
        assert source.readiness.is_ready
    assert source.meter.errors == {kind: 3}


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        ("ListShards", "ResourceNotFoundException", "check sources.stream and sources.region"),
        ("ListShards", "AccessDeniedException", "allow the role kinesis:ListShards on the stream"),
        ("GetRecords", "AccessDeniedException", "allow the role kinesis:GetRecords on the stream"),
        ("GetRecords", "ExpiredTokenException", "give the detector credentials that are renewed"),
        ("GetRecords", "KMSAccessDeniedException", "let the role use the key"),
        ("GetRecords", "ResourceNotFoundException", "there is no such stream or consumer"),
        ("GetShardIterator", "InvalidArgumentException", "check the source's settings"),
    ],
)
async def test_what_does_not_pass_fails_the_source_with_a_remedy(
    kinesis: SmallKinesis, operation: str, code: str, says: str
) -> None:
    kinesis.fail(operation, code, times=1000)
    source = reader(kinesis)
    said = await fails(source)
    assert f"source trail: {operation}: {code}; " in said
    assert says in said
    assert sum(source.meter.errors.values()) == reading.PERMANENT_ATTEMPTS
    assert source.readiness.successes == 0


async def test_no_credentials_are_named_for_what_they_are(
    kinesis: SmallKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "give the detector credentials" in await fails(reader(kinesis))


@pytest.mark.parametrize(
    "fault",
    [
        truncated(),
        edited(lambda body: body[: len(body) // 2]),
        edited(lambda body: b"<html>503</html>"),
        edited(lambda body: b""),
        edited(lambda body: b"[]"),
        edited(lambda body: b'{"Records": 7}'),
        edited(lambda body: body.replace(b'"Records"', b'"Rxcords"')),
        edited(lambda body: body.replace(b"NextShardIterator", b"NextShardIterat0r")),
        edited(lambda body: body.replace(b'"b25l', b'"b2')),
        edited(lambda body: body.replace(b'"1001"', b'"10x1"')),
        edited(lambda body: body.replace(b'"1001"', b"1001")),
    ],
)
async def test_a_damaged_answer_is_neither_the_end_of_a_shard_nor_lost(
    kinesis: SmallKinesis, fault: Any
) -> None:
    kinesis.put(0, b"one")
    with fault_proxy(kinesis.address) as proxy:
        proxy.inject(fault, operation("GetRecords"), times=2)
        source = reader(kinesis, endpoint_url=proxy.address)
        async with source.running():
            assert bodies(await source.next()) == [b"one"]
            reads = len(kinesis.calls("GetRecords"))
            await until(lambda: len(kinesis.calls("GetRecords")) > reads + 2)
            assert source.waiting == 0
    assert sum(source.meter.errors.values()) == 2
    assert set(source.meter.errors) <= {"damaged", "unreachable"}


async def test_a_damaged_list_of_shards_forgets_nothing(kinesis: SmallKinesis) -> None:
    kinesis.put(0, b"one")
    with fault_proxy(kinesis.address) as proxy:
        proxy.inject(edited(lambda body: b'{"Shards": []}'), operation("ListShards"))
        proxy.inject(edited(lambda body: b"{}"), operation("ListShards"))
        source = reader(kinesis, {**STARTED, "trail/gone/1": END}, endpoint_url=proxy.address)
        async with source.running():
            assert bodies(await source.next()) == [b"one"]
    assert source.meter.errors == {"damaged": 2}
    assert source.forgotten == ["trail/gone/1"]


async def test_the_slowest_shard_says_how_far_the_source_has_come(kinesis: SmallKinesis) -> None:
    kinesis.add(1)
    kinesis.shards[name(1)].behind = 7_200_000
    kinesis.put(0, b"one")
    kinesis.put(1, b"two")
    source = reader(kinesis)
    async with source.running():
        deliveries = [await source.next(), await source.next()]
        kinesis.put(0, b"three")
        deliveries.append(await source.next())
    assert source.meter.behind_seconds[-1] == 7200
    until_when = [item.delivered_until for item in deliveries]
    assert until_when[0] == 0
    for item in deliveries[1:]:
        assert item.delivered_until is not None
        assert item.received_at - 7210 < item.delivered_until < item.received_at - 7190


async def test_a_full_pipeline_stops_the_reading(kinesis: SmallKinesis) -> None:
    kinesis.most = 1
    kinesis.put(0, *[b"%d" % number for number in range(20)])
    source = reader(kinesis, shards_poll_seconds=0.05)
    async with source.running():
        await until(lambda: source.waiting == 3)  # the budget's number of deliveries
        reads = len(kinesis.calls("GetRecords"))
        listings = len(kinesis.calls("ListShards"))
        await until(lambda: len(kinesis.calls("ListShards")) > listings + 1)
        assert (source.waiting, len(kinesis.calls("GetRecords"))) == (3, reads)
        found = [body for _ in range(20) for body in bodies(await source.next())]
    assert found == [b"%d" % number for number in range(20)]


async def test_what_was_cancelled_in_the_middle_gives_its_place_back(
    kinesis: SmallKinesis,
) -> None:
    source = reader(kinesis, poll_seconds=0.001)
    async with source.running():
        await until(lambda: len(kinesis.calls("GetRecords")) > 3)
    assert (source.budget.deliveries, source.budget.bytes) == (0, 0)


async def test_a_shard_that_is_gone_is_forgotten_and_not_read_any_more(
    kinesis: SmallKinesis,
) -> None:
    kinesis.add(1)
    kinesis.put(0, b"one")
    source = reader(kinesis, shards_poll_seconds=0.05)
    gone = key(kinesis, 0)
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
        del kinesis.shards[name(0)]
        await until(lambda: gone in source.forgotten)
        kinesis.put(1, b"two")
        assert bodies(await source.next()) == [b"two"]
