"""Requests in, deliveries out; a request is answered once what it caused is committed.

Firehose takes exactly the status 200 for success, tries everything else again, and puts it into its
S3 backup in the end; but what is answered with 413 it gives up at once and saves nowhere. So no
request is ever answered with 413, whatever its size. Source: Amazon Data Firehose Developer Guide,
"Understand HTTP endpoint delivery request and response specifications", "Handle data delivery
failures".
"""

from __future__ import annotations

import asyncio
import time

import structlog
from aiohttp import web

from detector.alerts.text import clean
from detector.config import FirehoseSourceConfig
from detector.envelopes.firehose import (
    FirehoseRequest,
    RequestError,
    delivered_at,
    header_id,
    plain_name,
    response_body,
    stream_name,
)
from detector.errors import SourceError
from detector.sources.budget import Hold
from detector.sources.delivery import Delivery, Payload
from detector.sources.firehose.access import Access
from detector.sources.firehose.place import BUSY_RETRY_SECONDS, Place, busy
from detector.sources.firehose.reading import checked_length, decoded, read_body
from detector.sources.firehose.remembered import Remembered, RequestKey, remembered_position
from detector.sources.firehose.server import HTTPServer
from detector.sources.firehose.tls import Certificate
from detector.sources.source import Emit, SourceContext
from detector.tasks import cancel

ANSWER_SECONDS = 150.0
"""A request is answered within this time, with success or without: Firehose waits for 3 minutes."""

FORGET_SECONDS = 60.0
"""How often old requests are forgotten."""

TLS_POLL_SECONDS = 2.0
"""How often certificate files are looked at; what has changed is in force after two looks."""

LOG_SECONDS = 60.0
"""A kind of failure is logged once in this time: whoever reaches the port can cause them."""

log = structlog.get_logger()


