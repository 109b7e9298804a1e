"""Correlations: what holds of the matches of several rules within a timespan, by event time.

A match at time t *fires* if the condition holds of all matches of its group from t - timespan,
exclusive, to t, inclusive. Which matches fire depends on the set of matches alone. Matches are kept
in buckets as long as the timespan, beginning at its whole multiples, so that one bucket and the one
before it decide what fires in it; an alert is one correlation, group and bucket.

Everything here is pure. Source: Sigma Correlation Rules Specification 2.1.0; `value_median` and
`percentile` are pySigma's. Where the specification is silent: a percentile is interpolated between
the nearest values; without `percentile`, `value_percentile` is the share, in per cent, that the
value of the match has among all values, as in the specification's own example.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Protocol

import msgspec

from detector.rules.correlation import MAX_MATCHES, Correlation
from detector.windows.aligned import GroupValue, Observation
from detector.windows.bounded import MAX_EVIDENCE
from detector.windows.statistic import LARGEST

Value = str | int | float | bool | tuple[GroupValue, ...]

EventKey = tuple[str, str]
"""What makes two copies of a record the same event: its id and account."""


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """What a correlation further up needs to know of a match: its group there, and its value."""

    group: tuple[GroupValue, ...]
    value: Value | None


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One match: of which member, by its id, and what is counted of it.

    `carried` says what correlations further up need, by `way_up`.
    """

    time: float
    event: EventKey
    member: str
    value: Value | None
    observation: Observation
    carried: dict[str, Carried] = {}

    @property
    def order(self) -> tuple[float, EventKey, str]:
        """What points are sorted and told apart by."""
        return self.time, self.event, self.member


def way_up(member: str, outer: str) -> str:
    """Return the key under which a point carries what `outer` needs of its member `member`."""
    return f"{member}\n{outer}"


class Bucket(msgspec.Struct):
    """The matches of one group in one bucket of time, by their order.

    `fired` holds the events that have fired, `overflow` counts the matches that came when the
    bucket was full; `digest` is that of what its alert last said. The rest is as in an aligned
    window's state.
    """

    points: list[Point] = []
    fired: list[EventKey] = []
    overflow: int = 0
    digest: str = ""
    is_complete: bool = False
    is_alerting: bool = False
    is_told: bool = False


class Firing(msgspec.Struct, frozen=True):
    """A match that fires, and the number that fulfilled the condition."""

    point: Point
    number: float


@dataclass(frozen=True, slots=True)
class Fired:
    """What fires in a bucket.

    `bucket` is its new state. `fresh` are the firings of events that had not fired before.
    `contributing` are the observations of the timespans that fired, each event once; `number` is
    the last firing's. `is_news` says whether an alert would say something new; `is_late` whether
    nothing would fire without the events that were late.
    """

    bucket: Bucket
    fresh: Sequence[Firing]
    contributing: Sequence[Observation]
    number: float
    is_news: bool
    is_late: bool


def insert(bucket: Bucket, points: Iterable[Point]) -> Bucket:
    """Return the bucket with points added that it does not have yet; the one given stays as it is.

    Of many points the earliest are kept. Of these, the earliest events keep their records: evidence
    is what an alert can do without, and all else of it does not depend on the order of arrival.
    """
    by_order = {point.order: point for point in (*points, *bucket.points)}
    merged = [by_order[order] for order in sorted(by_order)]
    kept = merged[:MAX_MATCHES]
    events: set[EventKey] = set()
    for position, point in enumerate(kept):
        events.add(point.event)
        if len(events) > MAX_EVIDENCE and point.observation.record:
            bare = msgspec.structs.replace(point.observation, record={})
            kept[position] = msgspec.structs.replace(point, observation=bare)
    return msgspec.structs.replace(
        bucket, points=kept, overflow=bucket.overflow + len(merged) - len(kept)
    )


