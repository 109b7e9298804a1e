"""How much may be in hand at once: the one place where a full pipeline stops its sources."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress


class Hold:
    """A place in the budget: what was fetched, or is about to be, and is not done with.

    `since` is when it was taken, by the monotonic clock, in seconds.
    """

    def __init__(self, share: Share, size: int) -> None:
        self._share = share
        self._is_released = False
        self.size = size
        self.since = time.monotonic()

    def resize(self, size: int) -> None:
        """Hold another number of bytes: the real one, once it is known.

        It may be more than was acquired, and never waits: the bytes are there already. A source
        that acquires what it may get at most keeps the budget's bound.
        """
        if not self._is_released:
            self._share.resized(self, size)

    def release(self) -> None:
        """Give the place back; a second time does nothing."""
        if not self._is_released:
            self._is_released = True
            self._share.released(self)


class Share:
    """One source's part of what is in hand."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._holds: set[Hold] = set()
        self.bytes = 0

    @property
    def deliveries(self) -> int:
        """How many places the source has."""
        return len(self._holds)

    @property
    def oldest(self) -> float | None:
        """When the oldest of them was taken, by the monotonic clock; None where there is none."""
        return min((hold.since for hold in self._holds), default=None)

    async def acquire(self, size: int) -> Hold:
        """Wait until a delivery of this many bytes fits, and take its place.

        First come, first served, over all sources: small deliveries do not keep a large one
        waiting, nor a busy source a quiet one.
        """
        await self._budget.wait_for_place(size)
        return self._held(size)

    def try_acquire(self, size: int) -> Hold | None:
        """Take a place if there is one at once, and nobody waits for it."""
        return self._held(size) if self._budget.take_place(size) else None

    async def wait_until_empty(self) -> None:
        """Wait until nothing of this source is in hand."""
        while self._holds:
            await self._budget.wait_for_release()

    def resized(self, hold: Hold, size: int) -> None:
        """Take note that a place of this share has another size."""
        self.bytes += size - hold.size
        self._budget.resize(size - hold.size)
        hold.size = size

    def released(self, hold: Hold) -> None:
        """Take note that a place of this share is given back."""
        self._holds.discard(hold)
        self.bytes -= hold.size
        self._budget.give_back(hold.size)

    def _held(self, size: int) -> Hold:
        hold = Hold(self, size)
        self._holds.add(hold)
        self.bytes += size
        return hold


class Budget:
    """Bytes and deliveries that are in hand, of all sources together.

    A source acquires before it reads, for a size that it knows beforehand; the service releases
    when the delivery is done with. One delivery always fits, however large, so that nothing that
    other limits allow waits for ever. To be used within one event loop.
    """

    def __init__(self, *, max_deliveries: int, max_bytes: int) -> None:
        self._max_deliveries = max_deliveries
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._released = asyncio.Event()
        self.deliveries = 0
        self.bytes = 0

    def share(self) -> Share:
        """Return a part of this budget for one source."""
        return Share(self)

    def take_place(self, size: int) -> bool:
        """Take a place if there is one and nobody waits for it; return whether it was taken."""
        if self._waiting or not self._fits(size):
            return False
        self._take(size)
        return True

    async def wait_for_place(self, size: int) -> None:
        """Wait until there is a place, and take it."""
        if self.take_place(size):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(size)
            else:
                with suppress(ValueError):  # passed over already, in the same turn of the loop
                    self._waiting.remove((size, turn))
                self._let_in()
            raise

    def resize(self, more: int) -> None:
        """Take note that a delivery in hand is larger than thought, or smaller."""
        self.bytes += more
        self._let_in()

    def give_back(self, size: int) -> None:
        """Give the place of a delivery of this many bytes back."""
        self.deliveries -= 1
        self.bytes -= size
        self._released.set()
        self._released = asyncio.Event()
        self._let_in()

    async def wait_for_release(self) -> None:
        """Wait until the next delivery is done with."""
        await self._released.wait()

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in hand."""
        while self.deliveries:
            await self.wait_for_release()

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._take(size)
                turn.set_result(None)

    def _take(self, size: int) -> None:
        self.deliveries += 1
        self.bytes += size

    def _fits(self, size: int) -> bool:
        if self.deliveries == 0:
            return True
        return self.deliveries < self._max_deliveries and self.bytes + size <= self._max_bytes
