"""Aligned windows: what is counted does not depend on the way it came."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.rules.window import MAX_DISTINCT, Statistic, WindowSettings
from detector.windows.aligned import Observation, WindowKey, WindowState, add, window_start
from detector.windows.bounded import (
    FIRST_EVIDENCE,
    LAST_EVIDENCE,
    MAX_EVENT_IDS,
    MAX_EVIDENCE_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_NAMES,
)
from detector.windows.statistic import Sample
from tests.alerts import observation

ONE = WindowSettings()


def counted(
    observations: Sequence[Observation],
    window: WindowSettings = ONE,
    samples: Sequence[Sample] | None = None,
) -> WindowState:
    return add(None, zip(observations, samples or [None] * 9999, strict=False), window)


_samples = st.none() | st.integers(-(10**30), 10**30) | st.floats(-1e300, 1e300)
_statistics = st.sampled_from(["Sum", "SampleCount", "Minimum", "Maximum", "Average"])


@settings(max_examples=1000)
@given(
    st.lists(st.tuples(st.integers(0, 400), _samples), unique_by=lambda item: item[0]),
    st.randoms(use_true_random=False),
    _statistics,
)
def test_neither_order_nor_splitting_changes_what_is_counted(
    numbers: list[tuple[int, Sample]], random: Any, statistic: Statistic
) -> None:
    window = WindowSettings(statistic=statistic, metric_value="$.n")
    matches = [
        (
            observation(
                number, time=float(number % 7), actor=f"a{number % 90}", is_late=number % 3 == 0
            ),
            sample,
        )
        for number, sample in numbers
    ]
    whole = add(None, matches, window)
    random.shuffle(matches)
    state: WindowState | None = None
    while matches:
        size = random.randint(1, len(matches))
        state = add(state, matches[:size], window)
        del matches[:size]
    # The lists of names, ids and records too, not only the sums.
    assert state is None or state == whole


@settings(max_examples=300)
@given(st.lists(st.integers(0, 10**6), unique=True, min_size=250, max_size=400), st.data())
def test_what_is_kept_of_many_does_not_depend_on_their_order(
    numbers: list[int], data: st.DataObject
) -> None:
    observations = [observation(number, source_ip=f"ip{number}") for number in numbers]
    shuffled = data.draw(st.permutations(observations))
    assert counted(shuffled) == counted(observations)


@given(st.lists(_samples), _statistics)
def test_a_statistic_is_what_its_name_says(samples: list[Any], statistic: Statistic) -> None:
    window = WindowSettings(statistic=statistic, metric_value="$.n")
    state = counted([observation(number) for number in range(len(samples))], window, samples)
    numbers = [Fraction(float(sample)) for sample in samples if sample is not None]
    if statistic == "SampleCount":
        assert state.value == len(numbers)
    elif not numbers:
        assert state.value is None
    else:
        of: dict[str, Any] = {
            "Sum": sum,
            "Minimum": min,
            "Maximum": max,
            "Average": statistics.mean,
        }
        assert state.value == float(of[statistic](numbers))


@pytest.mark.parametrize(
    ("statistic", "value", "literal", "expected"),
    [
        ("Sum", 3, 1.0, 3),
        ("Sum", 3, 2.5, 7.5),
        ("SampleCount", 3, 2.5, 3),
        ("Average", 3, 2.5, 2.5),
        ("Minimum", 3, 2.5, 2.5),
        ("Maximum", 1, "4", 4),
    ],
)
def test_without_a_field_each_match_adds_the_same(
    statistic: Statistic, value: int, literal: float | str, expected: float
) -> None:
    window = WindowSettings(statistic=statistic, metric_value=literal)
    assert counted([observation(number) for number in range(value)], window).value == expected


def test_distinct_values_are_counted_as_far_as_they_are_told_apart() -> None:
    window = WindowSettings(statistic="DistinctCount", metric_value="$.n", threshold=3)
    samples: list[Sample] = ["str:1", "int:1", "str:1", None, "bool:True"]
    state = counted([observation(number) for number in range(5)], window, samples)
    assert (state.count, state.value) == (5, 3)
    many = [f"v{number}" for number in range(2 * MAX_DISTINCT)]
    state = counted([observation(number) for number in range(len(many))], window, many)
    assert state.value == MAX_DISTINCT + 1


def test_the_state_passed_in_is_not_changed() -> None:
    window = WindowSettings(statistic="Average", metric_value="$.n")
    state = counted([observation(1)], window, [3])
    before = msgspec.json.encode(state)
    add(state, [(observation(2, actor="bob", is_late=True), 5)], window)
    assert msgspec.json.encode(state) == before


@pytest.mark.parametrize(
    ("late", "expected"), [([], False), ([1], False), ([1, 2], True), ([1, 2, 3], True)]
)
def test_a_window_is_late_if_it_needed_a_late_event(late: list[int], expected: bool) -> None:
    window = WindowSettings(threshold=2)
    observations = [observation(number, is_late=number in late) for number in (1, 2, 3)]
    assert counted(observations, window).is_late is expected
    of_field = WindowSettings(threshold=2, metric_value="$.n")
    assert counted(observations, of_field, [1, 1, 1]).is_late is expected


@pytest.mark.parametrize(
    ("time", "start"), [(0, 0), (299.999, 0), (300, 300), (301.5, 300), (-1, -300)]
)
def test_windows_begin_at_whole_multiples_of_their_period(time: float, start: int) -> None:
    assert window_start(time, 300) == start
    assert WindowKey("r", (), start, 300).end == start + 300


def test_what_is_kept_is_bounded_and_the_count_is_exact() -> None:
    many = 3 * MAX_EVENT_IDS
    state = counted([observation(n, actor=f"actor {n:04d}" + "x" * 2000) for n in range(many)])
    assert state.count == many
    assert len(state.actors) == MAX_NAMES
    assert all(len(name) == MAX_NAME_CHARACTERS for name in state.actors)
    assert state.sampled == ["actors"]
    first = [f"e{number:05d}" for number in range(MAX_EVENT_IDS)]
    last = [f"e{number:05d}" for number in range(many - MAX_EVENT_IDS, many)]
    assert [event_id for _, event_id in state.event_ids] == first
    assert [event_id for _, event_id in state.last_event_ids] == last
    assert [item.event_id for item in state.evidence] == first[:FIRST_EVIDENCE]
    assert [item.event_id for item in state.last_evidence] == last[-LAST_EVIDENCE:]


def test_nobody_gets_out_of_an_alert_by_a_flood_of_names_that_sort_first() -> None:
    kept = 0
    for trial in range(200):
        names = [f"a{trial}-{number}" for number in range(MAX_NAMES)] + [f"mallory{trial}"]
        state = counted([observation(n, actor=name) for n, name in enumerate(names)])
        kept += f"mallory{trial}" in state.actors
    # One of 51 goes, whoever it is: 196 of 200 are expected to stay.
    assert kept > 180


def test_an_account_that_a_record_does_not_name_is_told_as_unknown() -> None:
    assert counted([observation(1, account="")]).accounts == {"unknown": 1}


def test_a_long_record_is_kept_without_its_free_form_parts() -> None:
    record = {"eventID": "e", "requestParameters": {"policyDocument": "x" * MAX_EVIDENCE_BYTES}}
    (evidence,) = counted([observation(1, record=record)]).evidence
    assert msgspec.json.decode(evidence.record) == {"eventID": "e", "detectorTruncated": True}


def test_a_record_that_is_long_in_other_ways_is_kept_as_its_essentials() -> None:
    record = {"eventName": "PutUserPolicy", "userAgent": "x" * MAX_EVIDENCE_BYTES}
    (evidence,) = counted([observation(1, record=record)]).evidence
    assert msgspec.json.decode(evidence.record) == {
        "eventName": "PutUserPolicy",
        "detectorTruncated": True,
    }


@given(st.lists(st.tuples(st.integers(0, 50), _samples), unique_by=lambda item: item[0]))
def test_a_state_survives_being_stored(numbers: list[tuple[int, Sample]]) -> None:
    window = WindowSettings(statistic="Sum", metric_value="$.n")
    state = add(None, [(observation(number), sample) for number, sample in numbers], window)
    if numbers:
        assert msgspec.json.decode(msgspec.json.encode(state), type=WindowState) == state