def fire(correlation: Correlation, before: Bucket, bucket: Bucket, start: int) -> Fired | None:
    """Return what fires in a bucket that begins at `start`, or None where nothing does.

    `before` is the bucket of the timespan before. What a correlation says of its members may have
    changed since points were kept: those of former members are left out.
    """
    members = set(correlation.members)
    points = [item for item in (*before.points, *bucket.points) if item.member in members]
    found = list(firings(correlation, points, start))
    if not found:
        return None
    contributing = _contributing(points, found, correlation.timespan)
    said = [[(item.point.order, item.number) for item in found], [*contributing], bucket.overflow]
    digest = hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]
    known = set(bucket.fired)
    on_time = [point for point in points if not point.observation.is_late]
    is_late = len(on_time) < len(points) and not any(
        True for _ in firings(correlation, on_time, start)
    )
    is_news = digest != bucket.digest
    return Fired(
        bucket=msgspec.structs.replace(
            bucket,
            fired=sorted({item.point.event for item in found}),
            digest=digest,
        ),
        fresh=[item for item in found if item.point.event not in known],
        contributing=list(contributing.values()),
        number=found[-1].number,
        is_news=is_news,
        is_late=is_late,
    )


def _contributing(
    points: Sequence[Point], found: Sequence[Firing], timespan: float
) -> dict[str, Observation]:
    """Return, by event, the observations within a timespan before any match that fired."""
    ends = [firing.point.time for firing in found]
    seen: dict[str, Observation] = {}
    next_end = 0
    for point in points:
        while next_end < len(ends) and ends[next_end] < point.time:
            next_end += 1
        if next_end < len(ends) and point.time > ends[next_end] - timespan:
            seen.setdefault("\n".join(point.event), point.observation)
    return seen


def firings(correlation: Correlation, points: Sequence[Point], since: float) -> Iterator[Firing]:
    """Yield the points from `since` on that fire; `points` reach back a timespan further."""
    settings = correlation.file.correlation
    if settings.type == "temporal_ordered":
        yield from _ordered(correlation, points, since)
        return
    measure = _measure(correlation)
    oldest = 0
    for time, group in groupby(points, key=lambda point: point.time):
        newest = list(group)
        for point in newest:
            measure.add(point)
        while points[oldest].time <= time - correlation.timespan:
            measure.remove(points[oldest])
            oldest += 1
        if time < since:
            continue
        for point in newest:
            exact = measure.number(point)
            if exact is None:
                continue
            number = float(min(max(exact, -LARGEST), LARGEST))
            if correlation.is_fulfilled_by(number):
                yield Firing(point, number)


def _ordered(correlation: Correlation, points: Sequence[Point], since: float) -> Iterator[Firing]:
    """Keep for each length of chain the latest time at which one that is complete begins.

    A chain may have several links at the same second, which is as fine as CloudTrail tells time.
    """
    place = {member: number for number, member in enumerate(correlation.members)}
    begins = [float("-inf")] * len(place)
    for time, group in groupby(points, key=lambda point: point.time):
        newest = list(group)
        for number in sorted(place[point.member] for point in newest):
            begin = time if number == 0 else begins[number - 1]
            begins[number] = max(begins[number], begin)
        if time < since:
            continue
        length = sum(begin > time - correlation.timespan for begin in begins)
        if correlation.is_fulfilled_by(length):
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
        key = self._key(newest)
        if key is None:
            return None  # the match does not have the field: it is neither rare nor common
        return 100 * self._counts[key] / sum(self._counts.values())


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
    """Return a value so that 1, 1.0 and True are told apart."""
    values = point.value if isinstance(point.value, tuple) else (point.value,)
    return None if None in values else tuple((type(item).__name__, item) for item in values)


def _measure(correlation: Correlation) -> _Measure:
    kind = correlation.file.correlation.type
    if kind == "event_count":
        return _Distinct(lambda point: point.event)
    if kind == "temporal":
        return _Distinct(lambda point: point.member)
    if kind == "value_count":
        return _Distinct(_value)
    if kind in {"value_sum", "value_avg"}:
        return _Sum(is_mean=kind == "value_avg")
    if kind == "value_median":
        return _Percentile(50)
    condition = correlation.file.correlation.condition
    percentile = condition.percentile if condition else None
    return _Share(_value) if percentile is None else _Percentile(percentile)
