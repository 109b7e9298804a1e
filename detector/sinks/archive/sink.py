"""The archive sink: what is sent at the same time shares one block and one fsync."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog

from detector.config import ArchiveSinkConfig
from detector.errors import SinkError
from detector.sinks.archive.files import ArchiveFiles
from detector.sinks.archive.layout import day_of
from detector.sinks.archive.record import encoded
from detector.sinks.archive.uploads import Uploads
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, SinkContext
from detector.state.store import Notification

WORK_FOLDER = ".open"
"""Where files are written before they are whole. Hive, Athena and `ls` pass over such a name."""

MAX_BLOCK_BYTES = 4 << 20
"""Of the records in a block, but for a last one: a reader holds a block as a whole. Sixty-four
alerts with all the evidence that a window keeps have some 8 MB."""

MAX_SPOOL_BYTES = 4 << 30
"""What may lie in the spool while S3 takes nothing: some million alerts, and four times the largest
file. The disk is the state's too; what does not fit waits in the outbox."""

CLOSE_SECONDS = 10.0
"""For the last uploads. A container has 30 seconds to end in, and other sinks want some of them;
what stays is uploaded at the next start."""

_NEVER = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EROFS),
        errno.ENAMETOOLONG,
    }
)
"""Errors of a folder that no waiting mends."""

log = structlog.get_logger()


class _Waiting(NamedTuple):
    """A record that is to be written, and who wants to know what became of it."""

    record: bytes
    answer: asyncio.Future[Answer]


class ArchiveSink:
    """A `Sink` that keeps every notification as a record of an Avro file.

    Delivered means that the record is on disk for good: in the archive's folder, or in the spool
    from which whole files go to S3.
    """

    concurrency = 64

    def __init__(self, config: ArchiveSinkConfig, context: SinkContext) -> None:
        self.name = config.name
        self._config = config
        self._now = context.now
        self._uploads = Uploads(config, context.spool) if config.is_in_s3 else None
        root = Path(config.path)
        self._files = ArchiveFiles(
            context.spool if config.is_in_s3 else root / WORK_FOLDER,
            context.spool.joinpath if config.is_in_s3 else lambda name: root / day_of(name) / name,
            config.codec,
            config.max_bytes,
            is_private=config.is_in_s3,
        )
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._is_closing = False
        self._worker: asyncio.Task[None] | None = None
        self._not_placed = ""

    @property
    def unfinished(self) -> str | None:
        """Once closed: why a file is not where it belongs yet; None where each is."""
        if self._not_placed:
            return f"its file cannot be moved to its place: {self._not_placed}"
        if self._uploads is not None and self._uploads.waiting_bytes:
            return self._uploads.failure or f"S3 has not taken it in {CLOSE_SECONDS:g} s"
        return None

    async def open(self) -> None:
        """Take up what a crash has left, and begin to write and to upload.

        Raises:
            SinkError: the folder cannot be used, or S3's client not be made.
        """
        try:
            await asyncio.to_thread(self._files.prepare)
            await self._look()
        except OSError as error:
            if error.errno in _NEVER:
                raise SinkError(
                    f"sink {self.name}: the folder of the archive cannot be used: {error.strerror}",
                    remedy="check path: the detector must be able to write there",
                ) from error
            log.warning("archive not ready yet", sink=self.name, why=error.strerror)
        if self._uploads is not None:
            await self._uploads.open()
        self._worker = asyncio.create_task(self._work())

    async def send(self, notification: Notification) -> Answer:
        """Keep a notification, and answer when it is on disk for good."""
        assert self._worker is not None  # noqa: S101 - open() comes first
        if self._worker.done():
            self._worker.result()
            return Retry("the archive is closed")
        if (why := self._full()) is not None:
            return Retry(why)
        try:
            record = encoded(notification, self._now())
        except (ValueError, OverflowError) as error:
            return Permanent(f"the alert does not fit the archive's schema: {error}")
        waiting = _Waiting(record, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        return await waiting.answer

    async def close(self) -> None:
        """Write what is on its way, close the file, and upload what can be."""
        self._is_closing = True
        self._wake.set()
        if self._worker is not None:
            await self._worker
        if self._uploads is not None:
            await self._uploads.close(CLOSE_SECONDS)

    def _full(self) -> str | None:
        """Return why nothing more is taken, None while something is."""
        if self._uploads is None:
            return None
        waiting = self._uploads.waiting_bytes
        if waiting + self._files.size < MAX_SPOOL_BYTES:
            return None
        return f"{waiting} bytes wait for S3, and no more may: {self._uploads.failure or 'slow'}"

    async def _work(self) -> None:
        """Write what waits and close files that are due, until closed."""
        while True:
            self._wake.clear()
            if self._waiting:
                await self._write(self._batch())
            if self._is_due():
                await self._finish()
            if self._waiting:
                continue
            if self._is_closing:
                await self._finish()
                return
            with suppress(TimeoutError):
                # Not asyncio.wait_for: in Python 3.11 it can swallow a cancellation.
                async with asyncio.timeout(self._seconds_left()):
                    await self._wake.wait()

    def _batch(self) -> list[_Waiting]:
        batch, size = [], 0
        while self._waiting and size < MAX_BLOCK_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].record)
        return batch

    async def _write(self, batch: list[_Waiting]) -> None:
        answer: Answer = Retry("the archive's writer has failed")
        records = [waiting.record for waiting in batch]
        try:
            await asyncio.to_thread(self._files.append, records, self._now())
            answer = Delivered()
        except OSError as error:
            answer = Retry(f"the archive cannot be written: {error.strerror}")
        finally:
            for waiting in batch:
                if not waiting.answer.done():  # else nobody waits any more
                    waiting.answer.set_result(answer)

    async def _finish(self) -> None:
        """Close the file; where it cannot be moved to its place now, that is done later."""
        self._not_placed = ""
        try:
            if await asyncio.to_thread(self._files.finish) is not None:
                await self._look()
        except OSError as error:
            self._not_placed = error.strerror or type(error).__name__
            log.warning("archive file not in its place yet", sink=self.name, why=error.strerror)

    async def _look(self) -> None:
        if self._uploads is not None:
            await self._uploads.look()

    def _is_due(self) -> bool:
        seconds = self._seconds_left()
        return self._files.is_full or (seconds is not None and seconds <= 0)

    def _seconds_left(self) -> float | None:
        begun_at = self._files.begun_at
        return None if begun_at is None else begun_at + self._config.max_seconds - self._now()
