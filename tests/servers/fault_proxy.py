"""A proxy in front of a server of AWS's APIs that lets calls fail as networks and services do.

Each `Fault` says which requests it is for and how often; the first that fits acts. Everything else
goes through as it is, byte by byte, so that long answers stream.

    with fault_proxy("http://127.0.0.1:4566") as proxy:
        proxy.inject(aws_error("ExpiredIteratorException"), operation("GetRecords"), times=2)
        client = session.create_client("kinesis", endpoint_url=proxy.address)
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

MAX_BODY_BYTES = 1 << 30
"""What a test sends through in one request: more than any of AWS's limits."""

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that hold between two neighbours only."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `operation` is AWS's name for it; the method for a bare S3 request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    operation: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the server behind."""

    status: int
    headers: dict[str, str]
    body: bytes


Forward = Callable[[], Awaitable[Answer]]
"""Asks the server behind, and returns its whole answer."""

Action = Callable[[web.Request, Forward], Awaitable[web.StreamResponse | None]]
"""What a fault does with a request. None: it goes through after all."""

Condition = Callable[[Request], bool]


@dataclass(slots=True)
class Fault:
    """An action, for the first `times` requests that a condition holds of; None: for all."""

    action: Action
    condition: Condition
    times: int | None
    met: int = 0


def operation(*names: str) -> Condition:
    """Return the condition that a request is one of these operations, such as `GetRecords`."""
    return lambda request: request.operation in names


def anything(_: Request) -> bool:
    """Hold of every request."""
    return True


def aws_error(code: str, status: int = 400, message: str = "a fault of the test") -> Action:
    """Answer with an error of AWS's JSON protocol, without asking the server behind."""

    async def act(_: web.Request, __: Forward) -> web.StreamResponse:
        return answered(status, json.dumps({"__type": code, "message": message}).encode())

    return act


def answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> Action:
    """Answer with this, without asking the server behind."""

    async def act(_: web.Request, __: Forward) -> web.StreamResponse:
        return answered(status, body, headers)

    return act


def edited(edit: Callable[[bytes], bytes]) -> Action:
    """Answer with the server's own body, changed: a whole answer whose content is wrong."""

    async def act(_: web.Request, forward: Forward) -> web.StreamResponse:
        got = await forward()
        return answered(got.status, edit(got.body), got.headers)

    return act


def truncated(share: float = 0.5) -> Action:
    """Break the connection off when a part of the body has been sent."""

    async def act(request: web.Request, forward: Forward) -> web.StreamResponse:
        got = await forward()
        response = web.StreamResponse(status=got.status, headers=_end_to_end(got.headers))
        response.content_length = len(got.body)
        await response.prepare(request)
        await response.write(got.body[: int(len(got.body) * share)])
        _break_off(request)
        return response

    return act


def reset() -> Action:
    """Break the connection off, without any answer."""

    async def act(request: web.Request, _: Forward) -> web.StreamResponse:
        _break_off(request)
        return web.Response(status=500)

    return act


def lost_answer() -> Action:
    """Let the server do what is asked, and break the connection off instead of answering."""

    async def act(request: web.Request, forward: Forward) -> web.StreamResponse:
        await forward()
        _break_off(request)
        return web.Response(status=500)

    return act


def delayed(seconds: float) -> Action:
    """Let a request through after a while."""

    async def act(_: web.Request, __: Forward) -> web.StreamResponse | None:
        await asyncio.sleep(seconds)
        return None

    return act


def answered(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer to send, for actions of a test's own."""
    given = {"Content-Type": "application/x-amz-json-1.1", **_end_to_end(headers or {})}
    return web.Response(status=status, body=body, headers=given)


@dataclass(slots=True)
class FaultProxy:
    """A running proxy. `address` is where it listens; `seen` counts requests by operation."""

    upstream: str
    address: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _client: aiohttp.ClientSession | None = None

    def inject(
        self, action: Action, condition: Condition = anything, times: int | None = 1
    ) -> Fault:
        """Let requests fail from now on; `met` of what is returned counts how many did."""
        fault = Fault(action, condition, times)
        with self._lock:
            self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Take all faults back."""
        with self._lock:
            self.faults.clear()

    async def start(self) -> web.AppRunner:
        """Listen on a free port."""
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
        )
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return runner

    async def stop(self, runner: web.AppRunner) -> None:
        """Stop listening, and break off what is under way."""
        await runner.cleanup()
        assert self._client is not None
        await self._client.close()

    def _fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self.seen[request.operation] += 1
            for fault in self.faults:
                if (fault.times is None or fault.met < fault.times) and fault.condition(request):
                    fault.met += 1
                    return fault
        return None

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        request = await _read(incoming)

        async def forward() -> Answer:
            async with self._ask(request) as got:
                return Answer(got.status, dict(got.headers), await got.read())

        fault = self._fault_for(request)
        response = None if fault is None else await fault.action(incoming, forward)
        return response or await self._let_through(incoming, request)

    async def _let_through(self, incoming: web.Request, request: Request) -> web.StreamResponse:
        async with self._ask(request) as got:
            response = web.StreamResponse(status=got.status, headers=_end_to_end(dict(got.headers)))
            response.content_length = got.content_length
            await response.prepare(incoming)
            async for chunk in got.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def _ask(self, request: Request) -> aiohttp.client._RequestContextManager:
        assert self._client is not None
        return self._client.request(
            request.method,
            self.upstream + request.path,
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
        )


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """Run a proxy in a thread of its own, so that any test can use it: one with processes too."""
    proxy = FaultProxy(upstream.rstrip("/"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault proxy", daemon=True)
    thread.start()
    try:
        runner = asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(30)
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy.stop(runner), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _read(incoming: web.Request) -> Request:
    body = await incoming.read()
    headers = {name: value for name, value in incoming.headers.items() if name != "Expect"}
    return Request(incoming.method, incoming.raw_path, headers, body, _operation_of(incoming, body))


def _operation_of(incoming: web.Request, body: bytes) -> str:
    target = incoming.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2]
    if incoming.content_type == "application/x-www-form-urlencoded":
        return parse_qs(body.decode()).get("Action", [incoming.method])[0]
    return incoming.method


def _end_to_end(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
