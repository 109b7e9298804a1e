"""The log files below a prefix, without a look at the years that are not asked for.

Source: Amazon S3 API Reference, ListObjectsV2: keys come in the order of their UTF-8 bytes, and
StartAfter may name a key that does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from detector.aws import AWSCallError, describe, error_code
from detector.envelopes.log_file import delivery_time
from detector.envelopes.types import ObjectReference
from detector.errors import SourceError
from detector.sources.s3_prefix.layout import (
    S3Address,
    dated,
    is_log_file_key,
    leads_to_days,
    may_hold_log_files,
)
from detector.sources.stored import ALL_TIME, Period

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import (
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
    )

MAX_OBJECTS = 2_000_000
"""Objects that one replay takes: a large organization's of four days. Each takes some 500 bytes."""

MAX_FOLDERS_DEEP = 3
"""How far AWSLogs, or folders by year, are looked for below a prefix, folder by folder. Below that
all keys are listed: one call for each folder would soon be more than one for 1,000 keys."""

LISTINGS_AT_ONCE = 16
"""Calls under way: an organization has a thousand folders of accounts and regions."""


class Listed(NamedTuple):
    """An object, and when it was delivered: as its name tells, or else when it was written."""

    delivered_at: float
    reference: ObjectReference


async def list_log_files(
    client: S3Client, address: S3Address, period: Period = ALL_TIME
) -> list[Listed]:
    """Return the log files below a prefix that were delivered in a period, in any order.

    An object of which the prefix is the whole key is taken whatever its name.

    Raises:
        SourceError: the bucket cannot be listed, or there are more than MAX_OBJECTS.
    """
    listing = _Listing(client, address, period)
    try:
        if period == ALL_TIME:
            await listing.all_below(address.prefix)
        else:
            await listing.walk(address.prefix, 0)
    except AWSCallError as error:
        raise _failed(address, error) from error
    return listing.found


class _Listing:
    def __init__(self, client: S3Client, address: S3Address, period: Period) -> None:
        self.found: list[Listed] = []
        self._client = client
        self._address = address
        self._period = period
        self._slots = asyncio.Semaphore(LISTINGS_AT_ONCE)

    async def walk(self, folder: str, depth: int) -> None:
        """List what a folder holds of the period; only days of it, where it has folders by day."""
        years = dated(folder)
        if years is not None:
            await self._days(folder, *years.keys(self._period))
            return
        children: list[str] = []
        async for page in self._pages(folder, delimiter="/"):
            self._take(page)
            children += [item["Prefix"] for item in page.get("CommonPrefixes", ())]
        await asyncio.gather(
            *(self._child(child, depth + 1) for child in children if may_hold_log_files(child))
        )

    async def all_below(self, prefix: str) -> None:
        """List all keys that begin so."""
        async for page in self._pages(prefix):
            self._take(page)

    async def _child(self, folder: str, depth: int) -> None:
        if depth <= MAX_FOLDERS_DEEP or leads_to_days(folder):
            await self.walk(folder, depth)
        else:
            await self.all_below(folder)

    async def _days(self, prefix: str, after: str, before: str | None) -> None:
        if prefix < after[: len(prefix)] or (before is not None and prefix >= before):
            return
        async for page in self._pages(prefix, start_after=after):
            self._take(page)
            last = page.get("Contents", ())[-1:]
            if before is not None and last and last[0]["Key"] >= before:
                return

    async def _pages(
        self, prefix: str, *, delimiter: str = "", start_after: str = ""
    ) -> AsyncIterator[ListObjectsV2OutputTypeDef]:
        call: ListObjectsV2RequestTypeDef = {"Bucket": self._address.bucket, "Prefix": prefix}
        if delimiter:
            call["Delimiter"] = delimiter
        if start_after:
            call["StartAfter"] = start_after
        while True:
            async with self._slots:
                page = await self._client.list_objects_v2(**call)
            yield page
            if not page.get("IsTruncated"):
                return
            call["ContinuationToken"] = page["NextContinuationToken"]

    def _take(self, page: ListObjectsV2OutputTypeDef) -> None:
        bucket, whole_key = self._address
        for item in page.get("Contents", ()):
            key = item["Key"]
            if key.endswith("/") or not (key == whole_key or is_log_file_key(key)):
                continue
            delivered_at = delivery_time(key) or item["LastModified"].timestamp()
            if self._period.holds(delivered_at):
                reference = ObjectReference(bucket, key, item["Size"])
                self.found.append(Listed(delivered_at, reference))
        if len(self.found) > MAX_OBJECTS:
            raise SourceError(
                f"{self._address} holds more than {MAX_OBJECTS:,} log files",
                remedy="name a longer prefix, or a period by --from and --to",
            )


_CREDENTIAL_CODES = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("TokenRefreshRequired", "ExpiredTokenException", "UnrecognizedClientException"),
    }
)
_GIVE_CREDENTIALS = "set AWS_PROFILE, or log in again (`aws sso login`), and try again"


def _failed(address: S3Address, error: Exception) -> SourceError:
    """Return a sentence on why a bucket cannot be listed, and what helps."""
    code = error_code(error) if isinstance(error, ClientError) else ""
    if code in {"NoSuchBucket", "404"}:
        return SourceError(
            f"{address}: there is no bucket {address.bucket}",
            remedy="check its name, and that --endpoint-url is that of its S3",
        )
    if code in {"AccessDenied", "AllAccessDisabled", "403"}:
        return SourceError(
            f"{address}: access is denied",
            remedy="give the credentials s3:ListBucket on the bucket and s3:GetObject on its keys",
        )
    if isinstance(error, NoCredentialsError):
        return SourceError(
            f"{address}: there are no AWS credentials",
            remedy="set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if code in _CREDENTIAL_CODES:
        return SourceError(
            f"{address}: S3 refuses the credentials ({code})", remedy=_GIVE_CREDENTIALS
        )
    if isinstance(error, EndpointConnectionError):
        return SourceError(
            f"{address}: S3 cannot be reached: {describe(error)}",
            remedy="check the network, --region and --endpoint-url",
        )
    return SourceError(
        f"{address}: the bucket cannot be listed: {describe(error)}",
        remedy="check the address, the credentials, --region and --endpoint-url",
    )
