"""Any correlation, counted in any way, gives what a count from scratch gives.

Also one whose condition can cease to hold, so that what fired and was told is undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from detector.rules.correlation import (
    Correlation,
    CorrelationFile,
    CorrelationSettings,
    CorrelationType,
    Threshold,
)
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import Selector
from detector.state.sqlite import SQLiteStore
from detector.windows.correlated import Point
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
from tests.unit.test_alert_life import Life
from tests.unit.test_correlated_windows import (
    MEMBERS,
    OF_VALUES,
    number_by_definition,
    point,
)

MATCHED_BY = {"A": ["first"], "B": ["second"], "C": ["third"], "AB": ["first", "second"]}
"""Which members match events of a name."""


def member(name: str) -> Rule:
    names = [event for event, members in MATCHED_BY.items() if name in members]
    detection = {"selection": {"eventName": names}, "condition": "selection"}
    return rule(title=name, id=name, pattern=..., detection=detection)


RULES = [member(name) for name in MEMBERS]


@st.composite
def correlations(draw: st.DrawFn) -> Correlation:
    """A correlation of any kind; of a condition only that it asks for something."""
    kind: CorrelationType = draw(st.sampled_from(get_args(CorrelationType)))
    limits = draw(
        st.dictionaries(
            st.sampled_from(["gt", "gte", "lt", "lte", "eq", "neq"]),
            st.integers(-1, 4) | st.sampled_from([25, 50, 100]),
            min_size=1,
            max_size=2,
        )
    )
    field = "n" if kind in OF_VALUES else ()
    percentile = draw(st.sampled_from([None, 0, 50, 90])) if kind == "value_percentile" else None
    settings = CorrelationSettings(
        type=kind,
        rules=MEMBERS,
        timespan=f"{PERIOD}s",
        condition=Threshold(**limits, field=field, percentile=percentile),
        group_by=draw(st.sampled_from([(), ("awsRegion",)])),
    )
    region = Selector(("awsRegion",), through_lists=True)
    return Correlation(
        CorrelationFile(title="A correlation", correlation=settings),
        MEMBERS,
        tuple(dict.fromkeys(MEMBERS, region) for _ in settings.group_by),
        (Selector(("n",), through_lists=True),) if field else (),
        "correlation.yml",
    )


events = st.lists(
    st.tuples(
        st.integers(0, 179),
        st.sampled_from(list(MATCHED_BY)),
        st.sampled_from(["us-east-1", "eu-west-1"]),
        st.sampled_from([..., None, -3, 0, 1, 2, 2.5, "4", "x", True]),
    ),
    max_size=10,
)


def points_of(made: Correlation, records: Sequence[Record]) -> dict[Group, list[Point]]:
    """Return the matches of each group, in their order; times are in seconds after noon."""
    found: defaultdict[Group, list[Point]] = defaultdict(list)
    for item in records:
        group = (item["awsRegion"],) if made.group_by else ()
        value = item.get("n")
        if made.counts_numbers:
            value = number_of(value)
        second = second_of(item)
        found[group] += [
            point(second, item["eventID"], name, value) for name in MATCHED_BY[item["eventName"]]
        ]
    return {group: sorted(points, key=lambda p: p.order) for group, points in found.items()}


def by_definition(made: Correlation, records: Sequence[Record]) -> list[Expected]:
    """Count from scratch, in the plainest way."""
    kind = made.file.correlation.type
    condition = made.file.correlation.condition
    assert condition is not None
    expected = []
    for group, points in points_of(made, records).items():
        alerts: dict[int, tuple[float, list[tuple[float, str]]]] = {}
        for newest in points:
            within = [p for p in points if newest.time - PERIOD < p.time <= newest.time]
            if kind == "value_percentile" and condition.percentile is None:
                number = share_of(newest, within)
            else:
                number = number_by_definition(kind, within, condition.percentile or 0)
            if number is None or not condition.holds(float(number)):
                continue
            start = int(newest.time) // PERIOD
            together = {(p.time, p.event[0]) for p in within}
            if start in alerts:
                together |= {*alerts[start][1]}
            alerts[start] = float(number), sorted(together)
        for chain in chains(sorted(alerts)):
            for start in chain:
                value, found = alerts[start]
                expected.append(
                    Expected(
                        id=identity(made.id, group, start),
                        events=len(found),
                        value=value,
                        event_ids=[name for _, name in found],
                        episode=identity(made.id, group, chain[0]),
                        episode_windows=len(chain),
                        episode_count=sum(len(alerts[item][1]) for item in chain),
                    )
                )
    return sorted(expected)


def share_of(newest: Point, within: Sequence[Point]) -> float | None:
    """Return the share that a match's value has among all, in per cent."""
    values = [(type(p.value), p.value) for p in within if p.value is not None]
    own = type(newest.value), newest.value
    return 100 * values.count(own) / len(values) if own in values else None


@examples(1000)
@given(correlations(), events, st.data())
def test_any_order_split_and_repetition_gives_what_a_count_from_scratch_gives(
    made: Correlation, world: list[tuple[int, str, str, Any]], data: st.DataObject
) -> None:
    records = [
        record(name, at=at, awsRegion=region, n=value, eventID=f"e{number:02}")
        for number, (at, name, region, value) in enumerate(world)
    ]
    expected = by_definition(made, records)
    deliveries = delivered_any_way(records, data, cuts=6, latest=600)
    assert counted(RuleSet(RULES, [made]), deliveries, data, since=400) == expected


def test_what_a_late_match_undoes_is_withdrawn_and_may_come_back(store: SQLiteStore) -> None:
    settings = CorrelationSettings(
        type="value_avg",
        rules=MEMBERS,
        timespan=f"{PERIOD}s",
        condition=Threshold(gte=5, field="n"),
    )
    file = CorrelationFile(title="A correlation", correlation=settings)
    field = Selector(("n",), through_lists=True)
    made = Correlation(file, MEMBERS, (), (field,), "correlation.yml")
    life = Life(store)
    life.pipeline.rules = RuleSet(RULES, [made])
    found = []
    for number, at in ((9, 50), (-90, 40), (900, 30)):
        life.deliver(record("A", at=at, n=number))
        life.wait(2000 if number == 9 else 0)
        found.append([(item.kind, item.alert.state) for item in life.send()])
    assert found == [[("raised", "open")], [("resolved", "withdrawn")], [("raised", "open")]]
    (alert,) = life.alerts()
    assert alert.episode is not None
    assert (alert.count, alert.value) == (3, 273)
