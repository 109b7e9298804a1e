"""Whole files of the archive on their way from the spool to S3.

Source: Amazon S3 API Reference, "PutObject"; User Guide, "Checking object integrity".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from detector.aws import AWSCallError, describe
from detector.backoff import backoff_seconds
from detector.config import ArchiveSinkConfig
from detector.errors import SinkError
from detector.sinks.archive.layout import day_of, is_name
from detector.tasks import cancel

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

log = structlog.get_logger()


class Uploads:
    """Uploads the files in a folder one after the other, and deletes each that S3 has.

    A file that was uploaded and not deleted, since a crash came between, is uploaded again under
    the same key.
    """

    def __init__(self, config: ArchiveSinkConfig, spool: Path) -> None:
        bucket, _, prefix = config.path.removeprefix("s3://").partition("/")
        self._config = config
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._spool = spool
        self._waiting: dict[str, int] = {}
        """The sizes of files by their names, in the order of time."""
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._clients = AsyncExitStack()
        self._client: S3Client | None = None
        self._task: asyncio.Task[None] | None = None
        self.failure = ""
        """Why the last upload failed; empty when it did not."""

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait for their upload."""
        return sum(self._waiting.values())

    async def open(self) -> None:
        """Prepare the client.

        Raises:
            SinkError: no region, or an endpoint that is none.
        """
        config = AioConfig(connect_timeout=5, read_timeout=60)
        try:
            self._client = await self._clients.enter_async_context(
                get_session().create_client(
                    "s3",
                    self._config.region,
                    endpoint_url=self._config.endpoint_url,
                    config=config,
                )
            )
        except AWSCallError as error:
            raise SinkError(f"sink {self._config.name}: {describe(error)}") from error
        self._task = asyncio.create_task(self._run())

    async def look(self) -> None:
        """Take up what lies in the spool: at the start, and when a file has come there.

        Raises:
            OSError: the spool cannot be read.
        """
        self._waiting = await asyncio.to_thread(_whole_files, self._spool)
        self._wake.set()

    async def close(self, seconds: float) -> None:
        """Upload within so many seconds what can be, once, and disconnect."""
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            await cancel([self._task])
        await self._clients.aclose()

    async def _run(self) -> None:
        failures = 0
        wait: float | None
        while True:
            self._wake.clear()
            try:
                while self._waiting:
                    await self._upload(next(iter(self._waiting)))
                    failures = 0
            except (*AWSCallError, OSError) as error:
                failures += 1
                self.failure = describe(error)
                wait = backoff_seconds(failures, random.random)
                log.warning(
                    "archive file not uploaded yet",
                    sink=self._config.name,
                    why=self.failure,
                    files=len(self._waiting),
                    bytes=self.waiting_bytes,
                    again_in=wait,
                )
            else:
                wait = None
            if self._closing.is_set():
                return
            waits_for = self._wake if wait is None else self._closing
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await waits_for.wait()

    async def _upload(self, name: str) -> None:
        assert self._client is not None  # noqa: S101 - open() comes first
        path = self._spool / name
        try:
            checksum = await asyncio.to_thread(_sha256, path)
        except FileNotFoundError:  # taken away by hand
            self._waiting.pop(name, None)
            return
        with path.open("rb") as file:
            await self._client.put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}{day_of(name)}/{name}",
                Body=file,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=checksum,
            )
        await asyncio.to_thread(path.unlink, missing_ok=True)
        self._waiting.pop(name, None)
        self.failure = ""


def _whole_files(spool: Path) -> dict[str, int]:
    sizes = {}
    for path in sorted(spool.iterdir()):
        if is_name(path.name):
            with suppress(FileNotFoundError):  # uploaded since
                sizes[path.name] = path.stat().st_size
    return sizes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
