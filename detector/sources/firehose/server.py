"""An HTTP server for few and large requests: it listens, and stops without cutting one short."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from detector.errors import SourceError

MAX_CONNECTIONS = 256
"""Connections at a time, and so files and tasks that those hold who have no key yet. Firehose and
a load balancer keep some dozens."""

KEEPALIVE_SECONDS = 75.0
"""How long a connection may wait for a request, or for the end of its headers. Longer than the 60 s
of an Application Load Balancer, which must be the one to close: what it sends at the moment in
which we close is lost with a 502."""

HANDSHAKE_SECONDS = 10.0
"""How long a TLS handshake may take."""

LINGERING_SECONDS = 5.0
"""How long the rest of a body that is refused is thrown away, so that the sender, still sending,
comes to read why."""

MAX_HEADER_BYTES = 16 << 10
"""A header's length at most. An access key has up to 4,096 bytes, the common attributes may have
50 entries; aiohttp allows 128 headers."""

STOP_SECONDS = 2.0
"""How long answers that are ready may take to go out at the end."""

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# aiohttp would log a traceback for every scanner that speaks no HTTP.
_silent = logging.getLogger("detector.firehose.http")
_silent.disabled = True


class HTTPServer:
    """Listens on a port, and gives each request to `handle`, its body not read and not inflated.

    `on_excess` is called for each connection that is refused as there are too many.
    """

    def __init__(self, handle: Handle, on_excess: Callable[[], None]) -> None:
        self._handle = handle
        self._on_excess = on_excess
        self._busy: set[RequestHandler] = set()
        self._is_stopping = False
        self._listener: asyncio.Server | None = None
        self._server: web.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        """Listen; return the address at which.

        Raises:
            SourceError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        server = _Server(
            self._serve,
            self._on_excess,
            access_log=None,
            logger=_silent,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        try:
            self._listener = await loop.create_server(
                server,
                host,
                port,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else HANDSHAKE_SECONDS,
            )
        except OSError as error:
            raise SourceError(
                f"cannot listen on {host}:{port}: {error.strerror}",
                remedy="give the source a host of this machine, and a port that is free",
            ) from error
        self._server = server
        name, number = self._listener.sockets[0].getsockname()[:2]
        scheme = "http" if tls is None else "https"
        return f"{scheme}://[{name}]:{number}" if ":" in name else f"{scheme}://{name}:{number}"

    def stop_listening(self) -> None:
        """Refuse new connections, and close those that wait; requests in hand go on."""
        self._is_stopping = True
        if self._listener is not None:
            self._listener.close()
        for connection in [] if self._server is None else self._server.connections:
            # Not those at work: aiohttp would not even read the rest of their bodies. What has
            # been answered is in the socket's hands already.
            if connection not in self._busy:
                connection.force_close()

    async def close(self) -> None:
        """Let answers that are ready go out, and end every connection."""
        if self._server is not None:
            await self._server.shutdown(STOP_SECONDS)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy.add(request.protocol)
        try:
            response = await self._handle(request)
        finally:
            self._busy.discard(request.protocol)
        response.headers["Server"] = "detector"
        if self._is_stopping:
            response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, handle: Handle, on_excess: Callable[[], None], **settings: Any) -> None:
        super().__init__(handle, **settings)
        self._on_excess = on_excess

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._on_excess()
            transport.abort()
