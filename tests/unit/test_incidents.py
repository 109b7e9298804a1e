"""Incidents as their receivers see them: what is opened is closed, and what goes on is open."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detector.alerts.silence import Silence
from detector.state.sqlite import SQLiteStore
from detector.windows.aligned import Verdict
from tests.records import NOON, record
from tests.rules import iam_rule, rule
from tests.unit.test_alert_life import AVERAGE, HOUR, Life


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


def test_what_was_over_does_not_page_when_a_part_of_it_is_withdrawn(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), record(at=300, n=9), at=10)
    life.wait(HOUR)
    life.send()
    life.wait(HOUR)
    assert kinds(life) == ["resolved"]
    life.deliver(record(at=1, n=-90))
    assert kinds(life) == ["resolved"]
