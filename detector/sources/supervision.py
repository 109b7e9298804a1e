"""One source, kept running: made anew after a failure, paused and resumed when told to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog

from detector.alerts.text import clean
from detector.backoff import backoff_seconds
from detector.errors import DetectorError, SourceError
from detector.sources.budget import Share
from detector.sources.source import Emit, Readiness, Source, SourceMeter
from detector.tasks import cancel

SourceState = Literal["starting", "running", "paused", "failing", "ended"]

RESTART_CAP_SECONDS = 60.0
"""The longest wait before a source that has failed is made anew: each one is a page that may come
late, and a queue that is back must not wait for an hour."""

Make = Callable[[Readiness], Awaitable[Source]]
"""Makes a source from what the state holds of it now."""

log = structlog.get_logger()


class SupervisedSource:
    """Runs a source until cancelled, whatever becomes of it.

    A source is let go of in an orderly way before it is made anew: what is in hand of it is
    processed and acknowledged first. `on_change` is called after each change of the state.
    """

    def __init__(
        self,
        name: str,
        make: Make,
        share: Share,
        meter: SourceMeter,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.state: SourceState = "starting"
        self.share = share
        self._readiness = Readiness()
        self._make = make
        self._meter = meter
        self._on_change = on_change
        self._pausing = asyncio.Event()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._source: Source | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it does what it should: its last look succeeded, it is paused, or at its end."""
        return self._readiness.is_ready or self.state in {"paused", "ended"}

    @property
    def has_failed(self) -> bool:
        """Whether it has failed and was never ready: it is configured wrongly, as a rule."""
        return self.state == "failing" and not self._readiness.successes

    def pause(self, paused: bool) -> None:
        """Have it fetch no more, or go on. What is in hand is finished."""
        if paused:
            self._resumed.clear()
            self._pausing.set()
        else:
            self._pausing.clear()
            self._resumed.set()

    async def run(self, emit: Emit) -> None:
        """Run until cancelled; return when the source has come to its end."""
        failures = 0
        while self.state != "ended":
            await self._wait_while_paused()
            self._become("starting")
            successes = self._readiness.successes
            try:
                if await self._run_once(emit):
                    self._become("ended")
                failures = 0
            except Exception as error:  # noqa: BLE001 - the other sources have no part in it
                failures = 1 if self._readiness.successes > successes else failures + 1
                self._readiness.is_ready = False
                self._meter.failed("source")
                self._become("failing")
                wait = backoff_seconds(failures, random.random, cap=RESTART_CAP_SECONDS)
                _log_failure(self.name, error, wait)
                await self._finish()
                await asyncio.sleep(wait)

    async def close(self) -> None:
        """Let go of the source that there is; `run` must have ended."""
        source, self._source = self._source, None
        if source is None:
            return
        try:
            await source.close()
        except Exception as error:  # noqa: BLE001 - it is let go of all the same, and others wait
            self._meter.failed("close")
            log.warning(
                "source not closed as it should", source=self.name, error=clean(repr(error))
            )

    async def _wait_while_paused(self) -> None:
        if not self._resumed.is_set():
            self._become("paused")
            log.info("source paused", source=self.name)
            await self._resumed.wait()
            log.info("source resumed", source=self.name)

    async def _run_once(self, emit: Emit) -> bool:
        """Run a new source until it ends or is paused; return whether it came to its end."""
        source = self._source = await self._make(self._readiness)
        self._become("running")
        running = asyncio.create_task(source.run(emit))
        pausing = asyncio.create_task(self._pausing.wait())
        try:
            await asyncio.wait({running, pausing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel([running, pausing])
        if not running.cancelled():
            running.result()
            return True
        if not self._pausing.is_set():
            raise SourceError("it ended by itself", remedy="this is a bug, please report it")
        await self._finish()
        return False

    async def _finish(self) -> None:
        """Let go of a source when all that is in hand of it is done with."""
        await self.share.wait_until_empty()
        await self.close()

    def _become(self, state: SourceState) -> None:
        if self.state != state:
            self.state = state
            self._on_change()


def _log_failure(source: str, error: Exception, wait: float) -> None:
    known = isinstance(error, DetectorError)
    log.error(
        "source failed, it is tried again" if known else "source failed unexpectedly",
        source=source,
        error=clean(str(error) if known else repr(error)),
        seconds=round(wait, 1),
    )
