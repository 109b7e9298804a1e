"""The state of an alarm by its datapoints, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.rules.window import TreatMissingData, WindowSettings
from detector.windows.alarm import AlarmState, evaluate, evaluation_range, newest_real
from detector.windows.reason import state_reason

STATES: tuple[AlarmState, ...] = get_args(AlarmState)
TREATMENTS: tuple[TreatMissingData, ...] = get_args(TreatMissingData)
LETTERS = {"X": True, "0": False, "-": None}
NINE = 1_584_092_700
"""2020-03-13 09:45:00 UTC."""


def state_of(points: str, previous: AlarmState = "OK", **fields: Any) -> AlarmState:
    values = {
        "evaluation_periods": 3,
        "datapoints_to_alarm": 3,
        "treat_missing_data": "missing",
        **fields,
    }
    return evaluate([LETTERS[letter] for letter in points], previous, **values)


def test_the_range_is_wider_than_what_is_evaluated() -> None:
    assert [evaluation_range(periods) for periods in (1, 2, 3, 6, 9, 12)] == [3, 4, 5, 8, 12, 16]


def test_the_newest_real_datapoints_are_evaluated() -> None:
    assert newest_real([1, None, 2, None, 3, 4], 3) == [2, 4, 5]
    assert newest_real([None, None, 2], 3) == [2]
    assert newest_real([None], 3) == []


@pytest.mark.parametrize("points", ["----X", "---X-", "---XX"])
@pytest.mark.parametrize("previous", STATES)
def test_young_breaching_datapoints_that_are_too_few_change_nothing(
    points: str, previous: AlarmState
) -> None:
    assert state_of(points, previous) == previous


@pytest.mark.parametrize("points", ["--X--", "--XX-", "X----", "-X--X"])
def test_breaching_datapoints_alarm_when_the_oldest_is_as_old_as_m(points: str) -> None:
    assert state_of(points) == "ALARM"


def test_a_wall_clock_window_concludes_nothing_from_age() -> None:
    assert state_of("X--") == "ALARM"
    assert state_of("X--", is_wall_clock=True) == "OK"
    assert state_of("X--", "INSUFFICIENT_DATA", is_wall_clock=True) == "INSUFFICIENT_DATA"
    assert state_of("XXX", is_wall_clock=True) == "ALARM"
    assert state_of("---", is_wall_clock=True) == "INSUFFICIENT_DATA"
    assert state_of("0--", "ALARM", is_wall_clock=True) == "OK"


def by_the_words(
    points: list[bool | None], previous: AlarmState, n: int, m: int, treatment: TreatMissingData
) -> AlarmState:
    """The guide's rules as it tells them, with fillers put beside the real datapoints."""
    newest_first = points[::-1]
    real: Sequence[bool | None] = newest_first[:n]
    if None in real:
        real = [point for point in newest_first if point is not None][:n]
    filler = {"breaching": True, "notBreaching": False}.get(treatment)
    judged = [*real, *[filler] * (n - len(real))]
    if sum(point is True for point in judged) >= m:
        return "ALARM"
    if None not in judged or False in judged:
        return "OK"
    if treatment == "ignore":
        return previous
    if True not in judged:
        return "INSUFFICIENT_DATA"
    oldest = max(slot for slot, point in enumerate(newest_first, 1) if point is True)
    return "ALARM" if oldest >= m else previous


