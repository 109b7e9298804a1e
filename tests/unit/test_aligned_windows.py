from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.windows.aligned import (
    MAX_EVENT_IDS,
    MAX_EVIDENCE,
    MAX_EVIDENCE_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_NAMES,
    Observation,
    Verdict,
    WindowKey,
    WindowState,
    add,
    is_late,
    window_start,
)


def at_least(threshold: int) -> Any:
    return lambda count: count >= threshold


def observation(number: int, **fields: Any) -> Observation:
    """Return the observation of an event that differs from all others."""
    values: dict[str, Any] = {
        "time": float(number),
        "event_id": f"e{number:05d}",
        "is_late": False,
        "event_name": "PutUserPolicy",
        "actor": "alice",
        "source_ip": "203.0.113.7",
        "region": "us-east-1",
        "account": "111122223333",
        "record": {"eventID": f"e{number:05d}"},
    }
    return Observation(**{**values, **fields})


def counted(observations: Sequence[Observation], threshold: int = 1) -> WindowState:
    return add(None, observations, at_least(threshold))[0]


def without_revision(state: WindowState | None) -> object:
    return msgspec.structs.replace(state, revision=0) if state is not None else None


@given(
    st.lists(st.integers(0, 400), unique=True, max_size=300),
    st.randoms(use_true_random=False),
    st.integers(1, 20),
)
def test_neither_order_nor_splitting_changes_what_is_counted(
    numbers: list[int], random: Any, threshold: int
) -> None:
    observations = [
        observation(
            number, time=float(number % 7), actor=f"a{number % 90}", is_late=number % 3 == 0
        )
        for number in numbers
    ]
    whole = counted(observations, threshold)
    random.shuffle(observations)
    state: WindowState | None = None
    verdicts = []
    while observations:
        size = random.randint(1, len(observations))
        state, verdict = add(state, observations[:size], at_least(threshold))
        verdicts.append(verdict)
        del observations[:size]
    if state is not None:
        # The lists of names and of the earliest events too, not only the sums.
        assert without_revision(state) == without_revision(whole)
        assert is_late(state, at_least(threshold)) == is_late(whole, at_least(threshold))
    assert verdicts.count(Verdict.RAISED) == (len(numbers) >= threshold)


def test_the_alert_is_raised_at_the_crossing_and_updated_after_it() -> None:
    state = None
    verdicts = []
    for number in range(4):
        state, verdict = add(state, [observation(number)], at_least(2))
        verdicts.append((verdict, state.revision))
    assert verdicts == [
        (Verdict.SILENT, 0),
        (Verdict.RAISED, 1),
        (Verdict.UPDATED, 2),
        (Verdict.UPDATED, 3),
    ]


def test_nothing_added_is_no_news() -> None:
    state = counted([observation(1)])
    assert add(state, [], at_least(1)) == (state, Verdict.SILENT)


def test_the_state_passed_in_is_not_changed() -> None:
    state = counted([observation(1)])
    before = msgspec.json.encode(state)
    add(state, [observation(2, actor="bob")], at_least(1))
    assert msgspec.json.encode(state) == before


@pytest.mark.parametrize(
    ("late", "expected"), [([], False), ([1], False), ([1, 2], True), ([1, 2, 3], True)]
)
def test_an_alert_is_late_if_it_needed_a_late_event(late: list[int], expected: bool) -> None:
    state = counted([observation(number, is_late=number in late) for number in (1, 2, 3)], 2)
    assert is_late(state, at_least(2)) is expected


@pytest.mark.parametrize(
    ("time", "start"), [(0, 0), (299.999, 0), (300, 300), (301.5, 300), (-1, -300)]
)
def test_windows_begin_at_whole_multiples_of_their_period(time: float, start: int) -> None:
    assert window_start(time, 300) == start
    assert WindowKey("r", (), start, 300).end == start + 300


def test_what_is_kept_is_bounded_and_the_count_is_exact() -> None:
    many = 2 * MAX_EVENT_IDS
    state = counted([observation(n, actor=f"actor {n:04d}" + "x" * 2000) for n in range(many)])
    assert state.count == many
    assert len(state.actors) == MAX_NAMES
    assert all(len(name) == MAX_NAME_CHARACTERS for name in state.actors)
    assert [event_id for _, event_id in state.event_ids] == [
        f"e{number:05d}" for number in range(MAX_EVENT_IDS)
    ]
    assert len(state.evidence) == MAX_EVIDENCE


def test_a_long_record_is_kept_without_its_free_form_parts() -> None:
    record = {"eventID": "e", "requestParameters": {"policyDocument": "x" * MAX_EVIDENCE_BYTES}}
    (evidence,) = counted([observation(1, record=record)]).evidence
    assert evidence.record == {"eventID": "e", "detectorTruncated": True}


def test_a_record_that_is_long_in_other_ways_is_kept_as_its_essentials() -> None:
    record = {"eventName": "PutUserPolicy", "userAgent": "x" * MAX_EVIDENCE_BYTES}
    (evidence,) = counted([observation(1, record=record)]).evidence
    assert evidence.record == {"eventName": "PutUserPolicy", "detectorTruncated": True}


@given(st.lists(st.integers(0, 50), unique=True, max_size=30))
def test_a_state_survives_being_stored(numbers: list[int]) -> None:
    state = counted([observation(number) for number in numbers])
    if numbers:
        assert msgspec.json.decode(msgspec.json.encode(state), type=WindowState) == state
