"""The archive's files on disk: written a block at a time, and mended after a crash.

A file is written under another name until it is whole. `append` returns when its block is on disk
for good. What a crash or a full disk leaves half written is cut off: it never was delivered.

All calls block, and are made one at a time.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from detector.sinks.archive.container import (
    SYNC_BYTES,
    Codec,
    Scan,
    TornHeaderError,
    block,
    can_be_read,
    header,
    scan,
)
from detector.sinks.archive.layout import DAMAGED_SUFFIX, PART_SUFFIX, file_name, is_name

COPY_BYTES = 1 << 20
"""Copied at a time when a damaged file is mended."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Open:
    """The file that is written to. `size` is what of it is on disk for good."""

    path: Path
    descriptor: int
    sync: bytes
    begun_at: float
    size: int = 0


class ArchiveFiles:
    """Files that are written in one folder and, when whole, moved to where `place` says.

    `place` takes a file's name; the folder must be on the same file system. `is_private` keeps them
    from the user's group. Another process may use the same folder: each holds a lock on its file.
    """

    def __init__(
        self,
        folder: Path,
        place: Callable[[str], Path],
        codec: Codec,
        max_bytes: int,
        *,
        is_private: bool,
    ) -> None:
        self._folder = folder
        self._place = place
        self._codec = codec
        self._max_bytes = max_bytes
        self._mode = 0o600 if is_private else 0o640
        self._folder_mode = 0o700 if is_private else 0o750
        self._open: _Open | None = None
        self._has_leftovers = True

    @property
    def begun_at(self) -> float | None:
        """When the file that is written to got its first record, in seconds; None without one."""
        return None if self._open is None else self._open.begun_at

    @property
    def size(self) -> int:
        """How many bytes the file that is written to has."""
        return 0 if self._open is None else self._open.size

    @property
    def is_full(self) -> bool:
        """Whether the file that is written to has its size."""
        return self.size >= self._max_bytes

    def prepare(self) -> None:
        """Make the folder, and move what a crash has left to its place, as far as that can be.

        Raises:
            OSError: the folder cannot be used.
        """
        _make_folder(self._folder, self._folder_mode)
        self._has_leftovers = False
        for part in sorted(self._folder.glob(f"*{PART_SUFFIX}")):
            if not is_name(_final_name(part)):
                continue
            try:
                self._recover(part)
            except OSError as error:  # one that cannot be moved now must not hold up new records
                self._has_leftovers = True
                log.warning("archive file not recovered yet", file=part.name, why=error.strerror)

    def append(self, records: Sequence[bytes], now: float) -> None:
        """Write records, and return when they are on disk for good.

        Raises:
            OSError: they are not; nothing of them stays.
        """
        file = self._open
        if file is None:
            if self._has_leftovers:
                self.prepare()
            file = self._open = self._create(now)
        data = block(self._codec, records, file.sync)
        is_new = not file.size
        if is_new:
            data = header(self._codec, file.sync) + data
        try:
            _write(file.descriptor, data, file.size)
            os.fsync(file.descriptor)
            if is_new:
                _sync_folder(self._folder)
        except OSError:
            self._cut(file)
            raise
        file.size += len(data)

    def finish(self) -> Path | None:
        """Close the file that is written to, and return where it is now; None without one.

        Raises:
            OSError: it could not be moved to its place, and will be with the next file.
        """
        file, self._open = self._open, None
        if file is None:
            return None
        with closing(os.fdopen(file.descriptor, "rb")):
            try:
                return self._publish(file.path, _final_name(file.path))
            except OSError:
                self._has_leftovers = True
                raise

    def _create(self, now: float) -> _Open:
        name = file_name(now, secrets.token_hex(8))
        path = self._folder / f"{name}{PART_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(path, flags, self._mode)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have taken it for a leftover, and removed it, before the lock.
            path.stat()
        except OSError:
            os.close(descriptor)
            raise
        return _Open(path, descriptor, secrets.token_bytes(SYNC_BYTES), now)

    def _cut(self, file: _Open) -> None:
        """Take back what was half written; where that fails too, begin another file."""
        try:
            os.ftruncate(file.descriptor, file.size)
            os.fsync(file.descriptor)
            if file.size:
                return
            file.path.unlink()
        except OSError:
            self._has_leftovers = True
        os.close(file.descriptor)
        self._open = None

    def _publish(self, part: Path, name: str) -> Path:
        """Move a file to its place."""
        path = self._place(name)
        _make_folder(path.parent, self._folder_mode)
        part.rename(path)
        _sync_folder(path.parent)
        if path.parent != self._folder:
            _sync_folder(self._folder)
        return path

    def _recover(self, part: Path) -> None:
        """Move what is whole of a file to its place."""
        with _locked(part) as descriptor:
            if descriptor is None:
                return
            size = os.fstat(descriptor).st_size
            try:
                found = _found(descriptor, size)
            except TornHeaderError:
                part.unlink()
                return
            except ValueError as error:
                self._set_aside(part, str(error))
                return
            if not found.ranges:
                part.unlink()
                return
            name, end = _final_name(part), found.ranges[-1][1]
            if found.is_sound:
                os.ftruncate(descriptor, end)
                os.fsync(descriptor)
                self._publish(part, name)
            else:
                self._publish(self._mended(part, descriptor, found), name)
                self._set_aside(part, "there is damage between its blocks")
            log.info("archive file recovered", file=name, cut_off=size - end)

    def _set_aside(self, part: Path, why: str) -> None:
        damaged = part.with_suffix(DAMAGED_SUFFIX)
        part.rename(damaged)
        _sync_folder(self._folder)
        log.error("archive file is damaged", kept_as=damaged.name, why=why)

    def _mended(self, part: Path, descriptor: int, found: Scan) -> Path:
        """Return a file that has the whole blocks of one with damage between them."""
        mended = part.with_suffix(".tmp")
        with suppress(FileNotFoundError):
            mended.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(mended, flags, self._mode), "wb") as file:
            for start, end in [(0, found.header), *found.ranges]:
                for position in range(start, end, COPY_BYTES):
                    file.write(os.pread(descriptor, min(COPY_BYTES, end - position), position))
            file.flush()
            os.fsync(file.fileno())
        return mended


def _found(descriptor: int, size: int) -> Scan:
    """Return what is whole of a file, without a last block that cannot be read.

    Raises:
        ValueError: it is no Avro file.
    """
    if not size:
        raise TornHeaderError
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as data:
        found = scan(data)
        # Only the last block may have been on its way to the disk: each waits for the one before.
        if found.last is None or can_be_read(data, found, found.last):
            return found
    *before, (start, _) = found.ranges
    if start < found.last[0]:
        before.append((start, found.last[0]))
    return Scan(found.header, before, None)


@contextmanager
def _locked(part: Path) -> Iterator[int | None]:
    """Open a file and lock it; None where it is somebody else's, or not there any more."""
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(descriptor), part.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        yield descriptor if is_ours else None
    finally:
        os.close(descriptor)


def _final_name(part: Path) -> str:
    return part.name.removesuffix(PART_SUFFIX)


def _write(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, position)
        view, position = view[written:], position + written


def _make_folder(path: Path, mode: int) -> None:
    """Make a folder and those above it, so that a loss of power leaves them there."""
    if path.is_dir():
        return
    _make_folder(path.parent, mode)
    path.mkdir(mode=mode, exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
