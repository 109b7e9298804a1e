"""Incidents as their receivers see them: what is opened is closed, and what goes on is open."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detector.alerts.silence import Silence
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from detector.windows.aligned import Verdict
from tests.records import NOON, record
from tests.rules import iam_rule, rule
from tests.unit.test_alert_life import AVERAGE, DAY, HOUR, SLIDING, Life


def silence(start: float, end: float) -> Silence:
    """Return a silence of everything, from and to so many seconds after noon."""
    return Silence(
        start=datetime.fromtimestamp(NOON + start, UTC),
        end=datetime.fromtimestamp(NOON + end, UTC),
        author="alice",
        reason="key rotation",
        rules="any",
    )


def kinds(life: Life) -> list[str]:
    return [item.kind for item in life.send()]


@pytest.fixture
def life(store: SQLiteStore) -> Life:
    return Life(store)


# Opened again.


def test_what_is_silenced_does_not_open_an_incident_that_is_over(store: SQLiteStore) -> None:
    life = Life(store, silences=[silence(900, 1200)])
    life.deliver(record(at=0))
    life.send()
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]
    assert life.deliver(record(at=900)) == [Verdict.SUPPRESSED]
    life.deliver(record(at=1200))
    (again,) = life.sent()
    assert again == ("raised", "12:20", 1)
    assert {alert.dedup_key for alert in life.alerts()} == {life.alerts()[0].id}
    life.wait(HOUR)
    assert life.sent() == [("resolved", "12:00", 1)]
    assert {alert.state for alert in life.alerts()} == {"resolved"}


def test_the_end_of_what_was_silenced_is_told_to_nobody(store: SQLiteStore) -> None:
    life = Life(store, silences=[silence(900, 1200)])
    life.deliver(record(at=0))
    life.send()
    life.wait(HOUR)
    life.send()
    life.deliver(record(at=900))
    life.wait(HOUR)
    assert life.send() == []
    assert {alert.state for alert in life.alerts()} == {"resolved"}


def test_what_pages_again_for_an_event_is_over_again(store: SQLiteStore) -> None:
    life = Life(store, iam_rule(notify="event"))
    life.deliver(record(at=0))
    life.send()
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]
    life.deliver(record(at=1))
    assert kinds(life) == ["raised"]
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]


def test_a_window_that_was_an_update_pages_when_what_it_updated_is_withdrawn(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), record(at=300, n=9), at=10)
    life.wait(HOUR)
    assert life.sent() == [("raised", "12:00", 1), ("updated", "12:05", 1)]
    assert set(life.deliver(record(at=1, n=-90))) == {Verdict.WITHDRAWN, Verdict.RAISED}
    assert sorted(life.sent()) == [("raised", "12:05", 1), ("resolved", "12:00", 2)]
    life.wait(HOUR)
    assert life.sent() == [("resolved", "12:05", 1)]


def test_no_two_copies_of_a_revision_go_by_different_names_when_the_one_that_paged_is_withdrawn(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(*(record(at=at, n=9) for at in (0, 300, 600)), at=10)
    life.wait(HOUR)
    before = {alert.id: alert for alert in life.alerts()}
    life.deliver(record(at=1, n=-90))
    for after in life.alerts()[1:]:
        assert after.dedup_key != before[after.id].dedup_key
        assert after.revision > before[after.id].revision


def test_what_was_over_does_not_page_when_a_part_of_it_is_withdrawn(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), record(at=300, n=9), at=10)
    life.wait(HOUR)
    life.send()
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]
    life.deliver(record(at=1, n=-90))
    assert kinds(life) == ["resolved"]


# Ended.


def test_the_end_is_told_though_the_rule_is_staged_by_then(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), at=10)
    life.wait(HOUR)
    assert kinds(life) == ["raised"]
    life.pipeline.rules = RuleSet([rule(window=AVERAGE, status="test")])
    life.deliver(record(at=1, n=-90))
    (ended,) = life.send()
    assert (ended.kind, ended.alert.state) == ("resolved", "withdrawn")


def test_the_end_of_an_alarm_is_told_though_the_rule_is_staged_by_then(store: SQLiteStore) -> None:
    life = Life(store, rule(window=SLIDING))
    life.deliver(record(at=0), record(at=1), at=0)
    life.wait(60)
    assert kinds(life) == ["raised"]
    life.pipeline.rules = RuleSet([rule(window=SLIDING, status="test")])
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]


def test_each_window_that_paged_is_ended_though_the_rule_is_gone(store: SQLiteStore) -> None:
    life = Life(store, iam_rule(notify="window"))
    life.deliver(record(at=0))
    life.deliver(record(at=300))
    assert kinds(life) == ["raised", "raised"]
    life.pipeline.rules = RuleSet([rule(id="another", title="Another rule")])
    life.wait(HOUR)
    assert kinds(life) == ["resolved", "resolved"]


def kinds_of_an_episode(life: Life, days: int) -> list[str]:
    """Return what is sent of an episode that goes on for so many days, and then is over."""
    found = []
    for at in range(0, days * int(DAY), 900):
        life.deliver(record(at=at), at=at + 60)
        if at % 18_000 == 0:
            life.pipeline.retire(NOON + life.now)
            life.store.prune(NOON + life.now - 14 * DAY, NOON + life.now)
        found += kinds(life)
    life.wait(HOUR)
    while more := kinds(life):
        found += more
    return found


def test_each_window_is_ended_of_an_episode_that_is_longer_than_the_retention(
    store: SQLiteStore,
) -> None:
    found = kinds_of_an_episode(Life(store, iam_rule(notify="window")), days=2)
    assert found.count("raised") == found.count("resolved") == 192


def test_an_episode_that_is_longer_than_alerts_are_kept_is_ended(store: SQLiteStore) -> None:
    life = Life(store, iam_rule())
    found = kinds_of_an_episode(life, days=16)
    assert [found.count(kind) for kind in ("raised", "resolved")] == [1, 1]
    assert "open" not in {alert.state for alert in life.alerts()}
