"""A source as a test runs it: what the service would give it, and what comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Generic, TypeVar

from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.sources.source import Readiness, Source, SourceContext
from detector.sources.spool import Spool
from tests.waiting import PATIENCE

S = TypeVar("S", bound=Source)


class Meter:
    """A `SourceMeter` that remembers."""

    def __init__(self) -> None:
        self.bytes = 0
        self.errors: Counter[str] = Counter()
        self.behind_seconds: list[float] = []

    def fetched(self, size: int) -> None:
        self.bytes += size

    def failed(self, kind: str) -> None:
        self.errors[kind] += 1

    def behind(self, seconds: float) -> None:
        self.behind_seconds.append(seconds)


class Reader(Generic[S]):
    """Runs a source, and keeps its positions as a state would."""

    def __init__(
        self,
        make: Callable[[SourceContext], S],
        positions: dict[str, str] | None = None,
        *,
        max_deliveries: int = 3,
        max_bytes: int = 1000,
        spool: Path = Path("/dev/null/spool"),
    ) -> None:
        self.budget = Budget(max_deliveries=max_deliveries, max_bytes=max_bytes)
        self.positions = dict(positions or {})
        self.forgotten: list[str] = []
        self.meter = Meter()
        self.readiness = Readiness()
        self.source = make(
            SourceContext(
                self.budget.share(),
                self.meter,
                self.readiness,
                self.positions,
                self._forget,
                Spool(spool),
            )
        )
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    async def _forget(self, keys: Iterable[str]) -> None:
        self.forgotten += keys

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the source until the block ends."""
        task = asyncio.create_task(self.source.run(self._deliveries.put_nowait))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.source.close()

    async def next(self) -> Delivery:
        """Return the next delivery, committed and done with."""
        async with asyncio.timeout(PATIENCE):
            delivery = await self._deliveries.get()
        self.positions.update({item.key: item.value for item in delivery.positions})
        await delivery.ack()
        if delivery.hold is not None:
            delivery.hold.release()
        return delivery

    @property
    def waiting(self) -> int:
        """How many deliveries were handed on and not taken."""
        return self._deliveries.qsize()
