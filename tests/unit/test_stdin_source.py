"""Records piped in."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator
from functools import partial

import pytest

from detector.config import StdinSourceConfig
from detector.sources.stdin import StdinSource
from tests.records import log_file, record
from tests.sources import Reader
from tests.waiting import until


class Pipe:
    """Stands for standard input."""

    def __init__(self) -> None:
        self.output, self.input = os.pipe()

    def fileno(self) -> int:
        return self.output

    def write(self, body: bytes) -> None:
        os.write(self.input, body)

    def end(self) -> None:
        os.close(self.input)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    pipe = Pipe()
    monkeypatch.setattr("sys.stdin", pipe)
    yield pipe
    os.close(pipe.output)


def reading(max_bytes: int = 1000) -> Reader[StdinSource]:
    return Reader(partial(StdinSource, StdinSourceConfig(name="stdin")), max_bytes=max_bytes)


async def body(reader: Reader[StdinSource]) -> object:
    (payload,) = (await reader.next()).payloads
    return payload.body


async def test_what_is_there_comes_at_once_though_the_next_document_is_not_whole(
    pipe: Pipe,
) -> None:
    reader = reading()
    async with reader.running():
        pipe.write(b'{"a": 1}\n{"a": 2}\n{"a"')
        assert await body(reader) == b'{"a": 1}\n{"a": 2}'
        pipe.write(b": 3}")
        assert await body(reader) == b'{"a": 3}'
        pipe.end()


async def test_the_source_is_at_its_end_when_its_input_is(pipe: Pipe) -> None:
    reader = reading()
    running = asyncio.create_task(reader.source.run(lambda _: None))
    pipe.end()
    await asyncio.wait_for(running, 30)
    await reader.source.close()


async def test_gzip_is_inflated_as_it_comes(pipe: Pipe) -> None:
    reader = reading()
    async with reader.running():
        pipe.write(gzip.compress(log_file(record(eventID="x"))))
        pipe.end()
        assert b'"eventID":"x"' in bytes(await body(reader))  # type: ignore[call-overload]


async def test_damage_is_handed_on_for_the_account_to_show(pipe: Pipe) -> None:
    reader = reading(max_bytes=100_000)
    records = b"".join(b'{"a": "%s"}\n' % os.urandom(50).hex().encode() for _ in range(300))
    async with reader.running():
        pipe.write(gzip.compress(records)[:-1000])
        pipe.end()
        found = await body(reader)
        assert isinstance(found, bytes)
        assert found.startswith(records[:100])
        assert not found.endswith(b"}")  # what is cut off is there, to be rejected


async def test_a_full_budget_holds_the_pipe_back_and_a_stop_waits_for_nobody(pipe: Pipe) -> None:
    reader = reading(max_bytes=10)
    async with reader.running():
        pipe.write(b'{"a": 1}\n')
        await until(lambda: reader.waiting == 1)
        pipe.write(b'{"a": 2}\n')
        await until(lambda: reader.meter.bytes == 18)
        await asyncio.sleep(0)
        assert reader.waiting == 1
    # Left while one waits for the budget.


async def test_a_stop_does_not_wait_for_input(pipe: Pipe) -> None:
    reader = reading()
    async with reader.running():
        await until(lambda: reader.readiness.is_ready)
    pipe.end()
