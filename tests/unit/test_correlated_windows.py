"""Correlations equal their definition, in whatever order and portions their matches come in."""

from __future__ import annotations

import statistics
from fractions import Fraction
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from detector.rules.correlation import CorrelationType, Threshold
from detector.windows.aligned import Observation
from detector.windows.correlated import MAX_POINTS, Bucket, Point, firings, insert

TIMESPAN = 10
MEMBERS = 3


def point(time: float, event_id: str, member: int = 0, value: Any = None) -> Point:
    observation = Observation(time, event_id, False, "E", "a", "1.2.3.4", "r", "1", {"n": time})
    return Point(time, event_id, member, value, observation)


@st.composite
def matches(draw: st.DrawFn) -> list[Point]:
    """Some matches; two with one event id are of one event, so they have one time and value."""
    events = draw(
        st.lists(
            st.tuples(
                st.integers(0, 45),
                st.none() | st.integers(-5, 5) | st.sampled_from([0.5, 2.25, 1e17]),
                st.sets(st.integers(0, MEMBERS - 1), min_size=1),
            ),
            max_size=14,
        )
    )
    return [
        point(time, f"event-{number:02}", member, value)
        for number, (time, value, members) in enumerate(events)
        for member in sorted(members)
    ]


conditions = st.builds(
    Threshold,
    gte=st.none() | st.integers(0, 5),
    lt=st.none() | st.integers(1, 6),
    eq=st.just(None) | st.integers(0, 3),
    gt=st.integers(-1, 3),
    percentile=st.sampled_from([0, 25, 50, 90, 100]),
)


def number_by_definition(kind: CorrelationType, within: list[Point], percentile: float) -> Any:
    """Return the number that a timespan's matches come to, None where they come to none."""
    if kind == "event_count":
        return len({p.event_id for p in within})
    if kind == "temporal":
        return len({p.member for p in within})
    if kind == "temporal_ordered":
        return longest_chain(within)
    values: list[Any] = [p.value for p in within if p.value is not None]
    if kind == "value_count":
        return len({(type(value), value) for value in values})
    if not values:
        return None
    return of_numbers(kind, sorted(Fraction(value) for value in values), percentile)


def longest_chain(within: list[Point]) -> int:
    reached, at_least = 0, float("-inf")
    for member in range(MEMBERS):
        later = [p.time for p in within if p.member == member and p.time >= at_least]
        if not later:
            break
        at_least, reached = min(later), reached + 1
    return reached


def of_numbers(kind: CorrelationType, numbers: list[Fraction], percentile: float) -> Fraction:
    if kind == "value_sum":
        return sum(numbers, Fraction(0))
    if kind == "value_avg":
        return sum(numbers, Fraction(0)) / len(numbers)
    if kind == "value_median":
        return statistics.median(numbers)
    position = Fraction(percentile) / 100 * (len(numbers) - 1)
    low, high = numbers[int(position)], numbers[min(int(position) + 1, len(numbers) - 1)]
    return low + (high - low) * (position - int(position))


def fired_by_definition(kind: CorrelationType, condition: Threshold, all_: list[Point]) -> set[Any]:
    fired = set()
    for candidate in all_:
        within = [p for p in all_ if candidate.time - TIMESPAN < p.time <= candidate.time]
        number = number_by_definition(kind, within, condition.percentile or 0)
        if number is not None and condition.holds(float(number)):
            fired.add(candidate.order)
    return fired


def fired_in_buckets(
    kind: CorrelationType, condition: Threshold, buckets: dict[int, Bucket]
) -> set[Any]:
    fired = set()
    for start, bucket in buckets.items():
        before = buckets.get(start - TIMESPAN, Bucket())
        points = [*before.points, *bucket.points]
        for firing in firings(kind, condition, MEMBERS, TIMESPAN, points, start):
            fired.add(firing.point.order)
    return fired


@given(
    kind=st.sampled_from(get_args(CorrelationType)),
    condition=conditions,
    found=matches(),
    data=st.data(),
)
def test_what_fires_is_what_the_definition_says_in_any_order_and_portions(
    kind: CorrelationType, condition: Threshold, found: list[Point], data: st.DataObject
) -> None:
    buckets: dict[int, Bucket] = {}
    arriving = data.draw(st.permutations(found + found[:3]))
    for item in arriving:
        start = int(item.time // TIMESPAN * TIMESPAN)
        buckets[start] = insert(buckets.get(start, Bucket()), [item])
    assert fired_in_buckets(kind, condition, buckets) == fired_by_definition(kind, condition, found)


@given(found=matches(), data=st.data())
def test_a_bucket_is_the_same_however_its_matches_came_in(
    found: list[Point], data: st.DataObject
) -> None:
    whole = insert(Bucket(), found)
    portions = data.draw(st.permutations(found))
    cut = data.draw(st.integers(0, len(found)))
    assert insert(insert(Bucket(), portions[:cut]), portions[cut:]) == whole


def test_a_full_bucket_keeps_the_earliest_matches_and_counts_the_rest() -> None:
    many = [point(number / 1000, f"{number:05}") for number in range(MAX_POINTS + 7)]
    bucket = insert(insert(Bucket(), many[2000:]), many[:2000])
    assert bucket.overflow == 7
    assert [p.event_id for p in bucket.points] == [p.event_id for p in many[:MAX_POINTS]]


def test_only_the_earliest_matches_keep_their_records() -> None:
    bucket = insert(Bucket(), [point(number, f"{number}") for number in range(9)])
    assert [bool(p.observation.record) for p in bucket.points] == [True] * 5 + [False] * 4


def test_the_share_of_a_value_is_that_of_the_match_that_fires() -> None:
    rare = Threshold(lte=25)
    points = [point(n, f"e{n}", value=(name,)) for n, name in enumerate(["a", "a", "a", "b"])]
    found = list(firings("value_percentile", rare, 1, TIMESPAN, points, 0))
    assert [(firing.point.event_id, firing.number) for firing in found] == [("e3", 25.0)]
