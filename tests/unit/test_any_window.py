"""Any window of any rule, counted in any way, gives what a count from scratch gives."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.rules.window import ComparisonOperator, Statistic
from tests.any_way import (
    PERIOD,
    Expected,
    Group,
    Record,
    chains,
    counted,
    delivered_any_way,
    identity,
    number_of,
    second_of,
)
from tests.records import record
from tests.rules import rule
from tests.strategies import examples


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule with a window of any kind."""
    statistic = draw(st.sampled_from(get_args(Statistic)))
    of_field = statistic == "DistinctCount" or draw(st.booleans())
    operator = draw(st.sampled_from(get_args(ComparisonOperator)))
    periods = draw(st.integers(1, 3))
    least = 1 if operator.startswith("GreaterThan") else 2
    return rule(
        window={
            "period": PERIOD,
            "statistic": statistic,
            **({"metric_value": "$.n"} if of_field else {}),
            "comparison_operator": operator,
            "threshold": draw(st.integers(-2, 4) if of_field else st.integers(least, 4)),
            "evaluation_periods": periods,
            "datapoints_to_alarm": draw(st.integers(1, periods)),
            "group_by": draw(st.sampled_from([[], ["awsRegion"]])),
        }
    )


events = st.lists(
    st.tuples(
        st.integers(0, 479),
        st.sampled_from(["us-east-1", "eu-west-1"]),
        st.sampled_from([..., None, -3, 0, 1, 2, 2.5, "4", "x", True]),
    ),
    max_size=14,
)


def by_definition(made: Rule, records: Sequence[Record]) -> list[Expected]:
    """Count from scratch, in the plainest way."""
    settings = made.file.window
    windows: defaultdict[tuple[Group, int], list[Record]] = defaultdict(list)
    for item in records:
        group = (item["awsRegion"],) if settings.group_by else ()
        windows[group, second_of(item) // PERIOD].append(item)
    values = {key: value_of(made, found) for key, found in windows.items()}
    breaching = {key for key, value in values.items() if settings.is_breached_by(value)}
    alerting = sorted(
        (group, number)
        for group, number in breaching
        if sum(
            (group, other) in breaching
            for other in range(number - settings.evaluation_periods + 1, number + 1)
        )
        >= settings.breaches_to_alarm
    )
    expected = []
    for group, grouped in itertools.groupby(alerting, key=lambda key: key[0]):
        for chain in chains(number for _, number in grouped):
            for number in chain:
                key = group, number
                found = sorted(windows[key], key=lambda item: (item["eventTime"], item["eventID"]))
                expected.append(
                    Expected(
                        id=identity(made.id, group, number),
                        events=len(found),
                        value=float(values[key] or 0),
                        event_ids=[item["eventID"] for item in found],
                        episode=identity(made.id, group, chain[0]),
                        episode_windows=len(chain),
                        episode_count=sum(len(windows[group, item]) for item in chain),
                    )
                )
    return sorted(expected)


def value_of(made: Rule, found: Sequence[Record]) -> Any:
    settings = made.file.window
    if settings.statistic == "DistinctCount":
        given_ = [item["n"] for item in found if item.get("n") is not None]
        return Fraction(len({(type(value), value) for value in given_}))
    if made.metric is None:
        samples = [Fraction(1)] * len(found)
    else:
        samples = [n for item in found if (n := number_of(item.get("n"))) is not None]
    if settings.statistic == "SampleCount":
        return Fraction(len(samples))
    if not samples:
        return None
    return {
        "Sum": sum(samples, Fraction(0)),
        "Minimum": min(samples),
        "Maximum": max(samples),
        "Average": sum(samples, Fraction(0)) / len(samples),
    }[settings.statistic]


@examples(2000)
@given(rules(), events, st.data())
def test_any_order_split_and_repetition_gives_what_a_count_from_scratch_gives(
    made: Rule, world: list[tuple[int, str, Any]], data: st.DataObject
) -> None:
    records = [
        record(at=at, awsRegion=region, n=value, eventID=f"e{number:02}")
        for number, (at, region, value) in enumerate(world)
    ]
    expected = by_definition(made, records)
    deliveries = delivered_any_way(records, data, cuts=4, latest=900)
    assert counted(RuleSet([made]), deliveries, data, since=600) == expected
