"""A small Kinesis of a test's own: one stream, in memory, with errors to order.

It has what the emulators lack: SubscribeToShard over HTTP/1.1, with the event stream encoding as
AWS documents it, and every error at the moment that a test wants it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
import zlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from detector.sources.kinesis.shards import Shard

ARN = "arn:aws:kinesis:us-east-1:111122223333:stream/trail"
ITERATOR_PAUSE = 0.01


@dataclass
class SmallShard:
    """A shard; its sequence numbers begin with `first` and have no gaps."""

    id: str
    first: int
    parents: tuple[str, ...] = ()
    records: list[tuple[bytes, float]] = field(default_factory=list)
    is_closed: bool = False
    behind: int = 0
    """What it says of how far behind an answer is, in milliseconds."""


@dataclass
class SmallKinesis:
    """A stream `trail`. `asked` has each call's operation and request; `errors` those to come."""

    shards: dict[str, SmallShard] = field(default_factory=dict)
    consumers: dict[str, str] = field(default_factory=dict)
    """Statuses of the registered consumers, by name; CREATING becomes ACTIVE when looked at."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    errors: dict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))
    """Codes with which the next calls of an operation fail."""
    events_to_break: deque[Callable[[bytes], bytes]] = field(default_factory=deque)
    """What becomes of the next events; a connection is broken off behind one that is cut short."""
    end_subscriptions: asyncio.Event = field(default_factory=asyncio.Event)
    date: float | None = None
    """What it says the time is; the clock's where None."""
    most: int = 100
    """Records in an answer at most."""
    address: str = ""

    def add(self, number: int, *parents: int) -> SmallShard:
        """Add an open shard; its parents are closed."""
        shard = SmallShard(name(number), 1000 * (number + 1), tuple(map(name, parents)))
        for parent in shard.parents:
            self.shards[parent].is_closed = True
        self.shards[shard.id] = shard
        return shard

    def put(self, number: int, *bodies: bytes, arrived: float | None = None) -> None:
        """Put records into a shard."""
        moment = time.time() if arrived is None else arrived
        self.shards[name(number)].records += [(body, moment) for body in bodies]

    def fail(self, operation: str, code: str, times: int = 1) -> None:
        """Let the next calls of an operation fail."""
        self.errors[operation] += [code] * times

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """Return the requests of an operation so far."""
        return [request for asked, request in self.asked if asked == operation]

    def shard(self, number: int) -> Shard:
        """Return a shard as the source knows it."""
        made = self.shards[name(number)]
        return Shard(made.id, str(made.first), made.parents, made.is_closed)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a call."""
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        asked = json.loads(await request.read())
        self.asked.append((operation, asked))
        if self.errors[operation]:
            return self._error(self.errors[operation].popleft())
        if operation == "SubscribeToShard":
            return await self._subscribe(request, asked)
        return getattr(self, f"_{operation}")(asked)  # type: ignore[no-any-return]

    def _ListShards(self, _: dict[str, Any]) -> web.Response:  # noqa: N802 - AWS's name
        return self._answer(Shards=[_described(shard) for shard in self.shards.values()])

    def _GetShardIterator(self, asked: dict[str, Any]) -> web.Response:  # noqa: N802
        index = self._index(
            asked["ShardId"],
            asked["ShardIteratorType"],
            asked.get("StartingSequenceNumber"),
            asked.get("Timestamp"),
        )
        return self._answer(ShardIterator=f"{asked['ShardId']}:{index}")

    def _GetRecords(self, asked: dict[str, Any]) -> web.Response:  # noqa: N802
        shard_id, _, index = asked["ShardIterator"].partition(":")
        shard = self.shards[shard_id]
        records = shard.records[int(index) : int(index) + self.most]
        end = int(index) + len(records)
        answer: dict[str, Any] = {
            "Records": [_record(shard, int(index) + place) for place in range(len(records))],
            "MillisBehindLatest": shard.behind,
        }
        if shard.is_closed and end == len(shard.records):
            answer["ChildShards"] = self._children(shard)
        else:
            answer["NextShardIterator"] = f"{shard_id}:{end}"
        return self._answer(**answer)

    def _DescribeStreamSummary(self, _: dict[str, Any]) -> web.Response:  # noqa: N802
        return self._answer(StreamDescriptionSummary={"StreamName": "trail", "StreamARN": ARN})

    def _DescribeStreamConsumer(self, asked: dict[str, Any]) -> web.Response:  # noqa: N802
        consumer = asked["ConsumerName"]
        if consumer not in self.consumers:
            return self._error("ResourceNotFoundException")
        status = self.consumers[consumer]
        self.consumers[consumer] = "ACTIVE"
        return self._answer(
            ConsumerDescription={
                "ConsumerName": consumer,
                "ConsumerARN": f"{ARN}/consumer/{consumer}:1700000000",
                "ConsumerStatus": status,
            }
        )

    def _RegisterStreamConsumer(self, asked: dict[str, Any]) -> web.Response:  # noqa: N802
        self.consumers[asked["ConsumerName"]] = "CREATING"
        return self._answer(Consumer={"ConsumerName": asked["ConsumerName"]})

    async def _subscribe(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        shard = self.shards[asked["ShardId"]]
        position = asked["StartingPosition"]
        index = self._index(
            shard.id, position["Type"], position.get("SequenceNumber"), position.get("Timestamp")
        )
        response = web.StreamResponse(
            headers={"Content-Type": "application/vnd.amazon.eventstream"}
        )
        await response.prepare(request)
        await response.write(message("initial-response", b"{}"))
        self.end_subscriptions.clear()
        is_quiet = False
        while not self.end_subscriptions.is_set():
            records = [
                _record(shard, place)
                for place in range(index, min(index + self.most, len(shard.records)))
            ]
            index += len(records)
            event: dict[str, Any] = {
                "Records": records,
                "MillisBehindLatest": shard.behind,
                "ContinuationSequenceNumber": str(shard.first + index),
            }
            is_over = shard.is_closed and index == len(shard.records)
            if is_over:
                event["ChildShards"] = self._children(shard)
            if records or is_over or not is_quiet:
                written = message("SubscribeToShardEvent", json.dumps(event).encode())
                if self.events_to_break:
                    written = self.events_to_break.popleft()(whole := written)
                    await response.write(written)
                    if len(written) < len(whole) and request.transport is not None:
                        request.transport.abort()
                        return response
                else:
                    await response.write(written)
                is_quiet = not records
            if is_over:
                break
            await asyncio.sleep(ITERATOR_PAUSE)
        await response.write_eof()
        return response

    def _index(
        self, shard_id: str, kind: str, sequence_number: str | None, moment: float | None
    ) -> int:
        shard = self.shards[shard_id]
        if kind == "AFTER_SEQUENCE_NUMBER":
            return max(0, int(sequence_number or 0) - shard.first)
        if kind == "AT_TIMESTAMP":
            arrivals = [arrived for _, arrived in shard.records]
            return next(
                (place for place, arrived in enumerate(arrivals) if arrived >= (moment or 0.0)),
                len(arrivals),
            )
        return 0

    def _children(self, parent: SmallShard) -> list[dict[str, Any]]:
        return [
            {
                "ShardId": shard.id,
                "ParentShards": list(shard.parents),
                "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            }
            for shard in self.shards.values()
            if parent.id in shard.parents
        ]

    def _answer(self, **fields: Any) -> web.Response:
        response = web.json_response(fields, content_type="application/x-amz-json-1.1")
        if self.date is not None:
            response.headers["Date"] = time.strftime(
                "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.date)
            )
        return response

    def _error(self, code: str) -> web.Response:
        return web.json_response(
            {"__type": code, "message": "ordered by the test"},
            status=400,
            content_type="application/x-amz-json-1.1",
        )


@asynccontextmanager
async def small_kinesis() -> AsyncIterator[SmallKinesis]:
    """Serve a stream without shards on a free port."""
    server = SmallKinesis()
    app = web.Application()
    app.router.add_post("/", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.address = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.end_subscriptions.set()
        await runner.cleanup()


def name(number: int) -> str:
    """Return a shard's id."""
    return f"shardId-{number:012d}"


