"""Payloads too large for memory, on disk while they are in hand.

They lie beside the state, as that is where the service may write, and only its user may read them.
What a kill has left is removed at the next start: whatever it was comes again. So is the empty file
of a write that is cancelled in the moment in which its thread makes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO, TypeVar

from detector.errors import PayloadError

T = TypeVar("T")

SUFFIX = ".spooled"


Body = bytes | Path
"""A payload's body: in memory, or a file in the spool."""


def size_of(body: Body) -> int:
    """Return how many bytes a body has."""
    return len(body) if isinstance(body, bytes) else body.stat().st_size


async def md5(body: Body) -> bytes:
    """Return the MD5 of a body."""
    if isinstance(body, bytes):
        return hashlib.md5(body, usedforsecurity=False).digest()
    return await asyncio.to_thread(_md5_of_file, body)


def remove(body: object) -> None:
    """Remove a body that is a file and done with; a second time does nothing."""
    if isinstance(body, Path):
        with suppress(OSError):
            body.unlink(missing_ok=True)


def _md5_of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).digest()


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


class Spool:
    """A folder of payloads that are in hand. It is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with suppress(FileNotFoundError):
            for left in folder.glob(f"*{SUFFIX}"):
                left.unlink(missing_ok=True)

    async def write(self, chunks: AsyncIterable[bytes], max_bytes: int) -> Path:
        """Write what comes into a file of its own; whoever is done with it unlinks it.

        Raises:
            PayloadError: `too_large`: more than `max_bytes` came; `no_space`: it cannot be written.
                Nothing is left of it.
        """
        path, file = await self._on_disk(self._new)
        try:
            size = 0
            async for chunk in chunks:
                size += len(chunk)
                _check(size, max_bytes)
                await self._on_disk(partial(file.write, chunk))
            await self._on_disk(file.close)
        except BaseException:
            with suppress(OSError):  # a full disk fails the last write once more
                file.close()
            remove(path)
            raise
        return path

    async def _on_disk(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(function)
        except OSError as error:
            why = f"it cannot be written to {self._folder}: {error.strerror}"
            raise PayloadError("no_space", why) from error

    def _new(self) -> tuple[Path, BinaryIO]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = mkstemp(suffix=SUFFIX, dir=self._folder)
        return Path(name), os.fdopen(descriptor, "wb")


def _check(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise PayloadError("too_large", f"it is larger than {max_bytes} bytes")
