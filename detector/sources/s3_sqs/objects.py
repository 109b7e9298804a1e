"""S3 objects: fetched whole, under a cap, and again where the way to them failed."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from aiohttp import ClientError as HTTPClientError
from aiohttp import ClientPayloadError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    IncompleteReadError,
    ParamValidationError,
    ResponseStreamingError,
)

from detector.aws import describe
from detector.backoff import backoff_seconds
from detector.envelopes.log_file import delivery_time, skipped_by_name
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError
from detector.sources.delivery import Payload
from detector.sources.files import IN_MEMORY_BYTES
from detector.sources.s3_sqs.allowed import AllowedObjects
from detector.sources.s3_sqs.object_errors import Asked, explain, passes_by_itself
from detector.sources.source import SourceMeter
from detector.sources.spool import Body, Spool, md5, remove, size_of

if TYPE_CHECKING:
    from aiobotocore.response import StreamingBody
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef

FETCH_ATTEMPTS = 3
"""aiobotocore repeats failed calls itself, but not one whose body was cut off or damaged."""

_CHUNK_BYTES = 1 << 20
_MD5_ETAG = re.compile(r'"[0-9a-f]{32}"')
_CUT_OFF = (ClientPayloadError, FlexibleChecksumError, IncompleteReadError, ResponseStreamingError)
_CHECKSUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumSHA1", "ChecksumSHA256")
"""Those that aiobotocore compares wherever it runs; another is compared where awscrt is there."""


@dataclass(frozen=True, slots=True)
class Larger:
    """An object that is larger than the place that was kept for it, and the place to take for it.

    That is its real size where S3 tells it, and a guess where it does not.
    """

    reference: ObjectReference
    room: int


class _PassingError(Exception):
    """An attempt failed so that another one may succeed; `failed` is what to say if none does."""

    def __init__(self, failed: PayloadError) -> None:
        super().__init__(failed.reason)
        self.failed = failed


class Objects:
    """Reads objects, so many at once, and only those that are allowed."""

    def __init__(
        self,
        client: S3Client,
        allowed: AllowedObjects,
        meter: SourceMeter,
        *,
        max_bytes: int,
        concurrency: int,
        request_payer: bool = False,
        spool: Spool | None = None,
    ) -> None:
        self._client = client
        self._allowed = allowed
        self._meter = meter
        self._max_bytes = max_bytes
        self._request_payer = request_payer
        self._spool = spool
        self._places = asyncio.Semaphore(concurrency)

    async def fetch(self, reference: ObjectReference, room: int) -> Payload | Larger:
        """Return an object's body; what prevents it is in the payload, for the account to show.

        An object of more than `room` bytes is left where it is, unless it is over the cap anyway.
        """
        try:
            found = await self._fetch(reference, room)
        except PayloadError as error:
            found = error
        if isinstance(found, Larger):
            return found
        delivered_at = delivery_time(reference.key) or reference.announced_at
        return Payload(str(reference), found, delivered_at)

    async def _fetch(self, reference: ObjectReference, room: int) -> Body | PayloadError | Larger:
        self._allowed.check(reference)
        if skipped_by_name(reference.key):
            return b""  # skipped by its name whatever it holds: not worth the transfer
        if reference.size is not None and reference.size > self._max_bytes:
            raise _too_large(self._max_bytes)
        try:
            async with self._places:
                return await self._get(reference, room)
        except PayloadError as error:
            if error.reason != "object_missing" or reference.alternative_key is None:
                raise
            other = replace(reference, key=reference.alternative_key, alternative_key=None)
            try:
                return await self._fetch(other, room)
            except PayloadError as second:
                raise (error if second.reason == "object_missing" else second) from second

    async def _get(self, reference: ObjectReference, room: int) -> Body | Larger:
        """Return a body of which nothing says that it is not whole, or that came twice the same."""
        asked = Asked(self._allowed.owner(reference.bucket), self._request_payer)
        request = _request(reference, asked)
        doubted = b""
        for attempt in range(1, FETCH_ATTEMPTS + 1):
            try:
                body, doubt = await self._attempt(request, asked, reference, room)
            except _PassingError as error:
                failed = error.failed
            else:
                if doubt is None or isinstance(body, Larger):
                    return body
                with _removed_on_error(body):
                    digest = await md5(body)
                if digest == doubted:
                    return body
                doubted = digest
                remove(body)
                failed = PayloadError("object_incomplete", doubt)
            self._meter.failed(failed.reason)
            if attempt < FETCH_ATTEMPTS:
                await asyncio.sleep(backoff_seconds(attempt, random.random))
        raise failed

    async def _attempt(
        self,
        request: GetObjectRequestTypeDef,
        asked: Asked,
        reference: ObjectReference,
        room: int,
    ) -> tuple[Body | Larger, str | None]:
        """Return a body and what makes it doubtful, or raise what another attempt may mend."""
        try:
            response = await self._client.get_object(**request)
            body = await self._body(response, reference, room)
        except ClientError as error:
            failed = explain(error, asked)
            if passes_by_itself(error):
                raise _PassingError(failed) from error
            self._meter.failed(failed.reason)
            raise failed from error
        except ParamValidationError as error:
            self._meter.failed("object_name_invalid")
            raise PayloadError(
                "object_name_invalid", "no object can have this bucket and key"
            ) from error
        except PayloadError as error:
            if error.reason == "no_space":
                self._meter.failed(error.reason)
            raise
        except _CUT_OFF as error:
            raise _PassingError(PayloadError("object_incomplete", describe(error))) from error
        except (TimeoutError, BotoCoreError, HTTPClientError) as error:
            raise _PassingError(PayloadError("object_unavailable", describe(error))) from error
        if isinstance(body, Larger):
            return body, None
        with _removed_on_error(body):
            return body, await _doubt(response, reference, body)

    async def _body(
        self, response: GetObjectOutputTypeDef, reference: ObjectReference, room: int
    ) -> Body | Larger:
        async with response["Body"] as stream:
            length = cast("int | None", response.get("ContentLength"))
            if length is not None:
                if length > self._max_bytes:
                    raise _too_large(self._max_bytes)
                if length > room:
                    return Larger(replace(reference, size=length), length)
                if length > IN_MEMORY_BYTES and self._spool is not None:
                    return await self._spool.write(_chunks(stream), self._max_bytes)
                return await stream.read()
            # A proxy on the way may leave the length out.
            try:
                return await self._within(stream, room)
            except PayloadError as error:
                if error.reason != "too_large" or room >= self._max_bytes:
                    raise
                # Doubled: the cap at once could be a place for which all others have to wait.
                return Larger(reference, min(2 * max(room, _CHUNK_BYTES), self._max_bytes))

    async def _within(self, stream: StreamingBody, most: int) -> Body:
        """Return a body whose length is not told; raise `too_large` past `most` bytes."""
        body = bytearray()
        while chunk := await stream.read(_CHUNK_BYTES):
            body += chunk
            if len(body) > most:
                raise _too_large(most)
            if len(body) > IN_MEMORY_BYTES and self._spool is not None:
                return await self._spool.write(_chunks(stream, bytes(body)), most)
        return bytes(body)


class _NoMeter:
    """Takes no notes."""

    def fetched(self, size: int) -> None:
        pass

    def failed(self, kind: str) -> None:
        pass

    def behind(self, seconds: float) -> None:
        pass


async def fetch(client: S3Client, reference: ObjectReference, max_bytes: int) -> Payload:
    """Return one object's body, of whatever bucket: somebody named it, not a message."""
    objects = Objects(client, AllowedObjects("any"), _NoMeter(), max_bytes=max_bytes, concurrency=1)
    payload = await objects.fetch(reference, max_bytes)
    assert isinstance(payload, Payload)  # noqa: S101 - what is larger than the cap is refused
    return payload


