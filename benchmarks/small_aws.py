"""Just enough of SQS and S3 for a source, and the webhook at the other end, in one process.

It announces objects on its queue at a constant rate, whether or not anybody keeps up, and notes for
each when it could be received, when it was handed out, when its object was asked for, and when the
webhook's request for it came in. All times are of this process's own clock.

    POST /load     {"rate": 10, "seconds": 20, "first": 0}; answered when all have come, or none do
    POST /hook     the webhook

Source: Amazon SQS API Reference, ReceiveMessage, DeleteMessageBatch, ChangeMessageVisibilityBatch.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import uvloop
from aiohttp import web
from isal import igzip

from benchmarks.logset import log_files
from benchmarks.storm import matching_record

BUCKET = "trail"
OTHERS = 20
"""Records of a file that match nothing; one more does."""

PATIENCE_SECONDS = 30.0
"""What has brought no request so long after the last was announced is lost."""

_EVENT_ID = re.compile(rb"aaaaaaaa-bbbb-cccc-dddd-(\d{12})")
"""That of a matching record, which holds its number, wherever in the alert it stands."""


class Times(msgspec.Struct):
    """What became of one object, in seconds of the clock; None where it did not come to that."""

    announced: float
    received: float | None = None
    fetched: float | None = None
    told: float | None = None


class Outcome(msgspec.Struct):
    """What `/load` answers: the times of each object, and how often each operation was called."""

    times: list[Times]
    calls: dict[str, int]


class SmallAWS:
    """The queue, the bucket and the webhook."""

    def __init__(self) -> None:
        self.times: dict[int, Times] = {}
        self.calls: collections.Counter[str] = collections.Counter()
        self._objects: dict[int, bytes] = {}
        self._waiting: collections.deque[int] = collections.deque()
        self._news = asyncio.Condition()
        self._all_told = asyncio.Event()
        self._untold = 0

    async def load(self, request: web.Request) -> web.Response:
        """Announce objects at a constant rate, and answer when all have come to the webhook."""
        order = await request.json()
        first, count = order["first"], max(round(order["rate"] * order["seconds"]), 1)
        numbers = range(first, first + count)
        self._objects = dict(zip(numbers, _objects(numbers), strict=True))
        self.times.clear()
        self.calls.clear()
        self._untold = count
        self._all_told.clear()
        began = time.monotonic()
        for number in numbers:
            await asyncio.sleep(began + (number - first) / order["rate"] - time.monotonic())
            self.times[number] = Times(time.monotonic())
            await self._announce(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._all_told.wait()
        outcome = Outcome([self.times[number] for number in numbers], dict(self.calls))
        return web.Response(body=msgspec.json.encode(outcome), content_type="application/json")

    async def queue(self, request: web.Request) -> web.Response:
        """Answer a call to SQS."""
        operation = request.headers["X-Amz-Target"].removeprefix("AmazonSQS.")
        self.calls[operation] += 1
        call = await request.json()
        if operation == "ReceiveMessage":
            numbers = await self._receive(call["MaxNumberOfMessages"], call["WaitTimeSeconds"])
            return web.json_response({"Messages": list(map(_message, numbers))})
        if operation == "GetQueueAttributes":
            return web.json_response({"Attributes": {"RedrivePolicy": "{}"}})
        if operation == "ChangeMessageVisibilityBatch":
            for entry in call["Entries"]:
                if entry["VisibilityTimeout"] == 0:
                    await self._announce(int(entry["ReceiptHandle"]))
        elif operation != "DeleteMessageBatch":
            return web.json_response({"__type": "UnsupportedOperation"}, status=400)
        done = [{"Id": entry["Id"]} for entry in call["Entries"]]
        return web.json_response({"Successful": done, "Failed": []})

    async def get_object(self, request: web.Request) -> web.Response:
        """Answer a GetObject."""
        number = int(request.match_info["number"])
        self.calls["GetObject"] += 1
        self.times[number].fetched = self.times[number].fetched or time.monotonic()
        body = self._objects[number]
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return web.Response(body=body, headers={"ETag": f'"{digest}"'})

    async def hook(self, request: web.Request) -> web.Response:
        """Take an alert."""
        now = time.monotonic()
        self.calls["webhook"] += 1
        for number in map(int, _EVENT_ID.findall(await request.read())):
            if number in self.times and self.times[number].told is None:
                self.times[number].told = now
                self._untold -= 1
        if not self._untold:
            self._all_told.set()
        return web.Response()

    async def _announce(self, number: int) -> None:
        async with self._news:
            self._waiting.append(number)
            self._news.notify()

    async def _receive(self, most: int, wait: float) -> list[int]:
        """Return what waits, or wait for it as a long poll does."""
        try:
            async with asyncio.timeout(wait), self._news:
                await self._news.wait_for(lambda: self._waiting)
                now = time.monotonic()
                numbers = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
                for number in numbers:
                    self.times[number].received = self.times[number].received or now
                return numbers
        except TimeoutError:
            return []


def _message(number: int) -> dict[str, object]:
    event = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": {"key": f"{number}.json.gz"}},
    }
    body = json.dumps({"Records": [event]})
    return {
        "MessageId": str(number),
        "ReceiptHandle": str(number),
        "MD5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "Body": body,
        "Attributes": {
            "SentTimestamp": str(int(time.time() * 1000)),
            "ApproximateReceiveCount": "1",
        },
    }


def _objects(numbers: range) -> Iterator[bytes]:
    """Yield a log file for each number, with one record that matches in the midst of others."""
    now = int(time.time())
    wanted = OTHERS * len(numbers)
    # Some of the set's are about IAM, which the rule may match.
    generated = itertools.chain.from_iterable(
        batch for _, batch in log_files(2 * wanted + 1_000, seed=numbers.start)
    )
    others = (item for item in generated if item["eventSource"] != "iam.amazonaws.com")
    written_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    for number in numbers:
        records = [item | {"eventTime": written_at} for item in itertools.islice(others, OTHERS)]
        assert len(records) == OTHERS
        records.insert(OTHERS // 2, matching_record(number, number, now))
        yield igzip.compress(msgspec.json.encode({"Records": records}), compresslevel=1)


async def serve() -> None:
    """Serve on a free port of 127.0.0.1, and write its address in a line on standard error."""
    aws = SmallAWS()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/load", aws.load)
    app.router.add_post("/hook", aws.hook)
    app.router.add_get(f"/{BUCKET}/{{number:\\d+}}.json.gz", aws.get_object)
    app.router.add_post("/{path:.*}", aws.queue)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(json.dumps({"address": f"http://{host}:{port}"}), file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
