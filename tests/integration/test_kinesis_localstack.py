"""Enhanced fan-out as LocalStack does it: over HTTP/1.1, with botocore's own event stream.

It never names child shards, so that the end of a shard is for the small Kinesis to show.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from detector.config import KinesisSourceConfig
from detector.sources.kinesis import KinesisSource
from tests.aws import CREDENTIALS
from tests.kinesis_stream import KinesisStream
from tests.sources import Reader

pytestmark = pytest.mark.integration


async def test_a_consumer_is_registered_pushed_to_and_found_again(
    localstack_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in CREDENTIALS.items():
        monkeypatch.setenv(variable, value)
    stream = await asyncio.to_thread(KinesisStream, localstack_host, 2)
    fan_out = {"consumer_name": "detector", "register": True}
    config = msgspec.convert(
        {**stream.config(), "name": "trail", "fan_out": fan_out}, KinesisSourceConfig
    )
    put = [b"%d" % number for number in range(40)]
    got: list[object] = []
    positions: dict[str, str] = {}
    for bodies in (put[:20], put[20:]):
        source = Reader(
            lambda context: KinesisSource(config, context), positions, max_bytes=64 << 20
        )
        async with source.running():
            await asyncio.to_thread(stream.put, bodies)
            expected = len(got) + len(bodies)
            while len(got) < expected:
                got += [payload.body for payload in (await source.next()).payloads]
        positions = source.positions
        assert source.meter.errors == {}
    assert sorted(map(str, got)) == sorted(map(str, put))
    described = stream.client.list_stream_consumers(
        StreamARN=stream.client.describe_stream_summary(StreamName=stream.name)[
            "StreamDescriptionSummary"
        ]["StreamARN"]
    )
    assert [item["ConsumerName"] for item in described["Consumers"]] == ["detector"]
