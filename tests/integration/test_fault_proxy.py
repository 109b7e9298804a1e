"""The proxy that the tests of sources put before a server: what it breaks, and what it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web

from tests.servers.fault_proxy import (
    FaultProxy,
    anything,
    aws_error,
    edited,
    fault_proxy,
    lost_answer,
    operation,
    reset,
    truncated,
)

pytestmark = pytest.mark.integration

BODY = b"0123456789" * 100
TARGET = {"X-Amz-Target": "Kinesis_20131202.GetRecords"}


@pytest.fixture
async def asked() -> list[str]:
    return []


@pytest.fixture
async def upstream(asked: list[str]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(body=BODY + await request.read())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.fixture
def proxy(upstream: str) -> Iterator[FaultProxy]:
    with fault_proxy(upstream) as running:
        yield running


async def post(proxy: FaultProxy, path: str = "/") -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(proxy.address + path, data=b"?", headers=TARGET) as response,
    ):
        return response.status, await response.read()


async def test_without_a_fault_everything_goes_through(proxy: FaultProxy, asked: list[str]) -> None:
    assert await post(proxy, "/a%2Fb%2B?x=%20") == (200, BODY + b"?")
    assert asked == ["/a%2Fb%2B?x=%20"]
    assert proxy.seen == {"GetRecords": 1}


async def test_a_fault_is_for_what_it_names_and_as_often_as_it_says(proxy: FaultProxy) -> None:
    proxy.inject(aws_error("Never", 500), operation("PutRecord"))
    fault = proxy.inject(aws_error("Throttled"), operation("GetRecords"), times=2)
    answers = [await post(proxy) for _ in range(3)]
    assert [status for status, _ in answers] == [400, 400, 200]
    assert b'"__type": "Throttled"' in answers[0][1]
    assert fault.met == 2


async def test_an_answer_is_cut_off_lost_or_changed(proxy: FaultProxy, asked: list[str]) -> None:
    proxy.inject(edited(bytes.upper), anything)
    assert await post(proxy) == (200, BODY.upper() + b"?")
    proxy.inject(truncated())
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(proxy)
    assert len(asked) == 2
    for action, reaches in ((reset(), 2), (lost_answer(), 3)):
        proxy.inject(action)
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(proxy)
        assert len(asked) == reaches
    proxy.inject(reset(), times=None)
    proxy.heal()
    assert (await post(proxy))[0] == 200
