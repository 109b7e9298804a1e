"""Every way in which CloudTrail's events come to a queue, all in one, on two emulators of AWS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws import CREDENTIALS
from tests.records import NOON, record, zipped_log_file
from tests.servers.fault_proxy import FaultProxy, delayed, fault_proxy
from tests.service_process import running
from tests.sqs_ways import KEY, VISIBILITY, Ways, asks

pytestmark = pytest.mark.integration

RECEIVES = 2
"""After so many a message goes to the dead-letter queue."""


@pytest.fixture(params=["moto", "localstack_host"])
def ways(request: pytest.FixtureRequest) -> Ways:
    return Ways(request.getfixturevalue(request.param))


def fresh(**fields: Any) -> dict[str, Any]:
    """Return a record of this moment, as EventBridge has it within seconds."""
    return record(at=time.time() - NOON, **fields)


def test_all_ways_in_lead_to_the_same_count_and_copies_to_none(ways: Ways, tmp_path: Path) -> None:
    events = [record(at=300 * number) for number in range(9)]
    with running(tmp_path, ways.config(), CREDENTIALS) as service:
        for event, bucket in zip(events, ways.buckets, strict=False):
            ways.deliver(bucket, "a b+c.json", event)
        several = [ways.deliver(ways.told, f"{number}.json", events[number]) for number in (5, 6)]
        ways.tell(*several, KEY + "a b+c.json")
        ways.tell(ways.deliver(ways.told, "raw.json", events[7]), raw=True)
        ways.validate_topic()
        own = fresh()
        ways.put_event(own)
        ways.put_event(own)
        # Each once more by another way, and one message twice.
        ways.deliver(ways.wrapped, "copy.json", events[0], events[3])
        ways.deliver(ways.bridged, "copy.json", events[1], own, events[8])
        ways.tell(*several)
        service.wait_until(lambda: service.records("trail")["matched"] == 10)
        service.wait_until(lambda: service.records("trail")["duplicate"] == 7)
        service.wait_until(lambda: ways.queue_counts() == (0, 0))
        account = service.records("trail")
        # CloudTrail's validation message is skipped.
        assert account == {**account, "unmatched": 0, "skipped": 1, "rejected": 0, "in": 18}
        assert service.metrics()["detector_source_behind_seconds{source=trail}"] < 60
        assert service.stop() == 0
        assert service.logged("message left to the queue") == []


def test_what_cannot_be_read_ends_in_the_dead_letter_queue_and_a_strangers_bucket_is_not_asked(
    ways: Ways, tmp_path: Path
) -> None:
    dead = ways.set_redrive(RECEIVES)
    stranger = ways.stranger()
    with (
        fault_proxy(ways.endpoint) as proxy,
        running(tmp_path, ways.through(proxy), CREDENTIALS) as service,
    ):
        asked = proxy.inject(delayed(0), asks(stranger), times=None)
        ways.s3.put_object(Bucket=stranger, Key=KEY + "a.json", Body=zipped_log_file(record()))
        damaged = zipped_log_file(record())[:-20]
        ways.s3.put_object(Bucket=ways.bucket, Key=KEY + "damaged.json.gz", Body=damaged)
        ways.s3.put_object(Bucket=ways.bucket, Key="access-logs/a", Body=b"not CloudTrail's")
        ways.tell(KEY + "gone.json")
        ways.send("hello")
        good = [ways.deliver(ways.told, f"{number}.json", record()) for number in range(5)]
        ways.tell(*good)
        service.wait_until(lambda: ways.count(dead) == 5)
        assert ways.queue_counts() == (0, 0)
        reasons = [line["reason"] for line in service.logged("rejected")]
        assert {reason: reasons.count(reason) for reason in reasons} == {
            "object_not_allowed": 2 * RECEIVES,
            "object_missing": RECEIVES,
            "truncated": RECEIVES,
            "malformed_json": RECEIVES,
        }
        left = service.logged("message left to the queue")
        assert sorted({line["receives"] for line in left}) == [1, 2]
        assert (asked.met, service.records("trail")["matched"]) == (0, 5)
        assert service.stop() == 0


@pytest.fixture
def slow_way(localstack_host: str) -> Iterator[tuple[Ways, FaultProxy]]:
    ways = Ways(localstack_host)
    with fault_proxy(ways.endpoint) as proxy:
        yield ways, proxy


def test_an_object_slower_than_three_visibility_timeouts_is_not_read_twice(
    slow_way: tuple[Ways, FaultProxy], tmp_path: Path
) -> None:
    ways, proxy = slow_way
    slow = proxy.inject(delayed(3.5 * VISIBILITY), asks("slow.json"), times=None)
    with running(tmp_path, ways.through(proxy), CREDENTIALS) as service:
        started = time.monotonic()
        ways.deliver(ways.bucket, "slow.json", record())
        ways.deliver(ways.wrapped, "quick.json", record())
        service.wait_until(lambda: service.records("trail")["matched"] == 1)
        service.wait_until(lambda: service.records("trail")["matched"] == 2)
        assert time.monotonic() - started > 3 * VISIBILITY
        service.wait_until(lambda: ways.queue_counts() == (0, 0))
        assert (slow.met, service.records("trail")["duplicate"]) == (1, 0)
        assert service.stop() == 0
