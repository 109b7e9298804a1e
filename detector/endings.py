"""Silences and exceptions that end while the service runs: counted, and spoken of in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date

import structlog

from detector.alerts.silence import silences_by_state
from detector.alerts.text import clean
from detector.pipeline import Pipeline
from detector.rules.exception import RuleFilter
from detector.rules.expiry import day_of, ending, filters_by_state
from detector.telemetry.metrics import Metrics

COUNT_SECONDS = 60.0
"""How often the counts are made again. Silences begin and end at whole minutes, so that no state is
shown for much longer than it holds; it costs next to nothing."""

log = structlog.get_logger()


class Endings:
    """Keeps the metrics true of what ends, and warns of exceptions that do; times are in seconds.

    The silences are those of the pipeline at the moment.
    """

    def __init__(
        self, pipeline: Pipeline, filters: Sequence[RuleFilter], metrics: Metrics, now: float
    ) -> None:
        self._pipeline = pipeline
        self._filters = filters
        self._metrics = metrics
        self._warned_on: date | None = None
        self.count(now)

    async def run(self, clock: Callable[[], float]) -> None:
        """Look at the clock again and again."""
        while True:
            self.look(clock())
            await asyncio.sleep(COUNT_SECONDS)

    def look(self, now: float) -> None:
        """Count; warn too if nobody has on this day."""
        self.count(now)
        if self._warned_on != day_of(now):
            self._warn(now)

    def count(self, now: float) -> None:
        """Show in the metrics how silences and exceptions stand."""
        self._metrics.endings(
            silences_by_state(self._pipeline.silences, now),
            filters_by_state(self._filters, day_of(now)),
        )

    def filters_read(self, filters: Sequence[RuleFilter], now: float) -> None:
        """Take over the exceptions of rules that were read again, and warn."""
        self._filters = filters
        self.count(now)
        self._warn(now)

    def _warn(self, now: float) -> None:
        self._warned_on = day_of(now)
        for item, state in ending(self._filters, self._warned_on):
            log.warning(
                "exception has expired" if state == "expired" else "exception expires soon",
                title=clean(item.file.title),
                path=clean(item.path),
                day=item.file.expires,
            )
