"""Silent sources in the service: what is kept, when, and what is sent."""

from __future__ import annotations

from typing import Any

import pytest

from detector import silent_source
from detector.alerts.own import SILENT_SOURCE
from detector.alerts.routing import Router
from detector.config import (
    Config,
    DirectorySourceConfig,
    ExpectedTrail,
    SilentSourcesConfig,
    StdoutSinkConfig,
)
from detector.envelopes.log_file import Trail
from detector.pipeline import Processed
from detector.silent_source import KEY, TOUCH_SECONDS, SilentSources
from detector.state.sqlite import SQLiteStore
from detector.state.worker import StateWorker
from detector.telemetry.metrics import Metrics
from detector.windows.hearing import Known

A = Trail("111122223333", "us-east-1")
B = Trail("444455556666", "us-east-1")
AFTER = 3600.0
EXPECTED = (ExpectedTrail(account=A.account, region=A.region),)
DAMAGED = "truncated"


class Clock:
    """The wall clock and the monotonic one, as one."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(silent_source, "time", made)
    return made


class Running:
    """Silent sources over a state."""

    def __init__(self, store: SQLiteStore, clock: Clock, **settings: Any) -> None:
        self.clock = clock
        self.store = store
        self.metrics = Metrics()
        self.woken = 0
        self.state = StateWorker(store)
        settings = {"after_seconds": AFTER, "expected": EXPECTED, **settings}
        config = Config(
            sources=(DirectorySourceConfig(path="x"),),
            sinks=(StdoutSinkConfig(name="one"), StdoutSinkConfig(name="two")),
            silent_sources=SilentSourcesConfig(**settings),
        )
        self.silent = SilentSources(
            config, Router.to("one", "two"), store, self.state, self.metrics, self.wake
        )

    def wake(self) -> None:
        self.woken += 1

    def hear(self, *trails: Trail) -> None:
        self.silent.heard(Processed(trails=set(trails)), self.clock.now)

    async def pass_by(self, seconds: float, *trails: Trail) -> None:
        for _ in range(int(seconds / 60)):
            self.clock.now += 60
            if trails:
                self.hear(*trails)
            await self.silent.look(self.clock.now)

    def kept(self) -> Known | None:
        with self.store.transaction(0) as transaction:
            return transaction.load(KEY, Known)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


async def test_a_silence_is_kept_with_its_alert_and_goes_to_every_sink(
    store: SQLiteStore, clock: Clock
) -> None:
    running = Running(store, clock)
    await running.pass_by(120, A, B)
    await running.pass_by(AFTER, B)
    (alert,) = store.alerts()
    assert alert.group == {"recipientAccountId": A.account, "awsRegion": A.region}
    for sink in ("one", "two"):
        assert [item.alert for item in store.outbox.due(sink, clock.now, 9)] == [alert]
    assert running.woken == 1
    known = running.kept()
    assert known is not None
    assert [bool(heard.silence) for account, _, heard in known.trails] == [True, False]
    assert running.value("detector_trails", state="silent") == 1
    assert running.value("detector_trails", state="heard") == 1
    labels = {"rule_id": SILENT_SOURCE, "level": "high", "verdict": "raised"}
    assert running.value("detector_alerts_total", **labels) == 1
    await running.pass_by(60, A)
    (alert,) = store.alerts()
    assert (alert.revision, alert.title) == (2, "CloudTrail is heard again")
    assert running.value("detector_alerts_total", **{**labels, "verdict": "resolved"}) == 1


async def test_the_next_process_knows_what_this_one_has_told(
    store: SQLiteStore, clock: Clock
) -> None:
    running = Running(store, clock)
    await running.pass_by(120, A, B)
    await running.pass_by(AFTER, B)
    clock.now += 5 * AFTER
    running = Running(store, clock)
    await running.pass_by(2 * AFTER, B)
    assert running.woken == 0
    assert running.value("detector_trails", state="silent") == 1
    await running.pass_by(60, A)
    assert [alert.revision for alert in store.alerts()] == [2]


async def test_a_delivery_costs_no_write_and_news_are_written_once_a_minute(
    store: SQLiteStore, clock: Clock
) -> None:
    running = Running(store, clock)
    for _ in range(100):
        running.hear(A)
    clock.now += 59
    await running.silent.look(clock.now)
    assert running.kept() is None
    clock.now += 1
    await running.silent.look(clock.now)
    known = running.kept()
    assert known is not None
    assert [(account, heard.deliveries) for account, _, heard in known.trails] == [(A.account, 100)]


async def test_without_news_what_is_known_is_only_touched_each_hour(
    store: SQLiteStore, clock: Clock
) -> None:
    running = Running(store, clock, after_seconds=100 * AFTER)
    await running.pass_by(60, A)
    written_at = clock.now
    await running.pass_by(TOUCH_SECONDS - 60)
    store.prune(written_at + 1, 0)
    assert running.kept() is None
    await running.pass_by(60)
    assert running.kept() is not None


async def test_a_silence_is_written_and_sent_at_once_whenever_news_were_written_last(
    store: SQLiteStore, clock: Clock
) -> None:
    running = Running(store, clock)
    await running.pass_by(AFTER - 60, B)
    clock.now += 60
    running.hear(B)
    await running.silent.keep()
    await running.silent.look(clock.now)
    assert running.woken == len(store.alerts()) == 1


async def test_before_an_end_the_latest_news_are_written(store: SQLiteStore, clock: Clock) -> None:
    running = Running(store, clock)
    await running.silent.keep()
    assert running.kept() is None
    running.hear(B)
    await running.silent.keep()
    known = running.kept()
    assert known is not None
    assert known.whole.deliveries == 1


async def test_what_cannot_be_read_is_not_heard(store: SQLiteStore, clock: Clock) -> None:
    running = Running(store, clock)
    running.silent.heard(Processed(whole_rejections={DAMAGED}), clock.now)
    await running.silent.keep()
    assert running.kept() is None
    running.silent.heard(Processed(whole_rejections={DAMAGED}, trails={A}), clock.now)
    await running.silent.keep()
    assert running.kept() is not None


async def test_switched_off_it_keeps_and_says_nothing(store: SQLiteStore, clock: Clock) -> None:
    running = Running(store, clock, enabled=False)
    assert not running.silent.is_enabled
    running.hear(A)
    await running.silent.keep()
    assert running.kept() is None
