"""How far the source says that it has come while a shard gives way to its children."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from detector.config import KinesisSourceConfig
from detector.sources.delivery import Delivery
from detector.sources.kinesis import KinesisSource, polling
from detector.sources.kinesis.shards import END, From, Shard, start_key
from detector.sources.kinesis.stream import Answer, Record
from tests.sources import Reader
from tests.waiting import PATIENCE

HOURS = 3600.0
OPEN = [Shard("other", "1"), Shard("parent", "2")]
SPLIT = [
    Shard("other", "1"),
    Shard("parent", "2", is_closed=True),
    Shard("left", "3", ("parent",)),
    Shard("right", "4", ("parent",)),
]
NOW = 1_789_560_000.0


class Splitting:
    """A stream of which a shard, hours behind another, is read to its end.

    The first list that is asked for after that is older than the split, and comes late.
    """

    def __init__(self, behind_at_end: float) -> None:
        self.may_list = asyncio.Event()
        self.child_behind = 4 * HOURS
        self._behind_at_end = behind_at_end
        self._lists = 0
        self._reads: Counter[str] = Counter()

    async def shards(self) -> tuple[list[Shard], float]:
        self._lists += 1
        if self._lists > 1:
            await self.may_list.wait()
        return (OPEN if self._lists < 3 else SPLIT), NOW

    async def iterator(self, shard: Shard, place: From) -> str:
        return shard.id

    async def read(self, iterator: str) -> Answer:
        self._reads[iterator] += 1
        count = self._reads[iterator]
        record = Record(str(count), iterator.encode(), NOW)
        if iterator == "parent":
            if count > 1:
                return Answer([], self._behind_at_end, has_children=True)
            return Answer([record], 5 * HOURS, iterator)
        behind = 0.0 if iterator == "other" else self.child_behind
        return Answer([record], behind, iterator)


async def until_body(source: Reader[KinesisSource], body: bytes) -> list[Delivery]:
    """Return deliveries up to the first one with a body."""
    found: list[Delivery] = []
    async with asyncio.timeout(PATIENCE):
        while not found or not any(item.body == body for item in found[-1].payloads):
            found.append(await source.next())
    return found


def behind(delivery: Delivery) -> float:
    assert delivery.delivered_until is not None
    return delivery.received_at - delivery.delivered_until


@pytest.mark.parametrize("behind_at_end", [5 * HOURS, 0.0])
async def test_what_the_children_hold_is_not_taken_for_read(
    monkeypatch: pytest.MonkeyPatch, behind_at_end: float
) -> None:
    stream = Splitting(behind_at_end)

    async def opened(_: KinesisSource) -> Splitting:
        return stream

    monkeypatch.setattr(KinesisSource, "_open", opened)
    monkeypatch.setattr(polling, "READ_SECONDS", 0.001)
    config = KinesisSourceConfig(
        name="trail",
        stream="trail",
        region="us-east-1",
        poll_seconds=0.001,
        shards_poll_seconds=0.02,
    )
    given = {start_key("trail"): "TRIM_HORIZON"}
    source = Reader(lambda context: KinesisSource(config, context), given, max_bytes=64 << 20)
    async with source.running():
        found: list[Delivery] = []
        async with asyncio.timeout(PATIENCE):
            while not any(position.value == END for item in found for position in item.positions):
                found.append(await source.next())
        found += await until_body(source, b"other")
        stream.may_list.set()
        for child in (b"left", b"right", b"other"):
            found += await until_body(source, child)
        assert min(map(behind, found)) > 3.9 * HOURS
        stream.child_behind = 0.0
        async with asyncio.timeout(PATIENCE):
            while behind(await source.next()) > 60:
                pass
