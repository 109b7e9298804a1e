"""From a request's headers and body to what it says, under every cap."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, web

from detector.envelopes.compression import GZIP_MAGIC, inflate
from detector.envelopes.firehose import (
    FirehoseRequest,
    RequestError,
    claimed_size,
    open_firehose_request,
)
from detector.errors import PayloadError
from detector.sources.firehose.place import Place

INLINE_BYTES = 64 << 10
"""A body up to this size is decoded where it is: that takes less than a change of threads."""

RECORD_BYTES = 512
"""What a record takes in memory beside its data, its origin included: ten thousand small ones are
not for nothing."""


def checked_length(request: web.BaseRequest, most: int) -> int:
    """Return how many bytes a request's body has; the body itself is not read.

    Raises:
        RequestError: what the headers say is not what Firehose says.
    """
    headers = request.headers
    if not headers.get("X-Amz-Firehose-Protocol-Version", "1.0").startswith("1."):
        raise RequestError(400, "malformed", "only version 1.0 of the protocol is known")
    if request.content_type != "application/json":
        raise RequestError(415, "unsupported", "Content-Type must be application/json")
    if headers.get("Content-Encoding", "identity").lower() not in {"gzip", "identity"}:
        raise RequestError(415, "unsupported", "Content-Encoding must be gzip, or absent")
    length = request.content_length
    if length is None:
        raise RequestError(411, "malformed", "Content-Length is missing")
    if length > most:
        # Not 413: Firehose would give up the batch, and not even put it into its S3 backup.
        raise RequestError(400, "too_large", f"the body has more than {most} bytes")
    return length


async def read_body(request: web.BaseRequest, seconds: float, *, keep: bool = True) -> bytes:
    """Return a body as it comes; its length has been told, and aiohttp sees to it.

    With `keep` false it is thrown away: who is still sending does not hear what is answered.

    Raises:
        RequestError: 408 `timeout`, 400 `disconnected`.
    """
    if request.version == HttpVersion11 and "Expect" in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the response itself has not begun
    try:
        async with asyncio.timeout(seconds):
            return b"".join([chunk async for chunk in request.content.iter_any() if keep])
    except TimeoutError:
        raise RequestError(408, "timeout", "the body did not come in time") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise RequestError(400, "disconnected", "the body ended early") from error


async def decoded(body: bytes, most: int, place: Place) -> FirehoseRequest:
    """Return what a body says, its place changed for one of the size that it has then.

    Raises:
        RequestError: 400: it is not a request, or has more than `most` bytes; 503 `busy`.
    """
    try:
        for limit in sorted({min(claimed_size(body), most), most}):
            await place.change(max(len(body), limit))
            # At once there are: the body, what it inflates to, and the records in that. Not waited
            # for, as what is read already would be refused; but nobody else is let in meanwhile.
            inflated = limit if body.startswith(GZIP_MAGIC) else 0
            place.resize(len(body) + inflated + limit)
            try:
                content = await _opened(body, limit)
                break
            except PayloadError as error:
                # Several gzip members: each tells its own size only.
                if error.reason != "too_large" or limit == most:
                    raise
    except RequestError:
        raise
    except PayloadError as error:
        raise RequestError(400, error.reason, error.message) from error
    # An empty one is not handed on.
    place.resize(sum(len(record) + RECORD_BYTES for record in content.records if record))
    return content


async def _opened(body: bytes, limit: int) -> FirehoseRequest:
    def opened() -> FirehoseRequest:
        return open_firehose_request(inflate(body, max_bytes=limit))

    return opened() if limit <= INLINE_BYTES else await asyncio.to_thread(opened)
