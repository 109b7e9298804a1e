"""Log files that appear in a folder.

Another program writes there, so a file counts as complete once it has stopped changing. What was
read is remembered by size and time of change, in the transaction of what it caused: a restart
neither repeats nor skips, and a file that is replaced is read again.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from detector.alerts.text import clean
from detector.config import DirectorySourceConfig
from detector.errors import PayloadError, SourceError
from detector.sources.delivery import Delivery
from detector.sources.files import log_files, read_payload
from detector.sources.source import Emit, SourceContext
from detector.state.store import Position

SCAN_SHARE = 0.1
"""The share of its time that a source may spend on looking: a million files take seconds."""

GONE_SECONDS = 86_400.0
"""How long a file must be gone before it is forgotten. It frees some hundred bytes: no hurry, and
a shared folder that is not mounted for an hour must not have all of its files read again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    size: int
    signature: str


class DirectorySource:
    """A `Source` of the log files in a folder and below."""

    def __init__(self, config: DirectorySourceConfig, context: SourceContext) -> None:
        self.name = config.name
        self._config = config
        self._folder = Path(config.path)
        self._share = context.share
        self._meter = context.meter
        self._readiness = context.readiness
        self._read = dict(context.positions)
        """Signature of each file that was handed on, by its path below the folder."""
        self._forget = context.forget
        self._gone: dict[str, float] = {}
        """Files that were read and are not there any more, with the time they were first missed."""
        self._unsettled: dict[str, tuple[str, float]] = {}
        self._unreadable: set[str] = set()
        self._unlisted: set[str] = set()

    async def run(self, emit: Emit) -> None:
        """Hand on what is there, then what comes; see `Source`."""
        while True:
            started = time.monotonic()
            try:
                found = await asyncio.to_thread(self._scan)
            except OSError as error:
                raise SourceError(
                    f"the folder {self._folder} cannot be read: {error.strerror}",
                    remedy="create it, or correct sources.path",
                ) from error
            self._readiness.is_ready = True
            for item in found:
                await self._hand_on(item, emit)
            await self._forget_gone()
            took = time.monotonic() - started
            await asyncio.sleep(max(self._config.poll_seconds, took / SCAN_SHARE - took))

    async def close(self) -> None:
        """Nothing is held open between reads."""

    async def _hand_on(self, item: _Found, emit: Emit) -> None:
        path = self._folder / item.path
        if item.path in self._unreadable and not os.access(path, os.R_OK):
            return
        hold = await self._share.acquire(min(item.size, self._config.max_file_bytes))
        try:
            payload = await asyncio.to_thread(read_payload, path, self._config.max_file_bytes)
        except BaseException:
            hold.release()
            raise
        self._meter.fetched(item.size)
        positions: tuple[Position, ...] = ()
        stays = False
        if isinstance(payload.body, PayloadError) and payload.body.reason == "unreadable":
            # Not remembered as read: once it can be read it must be, by a later process too.
            self._unreadable.add(item.path)
            stays = True
        else:
            self._unreadable.discard(item.path)
            self._read[item.path] = item.signature
            positions = (Position(self.name, item.path, item.signature),)
        emit(
            Delivery(
                source=self.name,
                payloads=[payload],
                received_at=time.time(),
                hold=hold,
                positions=positions,
                has_redrive=stays,
            )
        )

    def _scan(self) -> list[_Found]:
        """Return the complete files that were not read as they are now."""
        found = []
        gone = set(self._read)
        unsettled: dict[str, tuple[str, float]] = {}
        now = time.time()
        clock = time.monotonic()
        for entry in log_files(self._folder, self._not_listed):
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            path = os.path.relpath(entry.path, self._folder)
            gone.discard(path)
            signature = f"{status.st_size}:{status.st_mtime_ns}"
            if self._read.get(path) == signature:
                continue
            before, since = self._unsettled.get(path, (signature, clock))
            since = since if before == signature else clock
            settle = self._config.settle_seconds
            if now - status.st_mtime >= settle or clock - since >= settle:
                found.append(_Found(path, status.st_size, signature))
            else:
                unsettled[path] = (signature, since)
        self._unsettled = unsettled
        self._gone = {path: self._gone.get(path, clock) for path in gone}
        return found

    def _not_listed(self, error: OSError) -> None:
        """Take note of a folder that cannot be read; the others are."""
        self._meter.failed("folder")
        folder = str(error.filename)
        if folder not in self._unlisted:
            self._unlisted.add(folder)
            log.warning(
                "folder not read", source=self.name, folder=clean(folder), error=error.strerror
            )

    async def _forget_gone(self) -> None:
        long_ago = time.monotonic() - GONE_SECONDS
        forgotten = [path for path, since in self._gone.items() if since < long_ago]
        if forgotten:
            await self._forget(forgotten)
            for path in forgotten:
                del self._read[path]
