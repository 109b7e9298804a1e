"""The service: built from the configuration, supervised, drained, stopped.

Every part runs as a task. Whichever ends first, by a signal or by failing for good, the others are
brought to an orderly end: sources stop fetching, what is in hand is finished and acknowledged, the
outbox goes out as far as it goes, and what could not be done is in the state for the next start.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import structlog
import uvloop

from detector.alerts.text import clean
from detector.clock import SteadyClock
from detector.config import (
    Config,
    SourceConfig,
)
from detector.config_source import ConfigFile, log_config_reload
from detector.counting.context import Told
from detector.endings import Endings
from detector.envelopes.payload import Limits
from detector.errors import DetectorError
from detector.pipeline import Pipeline, Processed, Settings
from detector.quarantine.entry import QUARANTINE
from detector.quarantine.running import Quarantine
from detector.rule_source import RuleSource, RulesRead, Settling, all_rules, log_reload, reload
from detector.silent_source import SilentSources
from detector.sinks.context import make_context
from detector.sinks.desk import Desk
from detector.sinks.making import make_sink
from detector.sinks.outbox import OutboxWorker
from detector.sinks.policy import Policy, policy_of
from detector.sinks.routes import make_router
from detector.sinks.sink import Sink, SinkContext
from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.sources.making import make_source
from detector.sources.source import Readiness, Source, SourceContext
from detector.sources.spool import Spool
from detector.sources.supervision import SupervisedSource
from detector.state.sqlite import SQLiteStore
from detector.state.store import Store
from detector.state.worker import StateWorker
from detector.tasks import cancel
from detector.telemetry.metrics import Metrics
from detector.telemetry.server import TelemetryServer

PRUNE_SECONDS = 600.0
"""How often what is past its retention is dropped: often enough that each time takes little."""

TICK_SECONDS = 1.0
"""How often what was put off is looked for: alarms are evaluated each minute, and on time."""

BATCH_BYTES = 8 << 20
"""How much is processed together. More shares the cost of a commit; but what it has caused goes out
when all of it is done, and so does what else waits for the state's thread."""

MAX_LOGGED_REJECTIONS = 20
"""Lines written of one delivery's rejections: a file of a hundred thousand must not fill a disk."""

log = structlog.get_logger()


def run_service(config_file: ConfigFile, rules: RulesRead) -> int:
    """Run until told to stop; return the exit status: 0 if all parts ended well, else 1.

    `rules` is what `RuleSource.of` the file's configuration read, without errors.
    """
    # A SIGHUP before the event loop is there to take it must not end the process. What it would
    # have told is not lost: the first look at the files compares them with when they were read.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with SQLiteStore.open(Path(config_file.config.state.path)) as store:
        return uvloop.run(_Service(config_file, rules, store).run())


