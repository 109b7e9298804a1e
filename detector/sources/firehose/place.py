"""A request's place in the budget: taken before its body is read, changed for its real size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from detector.envelopes.firehose import RequestError
from detector.sources.budget import Hold, Share

ROOM_SECONDS = 10.0
"""How long a request waits for its place in the budget. Short, as Firehose asks again by itself
and who waits holds a connection; long enough for a batch that is being committed."""

BUSY_RETRY_SECONDS = 5.0
"""When to come again if there is no room; Firehose's own waits begin at 1 s and double."""


class Place:
    """A request's place in the budget."""

    def __init__(self, share: Share, is_taking: Callable[[], bool]) -> None:
        self._share = share
        self._is_taking = is_taking
        self._hold: Hold | None = None

    async def take(self, size: int) -> None:
        """Wait for a place, for a moment.

        Raises:
            RequestError: 503 `busy`: there is none, or the source takes nothing any more.
        """
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                hold = await self._share.acquire(size)
        except TimeoutError:
            raise busy("there is no room for it") from None
        if not self._is_taking():
            hold.release()
            raise busy("the detector takes nothing now")
        self._hold = hold

    async def change(self, size: int) -> None:
        """Wait for a place of another size, with none meanwhile: two that wait cannot block."""
        if self._hold is not None and self._hold.size != size:
            self.leave()
            await self.take(size)

    def resize(self, size: int) -> None:
        """Have a place of the size that it turned out to need."""
        if self._hold is not None:
            self._hold.resize(size)

    def keep(self) -> Hold:
        """Give the place to a delivery, which keeps it."""
        hold, self._hold = self._hold, None
        if hold is None:
            raise AssertionError("there is no place to give")
        return hold

    def leave(self) -> None:
        """Give the place back, if there is one."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None


def busy(why: str) -> RequestError:
    """Return what a request is told that may come again."""
    return RequestError(503, "busy", why, retry_after=BUSY_RETRY_SECONDS)
