"""Records per second over HTTP into a running service, and how far that is from the floor.

The floor is an aiohttp handler that only reads the body. Both are processes of their own, and get
the same requests in turns from a sender in this one. What the service does more: it checks the key,
inflates, decodes JSON and base64, matches the records of each log file, and answers only when all
that came of them, and the request's id, is committed.

    python -m benchmarks.firehose [--records 50000] [--turns 5] [--gzip]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web
from isal import igzip

from benchmarks.logset import write_log_set
from benchmarks.measure import bodies_of, in_turns
from detector.rules.loader import shipped_rules

KEY = "benchmark"
FILES_A_REQUEST = 100
"""Log files of some 50 records each, compressed as CloudTrail writes them: about 1 MB."""

CONNECTIONS = 4
RULE = shipped_rules() / "cis" / "iam_policy_changes.yml"


def requests_of(bodies: Sequence[bytes], *, compress: bool) -> list[bytes]:
    """Return the bodies of requests that carry log files; their ids are new each time."""
    requests = []
    for first in range(0, len(bodies), FILES_A_REQUEST):
        files = bodies[first : first + FILES_A_REQUEST]
        records = [{"data": base64.b64encode(body).decode()} for body in files]
        document = {"requestId": str(uuid.uuid4()), "records": records}
        body = msgspec.json.encode(document)
        requests.append(igzip.compress(body, 1) if compress else body)
    return requests


async def send(url: str, requests: Sequence[bytes], *, compress: bool) -> None:
    """Send all requests, some at a time, and see each answered."""
    waiting = list(requests)
    headers = {"Content-Type": "application/json", "X-Amz-Firehose-Access-Key": KEY}
    if compress:
        headers["Content-Encoding"] = "gzip"

    async def work(session: aiohttp.ClientSession) -> None:
        while waiting:
            async with session.post(url, data=waiting.pop()) as response:
                text = await response.text()
                assert response.status == 200, text

    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(*(work(session) for _ in range(CONNECTIONS)))


@contextmanager
def floor_server() -> Iterator[str]:
    """Run the handler that only reads, in a process of its own; yield its address."""
    with _process([sys.executable, "-m", "benchmarks.firehose", "--floor"]) as url:
        yield url


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """Run a service with a Firehose source and one rule; yield its address."""
    source = {"type": "firehose", "port": 0, "access_keys": [KEY]}
    config = {
        "sources": [source],
        "sinks": [{"type": "stdout"}],
        "rules": [str(RULE)],
        "telemetry": {"port": 0},
    }
    path = folder / "detector.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    with _process([sys.executable, "-m", "detector", "run", "--config", str(path)]) as url:
        yield url


@contextmanager
def _process(command: Sequence[str]) -> Iterator[str]:
    """Run a process that writes its address in a line of JSON on standard error."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        try:
            lines = (json.loads(line) for line in process.stderr)
            yield next(line["address"] for line in lines if "address" in line)
        finally:
            process.terminate()


def serve_floor() -> None:
    """Read bodies and answer, and nothing else, until terminated."""

    async def read(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({})

    async def serve() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/", read)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        print(json.dumps({"address": f"http://{host}:{port}/"}), file=sys.stderr, flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--gzip", action="store_true", help="requests are compressed")
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.floor:
        serve_floor()
        return
    compress: bool = arguments.gzip
    with tempfile.TemporaryDirectory() as name, floor_server() as floor_url:
        folder = Path(name)
        logs = write_log_set(folder / "logs", arguments.records)
        bodies = bodies_of(logs.folder)
        # Made beforehand: none is sent twice, as a retry would cost nothing.
        sets = [requests_of(bodies, compress=compress) for _ in range(arguments.turns + 2)]
        size = sum(map(len, sets[0])) / (1 << 20)
        print(f"{logs.records} records, {len(sets[0])} requests, {size:.1f} MiB")
        with service(folder) as url:
            ratio, works, floors = in_turns(
                lambda: asyncio.run(send(url, sets.pop(), compress=compress)),
                lambda: asyncio.run(send(floor_url, sets[0], compress=compress)),
                arguments.turns,
            )
    print(f"floor     {logs.records / min(floors):>9,.0f} records/s at best")
    print(f"firehose  {logs.records / min(works):>9,.0f} records/s at best")
    print(f"ratio     {ratio} x the floor's time, median of {arguments.turns} turns")


if __name__ == "__main__":
    main()
