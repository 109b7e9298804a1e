"""Records piped in."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import select
from collections.abc import Iterator
from functools import partial

import pytest

from detector.config import StdinSourceConfig
from detector.envelopes.json_stream import MAX_FAULTS, Tolerance
from detector.errors import PayloadError
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


async def bodies(reader: Reader[StdinSource], count: int) -> list[object]:
    return [await body(reader) for _ in range(count)]


async def test_the_pipe_is_read_to_its_end_however_much_of_it_is_broken(pipe: Pipe) -> None:
    reader = reading(max_bytes=100_000)
    async with reader.running():
        pipe.write(b"".join(b'{"a": x%d}\n{"eventID": "%d"}\n' % (at, at) for at in range(200)))
        pipe.end()
        ids: list[str] = []
        while len(ids) < 200:
            found = await body(reader)
            assert isinstance(found, bytes)
            assert found.count(b"x") < MAX_FAULTS  # else the good ones behind would be rejected
            ids += re.findall(r'"eventID": "(\d+)"', found.decode())
        assert ids == [str(at) for at in range(200)]


@pytest.mark.parametrize(
    "broken",
    [
        b'{"a": x}',
        b'{"a": x',
        b"hello",
        b'{"Records":[{"a": x}]}',
        b'{"Records":[{"a": x',
        b'{"Records":[{"a": 1}]x}',
    ],
)
async def test_a_broken_line_does_not_hold_up_those_behind_it(pipe: Pipe, broken: bytes) -> None:
    reader = reading(max_bytes=100_000)
    async with reader.running():
        for at in range(3):
            line = b'{"eventID": "%d"}' % at
            pipe.write(broken + b"\n" + line + b"\n")
            found = b""
            while not found.endswith(line):
                part = await asyncio.wait_for(body(reader), 10)
                assert isinstance(part, bytes)
                found += part
            assert b"x" in found or b"hello" in found
        pipe.end()


async def test_a_document_over_many_lines_that_msgspec_refuses_is_waited_for(pipe: Pipe) -> None:
    reader = reading(max_bytes=100_000)
    document = json.dumps({"a": "\ud83d", "b": [{"c": 1}, {"d": 2}]}, indent=1).encode()
    async with reader.running():
        for line in document.splitlines(keepends=True):
            pipe.write(line)
            await until(lambda: select.select([pipe.output], [], [], 0)[0] == [])
        pipe.write(b"\n")
        assert await body(reader) == document
        pipe.end()


async def test_a_log_file_that_ends_among_its_records_is_told(pipe: Pipe) -> None:
    reader = reading(max_bytes=100_000)
    async with reader.running():
        pipe.write(b'{"Records":[{"eventName":"a"},')
        pipe.end()
        good, error = await bodies(reader, 2)
        assert good == b'{"Records":[{"eventName":"a"}]}'
        assert isinstance(error, PayloadError)
        assert error.reason == "truncated"


async def test_lines_that_are_no_documents_cost_no_search_from_each_of_them(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0

    def spent(self: Tolerance, marks: int, size: int) -> None:
        nonlocal looked
        looked += size
        self.left -= marks

    monkeypatch.setattr(Tolerance, "spend", spent)
    reader = reading(max_bytes=100_000)
    lines = b"Sep 16 12:00:00 host: a text\n" * 1000
    async with reader.running():
        pipe.write(lines)
        pipe.end()
        left = 1000
        while left:
            found = await body(reader)
            assert isinstance(found, bytes)
            left -= len(found.splitlines())
    assert looked < 2 * len(lines)


async def test_what_refused_documents_may_cost_is_for_each_delivery(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.sources.stdin.DELIVERY_BYTES", 20)
    monkeypatch.setattr("detector.sources.stdin.MAX_TOLERATED", 50)
    monkeypatch.setattr("detector.sources.stdin.Tolerance", partial(Tolerance, 50))
    reader = reading(max_bytes=100_000)
    document = b'{"a":"\\ud83d",\n"b":1}'
    async with reader.running():
        for _ in range(30):
            pipe.write(document)
            assert await asyncio.wait_for(body(reader), 10) == document
        pipe.end()


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
