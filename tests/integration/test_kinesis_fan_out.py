"""Enhanced fan-out: what Kinesis pushes, renewed, broken off, taken over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from detector.sources.kinesis import fan_out, reading
from detector.sources.kinesis.shards import END
from tests.aws import CREDENTIALS
from tests.integration.test_kinesis_source import STARTED, bodies, fails, key, reader
from tests.servers.small_kinesis import ARN, SmallKinesis, message, name, small_kinesis
from tests.waiting import until

pytestmark = pytest.mark.integration

CONSUMER = f"{ARN}/consumer/detector:1700000000"
PUSHED = {"consumer_arn": CONSUMER}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in CREDENTIALS.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(fan_out, "SUBSCRIBE_SECONDS", 0.02)
    monkeypatch.setattr(fan_out, "ACTIVATION_SECONDS", 0.01)
    monkeypatch.setattr(reading, "backoff_seconds", lambda *_, **__: 0.01)


@pytest.fixture
async def kinesis() -> AsyncIterator[SmallKinesis]:
    async with small_kinesis() as server:
        server.add(0)
        yield server


async def test_records_are_pushed_and_committed_as_polled_ones_are(kinesis: SmallKinesis) -> None:
    kinesis.put(0, b"one", b"two", arrived=1_789_560_000.5)
    source = reader(kinesis, fan_out=PUSHED)
    async with source.running():
        delivery = await source.next()
        assert bodies(delivery) == [b"one", b"two"]
        assert delivery.payloads[1].origin == f"kinesis:trail/{name(0)}/1002"
        assert delivery.payloads[1].delivered_at == 1_789_560_000.5
        assert source.positions[key(kinesis, 0)] == "1002:0"
        kinesis.put(0, b"three")
        assert bodies(await source.next()) == [b"three"]
        await until(lambda: source.readiness.is_ready)
    (asked,) = kinesis.calls("SubscribeToShard")
    assert asked["ConsumerARN"] == CONSUMER
    assert asked["StartingPosition"] == {"Type": "TRIM_HORIZON"}
    assert kinesis.calls("GetRecords") == []
    assert (source.budget.deliveries, source.budget.bytes) == (0, 0)


async def test_a_subscription_that_ends_is_renewed_from_where_it_had_come_to(
    kinesis: SmallKinesis,
) -> None:
    kinesis.put(0, b"one")
    source = reader(kinesis, fan_out=PUSHED)
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
        kinesis.end_subscriptions.set()
        await until(lambda: len(kinesis.calls("SubscribeToShard")) == 2)
        kinesis.put(0, b"two")
        assert bodies(await source.next()) == [b"two"]
    again = kinesis.calls("SubscribeToShard")[1]["StartingPosition"]
    assert again == {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "1001"}
    assert source.meter.errors == {}


async def test_a_quiet_shard_is_subscribed_to_again_from_where_it_had_come_to(
    kinesis: SmallKinesis,
) -> None:
    source = reader(kinesis, fan_out=PUSHED)
    async with source.running():
        await until(lambda: source.meter.behind_seconds)
        kinesis.end_subscriptions.set()
        await until(lambda: len(kinesis.calls("SubscribeToShard")) == 2)
        kinesis.put(0, b"one")
        assert bodies(await source.next()) == [b"one"]
    again = kinesis.calls("SubscribeToShard")[1]["StartingPosition"]
    assert again == {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "1000"}


async def test_a_restart_goes_on_behind_what_was_committed(kinesis: SmallKinesis) -> None:
    kinesis.put(0, b"one", b"two")
    positions = {**STARTED, key(kinesis, 0): "1001:4"}
    source = reader(kinesis, positions, fan_out=PUSHED)
    async with source.running():
        assert bodies(await source.next()) == [b"two"]


async def test_children_follow_their_parent(kinesis: SmallKinesis) -> None:
    kinesis.put(0, b"old")
    source = reader(kinesis, fan_out=PUSHED, shards_poll_seconds=3600)
    async with source.running():
        assert bodies(await source.next()) == [b"old"]
        kinesis.add(1, 0)
        kinesis.add(2, 0)
        kinesis.put(1, b"new")
        end = await source.next()
        assert [item.value for item in end.positions] == [END]
        assert bodies(await source.next()) == [b"new"]


def cut(written: bytes) -> bytes:
    return written[:-7]


def flip(written: bytes) -> bytes:
    return written[:-20] + bytes([written[-20] ^ 1]) + written[-19:]


def exception(code: str) -> bytes:
    return message(code, b'{"message": "ordered by the test"}', "exception")


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (cut, "unreachable"),
        (flip, "damaged"),
        (lambda _: exception("ResourceInUseException"), "in_use"),
        (lambda _: exception("InternalFailureException"), "unavailable"),
        (lambda _: exception("KMSThrottlingException"), "throttled"),
        (lambda _: message("SubscribeToShardEvent", b"{}"), "damaged"),
        (lambda _: message("SubscribeToShardEvent", b"[]"), "damaged"),
    ],
)
async def test_what_breaks_a_subscription_loses_and_repeats_nothing(
    kinesis: SmallKinesis, broken: object, kind: str
) -> None:
    kinesis.most = 1
    kinesis.put(0, b"one", b"two")
    source = reader(kinesis, fan_out=PUSHED)
    kinesis.events_to_break.append(lambda written: written)
    kinesis.events_to_break.append(broken)  # type: ignore[arg-type]
    async with source.running():
        assert [bodies(await source.next()) for _ in range(2)] == [[b"one"], [b"two"]]
        kinesis.put(0, b"three")
        assert bodies(await source.next()) == [b"three"]
    assert source.meter.errors == {kind: 1}


async def test_a_subscription_that_is_in_use_is_taken_over_later(kinesis: SmallKinesis) -> None:
    kinesis.fail("SubscribeToShard", "ResourceInUseException", times=10)
    kinesis.put(0, b"one")
    source = reader(kinesis, fan_out=PUSHED)
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
    assert source.meter.errors == {"in_use": 10}


async def test_what_does_not_pass_in_a_subscription_fails_the_source(
    kinesis: SmallKinesis,
) -> None:
    kinesis.events_to_break.extend([lambda _: exception("KMSAccessDeniedException")] * 100)
    said = await fails(reader(kinesis, fan_out=PUSHED))
    assert "KMSAccessDeniedException, in the stream of events; let the role use the key" in said


async def test_a_consumer_is_found_by_its_name(kinesis: SmallKinesis) -> None:
    kinesis.consumers["detector"] = "ACTIVE"
    kinesis.put(0, b"one")
    source = reader(kinesis, fan_out={"consumer_name": "detector"})
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
    (asked,) = kinesis.calls("DescribeStreamConsumer")
    assert asked == {"StreamARN": ARN, "ConsumerName": "detector"}
    assert kinesis.calls("SubscribeToShard")[0]["ConsumerARN"] == CONSUMER


async def test_a_consumer_is_registered_if_that_is_asked_for(kinesis: SmallKinesis) -> None:
    kinesis.put(0, b"one")
    source = reader(kinesis, stream=ARN, fan_out={"consumer_name": "detector", "register": True})
    async with source.running():
        assert bodies(await source.next()) == [b"one"]
    assert len(kinesis.calls("RegisterStreamConsumer")) == 1
    assert kinesis.calls("DescribeStreamSummary") == []


async def test_a_consumer_that_is_not_there_fails_the_source(kinesis: SmallKinesis) -> None:
    said = await fails(reader(kinesis, fan_out={"consumer_name": "detector"}))
    assert "the stream has no consumer detector; register it, or set" in said


async def test_a_full_pipeline_holds_the_pushing_back(kinesis: SmallKinesis) -> None:
    kinesis.most = 1
    kinesis.put(0, *[b"%d" % number for number in range(20)])
    source = reader(kinesis, fan_out=PUSHED, shards_poll_seconds=0.05)
    async with source.running():
        await until(lambda: source.waiting == 3)
        listings = len(kinesis.calls("ListShards"))
        await until(lambda: len(kinesis.calls("ListShards")) > listings + 1)
        assert source.waiting == 3
        found = [body for _ in range(20) for body in bodies(await source.next())]
    assert found == [b"%d" % number for number in range(20)]