class _Service:
    def __init__(self, config_file: ConfigFile, rules: RulesRead, store: SQLiteStore) -> None:
        self._config_file = config_file
        self._config = config = config_file.config
        self._rule_source = RuleSource.of(config)
        self._rule_files = Settling(rules.seen)
        self._reload_requested = asyncio.Event()
        self._store = store
        self._clock = SteadyClock()
        self._state = StateWorker(store)
        self._settings = _settings(config)
        self._metrics = Metrics()
        self._budget = Budget(
            max_deliveries=config.limits.max_deliveries_in_hand,
            max_bytes=config.limits.max_bytes_in_hand,
        )
        self._source_changed = asyncio.Event()
        self._sources = [self._supervised(item) for item in config.sources]
        self._outboxes = [
            self._outbox(make_sink(item, self._sink_context(item.name)), policy_of(item, config))
            for item in config.sinks
        ]
        self._pipeline = Pipeline(rules.rule_set(), store, self._settings, config.silences)
        self._endings = Endings(self._pipeline, rules.filters, self._metrics, self._clock.now())
        self._silent_sources = SilentSources(
            config,
            self._settings.routing,
            store,
            self._state,
            self._metrics,
            self._wake_outboxes,
        )
        self._quarantine = Quarantine(
            config, self._state, self._metrics, self._budget, self._clock.now
        )
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self._telemetry = TelemetryServer(config.telemetry, self._metrics.registry, self._not_ready)
        self._draining = False

    async def run(self) -> int:
        """Start everything, wait for the first end, and stop everything."""
        stop = _stop_requested()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_requested.set)
        self._metrics.rules_loaded(self._pipeline.rules, self._clock.now())
        await self._mend_clock()
        await self._telemetry.start()
        try:
            for outbox in self._outboxes:
                await outbox.sink.open()
            return await self._supervise(stop)
        finally:
            for source in self._sources:
                await source.close()
            for outbox in self._outboxes:
                await outbox.sink.close()
            await self._quarantine.close()
            await self._telemetry.stop()
            self._state.close()

    async def _supervise(self, stop: asyncio.Event) -> int:
        self._announce()
        sources = [_task(source.run(self._emit), source.name) for source in self._sources]
        sources.append(_task(self._quarantine.replay(self._emit), QUARANTINE))
        workers = [
            _task(self._work(), "pipeline"),
            _task(self._tick(), "timers"),
            _task(self._prune(), "retention"),
            _task(self._watch_files(), "reloading"),
            _task(self._quarantine.run(), QUARANTINE),
            _task(self._endings.run(self._clock.now), "endings"),
            *(_task(outbox.run(), outbox.sink.name) for outbox in self._outboxes),
        ]
        if self._silent_sources.is_enabled:
            workers.append(_task(self._silent_sources.run(), "silent sources"))
        stopping = asyncio.create_task(stop.wait())
        outcome = asyncio.create_task(self._outcome_of_sources())
        await asyncio.wait([stopping, outcome, *workers], return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in workers if task.done()]
        failed = _failures(ended)
        reason = "signal"
        if outcome.done():
            reason = outcome.result()
            failed = failed or reason == "failure"
        log.info("stopping", reason="failure" if failed else reason)
        await self._drain(sources, workers)
        await cancel([stopping, outcome, *sources, *workers])
        failed = _failures(task for task in workers if task not in ended) or failed
        log.info("stopped", in_hand=self._budget.deliveries)
        return 1 if failed else 0

    async def _drain(
        self, sources: list[asyncio.Task[None]], workers: list[asyncio.Task[None]]
    ) -> None:
        """Finish what is in hand and send what is due, within the deadline."""
        self._draining = True
        await cancel(sources)
        if any(worker.done() for worker in workers):
            return  # a worker failed for good: what is in hand comes again after a restart
        try:
            async with asyncio.timeout(self._config.drain_seconds):
                await self._budget.wait_until_empty()
                await self._silent_sources.keep()
                for outbox in self._outboxes:
                    while await outbox.send_due():
                        pass
                await self._quarantine.empty()
        except TimeoutError:
            log.warning(
                "not finished in time, the next start goes on", in_hand=self._budget.deliveries
            )
        except DetectorError as error:
            log.warning("not finished, the next start goes on", error=clean(str(error)))

    def _emit(self, delivery: Delivery) -> None:
        self._metrics.in_hand(self._budget.bytes)
        self._deliveries.put_nowait(delivery)

    async def _work(self) -> None:
        """Process what has come in, much of what waits in one transaction."""
        while True:
            deliveries = [await self._deliveries.get()]
            size = _size(deliveries[0])
            while not self._deliveries.empty() and size < BATCH_BYTES:
                deliveries.append(self._deliveries.get_nowait())
                size += _size(deliveries[-1])
            await self._process(deliveries)
            for delivery in deliveries:
                if delivery.hold is not None:
                    delivery.hold.release()
            self._metrics.in_hand(self._budget.bytes)
            del deliveries, delivery  # or they would be in memory until the next ones come

    async def _process(self, deliveries: Sequence[Delivery]) -> None:
        outcome = await self._state.call(
            lambda _: self._pipeline.process(deliveries, self._clock.now())
        )
        now = self._clock.now()
        self._quarantine.noticed(deliveries, outcome.deliveries)
        for delivery, processed in zip(deliveries, outcome.deliveries, strict=True):
            self._metrics.processed(delivery, processed, now)
            if delivery.payloads and delivery.source != QUARANTINE:  # that is of long ago
                self._silent_sources.heard(processed, now)
            _log_rejections(delivery.source, processed)
            if processed.is_understood or not delivery.has_redrive:
                await delivery.ack()
                self._metrics.acknowledged(delivery.source, "acked")
            else:
                await delivery.nack(processed.whole_rejections)
                self._metrics.acknowledged(delivery.source, "nacked")
        self._metrics.counted(outcome, min(item.received_at for item in deliveries), now)
        self._metrics.watermark(self._pipeline.watermark)
        if outcome.told:
            self._wake_outboxes()

    async def _tick(self) -> None:
        """Do what was put off, when its time has come."""
        while True:
            await self._step_by_step(self._pipeline.advancing(self._clock.now()))
            await asyncio.sleep(TICK_SECONDS)

    async def _step_by_step(self, steps: Iterator[Sequence[Told]]) -> None:
        """Go through steps in the state's thread; what comes in is processed between them."""
        while (told := await self._state.call(lambda _: next(steps, None))) is not None:
            self._tell(told)

    def _tell(self, told: Sequence[Told]) -> None:
        self._metrics.told(told)
        if told:
            self._wake_outboxes()

    def _wake_outboxes(self) -> None:
        for outbox in self._outboxes:
            outbox.wake()

    async def _mend_clock(self) -> None:
        mended = await self._state.call(lambda store: store.outbox.mend_clock(self._clock.now()))
        if mended:
            log.warning("the clock was set back: what was put off is due now", alerts=mended)

    async def _prune(self) -> None:
        while True:
            await self._step_by_step(self._pipeline.retiring(self._clock.now()))
            await self._state.call(self._forget_the_past)
            await asyncio.sleep(PRUNE_SECONDS)

    def _forget_the_past(self, store: Store) -> None:
        ahead = self._pipeline.watermark + self._config.windows.retention_seconds
        store.prune(self._clock.now() - self._config.state.retention_seconds, ahead)

    async def _watch_files(self) -> None:
        """Read configuration and rules again: when told to, or changed and come to rest."""
        while True:
            if await _set_within(self._reload_requested, self._config.rules_poll_seconds):
                # Cleared before the reading: a request that comes during it is for another one.
                self._reload_requested.clear()
                await self._reload_config("signal")
                await self._reload("signal")
                continue
            if await asyncio.to_thread(self._config_file.is_due):
                changed = await self._reload_config("change")
                if "rule_status" in changed:
                    await self._reload("change")
            if self._rule_files.is_due(await asyncio.to_thread(self._rule_source.fingerprint)):
                await self._reload("change")

    async def _reload_config(self, reason: str) -> Sequence[str]:
        """Read the configuration again; return which of its sections have changed."""
        done = await asyncio.to_thread(self._config_file.reload)
        self._pipeline.silences = done.config.silences
        for source, config in zip(self._sources, done.config.sources, strict=True):
            source.pause(config.paused)
        self._rule_source = RuleSource.of(done.config)
        self._metrics.config_reloaded(done.result)
        self._endings.count(self._clock.now())
        log_config_reload(done, reason)
        return done.changed

    async def _reload(self, reason: str) -> None:
        done = await asyncio.to_thread(reload, self._rule_source, self._pipeline.rules)
        self._rule_files.has_read(done.seen)
        if done.rules is not None:
            self._pipeline.rules = done.rules
        self._metrics.rules_reloaded(done.result, self._pipeline.rules, self._clock.now())
        log_reload(done, reason, len(all_rules(self._pipeline.rules)))
        if not done.errors:
            self._endings.filters_read(done.filters, self._clock.now())

    def _not_ready(self) -> list[str]:
        if self._draining:
            return ["draining"]
        return [
            f"source {source.name} is not read" for source in self._sources if not source.is_ready
        ]

    def _announce(self) -> None:
        self._metrics.declare(
            [*(source.name for source in self._sources), QUARANTINE],
            [outbox.sink.name for outbox in self._outboxes],
        )
        log.info(
            "started",
            rules=len(all_rules(self._pipeline.rules)),
            sources=[source.name for source in self._sources],
            sinks=[outbox.sink.name for outbox in self._outboxes],
            state=self._config.state.path,
            metrics=f"{self._telemetry.address}/metrics",
        )

    def _supervised(self, config: SourceConfig) -> SupervisedSource:
        share = self._budget.share()
        meter = self._metrics.source_meter(config.name, share)

        async def forget(keys: Iterable[str]) -> None:
            await self._state.call(lambda store: store.forget_positions(config.name, keys))

        async def make(readiness: Readiness) -> Source:
            positions = await self._state.call(lambda store: store.positions(config.name))
            spool = Spool(Path(f"{self._config.state.path}.spool") / config.name)
            context = SourceContext(share, meter, readiness, positions, forget, spool)
            return make_source(config, context)

        def changed() -> None:
            self._metrics.source_state(config.name, source.state)
            self._source_changed.set()

        source = SupervisedSource(config.name, make, share, meter, changed)
        source.pause(config.paused)
        return source

    def _outbox(self, sink: Sink, policy: Policy) -> OutboxWorker:
        return OutboxWorker(
            sink,
            Desk(sink.name, policy, self._settings.routing, sink.concurrency),
            self._state,
            self._metrics,
            now=self._clock.now,
            wake_others=self._wake_outboxes,
        )

    def _sink_context(self, name: str) -> SinkContext:
        spool = Path(f"{self._config.state.path}.sinks") / name
        return make_context(self._config, self._clock.now, spool)

    async def _outcome_of_sources(self) -> Literal["failure", "end"]:
        """Return when nothing can come in any more: each source has failed or is at its end."""
        while True:
            if all(source.state == "ended" for source in self._sources):
                return "end"
            if all(source.state == "ended" or source.has_failed for source in self._sources):
                return "failure"
            await self._source_changed.wait()
            self._source_changed.clear()


