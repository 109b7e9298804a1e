import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.backoff import CAP_SECONDS, backoff_seconds
from detector.sources.budget import Budget


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_half_of_its_ceiling_and_the_ceiling(
    failures: int, chance: float
) -> None:
    ceiling = min(CAP_SECONDS, 2.0 ** min(failures - 1, 1000))
    assert ceiling / 2 <= backoff_seconds(failures, lambda: chance) <= ceiling


def test_waits_double_up_to_the_cap() -> None:
    waits = [backoff_seconds(n, lambda: 1.0, base=1, cap=10) for n in range(1, 7)]
    assert waits == [1, 2, 4, 8, 10, 10]


async def settled(task: asyncio.Task[None]) -> bool:
    """Return whether a task is done once all that can run has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


async def test_a_full_budget_makes_the_next_delivery_wait() -> None:
    budget = Budget(max_deliveries=10, max_bytes=100)
    await budget.acquire(60)
    waiting = asyncio.create_task(budget.acquire(50))
    assert not await settled(waiting)
    await budget.release(60)
    assert await settled(waiting)
    assert (budget.deliveries, budget.bytes) == (1, 50)


async def test_the_number_of_deliveries_is_bounded_too() -> None:
    budget = Budget(max_deliveries=1, max_bytes=100)
    await budget.acquire(0)
    waiting = asyncio.create_task(budget.acquire(0))
    assert not await settled(waiting)
    await budget.release(0)
    assert await settled(waiting)


async def test_a_delivery_larger_than_the_whole_budget_passes_alone() -> None:
    budget = Budget(max_deliveries=10, max_bytes=100)
    await budget.acquire(10)
    large = asyncio.create_task(budget.acquire(1000))
    small = asyncio.create_task(budget.acquire(1))
    # The small one would fit, but must not keep the large one waiting for ever.
    assert not await settled(large)
    assert not await settled(small)
    await budget.release(10)
    assert await settled(large)
    assert not await settled(small)
    await budget.release(1000)
    assert await settled(small)


async def test_a_waiter_that_gives_up_takes_no_place() -> None:
    budget = Budget(max_deliveries=1, max_bytes=100)
    await budget.acquire(5)
    waiting = asyncio.create_task(budget.acquire(5))
    assert not await settled(waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await budget.release(5)
    await asyncio.wait_for(budget.wait_until_empty(), 5)
    await asyncio.wait_for(budget.acquire(5), 5)
