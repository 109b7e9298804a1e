"""Alarms over arrivals: worked examples, and what holds whatever arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detector.rules.window import WindowSettings
from detector.windows import alarm
from detector.windows.schedule import schedule_of
from detector.windows.sliding import (
    MAX_RECENT,
    Datapoint,
    SlidingState,
    Transition,
    advance,
    arrive,
    evaluate,
    initial_state,
    next_evaluation,
)
from detector.windows.statistic import Sample
from tests.alerts import observation

TEN = 1_790_330_400
"""2026-09-25 10:00:00 UTC."""
DAY = 86_400
WEEK = 604_800


def clock(text: str) -> int:
    """Return a time of that day, hours and minutes."""
    hours, minutes = map(int, text.split(":"))
    return TEN - 10 * 3600 + hours * 3600 + minutes * 60


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def window(**fields: Any) -> WindowSettings:
    return WindowSettings(mode="sliding", **fields)


def saved(state: SlidingState) -> SlidingState:
    return msgspec.json.decode(msgspec.json.encode(state), type=SlidingState)


class Alarm:
    """An alarm that is evaluated each minute, or only when it asks for it."""

    def __init__(
        self, rule: WindowSettings, at: float, *, each_minute: bool = False, saves: bool = False
    ) -> None:
        self.rule = rule
        self.state = initial_state(at)
        self.transitions: list[Transition] = []
        self.evaluations = 0
        self._each_minute = each_minute
        self._saves = saves
        self._minute = int(at // 60) * 60
        self._matches = 0

    def until(self, at: float) -> None:
        """Evaluate all moments up to a time, inclusive."""
        if not self._each_minute:
            self.state, transitions = advance(self.state, at, self.rule)
            self.transitions += transitions
        while self._each_minute and self._minute + 60 <= at:
            self._minute += 60
            evaluated = evaluate(self.state, self._minute, self.rule)
            self.state = evaluated.state
            if evaluated.transition:
                self.transitions.append(evaluated.transition)
        self._save()

    def match(self, at: float, *samples: Sample) -> None:
        self.until(at)
        matches = [
            (observation(self._matches + index), sample)
            for index, sample in enumerate(samples or [1])
        ]
        self._matches += len(matches)
        self.state = arrive(self.state, matches, at, self.rule)
        self._save()

    def told(self) -> list[tuple[int, str, str]]:
        return [(item.at, item.previous, item.state) for item in self.transitions]

    def _save(self) -> None:
        if self._saves:
            self.state = saved(self.state)


# The benchmark's alarm, minute by minute.


def test_the_benchmarks_alarm_sends_one_message_and_ends_when_the_point_has_left_the_range() -> (
    None
):
    cis = window()  # Sum, 300 s, 1 period, at least 1, missing
    state = initial_state(clock("10:00"))
    states: list[str] = []
    transitions = []
    for minute in range(30):
        now = clock("10:00") + 60 * minute
        evaluated = evaluate(state, now, cis)
        state = evaluated.state
        states.append(state.alarm)
        if evaluated.transition:
            transitions.append(evaluated.transition)
        if minute in {2, 4}:  # the second, while in ALARM, is silent
            state = arrive(state, [(observation(minute), 1)], now + 31.5, cis)
    # The last match counts in the minute from 10:04; three periods later no range reaches it.
    expected = ["INSUFFICIENT_DATA"] * 3 + ["ALARM"] * 17 + ["INSUFFICIENT_DATA"] * 10
    assert states == expected
    begin, end = transitions
    assert (begin.at, begin.previous, begin.state) == (
        clock("10:03"),
        "INSUFFICIENT_DATA",
        "ALARM",
    )
    assert (begin.start, begin.end) == (clock("9:58"), clock("10:03"))
    assert begin.datapoints == (Datapoint(clock("9:58"), 1, 1),)
    assert begin.reason == (
        "Threshold Crossed: 1 datapoint [1.0 (25/09/26 09:58:00)]"
        " was greater than or equal to the threshold (1.0)."
    )
    assert begin.detail is not None
    assert begin.detail.event_ids == [(2.0, "e00002")]
    assert (end.at, end.state) == (clock("10:20"), "INSUFFICIENT_DATA")
    assert end.reason == "Insufficient Data: 1 datapoint was unknown."
    assert end.detail is not None
    assert end.detail.count == 2
    assert state.points == {}
    assert (state.since, state.detail) == (clock("10:20"), None)


def test_a_settled_alarm_asks_for_nothing_and_the_next_match_alarms_again() -> None:
    cis = Alarm(window(), clock("10:00"))
    cis.match(clock("10:02") + 20)
    cis.until(clock("12:00"))
    assert next_evaluation(cis.state, cis.rule) is None
    cis.match(clock("12:00") + 59.9)
    assert next_evaluation(cis.state, cis.rule) == clock("12:01")
    cis.until(clock("12:01"))
    assert cis.told() == [
        (clock("10:03"), "INSUFFICIENT_DATA", "ALARM"),
        (clock("10:18"), "ALARM", "INSUFFICIENT_DATA"),
        (clock("12:01"), "INSUFFICIENT_DATA", "ALARM"),
    ]


def test_an_alarm_of_one_period_was_seen_to_take_three_to_end() -> None:
    rule = window(period=900, treat_missing_data="notBreaching")
    seen = Alarm(rule, clock("17:23"))
    seen.match(clock("19:50") + 31)
    seen.until(clock("21:00"))
    assert seen.told() == [
        (clock("17:24"), "INSUFFICIENT_DATA", "OK"),
        (clock("19:51"), "OK", "ALARM"),
        (clock("20:36"), "ALARM", "OK"),
    ]
    assert seen.transitions[-1].reason == (
        "Threshold Crossed: no datapoints were received for 1 period"
        " and 1 missing datapoint was treated as [NonBreaching]."
    )


def test_a_match_on_the_minute_belongs_to_the_minute_that_begins() -> None:
    rule = window(period=60)
    state = arrive(None, [(observation(1), 1)], clock("10:00"), rule)
    assert state.decided == clock("10:00")
    assert next_evaluation(state, rule) == clock("10:01")
    assert evaluate(state, clock("10:00"), rule).state == state
    assert evaluate(state, clock("10:01"), rule).state.alarm == "ALARM"


def test_a_rule_that_misses_what_must_come_alarms_without_any_match() -> None:
    state = initial_state(clock("10:00") + 5)
    rule = window(treat_missing_data="breaching")
    assert next_evaluation(state, rule) == clock("10:01")
    state, (transition,) = advance(state, clock("10:01"), rule)
    assert (transition.state, transition.datapoints, transition.missing) == ("ALARM", (), 1)
    assert (transition.start, transition.end) == (clock("9:56"), clock("10:01"))
    assert transition.detail is None
    assert next_evaluation(state, rule) is None
    assert saved(state) == state


@pytest.mark.parametrize(
    ("statistic", "value"),
    [("Sum", 9.5), ("SampleCount", 4), ("Minimum", 1), ("Maximum", 5), ("Average", 2.375)],
)
def test_statistics_are_of_samples_and_not_of_minutes(statistic: Any, value: float) -> None:
    rule = Alarm(window(statistic=statistic, threshold=0.5, metric_value="$.n"), clock("10:00"))
    rule.match(clock("10:00"), 1, 1.5, 2)
    rule.match(clock("10:00") + 60, 5)
    rule.until(clock("10:02"))
    (first,) = rule.transitions
    again = evaluate(
        msgspec.structs.replace(rule.state, decided=0, alarm="OK"), first.at + 60, rule.rule
    )
    assert again.transition is not None
    assert again.transition.datapoints == (Datapoint(clock("9:57"), value, 4),)


def test_matches_without_a_number_are_none() -> None:
    rule = window(
        statistic="SampleCount", metric_value="$.n", comparison_operator="LessThanThreshold"
    )
    state = initial_state(clock("10:00"))
    assert (
        arrive(state, [(observation(1), None), (observation(2), "x")], clock("10:01"), rule)
        == state
    )
    assert arrive(state, [], clock("10:01"), rule) == state


def test_m_out_of_n_waits_for_its_datapoints() -> None:
    rule = window(period=60, evaluation_periods=3, datapoints_to_alarm=2, threshold=5)
    sparse = Alarm(rule, clock("10:00"))
    sparse.match(clock("10:00"), 5)
    sparse.match(clock("10:01"), 1)
    sparse.match(clock("10:03"), 6)
    sparse.until(clock("10:30"))
    begin = sparse.transitions[1]
    assert [item.value for item in begin.datapoints] == [5, 1, 6]
    assert (begin.start, begin.end) == (clock("10:00"), clock("10:04"))
    assert sparse.told() == [
        (clock("10:02"), "INSUFFICIENT_DATA", "OK"),
        (clock("10:04"), "OK", "ALARM"),
        # 10:00 has left the range of five: of what is left there are too few, and a good one.
        (clock("10:06"), "ALARM", "OK"),
        # The good one has left too, and the one that breaches is old enough to speak alone.
        (clock("10:07"), "OK", "ALARM"),
        (clock("10:09"), "ALARM", "INSUFFICIENT_DATA"),
    ]


def test_a_clock_that_was_set_back_revises_nothing() -> None:
    rule = window(period=60)
    state = arrive(None, [(observation(1), 1)], clock("10:05"), rule)
    state = evaluate(state, clock("10:06"), rule).state
    before = state
    assert evaluate(state, clock("10:03"), rule).state == before
    state = arrive(state, [(observation(2), 1)], clock("10:02"), rule)
    assert list(state.points) == [clock("10:05"), clock("10:06")]
    state = arrive(state, [(observation(3), 1)], clock("10:09"), rule)
    state = arrive(state, [(observation(4), 1)], clock("10:07"), rule)
    assert {slot: totals.samples for slot, totals in state.points.items()} == {
        clock("10:05"): 1,
        clock("10:06"): 1,
        clock("10:09"): 2,
    }
    assert next_evaluation(state, rule) == clock("10:07")


def test_windows_of_more_than_a_day_are_evaluated_each_hour() -> None:
    rule = Alarm(window(period=DAY, evaluation_periods=2, threshold=3), clock("9:30"))
    assert next_evaluation(rule.state, rule.rule) == clock("10:00")
    rule.match(clock("10:20"), 3)
    rule.match(clock("10:40") + DAY, 3)
    assert len(rule.state.points) == 2
    assert next_evaluation(rule.state, rule.rule) == clock("11:00") + DAY
    assert evaluate(rule.state, clock("10:59") + DAY, rule.rule).state == rule.state
    rule.until(clock("11:00") + DAY)
    assert rule.told() == [(clock("11:00") + DAY, "INSUFFICIENT_DATA", "ALARM")]


def test_nothing_is_lost_while_nobody_evaluates() -> None:
    rule = window(period=60)
    state = arrive(None, [(observation(1), 1)], clock("10:00"), rule)
    state, transitions = advance(state, clock("20:00"), rule)
    assert [(item.at, item.state) for item in transitions] == [
        (clock("10:01"), "ALARM"),
        (clock("10:04"), "INSUFFICIENT_DATA"),
    ]


def test_what_is_given_is_not_changed() -> None:
    rule = window(period=60)
    state = arrive(None, [(observation(1), 1)], clock("10:00"), rule)
    for at in (clock("10:00"), clock("10:02")):
        before = msgspec.json.encode(state)
        arrive(state, [(observation(2), 1)], at, rule)
        evaluate(state, clock("10:02"), rule)
        assert msgspec.json.encode(state) == before
        state = evaluate(state, clock("10:01"), rule).state


# Who did what.


def test_an_alarm_tells_of_the_matches_from_its_window_on() -> None:
    rule = Alarm(window(period=60, threshold=2), clock("10:00"))
    rule.match(clock("10:00"), 1)  # e0 is of another minute
    rule.match(clock("10:01"), 1, 1)
    rule.until(clock("10:02"))
    rule.match(clock("10:02"), 1)
    begin = rule.transitions[-1]
    assert begin.detail is not None
    assert [event_id for _, event_id in begin.detail.event_ids] == ["e00001", "e00002"]
    assert rule.state.detail is not None
    assert [event_id for _, event_id in rule.state.detail.event_ids][2:] == ["e00003"]


def test_recent_matches_are_few_and_only_the_newest_keep_their_records() -> None:
    rule = Alarm(window(threshold=1000), clock("10:00"))
    rule.match(clock("10:00"), *[1] * 30)
    rule.match(clock("10:01"), *[1] * 40)
    recent = [item.observation for item in rule.state.recent]
    assert [seen.event_id for seen in recent] == [f"e{number:05d}" for number in range(20, 70)]
    assert [bool(seen.record) for seen in recent] == [False] * 45 + [True] * 5
    rule.until(clock("10:16"))
    assert len(rule.state.recent) == 40
    rule.until(clock("10:17"))
    assert rule.state.recent == []


# Clocks on walls.


def test_a_wall_clock_window_counts_only_complete_periods_and_exactly_n() -> None:
    rule = Alarm(window(period=3600, evaluation_window="wall_clock", threshold=2), clock("9:50"))
    rule.match(clock("10:05"))
    rule.match(clock("10:55"))
    assert next_evaluation(rule.state, rule.rule) == clock("11:00")
    rule.until(clock("23:00"))
    begin, end = rule.transitions
    assert (begin.at, begin.start, begin.end) == (clock("11:00"), clock("10:00"), clock("11:00"))
    assert begin.datapoints == (Datapoint(clock("10:00"), 2, 2),)
    assert (end.at, end.state) == (clock("12:00"), "INSUFFICIENT_DATA")


@pytest.mark.parametrize(
    ("period", "begin", "end"),
    [
        (DAY, "2026-10-24T22:00", "2026-10-25T23:00"),
        (DAY, "2026-03-28T23:00", "2026-03-29T22:00"),
        (WEEK, "2026-10-18T22:00", "2026-10-25T23:00"),
        (WEEK, "2026-03-22T23:00", "2026-03-29T22:00"),
    ],
)
def test_a_period_ends_when_the_wall_says_so(period: int, begin: str, end: str) -> None:
    rule = window(period=period, evaluation_window="wall_clock", timezone="Europe/Berlin")
    days = Alarm(rule, utc(begin) - 600)
    days.match(utc(begin) + 30)
    days.until(utc(begin) + 3 * WEEK)
    first = days.transitions[0]
    assert (first.at, first.start, first.end) == (utc(end), utc(begin), utc(end))
    assert [state for _, _, state in days.told()] == ["ALARM", "INSUFFICIENT_DATA"]


def test_a_new_wall_clock_alarm_looks_at_once_at_what_is_complete() -> None:
    rule = window(period=DAY, evaluation_window="wall_clock", treat_missing_data="breaching")
    _, (transition,) = advance(initial_state(clock("9:50")), clock("9:51"), rule)
    assert (transition.state, transition.end) == ("ALARM", clock("0:00"))


# What holds whatever arrives.

ZONES = ["UTC", "+05:30", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe"]

samples = st.one_of(
    st.integers(-3, 5),
    st.sampled_from([0.1, 0.2, -0.3, 1e300, 1e-300]),
    st.none(),
)


@st.composite
def rules(
    draw: st.DrawFn, *, periods: tuple[int, ...], least: int = 1, most: int = 4
) -> WindowSettings:
    number = draw(st.integers(least, most))
    return window(
        period=draw(st.sampled_from(periods)),
        statistic=draw(st.sampled_from(["Sum", "SampleCount", "Minimum", "Maximum", "Average"])),
        threshold=draw(st.integers(-1, 4)),
        comparison_operator=draw(
            st.sampled_from(["GreaterThanOrEqualToThreshold", "LessThanThreshold"])
        ),
        evaluation_periods=number,
        datapoints_to_alarm=draw(st.one_of(st.none(), st.integers(1, number))),
        treat_missing_data=draw(
            st.sampled_from(["missing", "ignore", "breaching", "notBreaching"])
        ),
        metric_value="$.n",
    )


@st.composite
def arrivals(draw: st.DrawFn, *, span: int, most: int = 12) -> list[tuple[float, list[Sample]]]:
    """Batches of samples by the second after the start, in order."""
    times = draw(st.lists(st.integers(0, span * 2), max_size=most))
    return [(time / 2, draw(st.lists(samples, max_size=3))) for time in sorted(times)]


def run(
    rule: WindowSettings,
    batches: list[tuple[float, list[Sample]]],
    *,
    start: int,
    span: int,
    **how: bool,
) -> Alarm:
    found = Alarm(rule, start, **how)
    for at, batch in batches:
        if batch:
            found.match(start + at, *batch)
    found.until(start + span)
    return found


def assert_skipping_changes_nothing(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]], start: int, span: int
) -> None:
    asked = run(rule, batches, start=start, span=span)
    each = run(rule, batches, start=start, span=span, each_minute=True)
    assert asked.transitions == each.transitions
    assert (asked.state.alarm, asked.state.since) == (each.state.alarm, each.state.since)
    assert asked.state.detail == each.state.detail


@settings(max_examples=500)
@given(rules(periods=(60, 120, 180)), arrivals(span=900))
def test_moments_that_are_not_asked_for_would_find_nothing(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]]
) -> None:
    assert_skipping_changes_nothing(rule, batches, TEN, 2100)


@settings(max_examples=40)
@given(rules(periods=(43_200, 46_800, 50_400), most=3), arrivals(span=2 * DAY, most=8))
def test_nor_would_they_in_windows_of_a_day_and_more(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]]
) -> None:
    assert_skipping_changes_nothing(rule, batches, TEN + 1260, 3 * DAY)


@settings(max_examples=100)
@given(
    rules(periods=(60, 300, 3600), most=3),
    arrivals(span=4 * 3600),
    st.sampled_from(ZONES),
    st.sampled_from(
        ["2026-09-25T10:07", "2026-10-25T00:00", "2026-04-04T14:10", "2026-10-03T14:10"]
    ),
)
def test_nor_would_they_in_wall_clock_windows(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]], zone: str, start: str
) -> None:
    wall = msgspec.structs.replace(rule, evaluation_window="wall_clock", timezone=zone)
    assert_skipping_changes_nothing(wall, batches, utc(start), 6 * 3600)


@settings(max_examples=500)
@given(rules(periods=(60, 120, 180)), arrivals(span=900), st.booleans())
def test_saving_changes_nothing(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]], each_minute: bool
) -> None:
    kept = run(rule, batches, start=TEN, span=2100, each_minute=each_minute)
    loaded = run(rule, batches, start=TEN, span=2100, each_minute=each_minute, saves=True)
    assert kept.transitions == loaded.transitions
    assert kept.state == loaded.state
    assert msgspec.json.encode(saved(kept.state)) == msgspec.json.encode(saved(saved(kept.state)))


def plainly(numbers: list[float], rule: WindowSettings) -> float:
    exact = [Fraction(number) for number in numbers]
    match rule.statistic:
        case "SampleCount":
            return len(exact)
        case "Minimum":
            return float(min(exact))
        case "Maximum":
            return float(max(exact))
        case "Average":
            return float(sum(exact) / len(exact))
        case _:
            return float(sum(exact))


def told_from_scratch(
    rule: WindowSettings,
    batches: list[tuple[float, list[Sample]]],
    start: int,
    moments: Iterable[int],
    periods_at: Callable[[int], list[tuple[int, int]]],
) -> list[tuple[int, str, list[float], int]]:
    """Return each change of state: when, to what, of what values, and how many were missing.

    All is read anew from the list of arrivals at each moment.
    """
    numbers = [
        (start + at, sample)
        for at, batch in batches
        for sample in batch
        if isinstance(sample, (int, float))
    ]
    state: alarm.AlarmState = "INSUFFICIENT_DATA"
    told: list[tuple[int, str, list[float], int]] = []
    for moment in moments:
        values: list[float | None] = []
        for begin, end in periods_at(moment):
            inside = [number for at, number in numbers if begin <= at < end]
            values.append(plainly(inside, rule) if inside else None)
        found = alarm.evaluate(
            [None if value is None else rule.is_breached_by(value) for value in values],
            state,
            evaluation_periods=rule.evaluation_periods,
            datapoints_to_alarm=rule.breaches_to_alarm,
            treat_missing_data=rule.treat_missing_data,
            is_wall_clock=rule.evaluation_window == "wall_clock",
        )
        if found != state:
            real = [value for value in values if value is not None][-rule.evaluation_periods :]
            told.append((moment, found, real, rule.evaluation_periods - len(real)))
        state = found
    return told


def told_by(found: Alarm) -> list[tuple[int, str, list[float], int]]:
    return [
        (item.at, item.state, [point.value for point in item.datapoints], item.missing)
        for item in found.transitions
    ]


def assert_from_scratch_is_the_same(
    rule: WindowSettings,
    batches: list[tuple[float, list[Sample]]],
    *,
    start: int,
    span: int,
    step: int,
) -> None:
    length = alarm.evaluation_range(rule.evaluation_periods)

    def periods_at(moment: int) -> list[tuple[int, int]]:
        ends = [moment - rule.period * back for back in reversed(range(length))]
        return [(end - rule.period, end) for end in ends]

    found = run(rule, batches, start=start, span=span)
    moments = range(start // step * step + step, start + span + 1, step)
    assert told_by(found) == told_from_scratch(rule, batches, start, moments, periods_at)


@settings(max_examples=2000)
@given(rules(periods=(60, 120, 180)), arrivals(span=900))
def test_counting_as_it_comes_is_counting_from_scratch(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]]
) -> None:
    assert_from_scratch_is_the_same(rule, batches, start=TEN, span=2100, step=60)


@settings(max_examples=500)
@given(rules(periods=(46_800, 54_000, 64_800), least=2, most=3), arrivals(span=3 * DAY))
def test_in_windows_of_more_than_a_day_too(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]]
) -> None:
    assert_from_scratch_is_the_same(rule, batches, start=TEN + 1260, span=6 * DAY, step=3600)


@settings(max_examples=60)
@given(
    rules(periods=(300, 3600, DAY), most=2),
    arrivals(span=2 * DAY, most=8),
    st.sampled_from(ZONES),
    st.sampled_from(
        ["2026-03-07T10:00", "2026-03-28T10:00", "2026-04-04T03:00", "2026-10-31T10:00"]
    ),
)
def test_wall_clock_windows_too(
    rule: WindowSettings, batches: list[tuple[float, list[Sample]]], zone: str, at: str
) -> None:
    wall = msgspec.structs.replace(rule, evaluation_window="wall_clock", timezone=zone)
    start, span = utc(at), 3 * DAY
    place = ZoneInfo(zone) if zone[0].isalpha() else None

    def shown(minute: int) -> object:
        """What tells two periods apart on the wall."""
        if place is None:
            local, offset = datetime.fromtimestamp(minute + 19_800, UTC), None
        else:
            local = datetime.fromtimestamp(minute, place)
            offset = local.utcoffset() if rule.period < DAY else None
        if rule.period == DAY:
            return local.date()
        within = (local.hour * 3600 + local.minute * 60) // rule.period
        return local.date(), within, offset

    first = start - 3 * DAY
    minutes = range(first, start + span + 1, 60)
    labels = [shown(minute) for minute in minutes]
    begins = [minutes[0]]
    begins += [
        minute
        for minute, pair in zip(minutes[1:], pairwise(labels), strict=True)
        if pair[0] != pair[1]
    ]

    def periods_at(moment: int) -> list[tuple[int, int]]:
        bounds = [begin for begin in begins if begin <= moment][-rule.evaluation_periods - 1 :]
        return list(pairwise(bounds))

    ends = [begin for begin in begins if begin > start + 60]
    moments = [start + 60, *(end for end in ends if end <= start + span)]
    found = run(wall, batches, start=start, span=span)
    assert told_by(found) == told_from_scratch(wall, batches, start, moments, periods_at)


@settings(max_examples=100)
@given(rules(periods=(60, 180, 3660, 43_200)), st.data())
def test_a_state_is_bounded_whatever_arrives(rule: WindowSettings, data: st.DataObject) -> None:
    assume(rule.period * rule.evaluation_periods <= DAY or rule.period >= 3600)
    if rule.period == 60 and data.draw(st.booleans()):
        rule = msgspec.structs.replace(rule, evaluation_window="wall_clock")
    state = initial_state(TEN)
    at = float(TEN)
    most = schedule_of(rule).most_slots
    for step in range(data.draw(st.integers(1, 120))):
        at += data.draw(st.sampled_from([0, 1, 59, 60, 3600, 100_000, -500]))
        long = observation(
            step, actor="\u0001" * 5000, event_id="e" * 5000, record={"a": "x" * 9000}
        )
        state = arrive(state, [(long, 1e300), (long, 5e-324)], at, rule)
        assert len(state.points) <= most
        assert len(state.recent) <= MAX_RECENT
    assert len(msgspec.json.encode(state)) <= 1100 * most + MAX_RECENT * 8_000 + 5 * 10_000
