"""Any window of any rule, counted in any way, gives what a count from scratch gives."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, get_args

from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert, alert_id
from detector.counting.current import current_alerts
from detector.pipeline import Pipeline, Settings
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.rules.window import ComparisonOperator, Statistic
from detector.sources.delivery import Delivery
from detector.state.sqlite import SQLiteStore
from detector.windows.aligned import WindowKey
from tests.records import NOON, delivery, record
from tests.rules import rule
from tests.strategies import examples

PERIOD = 60
QUIET = 90.0

Record = dict[str, Any]


class Expected(NamedTuple):
    """What an alert must say."""

    id: str
    events: int
    value: float
    event_ids: list[str]
    episode: str
    episode_windows: int
    episode_count: int


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


def number_of(value: Any) -> Fraction | None:
    if isinstance(value, bool) or value is None or value is ...:
        return None
    if isinstance(value, str):
        return Fraction(value) if value.isdigit() else None
    return Fraction(value)


def by_definition(made: Rule, records: Sequence[Record]) -> list[Expected]:
    """Count from scratch, in the plainest way."""
    settings = made.file.window
    windows: defaultdict[tuple[tuple[Any, ...], int], list[Record]] = defaultdict(list)
    for item in records:
        group = (item["awsRegion"],) if settings.group_by else ()
        second = int(item["eventTime"][14:16]) * 60 + int(item["eventTime"][17:19])
        windows[group, second // PERIOD].append(item)
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
    for _, grouped in itertools.groupby(alerting, key=lambda key: key[0]):
        for chain in chains(list(grouped)):
            for key in chain:
                found = sorted(windows[key], key=lambda item: (item["eventTime"], item["eventID"]))
                expected.append(
                    Expected(
                        id=identity(made, key),
                        events=len(found),
                        value=float(values[key] or 0),
                        event_ids=[item["eventID"] for item in found],
                        episode=identity(made, chain[0]),
                        episode_windows=len(chain),
                        episode_count=sum(len(windows[item]) for item in chain),
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


def chains(windows: Sequence[tuple[Any, int]]) -> list[list[tuple[Any, int]]]:
    made: list[list[tuple[Any, int]]] = []
    for window in windows:
        if made and (window[1] - made[-1][-1][1] - 1) * PERIOD < QUIET:
            made[-1].append(window)
        else:
            made.append([window])
    return made


def identity(made: Rule, key: tuple[tuple[Any, ...], int]) -> str:
    group, number = key
    return alert_id(WindowKey(made.id, group, int(NOON) + number * PERIOD, PERIOD))


def told(alerts: Iterable[Alert]) -> list[Expected]:
    found = []
    for alert in alerts:
        if alert.state == "withdrawn":
            continue
        assert alert.episode is not None
        found.append(
            Expected(
                alert.id,
                alert.count,
                alert.value,
                alert.event_ids,
                alert.episode.id,
                alert.episode.windows,
                alert.episode.count,
            )
        )
    return sorted(found)


def counted(made: Rule, deliveries: Sequence[Delivery], data: st.DataObject) -> list[Expected]:
    """Return what deliveries give, with restarts, time and commits anywhere between them."""
    settings = Settings(sinks=["s"], quiet=QUIET, late_after=30)
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(RuleSet([made]), store, settings)
        now = NOON + 600
        while deliveries:
            size = data.draw(st.integers(1, len(deliveries)), label="together")
            pipeline.process(deliveries[:size], now)
            deliveries = deliveries[size:]
            if data.draw(st.booleans(), label="restart"):
                pipeline = Pipeline(RuleSet([made]), store, settings)
            if data.draw(st.booleans(), label="wait"):
                now += data.draw(st.sampled_from([1, 40, 500, 5000]))
                pipeline.advance(now)
        pipeline.close()
        return told(current_alerts(store))


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
    repeated = records + (
        data.draw(st.lists(st.sampled_from(records), max_size=4)) if world else []
    )
    shuffled = data.draw(st.permutations(repeated))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=4)))
    # Delivery times of any kind: what is decided early must be put right by what comes late.
    deliveries = [
        delivery(*shuffled[start:end], delivered_at=NOON + data.draw(st.integers(0, 900)))
        for start, end in itertools.pairwise([0, *cuts, len(shuffled)])
    ]
    assert counted(made, deliveries, data) == expected
