"""The quarantine as a part of the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from detector.config import Config
from detector.pipeline import Processed
from detector.quarantine.entry import QUARANTINE
from detector.quarantine.making import make_store
from detector.quarantine.replaying import ReplaySource
from detector.quarantine.worker import QuarantineWorker
from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.sources.source import Emit
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics


class Quarantine:
    """Moves what was rejected to its place, and hands on what is to be read once more."""

    def __init__(
        self,
        config: Config,
        state: StateWorker,
        metrics: Metrics,
        budget: Budget,
        now: Callable[[], float],
    ) -> None:
        share = budget.share()
        self._metrics = metrics.quarantine
        self._store = make_store(config.quarantine)
        self._worker = QuarantineWorker(self._store, state, self._metrics, now)
        self._source = ReplaySource(self._store, share, metrics.source_meter(QUARANTINE, share))

    def noticed(self, deliveries: Sequence[Delivery], processed: Sequence[Processed]) -> None:
        """Take note of what became of deliveries."""
        for delivery, outcome in zip(deliveries, processed, strict=True):
            if outcome.quarantined:
                self._metrics.quarantined(delivery.source, outcome.quarantined, outcome.unkept)
                self._worker.wake()

    async def run(self) -> None:
        """Move what waits, until cancelled; see `QuarantineWorker`."""
        await self._worker.run()

    async def replay(self, emit: Emit) -> None:
        """Hand on what is to be replayed, until cancelled; see `ReplaySource`."""
        await self._source.run(emit)

    async def empty(self) -> None:
        """Move all that waits, before an end.

        Raises:
            QuarantineError: the place cannot be reached; the next start goes on.
        """
        while await self._worker.move():
            pass

    async def close(self) -> None:
        """Delete what was replayed, and let go of the place."""
        await self._source.close()
        await self._store.close()