class FirehoseSource:
    """A `Source` of what Firehose streams send.

    Paused, it does not listen: Firehose finds the connection refused, and tries again.
    """

    def __init__(self, config: FirehoseSourceConfig, context: SourceContext) -> None:
        self.name = config.name
        self._config = config
        self._share = context.share
        self._meter = context.meter
        self._readiness = context.readiness
        self._forget = context.forget
        self._emit: Emit = _nowhere
        self._remembered = Remembered(context.positions)
        self._access = Access(config.access_keys, config.stream_arns)
        self._server = HTTPServer(self._respond, lambda: self._meter.failed("connections"))
        self._at_work: dict[RequestKey, asyncio.Future[bool]] = {}
        """Requests handed on and not committed; true when they are, false when they will not be."""
        self._requests = 0
        self._is_taking = False
        self.address = ""
        """Where it listens, once it does."""
        self._logged: dict[str, float] = {}

    async def run(self, emit: Emit) -> None:
        """Listen, and hand on what comes, until cancelled; see `Source`."""
        config = self._config
        self._emit = emit
        try:
            certificate = None
            if config.tls is not None:
                certificate = await asyncio.to_thread(Certificate, config.tls)
            context = None if certificate is None else certificate.context
            self.address = await self._server.start(config.host, config.port, context)
        except SourceError as error:
            message = f"source {self.name}: {error.message}"
            raise SourceError(message, remedy=error.remedy) from error
        self._is_taking = True
        self._readiness.is_ready = True
        log.info("listening", source=self.name, address=self.address + config.path)
        keepers = [asyncio.create_task(self._forget_old())]
        if certificate is not None:
            keepers.append(asyncio.create_task(self._watch(certificate)))
        try:
            ended, _ = await asyncio.wait(keepers, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            self._is_taking = False
            self._readiness.is_ready = False
            self._server.stop_listening()
            await cancel(keepers)

    async def close(self) -> None:
        """Answer what is not committed that it was not taken, and disconnect."""
        for committed in self._at_work.values():
            if not committed.done():
                committed.set_result(False)
        await self._server.close()

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        """Take a request, and answer what came of it."""
        request_id = ""
        try:
            request_id = header_id(request.headers.get("X-Amz-Firehose-Request-Id")) or ""
            self._check_sender(request)
            async with asyncio.timeout(ANSWER_SECONDS):
                request_id = await self._take(request, request_id)
        except RequestError as error:
            return self._refusal(request, request_id, error)
        except TimeoutError:
            late = RequestError(503, "not_durable", "it was not committed in time", retry_after=1)
            return self._refusal(request, request_id, late)
        except Exception as error:  # noqa: BLE001 - whatever it is, Firehose sends it again
            self._report(error)
            fault = RequestError(500, "internal", "the detector has a fault; see its log")
            return self._refusal(request, request_id, fault)
        return _response(200, response_body(request_id, time.time()))

    def _check_sender(self, request: web.BaseRequest) -> None:
        if request.path != self._config.path:
            raise RequestError(404, "wrong_address", "there is nothing at this path")
        if request.method != "POST":
            raise RequestError(405, "wrong_address", "only POST is answered here")
        key = request.headers.get("X-Amz-Firehose-Access-Key")
        self._access.check(
            None if key is None else key.encode(errors="surrogateescape"),
            request.headers.get("X-Amz-Firehose-Source-Arn"),
        )

    async def _take(self, request: web.BaseRequest, header: str) -> str:
        """Return the id of a request when all that it caused is committed.

        `header` is the id in the header, or an empty string.

        Raises:
            RequestError: it is not, and why.
        """
        length = checked_length(request, self._config.max_request_bytes)
        known = RequestKey(header, length)
        if known in self._at_work or known in self._remembered:
            await read_body(request, self._config.read_timeout_seconds, keep=False)
            if await self._is_known(known):
                return header
            raise busy("it was forgotten just now")
        if self._requests >= self._config.concurrency:
            raise busy("as many requests as there may be are at work")
        self._requests += 1
        place = Place(self._share, lambda: self._is_taking)
        try:
            await place.take(length)
            body = await read_body(request, self._config.read_timeout_seconds)
            self._meter.fetched(length)
            content = await decoded(body, self._config.max_request_bytes, place)
            del body  # its place is that of the records now, until they are committed
            if header not in {"", content.request_id}:
                raise RequestError(400, "malformed", "requestId is not that of the header")
            key = RequestKey(content.request_id, length)
            # Again, as an attempt that was cut off in the middle may have been overtaken.
            if not await self._is_known(key):
                stream = stream_name(request.headers.get("X-Amz-Firehose-Source-Arn"))
                committed = self._hand_on(content, key, stream, place.keep())
                await _done(committed)
        finally:
            place.leave()
            self._requests -= 1
        return content.request_id

    async def _is_known(self, key: RequestKey) -> bool:
        """Return whether a request is committed; where it is at work, wait for that."""
        committed = self._at_work.get(key)
        if committed is not None:
            await _done(committed)
            return True
        return key in self._remembered

    def _hand_on(
        self, content: FirehoseRequest, key: RequestKey, stream: str, hold: Hold
    ) -> asyncio.Future[bool]:
        """Emit a request's records; what is returned becomes true when they are committed."""
        committed = self._at_work[key] = asyncio.get_running_loop().create_future()
        now = time.time()

        async def ack() -> None:
            self._at_work.pop(key, None)
            self._remembered.add(key, now)
            if not committed.done():
                committed.set_result(True)

        at = delivered_at(content.sent_at, now)
        origin = f"firehose:{stream}/{plain_name(content.request_id)}"
        self._emit(
            Delivery(
                source=self.name,
                payloads=[
                    Payload(f"{origin}/{index}", data, at)
                    for index, data in enumerate(content.records)
                    if data  # a record may be empty; there is nothing in it to account for
                ],
                received_at=now,
                hold=hold,
                positions=[remembered_position(self.name, key, now)],
                ack=ack,
            )
        )
        return committed

    def _refusal(
        self, request: web.BaseRequest, request_id: str, error: RequestError
    ) -> web.Response:
        self._meter.failed(error.reason)
        now = time.monotonic()
        if now - self._logged.get(error.reason, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged[error.reason] = now
            log.warning(
                "request refused; others like it are not logged for a while",
                source=self.name,
                status=error.status,
                reason=error.reason,
                error=clean(error.message),
                request=plain_name(request_id) if request_id else None,
                peer=request.remote,
            )
        response = _response(error.status, response_body(request_id, time.time(), error.message))
        if error.retry_after is not None:
            response.headers["Retry-After"] = f"{error.retry_after:.0f}"
        if error.status == 405:  # noqa: PLR2004
            response.headers["Allow"] = "POST"
        return response

    def _report(self, error: Exception) -> None:
        known = isinstance(error, SourceError)
        log.error(
            "certificate not reloaded, the old one stays in force"
            if known
            else "request not handled, it will come again",
            source=self.name,
            error=clean(str(error) if known else repr(error)),
        )

    async def _forget_old(self) -> None:
        while True:
            if old := self._remembered.take_old(time.time()):
                await self._forget(old)
            await asyncio.sleep(FORGET_SECONDS)

    async def _watch(self, certificate: Certificate) -> None:
        while True:
            await asyncio.sleep(TLS_POLL_SECONDS)
            try:
                if await asyncio.to_thread(certificate.reload_changed):
                    log.info("certificate reloaded", source=self.name)
            except SourceError as error:
                self._meter.failed("tls")
                self._report(error)


def _nowhere(_: Delivery) -> None:
    raise AssertionError("the source does not run")


async def _done(committed: asyncio.Future[bool]) -> None:
    # Shielded: others may wait for the same, and longer.
    if not await asyncio.shield(committed):
        raise RequestError(503, "not_durable", "the detector stops", retry_after=BUSY_RETRY_SECONDS)


def _response(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
