import asyncio

import pytest

from detector.sources.budget import Budget, Hold


async def settled(task: asyncio.Task[Hold]) -> bool:
    """Return whether a task is done once all that can run has run."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


async def test_a_full_budget_makes_the_next_delivery_wait() -> None:
    budget = Budget(max_deliveries=10, max_bytes=100)
    share = budget.share()
    first = await share.acquire(60)
    waiting = asyncio.create_task(share.acquire(50))
    assert not await settled(waiting)
    first.release()
    assert await settled(waiting)
    assert (budget.deliveries, budget.bytes) == (1, 50)


async def test_the_number_of_deliveries_is_bounded_too() -> None:
    share = Budget(max_deliveries=1, max_bytes=100).share()
    first = await share.acquire(0)
    waiting = asyncio.create_task(share.acquire(0))
    assert not await settled(waiting)
    first.release()
    assert await settled(waiting)


async def test_a_delivery_larger_than_the_whole_budget_passes_alone() -> None:
    share = Budget(max_deliveries=10, max_bytes=100).share()
    first = await share.acquire(10)
    large = asyncio.create_task(share.acquire(1000))
    small = asyncio.create_task(share.acquire(1))
    # The small one would fit, but must not keep the large one waiting for ever.
    assert not await settled(large)
    assert not await settled(small)
    assert share.try_acquire(1) is None
    first.release()
    assert await settled(large)
    assert not await settled(small)
    (await large).release()
    assert await settled(small)


async def test_a_waiter_that_gives_up_takes_no_place() -> None:
    budget = Budget(max_deliveries=1, max_bytes=100)
    share = budget.share()
    first = await share.acquire(5)
    waiting = asyncio.create_task(share.acquire(5))
    assert not await settled(waiting)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.release()
    await asyncio.wait_for(budget.wait_until_empty(), 5)
    await asyncio.wait_for(share.acquire(5), 5)


async def test_a_waiter_that_gives_up_when_its_turn_has_come_gives_the_place_on() -> None:
    budget = Budget(max_deliveries=1, max_bytes=100)
    share = budget.share()
    first = await share.acquire(5)
    waiting = asyncio.create_task(share.acquire(5))
    next_one = asyncio.create_task(share.acquire(7))
    assert not await settled(waiting)
    first.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await settled(next_one)
    assert (budget.deliveries, budget.bytes) == (1, 7)


async def test_a_place_is_as_large_as_what_came_and_is_given_back_once() -> None:
    budget = Budget(max_deliveries=9, max_bytes=100)
    share = budget.share()
    hold = await share.acquire(90)
    waiting = asyncio.create_task(share.acquire(50))
    assert not await settled(waiting)
    hold.resize(20)
    assert await settled(waiting)
    assert (share.bytes, budget.bytes) == (70, 70)
    hold.release()
    hold.release()
    hold.resize(1000)
    assert (share.deliveries, share.bytes, budget.bytes) == (1, 50, 50)


async def test_each_source_has_its_own_share_of_what_is_in_hand() -> None:
    budget = Budget(max_deliveries=9, max_bytes=100)
    one, other = budget.share(), budget.share()
    first = await one.acquire(10)
    second = await one.acquire(10)
    assert one.oldest == first.since
    assert other.oldest is None
    await asyncio.wait_for(other.wait_until_empty(), 5)
    first.release()
    assert one.oldest == second.since
    assert (budget.deliveries, one.deliveries, other.deliveries) == (1, 1, 0)


async def test_a_waiter_that_gives_up_as_a_place_comes_free_is_cancelled_and_nothing_else() -> None:
    budget = Budget(max_deliveries=1, max_bytes=100)
    share = budget.share()
    first = await share.acquire(5)
    waiting = asyncio.create_task(share.acquire(5))
    assert not await settled(waiting)
    waiting.cancel()
    first.release()  # in the same turn of the loop, before the waiter hears of it
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(budget.wait_until_empty(), 5)
