"""Correlations: what holds of the matches of several rules within a timespan, by event time.

A match at time t *fires* if the condition holds of all matches of its group from t - timspan,
exclusive, to t, inclusive. Which matches fire depends on the set of matches alone, never on the
order in which they came in. Matches are kept in buckets as long as the timespan, beginning at its
whole multiples, so that one bucket and the one before it decide what fires in it; an alert is one
correlation, group and bucket.

Everything here is pure. Source: Sigma Correlation Rules Specification 2.1.0; `value_median` and
`percentile` are pySigma's. Where the specification is silent: a percentile is interpolated between
the nearest values; without `percentile`, `value_percentile` is the share, in per cent, that the
value of the match has among all values, as in the specification's own example.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Protocol

import msgspec

from detector.rules.correlation import CorrelationType, Threshold
from detector.windows.aligned import MAX_EVIDENCE, GroupValue, Observation

MAX_POINTS = 5_000
"""Matches kept in one bucket of one group, the earliest ones. What a burst of this size has not
fired yet was meant for a data warehouse; the rest is counted, and the alert says so."""

Value = str | int | float | bool | tuple[GroupValue, ...]


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """What a correlation further up needs to know of a match: its group there, and its value."""

    group: tuple[GroupValue, ...]
    value: Value | None


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One match: of which member, by its position, and what is counted of it."""

    time: float
    event_id: str
    member: int
    value: Value | None
    observation: Observation
    carried: dict[str, Carried] = {}

    @property
    def order(self) -> tuple[float, str, int]:
        """What points are sorted by."""
        return self.time, self.event_id, self.member


class Bucket(msgspec.Struct):
    """The matches of one group in one bucket of time, by their order.

    `fired` holds the event ids of those that have fired, `overflow` counts the matches that came
    when the bucket was full, `revision` the times that an alert was made of it.
    """

    points: list[Point] = []
    fired: list[str] = []
    overflow: int = 0
    revision: int = 0


class Firing(msgspec.Struct, frozen=True):
    """A match that fires, and the number that fulfilled the condition."""

    point: Point
    number: float


def insert(bucket: Bucket, points: Iterable[Point]) -> Bucket:
    """Return the bucket with points added that it does not have yet; the one given stays as it is.

    Of many points the earliest are kept, and of a few of these their records, whatever the order.
    """
    known = {point.order for point in bucket.points}
    fresh = [point for point in points if point.order not in known]
    merged = sorted([*bucket.points, *fresh], key=lambda point: point.order)
    kept = merged[:MAX_POINTS]
    for position, point in enumerate(kept[MAX_EVIDENCE:], MAX_EVIDENCE):
        if point.observation.record:
            bare = msgspec.structs.replace(point.observation, record={})
            kept[position] = msgspec.structs.replace(point, observation=bare)
    overflow = bucket.overflow + len(merged) - len(kept)
    return Bucket(kept, list(bucket.fired), overflow, bucket.revision)


def firings(
    kind: CorrelationType,
    condition: Threshold | None,
    members: int,
    timespan: float,
    points: Sequence[Point],
    since: float,
) -> Iterator[Firing]:
    """Yield the points from `since` on that fire; `points` reach back a timespan further."""
    if kind == "temporal_ordered":
        yield from _ordered(condition, members, timespan, points, since)
        return
    measure = _measure(kind, condition)
    holds = condition.holds if condition else (lambda number: number >= members)
    oldest = 0
    for time, group in groupby(points, key=lambda point: point.time):
        newest = list(group)
        for point in newest:
            measure.add(point)
        while points[oldest].time <= time - timespan:
            measure.remove(points[oldest])
            oldest += 1
        if time < since:
            continue
        for point in newest:
            number = measure.number(point)
            if number is not None and holds(float(number)):
                yield Firing(point, float(number))


def _ordered(
    condition: Threshold | None,
    members: int,
    timespan: float,
    points: Sequence[Point],
    since: float,
) -> Iterator[Firing]:
    """Keep for each length of chain the latest time at which one that is complete begins.

    A chain may have several links at the same second, which is as fine as CloudTrail tells time.
    """
    holds = condition.holds if condition else (lambda number: number >= members)
    begins = [float("-inf")] * members
    for time, group in groupby(points, key=lambda point: point.time):
        newest = list(group)
        for point in sorted(newest, key=lambda point: point.member):
            begin = time if point.member == 0 else begins[point.member - 1]
            begins[point.member] = max(begins[point.member], begin)
        if time < since:
            continue
        length = sum(begin > time - timespan for begin in begins)
        if holds(length):
            yield from (Firing(point, float(length)) for point in newest)


class _Measure(Protocol):
    def add(self, point: Point) -> None: ...

    def remove(self, point: Point) -> None: ...

    def number(self, newest: Point) -> float | Fraction | None: ...


class _Distinct:
    """Distinct keys: events, members, or values."""

    def __init__(self, key: Callable[[Point], object]) -> None:
        self._key = key
        self._counts: Counter[object] = Counter()

    def add(self, point: Point) -> None:
        key = self._key(point)
        if key is not None:
            self._counts[key] += 1

    def remove(self, point: Point) -> None:
        key = self._key(point)
        if key is not None:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def number(self, _: Point) -> float | None:
        return len(self._counts)


class _Share(_Distinct):
    """The share of the newest point's value among all, in per cent."""

    def number(self, newest: Point) -> float | None:
        total = sum(self._counts.values())
        return 100 * self._counts[self._key(newest)] / total if total else None


class _Sum:
    """Exact sums, so that what was added can be taken away again; their mean with `is_mean`."""

    def __init__(self, *, is_mean: bool) -> None:
        self._is_mean = is_mean
        self._total = Fraction(0)
        self._count = 0

    def add(self, point: Point) -> None:
        number = _number(point)
        if number is not None:
            self._total += Fraction(number)
            self._count += 1

    def remove(self, point: Point) -> None:
        number = _number(point)
        if number is not None:
            self._total -= Fraction(number)
            self._count -= 1

    def number(self, _: Point) -> Fraction | None:
        if not self._count:
            return None
        return self._total / self._count if self._is_mean else self._total


class _Percentile:
    def __init__(self, percentile: float) -> None:
        self._share = Fraction(percentile) / 100
        self._numbers: list[float] = []

    def add(self, point: Point) -> None:
        number = _number(point)
        if number is not None:
            bisect.insort(self._numbers, number)

    def remove(self, point: Point) -> None:
        number = _number(point)
        if number is not None:
            del self._numbers[bisect.bisect_left(self._numbers, number)]

    def number(self, _: Point) -> Fraction | None:
        if not self._numbers:
            return None
        position = self._share * (len(self._numbers) - 1)
        below = int(position)
        above = min(below + 1, len(self._numbers) - 1)
        low, high = Fraction(self._numbers[below]), Fraction(self._numbers[above])
        return low + (high - low) * (position - below)


def _number(point: Point) -> float | None:
    value = point.value
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _value(point: Point) -> object:
    return None if point.value is None else (type(point.value).__name__, point.value)


def _measure(kind: CorrelationType, condition: Threshold | None) -> _Measure:
    if kind == "event_count":
        return _Distinct(lambda point: point.event_id)
    if kind == "temporal":
        return _Distinct(lambda point: point.member)
    if kind == "value_count":
        return _Distinct(_value)
    if kind in {"value_sum", "value_avg"}:
        return _Sum(is_mean=kind == "value_avg")
    if kind == "value_median":
        return _Percentile(50)
    percentile = condition.percentile if condition else None
    return _Share(_value) if percentile is None else _Percentile(percentile)
