"""Entries as files in a folder; those to be replayed lie in the folder `replay` below it.

Bodies are what an attacker sent, or what an account did: only the detector's user may read them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from detector.errors import QuarantineError
from detector.quarantine.entry import (
    MAX_HEAD_BYTES,
    SUFFIX,
    State,
    digest_of,
    id_of_name,
    kept_at_of,
)
from detector.quarantine.store import MAX_DOCUMENT_BYTES, REPLAY, EntryGoneError, Listed, Usage

T = TypeVar("T")

BLOCK_BYTES = 4_096
"""What the smallest file takes on most file systems: a flood of tiny ones is bounded as well."""

ROOM_SHARE = 0.9
"""How much of the bound is left when it was reached: making room means to look at every file, so
that some is made for a while."""

SCAN_SECONDS = 60.0
"""How often all files are looked at: others come and go by the command line."""


class FolderQuarantine:
    """A `QuarantineStore` of files."""

    poll_seconds = 2.0

    def __init__(self, folder: Path, *, max_bytes: int, retention: float) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._retention = retention
        self._usage: Usage | None = None
        self._scanned_at = 0.0

    async def make_room(self, size: int, now: float) -> Usage:
        """Drop the oldest where so many bytes would not fit, and what is too old."""
        return await self._call(lambda: self._make_room(size, now))

    async def keep(self, documents: Mapping[str, bytes]) -> None:
        """Write documents, each as a whole or not at all; then have the folder itself written."""
        await self._call(lambda: self._keep(documents))

    async def listed(self, state: State) -> list[Listed]:
        """Return the entries, oldest first; none where there is no folder yet."""
        return await self._call(lambda: self._listed(state))

    async def beginning(self, item: Listed) -> bytes:
        """Return the first `MAX_HEAD_BYTES` of a document."""
        return await self._call(lambda: self._read(item, MAX_HEAD_BYTES))

    async def read(self, item: Listed) -> bytes:
        """Return a document."""
        return await self._call(lambda: self._read(item, MAX_DOCUMENT_BYTES))

    async def request_replay(self, item: Listed) -> None:
        """Move an entry to those that are to be replayed."""
        await self._call(lambda: self._request_replay(item))

    async def drop(self, item: Listed) -> None:
        """Delete an entry."""
        await self._call(lambda: self._path(item.id, item.state).unlink(missing_ok=True))

    async def close(self) -> None:
        """Nothing is held open."""

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(function)
        except OSError as error:
            raise QuarantineError(
                f"the quarantine {self._folder} cannot be used: {error.strerror}",
                remedy="check quarantine.path: its folder must be writable, and have space",
            ) from error

    def _path(self, entry_id: str, state: State) -> Path:
        return self._folder_of(state) / f"{entry_id}{SUFFIX}"

    def _folder_of(self, state: State) -> Path:
        return self._folder / REPLAY if state == "replaying" else self._folder

    def _keep(self, documents: Mapping[str, bytes]) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Now, as the command line may be another user's: what it made the service could not read.
        self._folder_of("replaying").mkdir(mode=0o700, exist_ok=True)
        wanted = set(map(digest_of, documents))
        # Looked for in the folder each time: what is there changes by the command line too.
        known = {digest for digest in _digests(self._folder) if digest in wanted}
        new = []
        for entry_id, document in documents.items():
            if digest_of(entry_id) not in known:
                _write(self._path(entry_id, "kept"), document)
                new.append(_on_disk(len(document)))
        _sync(self._folder)
        if self._usage is not None:
            usage = self._usage
            self._usage = Usage(usage.entries + len(new), usage.bytes + sum(new))

    def _listed(self, state: State) -> list[Listed]:
        return sorted(_entries(self._folder_of(state), state), key=lambda item: item.id)

    def _read(self, item: Listed, most: int) -> bytes:
        path = self._path(item.id, item.state)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_DOCUMENT_BYTES:
                    raise QuarantineError(f"{path} is larger than any entry")
                return file.read(most)
        except FileNotFoundError as error:
            raise EntryGoneError(item.id) from error

    def _request_replay(self, item: Listed) -> None:
        target = self._path(item.id, "replaying")
        target.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            self._path(item.id, "kept").replace(target)
        except FileNotFoundError as error:
            if not target.exists():
                raise EntryGoneError(item.id) from error
        _sync(target.parent)
        _sync(self._folder)

    def _make_room(self, size: int, now: float) -> Usage:
        usage = self._usage
        is_due = time.monotonic() - self._scanned_at >= SCAN_SECONDS
        if usage is not None and not is_due and usage.bytes + size <= self._max_bytes:
            return usage
        if usage is None:
            _remove_parts(self._folder)
        found = sorted(
            [*self._listed("kept"), *self._listed("replaying")], key=lambda item: item.id
        )
        expired = [item for item in found if kept_at_of(item.id) < now - self._retention]
        left = found[len(expired) :]
        total = sum(_on_disk(item.size) for item in left)
        full = []
        if total + size > self._max_bytes:
            for item in left:
                if total + size <= self._max_bytes * ROOM_SHARE:
                    break
                full.append(item)
                total -= _on_disk(item.size)
        for item in (*expired, *full):
            self._path(item.id, item.state).unlink(missing_ok=True)
        self._scanned_at = time.monotonic()
        self._usage = Usage(len(left) - len(full), total)
        return Usage(len(left) - len(full), total, full=len(full), expired=len(expired))


def _entries(folder: Path, state: State) -> Iterator[Listed]:
    """Yield the entries in a folder, in any order; other files are none of ours."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            entry_id = id_of_name(entry.name)
            if entry_id is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):  # moved or dropped since
                yield Listed(entry_id, entry.stat(follow_symlinks=False).st_size, state)


def _digests(folder: Path) -> Iterator[str]:
    """Yield the digests of the entries in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            entry_id = id_of_name(entry.name)
            if entry_id is not None and entry.is_file(follow_symlinks=False):
                yield digest_of(entry_id)


def _write(path: Path, document: bytes) -> None:
    """Write a file that is there as a whole or not at all, also after a loss of power."""
    part = path.with_name(f".{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _remove_parts(folder: Path) -> None:
    """Remove what a kill in the middle of a write has left."""
    for part in folder.glob(f".*{SUFFIX}.tmp"):
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _on_disk(size: int) -> int:
    """Return what a file of so many bytes takes, in whole blocks."""
    return max(1, -(-size // BLOCK_BYTES)) * BLOCK_BYTES
