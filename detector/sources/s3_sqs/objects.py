"""S3 objects: fetched whole, under a cap, and tried again where the way to them failed."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from aiohttp import ClientError as HTTPClientError
from botocore.exceptions import BotoCoreError, ClientError

from detector.aws import describe, error_code
from detector.backoff import backoff_seconds
from detector.envelopes.log_file import delivery_time, skipped_by_name
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError
from detector.sources.delivery import Payload

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import GetObjectRequestTypeDef

FETCH_ATTEMPTS = 3
"""aiobotocore repeats failed calls itself, but not one whose body was cut off midway."""

_REASONS = {
    "NoSuchKey": "object_missing",
    "NoSuchVersion": "object_missing",
    "NoSuchBucket": "object_missing",
    "404": "object_missing",
    "AccessDenied": "object_denied",
    "403": "object_denied",
}


async def fetch(client: S3Client, reference: ObjectReference, max_bytes: int) -> Payload:
    """Return an object's body; what prevents it is in the payload, for the account to show."""
    delivered_at = delivery_time(reference.key) or reference.announced_at
    body: bytes | PayloadError
    if skipped_by_name(reference.key):
        body = b""  # skipped by its name whatever it holds: not worth the transfer
    elif reference.size is not None and reference.size > max_bytes:
        body = _too_large(max_bytes)
    else:
        try:
            body = await _fetch(client, reference, max_bytes)
        except PayloadError as error:
            body = error
    return Payload(str(reference), body, delivered_at)


async def _fetch(client: S3Client, reference: ObjectReference, max_bytes: int) -> bytes:
    request: GetObjectRequestTypeDef = {"Bucket": reference.bucket, "Key": reference.key}
    if reference.version_id:
        request["VersionId"] = reference.version_id
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        try:
            response = await client.get_object(**request)
            if response["ContentLength"] > max_bytes:
                response["Body"].close()
                raise _too_large(max_bytes)
            async with response["Body"] as stream:
                return await stream.read()
        except ClientError as error:
            reason = _REASONS.get(error_code(error), "object_unavailable")
            raise PayloadError(reason, describe(error)) from error
        except (TimeoutError, BotoCoreError, HTTPClientError) as error:
            if attempt == FETCH_ATTEMPTS:
                raise PayloadError("object_unavailable", describe(error)) from error
        await asyncio.sleep(backoff_seconds(attempt, random.random))
    raise AssertionError("unreachable")


def _too_large(max_bytes: int) -> PayloadError:
    return PayloadError("too_large", f"the object is larger than {max_bytes} bytes")