def message(event: str, payload: bytes, kind: str = "event") -> bytes:
    """Return a message of an event stream: lengths, headers and payload, each with its CRC.

    Source: Amazon Transcribe Developer Guide, "Event stream encoding".
    """
    headers = b"".join(
        struct.pack("!B", len(header)) + header + struct.pack("!BH", 7, len(value)) + value
        for header, value in (
            (b":message-type", kind.encode()),
            (b":exception-type" if kind == "exception" else b":event-type", event.encode()),
            (b":content-type", b"application/json"),
        )
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    start = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return start + struct.pack("!I", zlib.crc32(start))


def _described(shard: SmallShard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": str(shard.first)}
    if shard.is_closed:
        numbers["EndingSequenceNumber"] = str(shard.first + len(shard.records) + 1)
    described: dict[str, Any] = {
        "ShardId": shard.id,
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
        "SequenceNumberRange": numbers,
    }
    names = ("ParentShardId", "AdjacentParentShardId")
    return described | dict(zip(names, shard.parents, strict=False))


def _record(shard: SmallShard, place: int) -> dict[str, Any]:
    body, arrived = shard.records[place]
    return {
        "SequenceNumber": str(shard.first + place + 1),
        "ApproximateArrivalTimestamp": arrived,
        "Data": base64.b64encode(body).decode(),
        "PartitionKey": "key",
    }
