"""Correlations equal their definition, in whatever order and portions their matches come in."""

from __future__ import annotations

import statistics
from fractions import Fraction
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from detector.rules.correlation import (
    MAX_MATCHES,
    Correlation,
    CorrelationFile,
    CorrelationSettings,
    CorrelationType,
    Threshold,
)
from detector.rules.syntax import Selector
from detector.windows.aligned import Observation
from detector.windows.correlated import Bucket, Point, fire, firings, insert
from tests.strategies import examples

TIMESPAN = 10
MEMBERS = ("first", "second", "third")
OF_VALUES = {"value_count", "value_sum", "value_avg", "value_percentile", "value_median"}


def correlation(kind: CorrelationType, condition: Threshold | None) -> Correlation:
    field = "n" if kind in OF_VALUES else ()
    if condition is not None:
        percentile = condition.percentile if kind == "value_percentile" else None
        limits = dict(zip(("gt", "gte", "lt", "lte", "eq", "neq"), condition.limits, strict=True))
        condition = Threshold(**limits, field=field, percentile=percentile)
    settings = CorrelationSettings(
        type=kind, rules=MEMBERS, timespan=f"{TIMESPAN}s", condition=condition
    )
    file = CorrelationFile(title="A correlation", correlation=settings)
    fields = (Selector(("n",), through_lists=True),) if field else ()
    return Correlation(file, MEMBERS, (), fields, "correlation.yml")


def point(time: float, name: str, member: str = "first", value: Any = None) -> Point:
    observation = Observation(time, name, False, "E", "a", "1.2.3.4", "r", "1", {"n": time})
    return Point(time, (name, "1"), member, value, observation)


@st.composite
def matches(draw: st.DrawFn) -> list[Point]:
    """Some matches; those of one event have one time and value."""
    events = draw(
        st.lists(
            st.tuples(
                st.integers(0, 45),
                st.none() | st.integers(-5, 5) | st.sampled_from([0.5, 2.25, 1e17]),
                st.sets(st.sampled_from(MEMBERS), min_size=1),
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
        return len({p.event for p in within})
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
    for member in MEMBERS:
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


def fired_in_buckets(which: Correlation, buckets: dict[int, Bucket]) -> set[Any]:
    fired = set()
    for start, bucket in buckets.items():
        before = buckets.get(start - TIMESPAN, Bucket())
        for firing in firings(which, [*before.points, *bucket.points], start):
            fired.add(firing.point.order)
    return fired


@examples(2000)
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
    for item in data.draw(st.permutations(found + found[:3])):
        start = int(item.time // TIMESPAN * TIMESPAN)
        buckets[start] = insert(buckets.get(start, Bucket()), [item])
    expected = fired_by_definition(kind, condition, found)
    assert fired_in_buckets(correlation(kind, condition), buckets) == expected


@examples(1000)
@given(found=matches(), data=st.data())
def test_a_bucket_is_the_same_however_its_matches_came_in(
    found: list[Point], data: st.DataObject
) -> None:
    whole = insert(Bucket(), found)
    portions = data.draw(st.permutations(found))
    cut = data.draw(st.integers(0, len(found)))
    assert insert(insert(Bucket(), portions[:cut]), portions[cut:]) == whole
    assert insert(Bucket(), [*found, *found]) == whole


def test_a_full_bucket_keeps_the_earliest_matches_and_counts_the_rest() -> None:
    many = [point(number / 1000, f"{number:05}") for number in range(MAX_MATCHES + 7)]
    bucket = insert(insert(Bucket(), many[2000:]), many[:2000])
    assert bucket.overflow == 7
    assert [p.event[0] for p in bucket.points] == [p.event[0] for p in many[:MAX_MATCHES]]


def test_only_the_earliest_matches_keep_their_records() -> None:
    bucket = insert(Bucket(), [point(number, f"{number}") for number in range(9)])
    assert [bool(p.observation.record) for p in bucket.points] == [True] * 5 + [False] * 4


def test_the_share_of_a_value_is_that_of_the_match_that_fires() -> None:
    values = [("a",), ("a",), ("a",), ("b",), None]
    points = [point(n, f"e{n}", value=value) for n, value in enumerate(values)]
    rare = correlation("value_percentile", Threshold(lte=25))
    found = list(firings(rare, points, 0))
    assert [(firing.point.event[0], firing.number) for firing in found] == [("e3", 25.0)]


def test_a_match_of_what_is_no_member_any_more_counts_for_nothing() -> None:
    bucket = insert(Bucket(), [point(1, "a", "dropped"), point(2, "b", "first")])
    which = correlation("temporal_ordered", Threshold(gte=1))
    fired = fire(which, Bucket(), bucket, 0)
    assert fired is not None
    assert [firing.point.event[0] for firing in fired.fresh] == ["b"]


def test_an_alert_is_news_only_if_it_says_something_new() -> None:
    which = correlation("event_count", Threshold(gte=2))
    first = fire(which, Bucket(), insert(Bucket(), [point(11, "a"), point(12, "b")]), 10)
    assert first is not None
    assert first.is_news
    far_before = insert(Bucket(), [point(0, "z")])
    again = fire(which, far_before, first.bucket, 10)
    assert again is not None
    assert (again.is_news, again.fresh) == (False, [])
    more = fire(which, far_before, insert(first.bucket, [point(13, "c")]), 10)
    assert more is not None
    assert more.is_news


def test_sums_that_no_double_holds_are_told_as_the_largest_one() -> None:
    points = [point(n, f"e{n}", value=1e308) for n in range(9)]
    (last,) = list(firings(correlation("value_sum", Threshold(gt=1e308)), points, 0))[-1:]
    assert last.number == 1.7976931348623157e308
