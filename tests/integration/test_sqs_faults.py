"""What networks, queues and buckets do to the SQS source, and what it makes of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.aws import CREDENTIALS
from tests.records import record, zipped_log_file
from tests.servers.fault_proxy import (
    Action,
    FaultProxy,
    Forward,
    Request,
    answer,
    answered,
    aws_error,
    delayed,
    edited,
    fault_proxy,
    operation,
    truncated,
)
from tests.service_process import Service, running
from tests.sqs_ways import KEY, Ways, asks

pytestmark = pytest.mark.integration

FETCH_ERRORS = "detector_source_errors_total{kind=%s}{source=trail}"
TELLING = {"etag", "x-amz-checksum-crc32", "x-amz-checksum-type"}
"""Headers by which a damaged body would be found out."""


@pytest.fixture
def ways(moto: str) -> Ways:
    return Ways(moto)


@pytest.fixture
def proxy(ways: Ways) -> Iterator[FaultProxy]:
    with fault_proxy(ways.endpoint) as proxy:
        yield proxy


def cut_in_silence() -> Action:
    """Answer with the first half of a body, as if that were all."""

    async def act(_: web.Request, forward: Forward) -> web.StreamResponse:
        got = await forward()
        headers = {
            name: value for name, value in got.headers.items() if name.lower() not in TELLING
        }
        return answered(got.status, got.body[: len(got.body) // 2], headers)

    return act


def put_zipped(ways: Ways, name: str) -> str:
    body = zipped_log_file(record())
    ways.s3.put_object(Bucket=ways.told, Key=KEY + name, Body=body)
    return KEY + name


def is_done(service: Service, ways: Ways, matched: int) -> bool:
    return service.records("trail")["matched"] == matched and ways.queue_counts() == (0, 0)


def test_bodies_damaged_on_the_way_are_fetched_again_until_they_are_whole(
    ways: Ways, proxy: FaultProxy, tmp_path: Path
) -> None:
    faults = {
        "broken-off": truncated(),
        "changed": edited(lambda body: body[:-4] + bytes(4)),
        "slow-down": answer(503, b"<Error><Code>SlowDown</Code></Error>"),
        "cut": cut_in_silence(),
    }
    met = {name: proxy.inject(action, asks(name)) for name, action in faults.items()}
    with running(tmp_path, ways.through(proxy), CREDENTIALS) as service:
        for name in faults:
            ways.tell(put_zipped(ways, f"{name}.json.gz"))
        service.wait_until(lambda: is_done(service, ways, len(faults)))
        assert {name: fault.met for name, fault in met.items()} == dict.fromkeys(faults, 1)
        assert service.metrics()[FETCH_ERRORS % "object_incomplete"] == 2
        # Only the one that nothing gave away reached the pipeline before it was whole.
        assert [line["reason"] for line in service.logged("rejected")] == ["truncated"]
        assert service.logged("message left to the queue") == []
        assert service.stop() == 0


def test_a_bucket_of_another_owner_is_not_read_and_the_log_says_what_to_check(
    ways: Ways, proxy: FaultProxy, tmp_path: Path
) -> None:
    # No emulator looks at whose bucket is expected, so that this stands for S3's check of it.
    owner, other = "111122223333", "999988887777"
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    def is_of_another(request: Request) -> bool:
        headers = {name.lower(): value for name, value in request.headers.items()}
        expected = headers.get("x-amz-expected-bucket-owner")
        return request.method == "GET" and expected not in {None, owner}

    proxy.inject(answer(403, denied), is_of_another, times=None)
    buckets = [{"bucket": ways.told, "owner": owner}, {"bucket": ways.bucket, "owner": other}]
    config = ways.through(proxy, buckets=buckets)
    with running(tmp_path, config, CREDENTIALS) as service:
        ways.deliver(ways.bucket, "a.json", record())
        ways.tell(put_zipped(ways, "b.json.gz"))
        service.wait_until(lambda: service.records("trail")["matched"] == 1)
        service.wait_until(lambda: service.logged("message left to the queue"))
        rejected = service.logged("rejected")[0]
        assert rejected["reason"] == "object_owner_differs"
        assert "bucket_owner" in rejected["message"]
        assert service.records("trail")["matched"] == 1
        assert service.stop() == 0


def test_a_queue_that_vanishes_and_comes_back_is_read_again(
    ways: Ways, proxy: FaultProxy, tmp_path: Path
) -> None:
    name = ways.queue.rsplit("/", 1)[1]
    state = "detector_source_state{source=trail}{state=%s}"
    held = proxy.inject(delayed(14), asks("held"), times=1)
    with running(tmp_path, ways.through(proxy), CREDENTIALS) as service:
        ways.tell(put_zipped(ways, "before.json.gz"))
        service.wait_until(lambda: is_done(service, ways, 1))
        ways.tell(put_zipped(ways, "held.json.gz"))
        service.wait_until(lambda: held.met)
        ways.sqs.delete_queue(QueueUrl=ways.queue)
        # What is in hand is counted, although nobody can be told that it is done.
        service.wait_until(lambda: service.metrics()[state % "failing"] == 1)
        service.wait_until(lambda: service.records("trail")["matched"] == 2)
        assert service.get("/readyz") == (503, "source trail is not read\n")
        (failed, *_) = service.logged("source failed, it is tried again")
        assert "NonExistentQueue" in failed["error"]
        assert "check sources.queue_url" in failed["error"]
        ways.sqs.create_queue(QueueName=name)
        key = put_zipped(ways, "after.json.gz")
        ways.send(json.dumps({"s3Bucket": ways.told, "s3ObjectKey": [key]}))
        service.wait_until(lambda: is_done(service, ways, 3))
        assert service.metrics()[state % "running"] == 1
        assert service.stop() == 0


def test_a_queue_that_throttles_is_asked_less_and_less_and_nothing_is_lost(
    ways: Ways, proxy: FaultProxy, tmp_path: Path
) -> None:
    throttled = aws_error("RequestThrottled", 400)
    refused = proxy.inject(throttled, operation("ReceiveMessage"), times=None)
    with running(tmp_path, ways.through(proxy), CREDENTIALS) as service:
        ways.tell(put_zipped(ways, "a.json.gz"))
        service.wait_until(lambda: service.logged("queue not read"))
        # The client repeats a call four times itself, and waits longer and longer.
        assert refused.met <= 2 * 5
        assert service.get("/readyz")[0] == 503
        proxy.heal()
        deletes = proxy.inject(throttled, operation("DeleteMessageBatch"), times=6)
        service.wait_until(lambda: is_done(service, ways, 1))
        assert deletes.met == 6
        assert service.metrics()[FETCH_ERRORS % "delete"] >= 1
        assert service.stop() == 0
