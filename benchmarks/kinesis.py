"""Records per second of a Kinesis stream, through the source and through all of the pipeline.

The floor is a bare loop of GetRecords over the same shards with the same client, which looks at
nothing that it gets. The server is a small one of this file's own, in its own process: it answers
from memory with bodies that were made before, so that it costs little, and every millisecond that
the client and we take shows. kinesis-mock takes longer for an answer than all of our work, and the
ratios would look better than they are. Records are what a CloudWatch Logs subscription puts.

Seconds are those of this process's CPU: the server has the other core, and who waits for whom there
is the machine's affair.

    python -m benchmarks.kinesis [--shards 32] [--answers 3] [--records 50] [--turns 5]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web
from isal import igzip

from benchmarks.logset import log_files
from benchmarks.measure import in_turns
from detector.alerts.routing import Router
from detector.config import KinesisSourceConfig
from detector.pipeline import Pipeline, Settings
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.sources.kinesis import KinesisSource
from detector.sources.source import Readiness, SourceContext
from detector.sources.spool import Spool
from detector.state.sqlite import SQLiteStore
from detector.state.worker import StateWorker

NO_SPOOL = Spool(Path("/dev/null/spool"))
"""Nothing here is too large for memory."""

EVENTS_A_RECORD = 20
"""A subscription sends what came to a log stream in a moment; this is a busy one."""

CONCURRENCY = 6
"""As many calls at once as the source makes by default; the floor makes as many."""

FIRST = 10**55
"""A sequence number is as long as this."""

NOW = 1_789_600_000.0

Process = Callable[[list[Delivery]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Load:
    """What the stream holds: shards, answers of each, records of each of these."""

    shards: int
    answers: int
    records: int

    @property
    def total(self) -> int:
        """All Kinesis records."""
        return self.shards * self.answers * self.records


class NoMeter:
    """A meter of nothing."""

    def fetched(self, size: int) -> None:
        """Take no note."""

    def failed(self, kind: str) -> None:
        """Let the benchmark fail: there is nothing that could."""
        raise AssertionError(kind)

    def behind(self, seconds: float) -> None:
        """Take no note."""


def _bodies(load: Load) -> dict[str, bytes]:
    """Return the body of the answer to each iterator."""
    records = (record for _, batch in log_files(1 << 60) for record in batch)
    bodies: dict[str, bytes] = {}
    for shard in range(load.shards):
        for answer in range(load.answers):
            first = FIRST + answer * load.records
            body: dict[str, Any] = {
                "Records": [
                    {
                        "SequenceNumber": str(first + number),
                        "ApproximateArrivalTimestamp": NOW,
                        "Data": _subscribed([next(records) for _ in range(EVENTS_A_RECORD)]),
                        "PartitionKey": "key",
                    }
                    for number in range(load.records)
                ],
                "MillisBehindLatest": 1000,
            }
            if answer + 1 < load.answers:
                body["NextShardIterator"] = f"{shard}:{answer + 1}"
            bodies[f"{shard}:{answer}"] = msgspec.json.encode(body)
    return bodies


def _subscribed(records: list[dict[str, Any]]) -> str:
    message = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "CloudTrail/logs",
        "logStream": "111122223333_CloudTrail_us-east-1",
        "subscriptionFilters": ["detector"],
        "logEvents": [
            {"id": str(number), "timestamp": 0, "message": msgspec.json.encode(record).decode()}
            for number, record in enumerate(records)
        ],
    }
    body = igzip.compress(msgspec.json.encode(message), compresslevel=2)
    return base64.b64encode(body).decode()


def _serve(load: Load, port: Connection) -> None:
    """Serve a stream of closed shards until killed."""
    bodies = _bodies(load)
    shards = [
        {
            "ShardId": f"shardId-{shard:012d}",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {
                "StartingSequenceNumber": str(FIRST - 1),
                "EndingSequenceNumber": str(FIRST * 2),
            },
        }
        for shard in range(load.shards)
    ]
    listed = msgspec.json.encode({"Shards": shards})

    async def handle(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read())
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        if operation == "GetRecords":
            body = bodies[asked["ShardIterator"]]
        elif operation == "GetShardIterator":
            number = int(asked["ShardId"].removeprefix("shardId-"))
            body = msgspec.json.encode({"ShardIterator": f"{number}:0"})
        else:
            body = listed
        return web.Response(body=body, content_type="application/x-amz-json-1.1")

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run())


@contextmanager
def serving(load: Load) -> Iterator[str]:
    """Serve a stream from a process of its own, and yield the address."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(load, theirs), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        server.kill()
        server.join()


