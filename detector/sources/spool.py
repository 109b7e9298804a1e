"""Payloads too large for memory, on disk while they are in hand.

They lie beside the state, as that is where the service may write, and only its user may read them.
What a kill has left is removed at the next start: whatever it was comes again.
"""

from __future__ import annotations

import asyncio
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
            with file:
                size = 0
                async for chunk in chunks:
                    size += len(chunk)
                    _check(size, max_bytes)
                    await self._on_disk(partial(file.write, chunk))
        except BaseException:
            self.remove(path)
            raise
        return path

    @staticmethod
    def remove(path: Path) -> None:
        """Remove a file that is done with; a second time does nothing."""
        with suppress(OSError):
            path.unlink(missing_ok=True)

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
