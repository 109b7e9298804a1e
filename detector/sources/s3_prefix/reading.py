"""S3 for a replay, which waits for each object in turn while the next ones are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from functools import partial
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from detector.aws import AWSCallError, describe
from detector.envelopes.types import ObjectReference
from detector.errors import SourceError
from detector.sources.delivery import Payload
from detector.sources.s3_prefix.layout import S3Address
from detector.sources.s3_prefix.listing import LISTINGS_AT_ONCE, Listed, list_log_files
from detector.sources.s3_sqs.objects import fetch
from detector.sources.stored import ALL_TIME, Period, Stored

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

OBJECTS_AHEAD = 32
"""Objects fetched or on their way that are not read yet. A trail's are some kilobytes: what a fetch
takes is the way to S3 and back, and that many hide it."""

BYTES_AHEAD = 64 << 20
"""What they may have together; one object that is larger is fetched alone."""

T = TypeVar("T")


class S3Objects:
    """The log files below prefixes, read one by one; a context in which they can be.

    The calls run in a thread of their own, with credentials from the usual places.
    """

    def __init__(
        self,
        *,
        max_object_bytes: int,
        region: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self._max_bytes = max_object_bytes
        self._region = region
        self._endpoint_url = endpoint_url
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="s3", daemon=True)
        self._clients = AsyncExitStack()
        self._client: S3Client
        self._objects: list[ObjectReference] = []
        self._ahead: dict[int, Future[Payload]] = {}
        self._bytes_ahead = 0
        self._next = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._start(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def find(self, addresses: Sequence[S3Address], period: Period = ALL_TIME) -> list[Stored]:
        """Return the log files below some prefixes, in order; to be called once.

        Raises:
            SourceError: one cannot be listed.
        """
        listed = self._start(self._find(addresses, period)).result()
        listed.sort(key=lambda item: item.delivered_at)
        self._objects = [item.reference for item in listed]
        return [
            Stored(str(item.reference), item.delivered_at, partial(self._read, place))
            for place, item in enumerate(listed)
        ]

    def _read(self, place: int) -> Payload:
        """Return an object's body, and see that those that follow it are on their way."""
        while self._next < len(self._objects) and (self._next <= place or self._has_room()):
            self._fetch(self._next)
        payload = self._ahead.pop(place).result()
        self._bytes_ahead -= self._weight(place)
        return payload

    def _has_room(self) -> bool:
        bytes_ahead = self._bytes_ahead + self._weight(self._next)
        return len(self._ahead) < OBJECTS_AHEAD and bytes_ahead <= BYTES_AHEAD

    def _weight(self, place: int) -> int:
        return min(self._objects[place].size or 0, self._max_bytes)

    def _fetch(self, place: int) -> None:
        body = fetch(self._client, self._objects[place], self._max_bytes)
        self._ahead[place] = self._start(body)
        self._bytes_ahead += self._weight(place)
        self._next = place + 1

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _find(self, addresses: Sequence[S3Address], period: Period) -> list[Listed]:
        config = AioConfig(
            max_pool_connections=max(OBJECTS_AHEAD, LISTINGS_AT_ONCE),
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard"},
        )
        try:
            self._client = await self._clients.enter_async_context(
                get_session().create_client(
                    "s3", self._region, endpoint_url=self._endpoint_url, config=config
                )
            )
        except (*AWSCallError, ValueError) as error:  # a ValueError is of an endpoint_url
            raise SourceError(
                f"{addresses[0]}: S3 cannot be used: {describe(error)}",
                remedy="check AWS_PROFILE, --region and --endpoint-url",
            ) from error
        found: list[Listed] = []
        for address in addresses:
            found += await list_log_files(self._client, address, period)
        return found

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._clients.aclose()
