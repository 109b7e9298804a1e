"""Counting through the whole pipeline: what comes out depends on the events, not on their way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.alerts.alert import Alert
from detector.counting.current import current_alerts
from detector.document import parse_all
from detector.errors import RuleError
from detector.pipeline import Pipeline, Settings
from detector.rules.loader import LoadedRules, load_rules
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery, Payload
from detector.state.sqlite import SQLiteStore

KINDS = {
    "event_count": {"gte": 2},
    "value_count": {"gte": 2, "field": "n"},
    "value_sum": {"gte": 3, "field": "n"},
    "value_avg": {"gte": 2, "field": "n"},
    "value_median": {"gte": 2, "field": "n"},
    "value_percentile": {"gte": 2, "field": "n", "percentile": 50},
    "temporal": None,
    "temporal_ordered": None,
}


def rule(name: str, **fields: Any) -> dict[str, Any]:
    detection = {"selection": {"eventName": fields.pop("event")}, "condition": "selection"}
    return {"title": name, "id": name, "name": name, "detection": detection, **fields}


def correlation(name: str, rules: Sequence[str], kind: str, **fields: Any) -> dict[str, Any]:
    section = {"type": kind, "rules": list(rules), "timespan": "5m", **fields}
    if KINDS[kind] is not None:
        section.setdefault("condition", KINDS[kind])
    return {"title": name, "id": name, "name": name, "correlation": section}


def loaded(documents: Sequence[dict[str, Any]], tmp: Any) -> LoadedRules:
    path = tmp / "rules.yml"
    path.write_text(yaml.safe_dump_all(documents))
    return load_rules([path])


def rule_set(documents: Sequence[dict[str, Any]], tmp: Any) -> RuleSet:
    found = loaded(documents, tmp)
    assert found.errors == []
    return RuleSet(found.rules, found.correlations)


def record(event_id: str, name: str, second: int, **fields: Any) -> dict[str, Any]:
    return {
        "eventID": event_id,
        "eventName": name,
        "eventTime": f"2026-09-16T12:{second // 60:02}:{second % 60:02}Z",
        "recipientAccountId": "111122223333",
        **fields,
    }


def alerts_of(rules: RuleSet, portions: Sequence[Sequence[dict[str, Any]]]) -> list[Alert]:
    """Return the alerts that events make, delivered in portions."""
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(rules, store, Settings())
        for portion in portions:
            deliver(pipeline, portion)
        pipeline.close()
        return current_alerts(store)


def deliver(pipeline: Pipeline, records: Sequence[dict[str, Any]]) -> None:
    body = json.dumps({"Records": list(records)}).encode()
    made = Delivery("test", [Payload("a.json", body)], received_at=0.0)
    (processed,) = pipeline.process([made], 0.0).deliveries
    assert processed.accounting.is_balanced
    assert processed.accounting.received == len(records)


def essence(alerts: Sequence[Alert]) -> list[Any]:
    """Return what must not depend on the order; which few records are kept as evidence may."""
    for alert in alerts:
        assert {item["eventID"] for item in alert.evidence} <= set(alert.event_ids)
    return [
        (a.id, a.rule_id, a.group, a.count, a.value, a.event_ids, a.actors, a.late) for a in alerts
    ]


DIAMOND = [
    rule("m", event="M"),
    rule("n", event="N"),
    rule("both", event=["M", "N"]),
    correlation("inner", ["m", "both"], "event_count", **{"group-by": ["g"]}),
    correlation("left", ["inner"], "event_count", condition={"gte": 1}, **{"group-by": ["a"]}),
    correlation("right", ["inner"], "event_count", condition={"gte": 1}, **{"group-by": ["b"]}),
    correlation(
        "outer",
        ["left", "right", "n"],
        "event_count",
        condition={"gte": 2},
        aliases={"k": {"left": "a", "right": "b", "n": "g"}},
        **{"group-by": ["k"]},
    ),
    correlation("values", ["m", "n"], "value_count", **{"group-by": ["g"]}),
    correlation("ordered", ["m", "n"], "temporal_ordered", **{"group-by": ["g"]}),
]

values = st.sampled_from([0, 1, 1.0, True, "1", None, "1e999", 2, "x"])
events = st.lists(
    st.builds(
        lambda number, name, second, account, fields: record(
            f"e{number}", name, second, recipientAccountId=account, **fields
        ),
        st.integers(0, 9),
        st.sampled_from(["M", "N", "X"]),
        st.integers(0, 900),
        st.sampled_from(["111122223333", "444455556666"]),
        st.fixed_dictionaries({}, optional={"n": values, "g": values, "a": values, "b": values}),
    ),
    max_size=10,
    unique_by=lambda item: (item["eventID"], item["recipientAccountId"]),
)


@pytest.fixture(scope="module")
def diamond(tmp_path_factory: pytest.TempPathFactory) -> RuleSet:
    return rule_set(DIAMOND, tmp_path_factory.mktemp("diamond"))


@settings(max_examples=300, deadline=None)
@given(found=events, data=st.data())
def test_any_order_and_any_split_of_the_same_events_makes_the_same_alerts(
    diamond: RuleSet, found: list[dict[str, Any]], data: st.DataObject
) -> None:
    at_once = essence(alerts_of(diamond, [found]))
    order = data.draw(st.permutations(found))
    cut = data.draw(st.integers(0, len(order)))
    assert essence(alerts_of(diamond, [order[:cut], order[cut:]])) == at_once
    assert essence(alerts_of(diamond, [[item] for item in order])) == at_once
    assert essence(alerts_of(diamond, [found, found])) == at_once


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "hostile",
    [
        {"n": "1e999"},
        {"n": 10**400},
        {"n": -1e308},
        {"n": [1, [2]]},
        {"n": {"a": 1}},
        {"eventTime": "9999-12-31T23:59:59Z"},
        {"eventTime": "0001-01-01T00:00:00+14:00"},
        {"eventTime": "1970-01-01T00:00:00Z"},
        {"eventID": 7, "recipientAccountId": None},
    ],
    ids=str,
)
def test_no_record_stops_the_counting(kind: str, hostile: dict[str, Any], tmp_path: Any) -> None:
    rules = rule_set(
        [rule("m", event="M"), rule("n", event="N"), correlation("c", ["m", "n"], kind)], tmp_path
    )
    records = [
        {**record("a", "M", 1, n=1), **hostile},
        {**record("b", "N", 2, n=1e308), **hostile},
        record("c", "N", 3, n=1e308),
    ]
    alerts_of(rules, [records, records])


def test_one_event_of_two_accounts_is_two_events(tmp_path: Any) -> None:
    rules = rule_set([rule("m", event="M"), correlation("c", ["m"], "event_count")], tmp_path)
    pair = [
        record("same", "M", 1),
        record("same", "M", 2, recipientAccountId="444455556666"),
    ]
    (alert,) = alerts_of(rules, [pair])
    assert (alert.rule_id, alert.count) == ("c", 2)


def test_an_event_that_two_members_match_counts_once(tmp_path: Any) -> None:
    documents = [
        rule("m", event="M"),
        rule("also", event=["M", "X"]),
        correlation("inner", ["m", "also"], "event_count", condition={"gte": 1}),
        correlation("outer", ["inner"], "value_sum", condition={"gte": 1, "field": "n"}),
    ]
    (alert,) = alerts_of(rule_set(documents, tmp_path), [[record("a", "M", 1, n=5)]])
    assert (alert.rule_id, alert.value) == ("outer", 5)


def test_a_member_raises_no_alert_of_its_own_unless_the_correlation_generates(
    tmp_path: Any,
) -> None:
    silent = [rule("m", event="M"), correlation("c", ["m"], "event_count")]
    assert alerts_of(rule_set(silent, tmp_path), [[record("a", "M", 1)]]) == []
    silent[1]["correlation"]["generate"] = True
    (alert,) = alerts_of(rule_set(silent, tmp_path), [[record("a", "M", 1)]])
    assert alert.rule_id == "m"


def test_a_correlation_that_is_tried_out_silences_no_rule_in_force(tmp_path: Any) -> None:
    tried = [rule("m", event="M"), correlation("c", ["m"], "event_count") | {"status": "test"}]
    (alert,) = alerts_of(rule_set(tried, tmp_path), [[record("a", "M", 1)]])
    assert alert.rule_id == "m"


@pytest.mark.parametrize(
    "after",
    [
        [correlation("c", ["n"], "temporal_ordered")],
        [correlation("c", ["n", "m"], "temporal_ordered")],
        [correlation("c", ["m", "n"], "value_sum")],
        [
            correlation("c", ["m", "n"], "temporal"),
            correlation("o", ["c"], "event_count", condition={"gte": 1}),
        ],
    ],
)
def test_rules_may_change_while_matches_are_kept(
    after: list[dict[str, Any]], tmp_path: Any
) -> None:
    members = [rule("m", event="M"), rule("n", event="N")]
    before = rule_set([*members, correlation("c", ["m", "n"], "temporal")], tmp_path)
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(before, store, Settings())
        deliver(pipeline, [record("a", "M", 10)])
        pipeline.rules = rule_set([*members, *after], tmp_path)
        deliver(pipeline, [record("b", "N", 20), record("c", "M", 5)])


def test_nothing_can_be_built_on_what_may_cease_to_fire(tmp_path: Any) -> None:
    documents = [
        rule("m", event="M"),
        correlation("few", ["m"], "event_count", condition={"lt": 2}),
        correlation("outer", ["few"], "event_count"),
    ]
    (error,) = loaded(documents, tmp_path).errors
    assert "may cease to fire" in str(error)
    assert error.place is not None


def test_the_documents_of_a_file_are_read_one_by_one() -> None:
    text = yaml.safe_dump_all([rule("m", event="M"), rule("n", event="N")])
    assert len(parse_all(text, "rules.yml", RuleError)) == 2