async def floor(address: str, load: Load) -> None:
    """Read all shards with nothing but the client."""
    calls = asyncio.Semaphore(CONCURRENCY)
    config = AioConfig(max_pool_connections=CONCURRENCY + 4, retries={"total_max_attempts": 1})
    async with get_session().create_client(
        "kinesis", "us-east-1", endpoint_url=address, config=config
    ) as client:

        async def read(shard_id: str) -> int:
            response = await client.get_shard_iterator(
                StreamName="bench", ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
            )
            iterator: str | None = response["ShardIterator"]
            count = 0
            while iterator:
                async with calls:
                    answer = await client.get_records(ShardIterator=iterator)
                count += len(answer["Records"])
                iterator = answer.get("NextShardIterator")
            return count

        listed = await client.list_shards(StreamName="bench")
        counts = await asyncio.gather(*(read(shard["ShardId"]) for shard in listed["Shards"]))
    assert sum(counts) == load.total


async def through_the_source(address: str, load: Load, process: Process) -> None:
    """Read all shards with the source, and process what it hands on as the service does."""
    waiting: asyncio.Queue[Delivery] = asyncio.Queue()
    budget = Budget(max_deliveries=64, max_bytes=64 << 20)
    config = KinesisSourceConfig(
        name="bench",
        stream="bench",
        region="us-east-1",
        endpoint_url=address,
        concurrency=CONCURRENCY,
    )

    async def forget(_: object) -> None:
        pass

    context = SourceContext(budget.share(), NoMeter(), Readiness(), {}, forget, NO_SPOOL)
    source = KinesisSource(config, context)
    running = asyncio.create_task(source.run(waiting.put_nowait))
    count = ends = 0
    try:
        while ends < load.shards:
            deliveries = [await waiting.get()]
            while not waiting.empty():
                deliveries.append(waiting.get_nowait())
            await process(deliveries)
            for delivery in deliveries:
                count += len(delivery.payloads)
                ends += any(position.value == "end" for position in delivery.positions)
                await delivery.ack()
                if delivery.hold is not None:
                    delivery.hold.release()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await source.close()
    assert count == load.total


async def _nothing(_: list[Delivery]) -> None:
    pass


async def through_the_pipeline(address: str, load: Load, rules: RuleSet) -> None:
    """Read all shards, match, count and commit to a database file."""
    with (
        tempfile.TemporaryDirectory() as folder,
        SQLiteStore.open(Path(folder) / "state.sqlite3") as store,
    ):
        pipeline = Pipeline(rules, store, Settings(routing=Router.to("stdout")))
        state = StateWorker(store)
        events = 0

        async def process(deliveries: list[Delivery]) -> None:
            nonlocal events
            outcome = await state.call(lambda _: pipeline.process(deliveries, NOW + 60))
            for item in outcome.deliveries:
                assert item.accounting.is_balanced
                assert item.accounting.rejected == 0
                events += item.accounting.received

        try:
            await through_the_source(address, load, process)
        finally:
            state.close()
        assert events == load.total * EVENTS_A_RECORD


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=32, help="so many that no shard's pace shows")
    parser.add_argument("--answers", type=int, default=3)
    parser.add_argument("--records", type=int, default=50, help="in an answer")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rules", type=Path, default=shipped_rules())
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    load = Load(arguments.shards, arguments.answers, arguments.records)
    rules = RuleSet.load(arguments.rules)
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with serving(load) as address:
        print(f"{load.total} records of {EVENTS_A_RECORD} events in {load.shards} shards")

        def bare() -> None:
            uvloop.run(floor(address, load))

        works: dict[str, Callable[[], None]] = {
            "source": lambda: uvloop.run(through_the_source(address, load, _nothing)),
            "all of it": lambda: uvloop.run(through_the_pipeline(address, load, rules)),
        }
        for name, work in works.items():
            ratio, taken, floors = in_turns(work, bare, arguments.turns, time.process_time)
            best = load.total / min(taken)
            print(
                f"{name:<10} {best:>7,.0f} records/s, {best * EVENTS_A_RECORD:>9,.0f} events/s at"
                f" best; {ratio} x the floor's time"
                f" ({load.total / min(floors):,.0f} records/s at best)",
                flush=True,
            )


if __name__ == "__main__":
    main()
