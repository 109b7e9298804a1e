"""Every sink while its service fails, over hours of a clock that the test moves."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from aiobotocore.config import AioConfig

from detector.alerts.alert import Alert
from detector.alerts.failing_sink import SINK_FAILING
from detector.config import Config, DirectorySourceConfig, SinkConfig
from detector.sinks.health import PROBE_CAP_SECONDS
from detector.sinks.policy import Policy, policy_of
from detector.state.outbox import Selection
from detector.state.sqlite import SQLiteStore
from tests.aws import CREDENTIALS
from tests.outbox import Outboxes, ScriptedSink, numbered
from tests.places import ArchiveFolder, Place, Service
from tests.servers.checking import Fault
from tests.sinks import opened, sink_context
from tests.ways_out import RETRY_AFTER, SERVICES, Told, WayOut

pytestmark = pytest.mark.integration

MINUTE, HOUR = 60.0, 3600.0
OVERDUE_SECONDS = 15 * MINUTE
"""So long a sink fails before the others are told, as it is shipped."""

TIMEOUT_SECONDS = 0.05
"""Real ones, of a service that never answers; whatever else is slow is merely tried again."""

FAULTS = {
    "down": 24 * HOUR,
    "slow": 20 * MINUTE,
    "busy": 20 * MINUTE,
    "broken": 20 * MINUTE,
    "reset": 20 * MINUTE,
    "cut": 20 * MINUTE,
    "untrusted": 20 * MINUTE,
}
"""What goes wrong, and for how long."""

# Long, so that a file of an archive is full with it.
LONG = "An alert that is long. " * 250
A1, A2, B1, B2 = (
    numbered(number, group={"recipientAccountId": f"{number % 10:012d}"}, description=LONG)
    for number in (1, 11, 2, 12)
)
"""Two alerts each of two groups."""


def grown(alert: Alert, count: int = 2) -> Alert:
    """Return an alert of more events."""
    return msgspec.structs.replace(alert, count=count)


class Scene(NamedTuple):
    """A sink that will fail, another beside it, and the clock of both."""

    name: str
    box: Outboxes
    other: ScriptedSink

    async def at_once(self, *news: tuple[Alert, str]) -> None:
        """Let a minute pass, at whose beginning the other sink is told."""
        before = len(self.other.told)
        await self.box.wait(1)
        told = self.other.taken[before:]
        heard = {(item.alert.id, item.kind) for item in told if item.alert.rule_id != SINK_FAILING}
        assert heard == {(alert.id, kind) for alert, kind in news}
        await self.box.wait(MINUTE - 1)

    async def until_sent(self) -> None:
        """Wait until nothing waits for the sink: a shared machine may have been too slow."""
        for _ in range(10):
            if not self.box.pending(self.name):
                return
            await self.box.wait(PROBE_CAP_SECONDS + 1)
        raise AssertionError(self.box.store.outbox.entries(Selection(), 10))

    def metric(self, name: str, **labels: str) -> float:
        """Return what a metric says of the sink."""
        value = self.box.metrics.registry.get_sample_value(name, {"sink": self.name, **labels})
        assert value is not None
        return value

    def of_failing(self) -> list[str]:
        """Return what the other sink was told of this one: that it fails, that it works again."""
        return [item.kind for item in self.other.taken if item.alert.rule_id == SINK_FAILING]


Staged = Callable[[SinkConfig], AbstractAsyncContextManager[Scene]]


@pytest.fixture
def staged(store: SQLiteStore, tmp_path: Path) -> Staged:
    @asynccontextmanager
    async def stage(config: SinkConfig) -> AsyncIterator[Scene]:
        whole = Config(sources=(DirectorySourceConfig(path="logs"),), sinks=(config,))
        # Real seconds, as services check them; and no two the same, so that an order can be seen.
        ticks = itertools.count()
        began = time.time()
        context = replace(
            sink_context(tmp_path / "spool"),
            now=lambda: max(time.time(), began) + next(ticks) / 1000,
        )
        async with opened(config, context) as sink:
            other = ScriptedSink("other")
            policies = {config.name: policy_of(config, whole), "other": Policy()}
            box = Outboxes(store, sink, other, policies=policies)
            await box.start()
            yield Scene(config.name, box, other)
            box.close()

    return stage


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep AWS's client from long waits, and from its one repetition, before which it sleeps."""
    config = AioConfig(
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    for module in ("sns", "security_hub"):
        monkeypatch.setattr(f"detector.sinks.{module}.sink.CLIENT_CONFIG", config)


def look_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep workers from looking twice a minute, for a whole day, whether there is work for them."""
    monkeypatch.setattr("detector.sinks.outbox.IDLE_SECONDS", HOUR)
    monkeypatch.setattr("detector.sinks.desk.HAND_OVER_SECONDS", HOUR)


def by_alert(told: Iterable[Told]) -> dict[str, list[str]]:
    """Return what there was of each alert, in order, a repetition only once."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for item in told:
        found.setdefault(item.alert, {})[item.message, item.kind] = None
    return {alert: [kind for _, kind in messages] for alert, messages in found.items()}


async def outlast(scene: Scene, place: Place, *, lasting: float, until_tried: float) -> int:
    """Live through an outage, and check all but what the sink was told in the end.

    Returned is how much that was before its end.
    """
    box = scene.box
    await box.save(B1)
    await scene.at_once((B1, "raised"))
    await scene.until_sent()
    place.fail()
    began = box.now
    await box.save(A1)
    await scene.at_once((A1, "raised"))
    await box.update(grown(A1), grown(B1))
    await scene.at_once((A1, "updated"), (B1, "updated"))
    await box.resolve(A1)
    await box.save(A2, B2)
    await scene.at_once((A1, "resolved"), (A2, "raised"), (B2, "raised"))
    await box.resolve(B1)
    await box.update(grown(B2))
    await scene.at_once((B1, "resolved"), (B2, "updated"))

    await box.wait(began + OVERDUE_SECONDS - 1 - box.now)
    assert not scene.of_failing()
    await box.wait(2)
    assert scene.of_failing() == ["raised"]
    await box.wait(began + lasting - box.now)
    assert scene.of_failing() == ["raised"]
    assert scene.metric("detector_outbox_notifications", state="pending") == 4
    assert scene.metric("detector_outbox_notifications", state="dead") == 0
    assert scene.metric("detector_outbox_oldest_seconds") == pytest.approx(lasting, abs=1)
    assert scene.metric("detector_sink_failing_seconds") == pytest.approx(lasting, abs=1)

    before = place.recover()
    await box.wait(until_tried)
    await scene.until_sent()
    assert scene.of_failing() == ["raised", "resolved"]
    assert scene.metric("detector_outbox_notifications", state="pending") == 0
    assert scene.metric("detector_outbox_oldest_seconds") == 0
    assert scene.metric("detector_sink_failing_seconds") == 0
    await box.update(grown(B2, 3))
    await scene.at_once((B2, "updated"))
    await scene.until_sent()
    return before


def check_order(told: list[Told], *, has_updates: bool = True) -> None:
    """Check what a sink was told after an outage: everything, in order."""
    update = "updated" if has_updates else "raised"
    assert by_alert(told) == {
        A1.id: ["raised", "resolved"],
        A2.id: ["raised"],
        B1.id: ["resolved"],
        B2.id: ["raised", update],
    }
    raised = list(dict.fromkeys(item.alert for item in told if item.kind == "raised"))
    assert raised.index(A1.id) < raised.index(A2.id)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", SERVICES, ids=lambda way: way.name)
async def test_what_is_raised_updated_and_resolved_in_an_outage_arrives_after_it(
    way: WayOut, fault: str, staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Service(way, tmp_path, fault, is_tls=fault == "untrusted")
    if fault == "down":
        look_rarely(monkeypatch)
    if fault != "busy":
        hasten(monkeypatch)
    if place.ca_file:
        monkeypatch.setenv("AWS_CA_BUNDLE", place.ca_file)
    timeout = {"timeout_seconds": TIMEOUT_SECONDS} if fault == "slow" else {}
    until_tried = RETRY_AFTER if fault == "busy" else PROBE_CAP_SECONDS + 1
    try:
        async with staged(place.config(**timeout)) as scene:
            before = await outlast(scene, place, lasting=FAULTS[fault], until_tried=until_tried)
    finally:
        place.close()
    told = place.told
    check_order(told[before:], has_updates=way.has_updates)
    if fault == "slow":
        return  # it was told again of what it took late
    assert [(item.alert, item.kind) for item in told[:before]] == [(B1.id, "raised")]
    if not way.forgets:
        assert max(Counter(item.message for item in told).values()) == 1


async def test_an_archive_that_cannot_be_written_for_a_day_has_everything_after_it(
    staged: Staged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_rarely(monkeypatch)
    place = ArchiveFolder(tmp_path)
    async with staged(place.config()) as scene:
        before = await outlast(scene, place, lasting=24 * HOUR, until_tried=PROBE_CAP_SECONDS + 1)
    told = place.told
    assert before == 1
    check_order(told[before:])
    assert max(Counter(item.message for item in told).values()) == 1


@pytest.mark.parametrize("way", SERVICES, ids=lambda way: way.name)
async def test_a_service_that_asks_for_a_wait_is_not_asked_in_between(
    way: WayOut, staged: Staged, tmp_path: Path
) -> None:
    place = Service(way, tmp_path, "busy")
    try:
        async with staged(place.config()) as scene:
            place.fail()
            await scene.box.save(A1)
            await scene.box.wait(1)
            asked = len(place.server.faulted)
            await scene.box.save(B1)
            await scene.box.wait(RETRY_AFTER - 2)
            # AWS's own client repeats some requests once, within a second, whatever is said.
            assert 1 <= asked <= 1 + way.is_aws
            assert len(place.server.faulted) == asked
            place.recover()
            await scene.box.wait(2)
            await scene.until_sent()
    finally:
        place.close()
    assert by_alert(place.told) == {A1.id: ["raised"], B1.id: ["raised"]}


@pytest.mark.parametrize("way", SERVICES, ids=lambda way: way.name)
async def test_what_is_refused_is_kept_with_the_reason_and_goes_out_when_tried_again(
    way: WayOut, staged: Staged, tmp_path: Path
) -> None:
    place = Service(way, tmp_path)
    try:
        async with staged(place.config()) as scene:
            box = scene.box
            place.server.faults = [Fault(answer=way.refused)]
            await box.save(A1)
            await scene.at_once((A1, "raised"))
            dead = Selection(sinks=[way.name], states=["dead"])
            (entry,) = box.store.outbox.entries(dead, 9)
            assert way.says in (entry.last_error or "")
            assert scene.metric("detector_outbox_notifications", state="dead") == 1
            await box.save(A2, B1)
            await scene.at_once((A2, "raised"), (B1, "raised"))
            await box.resolve(A1)
            await scene.at_once((A1, "resolved"))
            assert by_alert(place.told) == {A2.id: ["raised"], B1.id: ["raised"]}
            assert box.store.outbox.retry(dead, box.now) == 1
            await box.wait(1)
            await scene.until_sent()
            assert scene.metric("detector_outbox_notifications", state="dead") == 0
    finally:
        place.close()
    assert by_alert(place.told)[A1.id] == ["raised", "resolved"]


@pytest.mark.parametrize("way", SERVICES, ids=lambda way: way.name)
async def test_what_was_taken_though_the_answer_was_lost_is_repeated_once_under_its_id(
    way: WayOut, staged: Staged, tmp_path: Path
) -> None:
    place = Service(way, tmp_path)
    lost = itertools.cycle([Fault(reset=True, taken=True), Fault(cut=True, taken=True)])
    try:
        async with staged(place.config()) as scene:
            box = scene.box
            for number, change in enumerate(
                (
                    box.save(A1),
                    box.update(grown(A1)),
                    box.resolve(A1),
                    box.save(A2),
                )
            ):
                place.server.faults = [next(lost)]
                await change
                await box.wait(2 * MINUTE)
                await scene.until_sent()
                assert len(place.server.faulted) == number + 1
    finally:
        place.close()
    update = "updated" if way.has_updates else "raised"
    assert by_alert(place.told) == {A1.id: ["raised", update, "resolved"], A2.id: ["raised"]}
    copies = Counter(item.message for item in place.told)
    assert list(copies.values()) == [2, 2, 2, 2]