def _size(delivery: Delivery) -> int:
    return 0 if delivery.hold is None else delivery.hold.size


def _log_rejections(source: str, processed: Processed) -> None:
    for rejection in processed.rejections[:MAX_LOGGED_REJECTIONS]:
        log.warning(
            "rejected",
            source=source,
            origin=clean(rejection.origin),
            record=rejection.index,
            reason=rejection.reason,
            message=clean(rejection.message),
        )
    rejected = processed.rejected.total()
    if rejected > MAX_LOGGED_REJECTIONS:
        log.warning("more rejected", source=source, rejected=rejected)


def _settings(config: Config) -> Settings:
    return Settings(
        routing=make_router(config),
        late_after=config.alerts.late_after_seconds,
        update_interval=config.alerts.update_interval_seconds,
        quiet=config.alerts.quiet_seconds,
        retention=config.windows.retention_seconds,
        max_groups=config.limits.max_groups_per_rule,
        limits=Limits(config.limits.max_inflated_bytes, config.limits.max_values),
        max_quarantined_bytes=config.quarantine.max_entry_bytes,
    )


def _stop_requested() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def request(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, request, number)
    return stop


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, so long at most; return whether it is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _task(work: object, name: str) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)  # type: ignore[arg-type]


def _failures(tasks: Iterable[asyncio.Task[None]]) -> bool:
    """Report every task that has failed; return whether one has."""
    failed = False
    for task in tasks:
        if not task.done() or task.cancelled():
            continue
        failed = True
        error = task.exception()
        if isinstance(error, DetectorError):
            log.error("failed for good", part=task.get_name(), error=clean(str(error)))
        else:
            log.error("failed unexpectedly", part=task.get_name(), error=clean(repr(error)))
    return failed
