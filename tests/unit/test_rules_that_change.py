"""Rules that are read again while windows, alarms and timers of the old ones are still there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.rules.loader import load_rules
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from detector.windows.aligned import Verdict
from tests.records import NOON, record
from tests.rules import iam_rule, rule
from tests.unit.test_alert_life import AVERAGE, DAY, HOUR, SLIDING, Life


def reload(life: Life, *rules: Rule) -> None:
    life.pipeline.rules = RuleSet(rules)


def kinds(life: Life) -> list[str]:
    return [item.kind for item in life.send()]


def another_rule() -> Rule:
    return rule(id="another", title="Another rule")


def test_an_aligned_rule_becomes_a_sliding_one(store: SQLiteStore) -> None:
    life = Life(store, rule())
    life.deliver(record(at=0))
    assert kinds(life) == ["raised"]
    reload(life, rule(window=SLIDING))
    life.wait(60)
    life.wait(2 * HOUR)
    assert kinds(life) == ["resolved"]
    life.deliver(record(at=0), record(at=1))
    life.wait(60)
    assert [item.alert.counting for item in life.send()] == ["sliding"]


def test_a_sliding_rule_becomes_an_aligned_one_and_back(store: SQLiteStore) -> None:
    life = Life(store, rule(window=SLIDING))
    life.deliver(record(at=0), record(at=1), at=0)
    life.wait(60)
    assert kinds(life) == ["raised"]
    reload(life, rule())
    life.deliver(record(at=130), at=130)
    assert kinds(life) == ["raised"]
    life.wait(2 * HOUR)
    ended = sorted((item.kind, item.alert.counting) for item in life.send())
    assert ended == [("resolved", "aligned"), ("resolved", "sliding")]
    reload(life, rule(window=SLIDING))
    assert life.wait(60) == []


@pytest.mark.parametrize("group_by", [[], ["awsRegion", "userAgent"]], ids=str)
@pytest.mark.parametrize("window", [AVERAGE, SLIDING], ids=["aligned", "sliding"])
def test_a_window_waits_for_its_decision_while_its_rule_comes_to_group_by_other_fields(
    store: SQLiteStore, window: dict[str, Any], group_by: list[str]
) -> None:
    life = Life(store, rule(window={**window, "group_by": ["awsRegion"]}))
    life.deliver(record(at=0, n=9), record(at=1, n=9), at=10)
    reload(life, rule(window={**window, "group_by": group_by}))
    life.wait(HOUR)
    life.deliver(record(at=HOUR, n=9), record(at=HOUR, n=9))
    life.wait(HOUR)
    (alert,) = life.alerts()
    assert list(alert.group) == group_by


def test_an_alarm_is_resolved_though_its_rule_groups_by_something_else_now(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window={**SLIDING, "group_by": ["awsRegion"]}))
    life.deliver(record(at=0), record(at=1), at=10)
    life.wait(60)
    assert kinds(life) == ["raised"]
    reload(life, rule(window=SLIDING))
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]


@pytest.mark.parametrize("treated", ["missing", "breaching"])
def test_an_alarm_is_resolved_though_its_rule_is_gone(store: SQLiteStore, treated: str) -> None:
    life = Life(store, rule(window={**SLIDING, "treat_missing_data": treated}))
    life.deliver(record(at=0), record(at=1), at=0)
    life.wait(60)
    assert kinds(life) == ["raised"]
    life.wait(HOUR if treated == "breaching" else 60)
    reload(life, another_rule())
    life.wait(DAY)
    assert kinds(life) == ["resolved"]


def test_an_alarm_that_no_data_ends_is_the_same_one_after_weeks(store: SQLiteStore) -> None:
    life = Life(store, rule(window={**SLIDING, "treat_missing_data": "breaching"}))
    life.wait(0)
    assert life.wait(60) == [Verdict.RAISED]
    for _ in range(20):
        life.wait(DAY)
        store.prune(NOON + life.now - 14 * DAY, NOON + life.now)
    life.deliver(record(at=life.now), record(at=life.now), at=life.now)
    life.wait(60)
    assert len(life.alerts()) == 1


def test_an_alarm_is_evaluated_anew_when_its_rule_treats_missing_data_differently(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window={**SLIDING, "treat_missing_data": "notBreaching"}))
    life.wait(0)
    life.wait(600)
    reload(life, rule(window={**SLIDING, "treat_missing_data": "breaching"}))
    life.wait(0)
    assert life.wait(60) == [Verdict.RAISED]


def test_an_alarm_goes_on_after_the_clock_was_set_back(store: SQLiteStore) -> None:
    Life(store, rule(window=SLIDING)).deliver(record(at=0), at=400 * DAY)
    life = Life(store, rule(window=SLIDING))
    life.deliver(record(at=0), record(at=1), at=0)
    life.wait(60)
    assert kinds(life) == ["raised"]


def test_a_period_goes_there_and_back(store: SQLiteStore) -> None:
    life = Life(store, rule(status="test"))
    life.deliver(record(at=0))
    reload(life, rule(status="test", window={"period": 600}))
    life.deliver(record(at=1))
    reload(life, rule())
    life.deliver(record(at=2))
    assert life.sent() == [("raised", "12:00", 2)]


def test_a_window_of_the_period_before_ends_no_episode_of_the_period_now(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), at=10)
    reload(life, rule(window={**AVERAGE, "period": 600, "statistic": "Maximum"}))
    life.deliver(record(at=1, n=9), at=20)
    assert kinds(life) == ["raised"]
    life.deliver(record("GetUser", at=1), at=1210)
    life.wait(0)
    assert kinds(life) == []


def test_a_rule_looks_back_at_more_windows_than_are_retained(store: SQLiteStore) -> None:
    def of(periods: int) -> Rule:
        window = {"evaluation_periods": periods, "datapoints_to_alarm": 2, "period": 3600}
        return iam_rule(window=window)

    life = Life(store, of(2))
    life.deliver(record(at=2 * HOUR), at=2 * HOUR + 100)
    life.deliver(record("GetUser"), at=DAY + 4 * HOUR + 900)
    life.wait(0)
    life.pipeline.retire(NOON + life.now)
    reload(life, of(4))
    life.deliver(record(at=HOUR))
    life.deliver(record(at=3 * HOUR))
    assert [alert.window.start[11:16] for alert in life.alerts()] == ["15:00"]


# Correlations.


def correlations(tmp_path: Path, *made: tuple[str, str, dict[str, Any], list[str]]) -> RuleSet:
    """Return rules of correlations: each with a name, a member, a condition and its groups."""
    detection = {"s": {"eventName": "PutUserPolicy"}, "condition": "s"}
    documents: list[dict[str, Any]] = [
        {"title": "m", "id": "m", "name": "m", "detection": detection}
    ]
    for name, member, condition, group_by in made:
        section = {
            "type": "event_count",
            "rules": [member],
            "timespan": "5m",
            "condition": condition,
            "group-by": group_by,
        }
        documents.append({"title": name, "id": name, "name": name, "correlation": section})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump_all(documents))
    found = load_rules([path])
    assert found.errors == []
    return RuleSet(found.rules, found.correlations)


def test_a_bucket_waits_for_its_decision_while_its_correlation_comes_to_group_differently(
    life: Life, tmp_path: Path
) -> None:
    life.pipeline.rules = correlations(tmp_path, ("c", "m", {"lt": 5}, ["awsRegion"]))
    life.deliver(record(at=0), at=10)
    life.pipeline.rules = correlations(tmp_path, ("c", "m", {"lt": 5}, []))
    life.wait(HOUR)
    assert life.alerts() == []


def test_a_match_that_was_kept_is_none_of_a_correlation_that_groups_differently_now(
    life: Life, tmp_path: Path
) -> None:
    life.pipeline.rules = correlations(
        tmp_path, ("inner", "m", {"gte": 2}, []), ("outer", "inner", {"gte": 1}, ["awsRegion"])
    )
    life.deliver(record(at=0), at=10)
    life.pipeline.rules = correlations(
        tmp_path, ("inner", "m", {"gte": 1}, []), ("outer", "inner", {"gte": 1}, [])
    )
    life.deliver(record(at=1), at=20)
    (alert,) = life.alerts()
    assert (alert.rule_id, alert.count) == ("outer", 1)


@pytest.fixture
def life(store: SQLiteStore) -> Life:
    return Life(store)
