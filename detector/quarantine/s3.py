"""Entries as objects under a prefix of a bucket; those to be replayed lie under `replay/` below it.

How long and how much is kept there is the bucket's matter: a lifecycle rule. Source: Amazon S3 API
Reference, "PutObject", "ListObjectsV2", "CopyObject".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from detector.aws import AWSCallError, describe, error_code
from detector.errors import QuarantineError
from detector.quarantine.entry import MAX_HEAD_BYTES, SUFFIX, State, digest_of, id_of_name
from detector.quarantine.store import MAX_DOCUMENT_BYTES, REPLAY, EntryGoneError, Listed, Usage

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

MAX_KNOWN = 10_000
"""Entries that are remembered as put there, so that one that comes again is not put there twice:
some 3 MB. To look for it in a list would take a request for every thousand entries of the bucket;
a message comes again within hours, and a restart in between costs one more copy."""

_GONE = frozenset({"NoSuchKey", "404"})


class S3Quarantine:
    """A `QuarantineStore` of objects. `address` is like s3://bucket/prefix."""

    poll_seconds = 60.0
    """Each look is a request that costs: some 44,000 a month."""

    def __init__(
        self, address: str, *, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self._address = address
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._region = region
        self._endpoint_url = endpoint_url
        self._clients = AsyncExitStack()
        self._client: S3Client | None = None
        self._opening = asyncio.Lock()
        self._written = Usage(0, 0)
        self._known: OrderedDict[str, str] = OrderedDict()
        """Ids by their digests, those last put there at the end."""

    async def make_room(self, size: int, now: float) -> Usage:  # noqa: ARG002 - nothing to do
        """Return what this process has written: of the rest only a list would tell."""
        return self._written

    async def keep(self, documents: Mapping[str, bytes]) -> None:
        """Put documents there, all at a time, but for those that are there already."""
        client = await self._opened()

        async def put(entry_id: str, document: bytes) -> None:
            if await self._is_kept(client, digest_of(entry_id)):
                return
            await client.put_object(
                Bucket=self._bucket,
                Key=self._key(entry_id, "kept"),
                Body=document,
                ContentType="application/json",
            )
            self._remember(entry_id)
            # At once: should another one fail, this one is not put again.
            written = self._written
            self._written = Usage(written.entries + 1, written.bytes + len(document))

        with self._calling():
            async with asyncio.TaskGroup() as group:
                for entry_id, document in documents.items():
                    group.create_task(put(entry_id, document))

    async def _is_kept(self, client: S3Client, digest: str) -> bool:
        """Return whether an entry put there before was neither moved nor dropped since."""
        entry_id = self._known.get(digest)
        if entry_id is None:
            return False
        try:
            await client.head_object(Bucket=self._bucket, Key=self._key(entry_id, "kept"))
        except ClientError as error:
            if error_code(error) not in _GONE:
                raise
            return False
        return True

    def _remember(self, entry_id: str) -> None:
        self._known[digest_of(entry_id)] = entry_id
        self._known.move_to_end(digest_of(entry_id))
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def listed(self, state: State) -> list[Listed]:
        """Return the entries, oldest first, as S3 lists keys in the order of their bytes."""
        client = await self._opened()
        prefix = self._prefix_of(state)
        found = []
        with self._calling():
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/"
            )
            async for page in pages:
                for item in page.get("Contents", ()):
                    entry_id = id_of_name(item["Key"].removeprefix(prefix))
                    if entry_id is not None:
                        found.append(Listed(entry_id, item["Size"], state))
        return found

    async def beginning(self, item: Listed) -> bytes:
        """Return the first `MAX_HEAD_BYTES` of a document."""
        return await self._get(item, MAX_HEAD_BYTES)

    async def read(self, item: Listed) -> bytes:
        """Return a document."""
        if item.size > MAX_DOCUMENT_BYTES:
            raise QuarantineError(f"{item.id} is larger than any entry")
        return await self._get(item, MAX_DOCUMENT_BYTES)

    async def request_replay(self, item: Listed) -> None:
        """Copy an entry to those that are to be replayed, then delete it here."""
        client = await self._opened()
        source = self._key(item.id, "kept")
        with self._calling(item):
            try:
                await client.copy_object(
                    Bucket=self._bucket,
                    Key=self._key(item.id, "replaying"),
                    CopySource={"Bucket": self._bucket, "Key": source},
                )
            except ClientError as error:
                if error_code(error) not in _GONE:
                    raise
                # Unless an earlier attempt has moved it already.
                await client.head_object(Bucket=self._bucket, Key=self._key(item.id, "replaying"))
            await client.delete_object(Bucket=self._bucket, Key=source)

    async def drop(self, item: Listed) -> None:
        """Delete an entry; S3 does not mind one that is gone."""
        client = await self._opened()
        with self._calling():
            await client.delete_object(Bucket=self._bucket, Key=self._key(item.id, item.state))

    async def close(self) -> None:
        """Disconnect."""
        self._client = None
        await self._clients.aclose()

    async def _opened(self) -> S3Client:
        async with self._opening:
            if self._client is None:
                with self._calling():
                    self._client = await self._clients.enter_async_context(
                        get_session().create_client(
                            "s3",
                            self._region,
                            endpoint_url=self._endpoint_url,
                            config=AioConfig(
                                connect_timeout=5,
                                read_timeout=60,
                                retries={"mode": "standard", "max_attempts": 2},
                            ),
                        )
                    )
            return self._client

    async def _get(self, item: Listed, most: int) -> bytes:
        if not item.size:
            return b""  # there is no range in it, which S3 takes for an error
        client = await self._opened()
        with self._calling(item):
            response = await client.get_object(
                Bucket=self._bucket,
                Key=self._key(item.id, item.state),
                Range=f"bytes=0-{most - 1}",
            )
            async with response["Body"] as stream:
                return await stream.read()

    def _prefix_of(self, state: State) -> str:
        return f"{self._prefix}{REPLAY}/" if state == "replaying" else self._prefix

    def _key(self, entry_id: str, state: State) -> str:
        return f"{self._prefix_of(state)}{entry_id}{SUFFIX}"

    @contextmanager
    def _calling(self, item: Listed | None = None) -> Iterator[None]:
        try:
            yield
        except ExceptionGroup as errors:
            raise self._error(errors.exceptions[0], item) from errors
        except AWSCallError as error:
            raise self._error(error, item) from error

    def _error(self, error: Exception, item: Listed | None) -> QuarantineError:
        if isinstance(error, ClientError) and error_code(error) in _GONE and item is not None:
            return EntryGoneError(item.id)
        if not isinstance(error, AWSCallError):
            raise error
        return QuarantineError(
            f"the quarantine {self._address} cannot be used: {describe(error)}",
            remedy="check quarantine.path, and the role's s3 permissions",
        )