def _request(reference: ObjectReference, asked: Asked) -> GetObjectRequestTypeDef:
    request: GetObjectRequestTypeDef = {"Bucket": reference.bucket, "Key": reference.key}
    if reference.version_id:
        request["VersionId"] = reference.version_id
    if asked.owner:
        request["ExpectedBucketOwner"] = asked.owner
    if asked.request_payer:
        request["RequestPayer"] = "requester"
    return request


async def _doubt(
    response: GetObjectOutputTypeDef, reference: ObjectReference, body: Body
) -> str | None:
    """Return what says that a body is not the object's as it was announced, None if nothing does.

    An ETag is the MD5 of what was put in one piece and is not encrypted with a key of KMS or of the
    caller. Other stores and overwritten objects differ in good faith, so this is but a doubt.
    Source: Amazon S3 API Reference, "Object".
    """
    checksums = [str(response.get(name, "-")) for name in _CHECKSUMS]
    if any("-" not in checksum for checksum in checksums):
        return None  # aiobotocore has compared it
    etag = response.get("ETag", "")
    encryption = response.get("ServerSideEncryption", "AES256")
    is_md5 = encryption == "AES256" and not response.get("SSECustomerAlgorithm")
    if is_md5 and _MD5_ETAG.fullmatch(etag):
        return (
            None
            if etag.strip('"') == (await md5(body)).hex()
            else "the body has another MD5 than its ETag says"
        )
    if reference.size is not None and reference.size != size_of(body):
        return f"{size_of(body)} bytes came of {reference.size} that were announced"
    return None


async def _chunks(stream: StreamingBody, first: bytes = b"") -> AsyncIterator[bytes]:
    if first:
        yield first
    while chunk := await stream.read(_CHUNK_BYTES):
        yield chunk


@contextmanager
def _removed_on_error(body: Body) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove(body)
        raise


def _too_large(max_bytes: int) -> PayloadError:
    return PayloadError("too_large", f"the object is larger than {max_bytes} bytes")
