"""Objects and records per second from S3 to the state, and how far that is from bare GETs.

    python -m benchmarks.s3 [--records 100000] [--turns 5] [--sizes 50 5000] [--concurrency 16]

The floor is a loop of GETs with the same client, as many at once: what S3's client and HTTP cost.
Above it come the queue's part (a queue in this process stands for SQS), the budget, the match stage
with the shipped rules, counting and commits. The objects are served by nginx where it is installed,
from a port of 127.0.0.1, else by Python's own server, which is slower than what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from isal import igzip

from benchmarks.logset import log_files
from benchmarks.measure import in_turns
from detector.alerts.routing import Router
from detector.config import BucketConfig, S3SQSSourceConfig
from detector.counting.context import Settings
from detector.pipeline import Pipeline
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.sources.s3_sqs import S3SQSSource
from detector.sources.source import Readiness, SourceContext
from detector.sources.spool import Spool
from detector.state.sqlite import SQLiteStore

NO_SPOOL = Spool(Path("/dev/null/spool"))
"""Nothing here is too large for memory."""

BUCKET = "trail"
STARTUP_SECONDS = 20.0

Client = Any
"""An S3 client, or what stands for one."""


class InProcessQueue:
    """Stands for SQS: hands out a message for each object, and takes deletes."""

    def __init__(self, keys: Sequence[tuple[str, int]]) -> None:
        self._bodies = [json.dumps({"Records": [_announcement(*item)]}) for item in keys]
        self._next = 0
        self._left = len(keys)
        self.is_empty = asyncio.Event()

    async def receive_message(self, **_: Any) -> dict[str, Any]:
        """Hand out the next messages; wait for ever when there are none."""
        if self._next == len(self._bodies):
            await asyncio.Event().wait()
        first, self._next = self._next, min(self._next + 10, len(self._bodies))
        return {
            "Messages": [
                {"MessageId": str(at), "ReceiptHandle": str(at), "Body": self._bodies[at]}
                for at in range(first, self._next)
            ]
        }

    async def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        """Take messages back."""
        self._left -= len(request["Entries"])
        if not self._left:
            self.is_empty.set()
        return {}

    async def change_message_visibility_batch(self, **_: Any) -> dict[str, Any]:
        """Nothing comes back by itself."""
        return {}

    async def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        """Return that messages are set aside."""
        return {"Attributes": {"RedrivePolicy": "{}"}}


class Source(S3SQSSource):
    """The source, between that queue and a client that is there already."""

    clients: tuple[Any, Client]

    async def _connect(self) -> Any:
        return self.clients


class Meter:
    """Takes no notes."""

    def fetched(self, size: int) -> None:
        """Take no note of it."""

    def failed(self, kind: str) -> None:
        """Fail: nothing should."""
        raise AssertionError(kind)

    def behind(self, seconds: float) -> None:
        """Take no note of it."""


async def _forget(_: object) -> None:
    pass


async def fetch_bare(client: Client, keys: Sequence[tuple[str, int]], concurrency: int) -> None:
    """Get all objects, so many at once."""
    waiting = iter(keys)

    async def get() -> None:
        for key, size in waiting:
            answer = await client.get_object(Bucket=BUCKET, Key=key)
            async with answer["Body"] as body:
                assert len(await body.read()) == size

    await asyncio.gather(*(get() for _ in range(concurrency)))


async def take_all(
    client: Client, keys: Sequence[tuple[str, int]], rules: RuleSet, concurrency: int
) -> int:
    """Take all objects as the service does; return how many records came in."""
    config = S3SQSSourceConfig(
        name="s3",
        queue_url="http://127.0.0.1/q",
        buckets=(BucketConfig(bucket=BUCKET),),
        concurrency=concurrency,
    )
    budget = Budget(max_deliveries=64, max_bytes=64 << 20)
    context = SourceContext(budget.share(), Meter(), Readiness(), {}, _forget, NO_SPOOL)
    source = Source(config, context)
    queue = InProcessQueue(keys)
    source.clients = (queue, client)
    deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
    received = 0
    with tempfile.TemporaryDirectory() as folder, SQLiteStore.open(Path(folder) / "s") as store:
        pipeline = Pipeline(rules, store, Settings(routing=Router.to("stdout")))

        async def work() -> None:
            nonlocal received
            while True:
                batch = [await deliveries.get()]
                while not deliveries.empty():
                    batch.append(deliveries.get_nowait())
                outcome = pipeline.process(batch, time.time())
                received += sum(item.accounting.received for item in outcome.deliveries)
                for delivery in batch:
                    await delivery.ack()
                    if delivery.hold is not None:
                        delivery.hold.release()

        tasks = [
            asyncio.create_task(source.run(deliveries.put_nowait)),
            asyncio.create_task(work()),
        ]
        await queue.is_empty.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await source.close()
    return received


def _announcement(key: str, size: int) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-09-16T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": size}},
    }


def write_objects(folder: Path, records: int, a_file: int) -> list[tuple[str, int]]:
    """Write objects of so many records each; return their keys and sizes."""
    (folder / BUCKET).mkdir()
    stream = itertools.chain.from_iterable(batch for _, batch in log_files(records))
    keys: list[tuple[str, int]] = []
    while batch := list(itertools.islice(stream, a_file)):
        body = igzip.compress(json.dumps({"Records": batch}).encode(), compresslevel=2)
        key = f"{len(keys)}.json.gz"
        (folder / BUCKET / key).write_bytes(body)
        keys.append((key, len(body)))
    return keys


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a folder; yield the server's name and address, and stop it by its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if nginx:
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
            f" events {{ worker_connections 1024; }} http {{ access_log off; etag off;"
            f" keepalive_requests 1000000; client_body_temp_path {folder}/t1;"
            f" proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;"
            f" uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;"
            f" server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"
        )
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    else:
        command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(folder)]
        command.append(str(port))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(port)
            yield ("nginx" if nginx else "Python's server"), f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.05)


def measure(records: int, a_file: int, turns: int, concurrency: int, rules: RuleSet) -> None:
    """Measure with objects of one size, and print the figures."""
    loop = uvloop.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        keys = write_objects(Path(folder), records, a_file)
        with served(Path(folder)) as (server, address):
            making = get_session().create_client(
                "s3",
                "us-east-1",
                endpoint_url=address,
                aws_access_key_id="benchmark",
                aws_secret_access_key="benchmark",  # noqa: S106 - no secret of anything
                config=AioConfig(max_pool_connections=concurrency, s3={"addressing_style": "path"}),
            )
            client = loop.run_until_complete(making.__aenter__())

            def run(work: Coroutine[Any, Any, Any]) -> Any:
                return loop.run_until_complete(work)

            def work() -> None:
                assert run(take_all(client, keys, rules, concurrency)) == records

            ratio, works, floors = in_turns(
                work, lambda: run(fetch_bare(client, keys, concurrency)), turns
            )
            loop.run_until_complete(making.__aexit__(None, None, None))
    loop.close()
    size = sum(size for _, size in keys) / len(keys)
    print(f"{len(keys)} objects of {a_file} records, {size:,.0f} bytes each, served by {server}")
    print(f"  bare GETs   {len(keys) / min(floors):>7,.0f} objects/s at best")
    print(
        f"  the source  {len(keys) / min(works):>7,.0f} objects/s,"
        f" {records / min(works):>9,.0f} records/s at best"
    )
    print(f"  ratio       {ratio} x the time of bare GETs, median of {turns} turns")


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 5000])
    parser.add_argument("--concurrency", type=int, default=16)
    arguments = parser.parse_args()
    rules = RuleSet.load(shipped_rules())
    for a_file in arguments.sizes:
        measure(arguments.records, a_file, arguments.turns, arguments.concurrency, rules)


if __name__ == "__main__":
    main()
