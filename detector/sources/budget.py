"""How much may be in hand at once: the one place where a full pipeline stops its sources."""

from __future__ import annotations

import asyncio


class Budget:
    """Bytes and deliveries that were fetched and are not done with.

    A source acquires before it reads, for a size that it knows beforehand; the service releases
    when the delivery is done with. One delivery always fits, however large, so that nothing that
    other limits allow waits for ever.
    """

    def __init__(self, *, max_deliveries: int, max_bytes: int) -> None:
        self._max_deliveries = max_deliveries
        self._max_bytes = max_bytes
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()
        self.deliveries = 0
        self.bytes = 0

    async def acquire(self, size: int) -> None:
        """Wait until a delivery of this many bytes fits, and take its place.

        First come, first served: small deliveries do not keep a large one waiting.
        """
        async with self._turn, self._changed:
            await self._changed.wait_for(lambda: self._fits(size))
            self.deliveries += 1
            self.bytes += size

    async def release(self, size: int) -> None:
        """Give the place of a delivery of this many bytes back."""
        async with self._changed:
            self.deliveries -= 1
            self.bytes -= size
            self._changed.notify_all()

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in hand."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.deliveries == 0)

    def _fits(self, size: int) -> bool:
        if self.deliveries == 0:
            return True
        return self.deliveries < self._max_deliveries and self.bytes + size <= self._max_bytes