@settings(max_examples=2000)
@given(st.data())
def test_the_rules_are_those_of_the_guide(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    m = data.draw(st.integers(1, n))
    length = evaluation_range(n)
    points = data.draw(
        st.lists(st.sampled_from([True, False, None]), min_size=length, max_size=length)
    )
    for treatment in TREATMENTS:
        for previous in STATES:
            found = evaluate(
                points,
                previous,
                evaluation_periods=n,
                datapoints_to_alarm=m,
                treat_missing_data=treatment,
            )
            assert found == by_the_words(points, previous, n, m, treatment)
            # What is found from what was found is the same: only new datapoints change a state.
            assert (
                evaluate(
                    points,
                    found,
                    evaluation_periods=n,
                    datapoints_to_alarm=m,
                    treat_missing_data=treatment,
                )
                == found
            )


# The reasons. All but those said to be ours have the form of real notifications.


def reason(state: AlarmState, values: list[float], **fields: Any) -> str:
    window = WindowSettings(mode="sliding", **fields)
    datapoints = [(NINE + index * window.period, value) for index, value in enumerate(values)]
    return state_reason(state, datapoints, window)


def test_a_datapoint_over_the_threshold() -> None:
    assert reason("ALARM", [1]) == (
        "Threshold Crossed: 1 datapoint [1.0 (13/03/20 09:45:00)]"
        " was greater than or equal to the threshold (1.0)."
    )


def test_datapoints_are_named_newest_first() -> None:
    assert reason("ALARM", [1, 5, 4.5], evaluation_periods=3) == (
        "Threshold Crossed: 3 datapoints [4.5 (13/03/20 09:55:00), 5.0 (13/03/20 09:50:00),"
        " 1.0 (13/03/20 09:45:00)] were greater than or equal to the threshold (1.0)."
    )


def test_only_the_datapoints_that_speak_for_the_state_are_named() -> None:
    assert reason("OK", [6, 2], evaluation_periods=2, threshold=5) == (
        "Threshold Crossed: 1 datapoint [2.0 (13/03/20 09:50:00)]"
        " was not greater than or equal to the threshold (5.0)."
    )


def test_m_out_of_n_is_named_where_the_rule_says_it() -> None:
    over = {"threshold": 5, "comparison_operator": "GreaterThanThreshold"}
    assert reason("ALARM", [6], datapoints_to_alarm=1, **over) == (
        "Threshold Crossed: 1 out of the last 1 datapoints [6.0 (13/03/20 09:45:00)]"
        " was greater than the threshold (5.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert reason("OK", [9, 2, 3], evaluation_periods=3, datapoints_to_alarm=2, **over) == (
        "Threshold Crossed: 2 out of the last 3 datapoints [3.0 (13/03/20 09:55:00),"
        " 2.0 (13/03/20 09:50:00)] were not greater than the threshold (5.0)"
        " (minimum 2 datapoints for ALARM -> OK transition)."
    )


def test_of_many_datapoints_the_most_recent_are_named() -> None:
    fields: dict[str, Any] = {"evaluation_periods": 6, "comparison_operator": "LessThanThreshold"}
    listed = (
        "[0.5 (13/03/20 10:10:00), 0.4 (13/03/20 10:05:00), 0.3 (13/03/20 10:00:00),"
        " 0.2 (13/03/20 09:55:00), 0.1 (13/03/20 09:50:00)]"
    )
    values = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert reason("ALARM", values, **fields) == (
        "Threshold Crossed: 6 datapoints were less than the threshold (1.0)."
        f" The most recent datapoints which crossed the threshold: {listed}."
    )
    assert reason("ALARM", values, datapoints_to_alarm=6, **fields) == (
        "Threshold Crossed: 6 out of the last 6 datapoints were less than the threshold (1.0)."
        f" The most recent datapoints which crossed the threshold: {listed}"
        " (minimum 6 datapoints for OK -> ALARM transition)."
    )


def test_missing_datapoints_are_named_where_they_were_treated_as_something() -> None:
    three: dict[str, Any] = {"evaluation_periods": 3, "treat_missing_data": "breaching"}
    assert reason("ALARM", [], **three) == (
        "Threshold Crossed: no datapoints were received for 3 periods"
        " and 3 missing datapoints were treated as [Breaching]."
    )
    assert reason("OK", [], treat_missing_data="notBreaching") == (
        "Threshold Crossed: no datapoints were received for 1 period"
        " and 1 missing datapoint was treated as [NonBreaching]."
    )
    assert reason("OK", [0], **three) == (
        "Threshold Crossed: 1 datapoint [0.0 (13/03/20 09:45:00)] was not greater than or equal to"
        " the threshold (1.0) and 2 missing datapoints were treated as [Breaching]."
    )
    assert reason("ALARM", [0], datapoints_to_alarm=2, **three) == (
        "Threshold Crossed: 1 datapoint was received for 3 periods"
        " and 2 missing datapoints were treated as [Breaching]."
    )
    assert reason(
        "ALARM",
        [613],
        evaluation_periods=20,
        datapoints_to_alarm=1,
        treat_missing_data="notBreaching",
    ) == (
        "Threshold Crossed: 1 out of the last 20 datapoints [613.0 (13/03/20 09:45:00)] was greater"
        " than or equal to the threshold (1.0) and 19 missing datapoints were treated as"
        " [NonBreaching] (minimum 1 datapoint for OK -> ALARM transition)."
    )
    # Ours: nothing was seen of an alarm that did not wait for the missing ones.
    assert reason("ALARM", [2], evaluation_periods=3) == (
        "Threshold Crossed: 1 datapoint [2.0 (13/03/20 09:45:00)]"
        " was greater than or equal to the threshold (1.0)."
    )


def test_unknown_datapoints() -> None:
    assert reason("INSUFFICIENT_DATA", []) == "Insufficient Data: 1 datapoint was unknown."
    assert reason("INSUFFICIENT_DATA", [], evaluation_periods=10) == (
        "Insufficient Data: 10 datapoints were unknown."
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0.0"),
        (-3, "-3.0"),
        (0.6666666666666666, "0.6666666666666666"),
        (0.001, "0.001"),
        (0.0005, "5.0E-4"),
        (9999999, "9999999.0"),
        (2e9, "2.0E9"),
        (-19501161676.8, "-1.95011616768E10"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
    ],
)
def test_numbers_are_written_as_cloudwatch_writes_them(number: float, text: str) -> None:
    assert f"the threshold ({text})." in reason("ALARM", [number], threshold=number)


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.sampled_from(STATES),
    st.lists(finite, max_size=20),
    st.integers(20, 1440),
    st.one_of(st.none(), st.integers(1, 20)),
    st.sampled_from(TREATMENTS),
    finite,
)
def test_a_reason_is_never_longer_than_cloudwatchs(
    state: AlarmState,
    values: list[float],
    periods: int,
    least: int | None,
    treatment: TreatMissingData,
    threshold: float,
) -> None:
    text = reason(
        state,
        values,
        period=60,
        evaluation_periods=periods,
        datapoints_to_alarm=least,
        treat_missing_data=treatment,
        threshold=threshold,
    )
    assert len(text) <= 1023
    assert text.endswith(".")
