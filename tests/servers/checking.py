"""Receivers that check what they are sent as the real services would, and fail when told to.

A receiver runs in a thread of its own, so that tests of any kind can use it: it takes a request
apart, refuses what the service would refuse, in the service's own words, and keeps the rest.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from weakref import WeakSet

import msgspec
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Received:
    """A request. `headers` have lower-case names; `at` is when it came, by the steady clock."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = 0.0

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver says."""

    status: int = 200
    body: bytes | str = b""
    headers: Mapping[str, str] | None = None


class RefusedError(Exception):
    """The service would not take this; `answer` is what it would say."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request in place of an answer to it.

    Its connection is `reset` before an answer or `cut` within one, it gets another `answer`, or the
    right one only once `CheckingServer.is_open` is set (`slow`). With `taken` the service has taken
    it nevertheless, as it does when only the answer is lost.
    """

    answer: Answer | None = None
    reset: bool = False
    cut: bool = False
    slow: bool = False
    taken: bool = False


class CheckingServer:
    """A receiver; subclasses say what is right in `check`.

    `accepted` are the requests taken, in order, `refused` those that were not, with the answer.
    `faults` are used up from the front, None for a request without one; then `always` holds.
    """

    def __init__(self, *faults: Fault | None, tls: ssl.SSLContext | None = None) -> None:
        self.faults = list(faults)
        self.always: Fault | None = None
        self.accepted: list[Received] = []
        self.refused: list[tuple[Received, Answer]] = []
        self.faulted: list[Received] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.address = ""
        self._connections: WeakSet[asyncio.Transport] = WeakSet()
        self._port = 0
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def check(self, request: Received) -> Answer:
        """Return the service's answer to a good request.

        Raises:
            RefusedError: it is not good.
        """
        raise NotImplementedError

    def at(self, port: int, tls: ssl.SSLContext | None = None) -> Self:
        """Have it listen on this port, and not on any free one, with a certificate or without."""
        self._port, self._tls = port, tls
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._abort())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        scheme = "http" if self._tls is None else "https"
        self.address = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _abort(self) -> None:
        """End connections that wait for their client to end TLS, which may be who waits for us."""
        for connection in self._connections:
            connection.abort()
        await asyncio.sleep(0)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        transport = request.transport
        assert transport is not None
        self._connections.add(transport)
        body = await request.read()
        received = Received(request.method, request.path_qs, headers, body, time.monotonic())
        fault = self.faults.pop(0) if self.faults else self.always
        if fault is None:
            return self._respond(self._judge(received))
        self.faulted.append(received)
        if fault.taken:
            self._judge(received)
        if fault.slow:
            await asyncio.to_thread(self.is_open.wait)
            return self._respond(self._judge(received))
        if fault.answer is not None:
            return self._respond(fault.answer)
        if fault.cut:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"{")
        transport.abort()
        return web.Response()

    def _judge(self, received: Received) -> Answer:
        try:
            answer = self.check(received)
        except RefusedError as refused:
            self.refused.append((received, refused.answer))
            return refused.answer
        self.accepted.append(received)
        return answer

    @staticmethod
    def _respond(answer: Answer) -> web.Response:
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return web.Response(status=answer.status, body=body, headers=answer.headers)
