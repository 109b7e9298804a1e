"""From the state into the quarantine and out of it again, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from detector.errors import QuarantineError
from detector.quarantine import replaying, worker
from detector.quarantine.entry import QUARANTINE, entry_of, read_entry
from detector.quarantine.folder import FolderQuarantine
from detector.quarantine.replaying import ReplaySource
from detector.quarantine.store import Listed, Usage
from detector.quarantine.worker import QuarantineWorker
from detector.sources.budget import Budget
from detector.sources.delivery import Delivery
from detector.state.sqlite import SQLiteStore
from detector.state.store import Quarantined
from detector.state.worker import StateWorker
from detector.telemetry.quarantine import QuarantineMetrics
from tests.records import NOON
from tests.sources import Meter
from tests.strategies import examples
from tests.unit.quarantine_contract import documents, ids, made
from tests.waiting import until


class Crash(BaseException):
    """The end of the process, at any moment."""


class Unsteady(FolderQuarantine):
    """A folder of which calls fail, before or after they have done their work."""

    def __init__(self, folder: Path, faults: list[str]) -> None:
        super().__init__(folder, max_bytes=1 << 20, retention=1e9)
        self.faults = faults
        self.poll_seconds = 0.01

    def _fault(self, moment: str) -> None:
        if self.faults and self.faults[0].startswith(moment):
            fault = self.faults.pop(0)
            if fault.endswith("crash"):
                raise Crash
            raise QuarantineError("the place is down")

    async def keep(self, documents: Mapping[str, bytes]) -> None:
        self._fault("before")
        await super().keep(documents)
        self._fault("after")

    async def drop(self, item: Listed) -> None:
        self._fault("before")
        await super().drop(item)
        self._fault("after")


@asynccontextmanager
async def at_work(
    store: SQLiteStore, place: FolderQuarantine
) -> AsyncIterator[tuple[QuarantineWorker, CollectorRegistry]]:
    state, registry = StateWorker(store), CollectorRegistry()
    try:
        yield (
            QuarantineWorker(place, state, QuarantineMetrics(registry), lambda: NOON),
            registry,
        )
    finally:
        state.close()


def put(store: SQLiteStore, *numbers: int) -> list[Quarantined]:
    items = [Quarantined("logs", f"{n}.json", None, "truncated", b"%d" % n) for n in numbers]
    for number, item in zip(numbers, items, strict=True):
        with store.transaction(NOON + number) as transaction:
            transaction.quarantine(item)
    return items


async def kept(place: FolderQuarantine) -> list[str]:
    entries = [read_entry(await place.read(item)) for item in await place.listed("kept")]
    return [entry.origin for entry in entries]


@examples(60)
@given(
    st.integers(0, 7),
    st.lists(
        st.sampled_from(["before crash", "after crash", "before error", "after error"]), max_size=6
    ),
    st.integers(1, 4),
)
def test_whatever_fails_and_wherever_it_dies_each_row_becomes_one_entry(
    rows: int, faults: list[str], batch: int
) -> None:
    async def run(folder: Path) -> None:
        with SQLiteStore.in_memory() as store, pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "BATCH_ROWS", batch)
            put(store, *range(rows))
            place = Unsteady(folder, faults)
            while store.quarantine_counts().rows:
                # Each time round is another process.
                async with at_work(store, place) as (mover, _):
                    with suppress(Crash, QuarantineError):
                        while await mover.move():
                            pass
            assert await kept(place) == [f"{number}.json" for number in range(rows)]

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_an_entry_tells_when_its_row_came(store: SQLiteStore, tmp_path: Path) -> None:
    put(store, 7)
    place = Unsteady(tmp_path, [])
    async with at_work(store, place) as (mover, _):
        assert await mover.move() == 1
        assert await mover.move() == 0
    (item,) = await place.listed("kept")
    assert read_entry(await place.read(item)).kept_at.timestamp() == NOON + 7


async def test_a_place_that_is_down_only_delays(
    store: SQLiteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_CAP_SECONDS", 0.01)
    place = Unsteady(tmp_path, ["before error"] * 3)
    async with at_work(store, place) as (mover, registry):
        running = asyncio.create_task(mover.run())
        put(store, 1, 2)
        mover.wake()
        await until(lambda: registry.get_sample_value("detector_quarantine_entries") == 2)
        assert registry.get_sample_value("detector_quarantine_waiting") == 0
        assert place.faults == []
        put(store, 3)
        mover.wake()
        await until(lambda: registry.get_sample_value("detector_quarantine_entries") == 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await kept(place) == ["1.json", "2.json", "3.json"]


async def test_what_had_to_go_is_counted_and_by_its_cause(
    store: SQLiteStore, tmp_path: Path
) -> None:
    place = FolderQuarantine(tmp_path, max_bytes=3 * 4096, retention=1e9)
    async with at_work(store, place) as (mover, registry):
        put(store, *range(3))
        await mover.move()
        put(store, 3)
        await mover.move()

    def dropped(cause: str) -> float | None:
        return registry.get_sample_value("detector_quarantine_dropped_total", {"cause": cause})

    assert [dropped(cause) for cause in ("waiting", "full", "retention")] == [0, 1, 0]
    assert registry.get_sample_value("detector_quarantine_entries") == 3
    assert await kept(place) == ["1.json", "2.json", "3.json"]


# Replays.


class Replay:
    """A replay source at work; what it emits is acknowledged when a test says so."""

    def __init__(self, place: FolderQuarantine, *, max_deliveries: int = 100) -> None:
        self.budget = Budget(max_deliveries=max_deliveries, max_bytes=1 << 20)
        self.meter = Meter()
        self.source = ReplaySource(place, self.budget.share(), self.meter)
        self.emitted: list[Delivery] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.source.run(self.emitted.append))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.source.close()

    async def ack(self, delivery: Delivery) -> None:
        await delivery.ack()
        assert delivery.hold is not None
        delivery.hold.release()


async def asked_for(place: FolderQuarantine, *numbers: int) -> None:
    await place.keep(documents(*map(made, numbers)))
    for item in await place.listed("kept"):
        await place.request_replay(item)


async def until_empty(place: FolderQuarantine) -> None:
    while await place.listed("replaying"):  # noqa: ASYNC110 - a folder cannot notify
        await asyncio.sleep(0.01)


async def test_what_is_asked_for_is_handed_on_once_and_deleted_when_it_is_durable(
    tmp_path: Path,
) -> None:
    place = Unsteady(tmp_path, [])
    replay = Replay(place)
    async with replay.running():
        await asked_for(place, 1, 2)
        await until(lambda: len(replay.emitted) == 2)
        first, second = replay.emitted
        assert (first.source, first.has_redrive) == (QUARANTINE, False)
        (payload,) = first.payloads
        assert (payload.origin, payload.body) == ("1.json", b"x" * 10)
        assert payload.again is not None
        assert payload.again.source == "logs"
        await asyncio.sleep(0.1)  # several looks
        assert len(replay.emitted) == 2
        assert len(await place.listed("replaying")) == 2
        await replay.ack(first)
        await replay.ack(second)
        async with asyncio.timeout(10):
            await until_empty(place)
    assert replay.budget.deliveries == 0
    assert replay.meter.errors == {}


async def test_what_was_not_acknowledged_is_handed_on_by_the_next_process(tmp_path: Path) -> None:
    place = Unsteady(tmp_path, [])
    await asked_for(place, 1)
    for _ in range(2):
        replay = Replay(place)
        async with replay.running():
            await until(lambda replay=replay: replay.emitted)  # type: ignore[misc]
    assert ids(await place.listed("replaying")) == [made(1).id]


async def test_what_is_acknowledged_in_the_end_is_deleted_on_closing(tmp_path: Path) -> None:
    place = Unsteady(tmp_path, [])
    replay = Replay(place)
    await asked_for(place, 1)
    task = asyncio.create_task(replay.source.run(replay.emitted.append))
    await until(lambda: replay.emitted)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await replay.ack(replay.emitted[0])
    assert len(await place.listed("replaying")) == 1
    await replay.source.close()
    assert await place.listed("replaying") == []


async def test_no_more_is_handed_on_than_fits(tmp_path: Path) -> None:
    place = Unsteady(tmp_path, [])
    await asked_for(place, *range(5))
    replay = Replay(place, max_deliveries=2)
    async with replay.running():
        for number in range(5):
            await until(lambda: len(replay.emitted) >= min(5, number + 2))  # noqa: B023
            assert replay.budget.deliveries <= 2
            await replay.ack(replay.emitted[number])
        async with asyncio.timeout(10):
            await until_empty(place)
    assert len(replay.emitted) == 5


async def test_a_deletion_that_fails_is_tried_again_and_nothing_handed_on_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "RETRY_CAP_SECONDS", 0.01)
    place = Unsteady(tmp_path, ["before error", "after error"])
    await asked_for_steadily(tmp_path, 1)
    replay = Replay(place)
    async with replay.running():
        await until(lambda: replay.emitted)
        await replay.ack(replay.emitted[0])
        async with asyncio.timeout(10):
            await until_empty(place)
        await until(lambda: not place.faults)
    assert len(replay.emitted) == 1
    assert replay.meter.errors["replay"] == 2


async def asked_for_steadily(folder: Path, *numbers: int) -> None:
    await asked_for(FolderQuarantine(folder, max_bytes=1 << 20, retention=1e9), *numbers)


async def test_what_cannot_be_replayed_stays_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    place = Unsteady(tmp_path, [])
    cut = entry_of(Quarantined("logs", "a", None, "why", b"x", is_complete=False, kept_at=1))
    await place.keep({made(2).id: b"not an entry"})
    await place.keep(documents(cut, made(3)))
    for item in await place.listed("kept"):
        await place.request_replay(item)
    replay = Replay(place)
    async with replay.running():
        await until(lambda: replay.emitted)
        await replay.ack(replay.emitted[0])
        await until(lambda: replay.budget.deliveries == 0)
    assert [delivery.payloads[0].origin for delivery in replay.emitted] == ["3.json"]
    assert ids(await place.listed("replaying")) == [cut.id, made(2).id]


async def test_what_is_dropped_while_it_waits_is_not_missed(tmp_path: Path) -> None:
    class Slow(Unsteady):
        async def read(self, item: Listed) -> bytes:
            await self.drop(item)
            return await super().read(item)

    place = Slow(tmp_path, [])
    await asked_for(place, 1)
    replay = Replay(place)
    async with replay.running(), asyncio.timeout(10):
        await until_empty(place)
    assert replay.emitted == []
    assert replay.meter.errors == {}
    assert replay.budget.deliveries == 0


def test_the_metrics_begin_at_zero() -> None:
    registry = CollectorRegistry()
    metrics = QuarantineMetrics(registry)
    metrics.used(Usage(0, 0))
    assert registry.get_sample_value("detector_quarantine_dropped_total", {"cause": "full"}) == 0
