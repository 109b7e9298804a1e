"""Sources kept running: failures, pauses, ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from detector.errors import SourceError
from detector.sources import supervision
from detector.sources.budget import Budget, Share
from detector.sources.delivery import Delivery
from detector.sources.source import Emit, Readiness
from detector.sources.supervision import SupervisedSource
from tests.sources import Meter
from tests.waiting import until


class Scripted:
    """A source that does what a test tells it, and notes what becomes of it."""

    def __init__(self, share: Share, readiness: Readiness, notes: list[str]) -> None:
        self.share = share
        self.readiness = readiness
        self.notes = notes
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        notes.append("made")

    async def run(self, emit: Emit) -> None:
        self.readiness.is_ready = True
        hold = await self.share.acquire(1)
        emit(Delivery("x", [], received_at=0.0, hold=hold))
        try:
            await self.outcome
        finally:
            self.readiness.is_ready = False
            self.notes.append("stopped")

    async def close(self) -> None:
        assert self.share.deliveries == 0
        self.notes.append("closed")


class World:
    """A supervised source, the sources that were made of it, and what they have handed on."""

    def __init__(self, make_fails: bool = False) -> None:
        self.share = Budget(max_deliveries=9, max_bytes=100).share()
        self.meter = Meter()
        self.notes: list[str] = []
        self.made: list[Scripted] = []
        self.handed_on: list[Delivery] = []
        self.states: list[str] = []
        self.make_fails = make_fails
        self.source = SupervisedSource("x", self._make, self.share, self.meter, self._changed)

    async def _make(self, readiness: Readiness) -> Scripted:
        if self.make_fails:
            raise SourceError("no credentials")
        self.made.append(Scripted(self.share, readiness, self.notes))
        return self.made[-1]

    def _changed(self) -> None:
        self.states.append(self.source.state)

    def finish(self) -> None:
        """Be done with all that was handed on."""
        while self.handed_on:
            hold = self.handed_on.pop().hold
            assert hold is not None
            hold.release()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.source.run(self.handed_on.append))
        try:
            yield task
        finally:
            self.finish()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.source.close()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "backoff_seconds", lambda *_, **__: 0.0)


async def test_a_source_that_fails_is_made_anew_when_what_is_in_hand_is_done_with() -> None:
    world = World()
    async with world.running():
        await until(lambda: len(world.handed_on) == 1)
        world.made[0].outcome.set_exception(SourceError("gone"))
        await until(lambda: world.source.state == "failing")
        assert world.notes == ["made", "stopped"]
        assert not world.source.has_failed  # it was ready once: it may come back
        assert not world.source.is_ready
        world.finish()
        await until(lambda: len(world.made) == 2)
        await until(lambda: world.source.is_ready)
        assert world.notes == ["made", "stopped", "closed", "made"]
        assert world.meter.errors == {"source": 1}


async def test_a_fault_of_ours_in_one_source_is_a_failure_like_others() -> None:
    world = World()
    async with world.running():
        await until(lambda: len(world.handed_on) == 1)
        world.finish()
        world.made[0].outcome.set_exception(ZeroDivisionError())
        await until(lambda: len(world.made) == 2)


async def test_a_source_that_never_was_ready_has_failed() -> None:
    world = World(make_fails=True)
    async with world.running():
        await until(lambda: world.source.has_failed)
        world.make_fails = False
        await until(lambda: world.source.is_ready)
        assert not world.source.has_failed


async def test_a_paused_source_fetches_nothing_and_finishes_what_is_in_hand() -> None:
    world = World()
    async with world.running():
        await until(lambda: len(world.handed_on) == 1)
        world.source.pause(True)
        await until(lambda: world.notes == ["made", "stopped"])
        assert world.source.state == "running"  # until all in hand is done with
        world.finish()
        await until(lambda: world.source.state == "paused")
        assert world.notes == ["made", "stopped", "closed"]
        assert world.source.is_ready
        world.source.pause(False)
        await until(lambda: len(world.made) == 2)
        await until(lambda: world.source.state == "running")


async def test_a_source_may_begin_paused() -> None:
    world = World()
    world.source.pause(True)
    async with world.running():
        await until(lambda: world.source.state == "paused")
        assert world.made == []
        world.source.pause(False)
        await until(lambda: len(world.made) == 1)


async def test_a_source_at_its_end_stays_there() -> None:
    world = World()
    async with world.running() as task:
        await until(lambda: len(world.handed_on) == 1)
        world.made[0].outcome.set_result(None)
        await until(task.done)
        assert world.source.state == "ended"
        assert world.source.is_ready
        assert len(world.made) == 1
    assert world.notes == ["made", "stopped", "closed"]


async def test_a_stop_leaves_what_is_in_hand_to_be_acknowledged() -> None:
    world = World()
    task = asyncio.create_task(world.source.run(world.handed_on.append))
    await until(lambda: len(world.handed_on) == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.notes == ["made", "stopped"]
    world.finish()
    await world.source.close()
    assert world.notes == ["made", "stopped", "closed"]


async def test_waits_grow_until_a_source_has_been_ready_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[int] = []

    def counted(failures: int, *_: object, **__: object) -> float:
        counts.append(failures)
        return 0.0

    monkeypatch.setattr(supervision, "backoff_seconds", counted)
    world = World(make_fails=True)
    async with world.running():
        await until(lambda: len(counts) >= 3)
        world.make_fails = False
        await until(lambda: len(world.handed_on) >= 1)
        before = len(counts)
        world.finish()
        world.made[-1].outcome.set_exception(SourceError("gone"))
        await until(lambda: len(counts) > before)
    assert counts[:3] == [1, 2, 3]
    assert counts[before] == 1


async def test_a_source_that_cannot_be_closed_well_is_made_anew_all_the_same() -> None:
    world = World()

    async def fail() -> None:
        raise ConnectionResetError

    async with world.running():
        await until(lambda: len(world.handed_on) == 1)
        world.made[0].close = fail  # type: ignore[method-assign]
        world.finish()
        world.made[0].outcome.set_exception(SourceError("gone"))
        await until(lambda: len(world.made) == 2)
        assert world.meter.errors == {"source": 1, "close": 1}


async def test_a_source_that_is_cancelled_from_within_has_failed() -> None:
    world = World()
    async with world.running():
        await until(lambda: len(world.handed_on) == 1)
        world.finish()
        world.made[0].outcome.cancel()
        await until(lambda: len(world.made) == 2)
        assert world.meter.errors == {"source": 1}
