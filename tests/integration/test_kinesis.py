"""The service on a stream of kinesis-mock that is split and merged, while it is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from detector.config import KinesisSourceConfig
from detector.sources.kinesis import KinesisSource, polling
from tests.aws import CREDENTIALS
from tests.kinesis_stream import KinesisStream, subscribed
from tests.kpl import aggregate
from tests.records import NOON, log_file, record
from tests.rules import rule_text
from tests.servers.fault_proxy import (
    Action,
    FaultProxy,
    aws_error,
    edited,
    fault_proxy,
    operation,
    reset,
    truncated,
)
from tests.servers.kinesis_mock import kinesis_mock
from tests.service_process import Service, running
from tests.sources import Reader
from tests.waiting import PATIENCE, until, wait_for

pytestmark = pytest.mark.integration

RESHARDS = int(os.environ.get("DETECTOR_RESHARDS", "5"))
"""How often the stream is split or merged, and the service killed: more in the long form."""

BODIES_A_PHASE = 60

EXPIRED_SECONDS = 310.0
"""An iterator can be used for 300."""

ACCOUNTS = ("111122223333", "444455556666")

POISON = b"\x1f\x8b no gzip at all"

FAULTS: list[Action] = [
    aws_error("ProvisionedThroughputExceededException"),
    aws_error("ExpiredIteratorException"),
    aws_error("InternalFailureException", 500),
    truncated(),
    reset(),
    edited(lambda body: body[: len(body) // 2]),
    edited(lambda body: body.replace(b"NextShardIterator", b"NextShardIterat0r")),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kinesis_mock(tmp_path_factory.mktemp("kinesis-mock")) as address:
        yield address


@pytest.fixture
def proxy(server: str) -> Iterator[FaultProxy]:
    with fault_proxy(server) as running_proxy:
        yield running_proxy


class Load:
    """Records of every shape, put all the time; `expected` counts the events that match."""

    def __init__(self, stream: KinesisStream) -> None:
        self.stream = stream
        self.expected: Counter[tuple[str, int]] = Counter()
        self.poisoned = 0
        self._chance = random.Random(7)  # noqa: S311
        self._begun = int(time.time()) // 300 * 300 - 900
        self._old: list[bytes] = []

    def put(self, bodies: int) -> None:
        made = [self._body() for _ in range(bodies)]
        again = self._chance.sample(self._old, min(len(self._old), bodies // 10))
        self._old += made
        for first in range(0, len(made), 10):
            self.stream.put(made[first : first + 10])
        self.stream.put([*again, POISON])
        self.poisoned += 1

    def _body(self) -> bytes:
        records = [self._record() for _ in range(self._chance.randint(1, 4))]
        shape = self._chance.choice(["subscription", "aggregate", "log file", "probe"])
        if shape == "aggregate":
            return aggregate([("key", log_file(item)) for item in records])
        if shape == "log file":
            return log_file(*records)
        if shape == "probe":
            return aggregate(
                [("key", subscribed([], "CONTROL_MESSAGE")), ("key", subscribed(records))]
            )
        return subscribed(records)

    def _record(self) -> dict[str, Any]:
        account = self._chance.choice(ACCOUNTS)
        window = self._begun + 300 * self._chance.randrange(3)
        matches = self._chance.random() < 0.7
        if matches:
            self.expected[account, window] += 1
        return record(
            "PutUserPolicy" if matches else "GetUser",
            at=window + self._chance.randrange(300) - NOON,
            recipientAccountId=account,
        )


def counted(folder: Path) -> Counter[tuple[str, int]]:
    """Return the counts that the state holds, as its operator sees them."""
    path = folder / "state" / "detector.sqlite3"
    arguments = ["state", "alerts", "--state", str(path), "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "detector", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    counts: Counter[tuple[str, int]] = Counter()
    for alert in json.loads(done.stdout or "[]"):
        (account,) = alert["group"].values()
        start = time.strptime(alert["window"]["start"], "%Y-%m-%dT%H:%M:%SZ")
        counts[account, int(time.mktime(start) - time.timezone)] += alert["count"]
    return counts


def config_of(source: dict[str, Any], folder: Path) -> dict[str, Any]:
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "rule.yml").write_text(
        rule_text(window={"period": 300, "threshold": 1, "group_by": ["recipientAccountId"]})
    )
    return {"sources": [{"name": "trail", **source}], "rules": [str(rules)]}


def test_every_record_counts_once_through_splits_merges_faults_and_kills(
    proxy: FaultProxy, server: str, tmp_path: Path
) -> None:
    stream = KinesisStream(urlsplit(server).netloc, 4)
    load = Load(stream)
    chance = random.Random(11)  # noqa: S311
    config = config_of(stream.config(endpoint_url=proxy.address), tmp_path)
    for number in range(RESHARDS):
        if chance.random() < 0.5:
            proxy.inject(chance.choice(FAULTS), operation("GetRecords", "ListShards"), times=2)
        load.put(BODIES_A_PHASE // 2)
        with running(tmp_path, config, CREDENTIALS) as service:
            writer = threading.Thread(target=load.put, args=(BODIES_A_PHASE // 2,))
            writer.start()
            (stream.split if number % 3 != 1 else stream.merge)()
            reads = proxy.seen["GetRecords"] + chance.randint(1, 20)
            service.wait_until(lambda least=reads: proxy.seen["GetRecords"] > least)  # type: ignore[misc]
            service.kill()
            writer.join(PATIENCE)
            assert not writer.is_alive()
    with running(tmp_path, config, CREDENTIALS) as service:
        wait_for(lambda: counted(tmp_path) == load.expected, patience=60)
        assert service.stop() == 0
    assert counted(tmp_path) == load.expected
    assert len(stream.open_shards()) > 4


def test_the_account_of_a_stream_balances_and_poison_does_not_stop_a_shard(
    server: str, tmp_path: Path
) -> None:
    stream = KinesisStream(urlsplit(server).netloc, 1)
    load = Load(stream)
    with running(tmp_path, config_of(stream.config(), tmp_path), CREDENTIALS) as service:
        load.put(40)
        load.put(40)
        found = service.wait_until(lambda: _when(service, load))
        assert found is not None
        assert found["in"] == sum(value for name, value in found.items() if name != "in")
        metrics = service.metrics()
        assert metrics["detector_source_behind_seconds{source=trail}"] == 0
        assert metrics["detector_deliveries_total{result=nacked}{source=trail}"] == 0
        assert service.get("/readyz")[0] == 200
        assert service.stop() == 0
    assert counted(tmp_path) == load.expected


def _when(service: Service, load: Load) -> dict[str, int] | None:
    """Return the account once all that was put is in it."""
    found = service.records("trail")
    is_all = found["matched"] == sum(load.expected.values()) and found["rejected"] == load.poisoned
    return found if is_all else None


def test_latest_keeps_to_the_moment_of_the_first_start(server: str, tmp_path: Path) -> None:
    stream = KinesisStream(urlsplit(server).netloc, 2)
    Load(stream).put(20)
    # AT_TIMESTAMP of the second that the stream's clock shows takes in all of that second.
    began = int(time.time())
    wait_for(lambda: int(time.time()) > began)
    load = Load(stream)
    config = config_of(stream.config(start="LATEST"), tmp_path)
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: any(line["event"] == "shards begun" for line in service.log))
        service.kill()
    load.put(20)
    stream.split()
    load.put(20)
    with running(tmp_path, config, CREDENTIALS) as service:
        wait_for(lambda: counted(tmp_path) == load.expected, patience=60)


async def test_an_iterator_that_expired_loses_nothing(
    proxy: FaultProxy, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With DETECTOR_ITERATOR_EXPIRY=1 it expires in truth, which takes five minutes."""
    for variable, value in CREDENTIALS.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(polling, "ITERATOR_SECONDS", 1e6)
    stream = KinesisStream(urlsplit(server).netloc, 1)
    config = msgspec.convert(
        {**stream.config(endpoint_url=proxy.address), "name": "trail"}, KinesisSourceConfig
    )
    source = Reader(lambda context: KinesisSource(config, context), max_bytes=64 << 20)
    stream.put([b"one"])
    bodies: list[Any] = []
    async with source.running():
        await source.next()
        bodies += [payload.body for payload in (await source.next()).payloads]
        if os.environ.get("DETECTOR_ITERATOR_EXPIRY"):
            await _expire(source)
        else:
            proxy.inject(aws_error("ExpiredIteratorException"), operation("GetRecords"))
        stream.put([b"two"])
        await until(lambda: source.meter.errors["expired_iterator"])
        bodies += [payload.body for payload in (await source.next()).payloads]
    assert bodies == [b"one", b"two"]
    assert source.meter.errors == {"expired_iterator": 1}


async def _expire(source: Reader[KinesisSource]) -> None:
    """Hold the source back until its iterator has expired, as a full pipeline would."""
    hold = await source.budget.share().acquire(64 << 20)
    await asyncio.sleep(EXPIRED_SECONDS)
    hold.release()
