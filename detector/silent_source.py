"""Silent sources in the service: what `windows.hearing` decides, kept and made known.

Deliveries are noted in memory, so that one without a match still costs no transaction. What is
known goes into the state once a minute, in one row: at ten thousand trails that is 0.7 MB in one
piece, where a row for each would be thousands of them scattered over the file. A replay has none of
this: over old files there is no time at which something should have come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from detector.alerts.own import SILENT_SOURCE, silence_alert
from detector.alerts.routing import Routed, Router
from detector.config import Config, SilentSourcesConfig
from detector.counting.context import Told
from detector.pipeline import Processed
from detector.state.store import Store
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics
from detector.windows.aligned import Verdict, WindowKey
from detector.windows.hearing import Attention, Change, Hearing, Known

LOOK_SECONDS = 60.0
"""How often silences are looked for at least; a tenth of `after_seconds` where that is less. The
alert of an hour's silence need not come in a second."""

KEEP_SECONDS = 60.0
"""How often news is written. A kill loses what was heard since: some seconds of a trail's age."""

TOUCH_SECONDS = 3600.0
"""How often what is known is written without news, as what is old in the state is dropped."""

KEY = WindowKey(SILENT_SOURCE, (), 0, 0)
"""Where what is known lies in the state."""

log = structlog.get_logger()


class SilentSources:
    """Hears of every delivery, looks for silences, and puts alerts on them into the outbox.

    `wake` is called after alerts were put there. To be used from one thread.

    Raises:
        StateError: what an earlier process knew cannot be read.
    """

    def __init__(
        self,
        config: Config,
        routing: Router,
        store: Store,
        state: StateWorker,
        metrics: Metrics,
        wake: Callable[[], None],
    ) -> None:
        self.is_enabled = config.silent_sources.enabled
        self._routing = routing
        self._update_interval = config.alerts.update_interval_seconds
        self._pause = min(LOOK_SECONDS, config.silent_sources.after_seconds / 10)
        self._state = state
        self._metrics = metrics
        self._wake = wake
        self._has_news = False
        self._kept_at = time.monotonic()
        self._hearing = _hearing(config.silent_sources, store, time.time())

    def heard(self, processed: Processed, now: float) -> None:
        """Take note of a delivery.

        One of which nothing could be read does not count: a queue brings it again and again.
        """
        if self.is_enabled and (processed.is_understood or processed.trails):
            self._has_news = True
            self._metrics.unheeded_trails(self._hearing.heard(processed.trails, now))

    async def run(self) -> None:
        """Look again and again, until cancelled.

        Raises:
            StateError: the state cannot be written.
        """
        while True:
            await self.look(time.time())
            await asyncio.sleep(self._pause)

    async def look(self, now: float) -> None:
        """Look for silences that began or ended, and keep what is due to be kept."""
        changes = self._hearing.look(now)
        heard, silent = self._hearing.counts()
        self._metrics.trails(heard=heard, silent=silent)
        unkept = time.monotonic() - self._kept_at
        if changes or unkept >= TOUCH_SECONDS or (self._has_news and unkept >= KEEP_SECONDS):
            await self._keep(changes, now)

    async def keep(self) -> None:
        """Write what has been heard, before an end."""
        if self._has_news:
            await self._keep([], time.time())

    async def _keep(self, changes: Sequence[Change], now: float) -> None:
        known = self._hearing.known()
        alerts = [silence_alert(change.trail, change.silence) for change in changes]
        self._has_news = False
        self._kept_at = time.monotonic()

        def write(store: Store) -> None:
            with store.transaction(now) as transaction:
                transaction.save(KEY, known)
                for alert in alerts:
                    sinks = self._routing.sinks(Routed.of_own(alert))
                    transaction.save_alert(alert, sinks, self._update_interval)

        await self._state.call(write)
        for change, alert in zip(changes, alerts, strict=True):
            verdict = Verdict.RAISED if change.silence.ended is None else Verdict.RESOLVED
            self._metrics.told([Told(verdict, alert.rule_id, alert.level, alert.id)])
            _log(change)
        if alerts:
            self._wake()


def _hearing(config: SilentSourcesConfig, store: Store, now: float) -> Hearing:
    trails = (item.as_trail() for item in config.expected)
    expected = frozenset(trail for trail in trails if trail is not None)
    known: Known | None = None
    if config.enabled:
        known = store.load(KEY, Known)
    return Hearing(Attention(config.after_seconds, config.learn, expected), known or Known(), now)


def _log(change: Change) -> None:
    trail = change.trail
    of_what = {"account": trail.account, "region": trail.region} if trail else {}
    if change.silence.ended is None:
        log.warning("nothing is heard", limit=change.silence.limit, **of_what)
    else:
        log.info("heard again", **of_what)
