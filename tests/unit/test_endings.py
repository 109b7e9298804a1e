"""Exceptions and silences that end: counted, and spoken of in time."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from detector.endings import Endings
from detector.pipeline import Pipeline, Settings
from detector.rules.exception import RuleFilter
from detector.rules.expiry import day_of, expiry_findings, filter_state, filters_by_state
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from detector.telemetry.metrics import Metrics
from tests.records import NOON
from tests.unit.test_filters import exception, load
from tests.unit.test_silence import DAY, HOUR, silence

TODAY = date(2026, 9, 16)
"""The day of NOON."""


def ending_on(folder: Path, *days: str | None) -> list[RuleFilter]:
    fields: list[dict[str, Any]] = [{} if day is None else {"expires": day} for day in days]
    loaded = load(folder, *(exception("any", **field) for field in fields))
    assert loaded.errors == []
    return loaded.filters


@pytest.mark.parametrize(
    ("expires", "state"),
    [
        (None, "active"),
        ("2026-09-24", "active"),
        ("2026-09-23", "expiring"),
        ("2026-09-17", "expiring"),
        ("2026-09-16", "expired"),
        ("2020-01-01", "expired"),
    ],
)
def test_an_exception_is_expiring_in_its_last_week_and_then_expired(
    tmp_path: Path, expires: str | None, state: str
) -> None:
    (item,) = ending_on(tmp_path, expires)
    assert filter_state(item, TODAY) == state


def test_an_exception_is_expired_from_the_very_second_on_at_which_it_ends(tmp_path: Path) -> None:
    (item,) = ending_on(tmp_path, "2026-09-16")
    end = item.file.expiry
    assert end is not None
    assert filter_state(item, day_of(end)) == "expired"
    assert filter_state(item, day_of(end - 0.001)) == "expiring"


def test_exceptions_are_counted_by_their_states(tmp_path: Path) -> None:
    filters = ending_on(tmp_path, None, "2026-09-20", "2026-09-01", "2026-09-02")
    assert filters_by_state(filters, TODAY) == {"active": 1, "expiring": 1, "expired": 2}
    assert filters_by_state([], TODAY) == {"active": 0, "expiring": 0, "expired": 0}


def test_a_check_names_what_ends_with_its_place_and_its_day(tmp_path: Path) -> None:
    found = list(
        expiry_findings(ending_on(tmp_path, None, "2026-09-20", "2026-09-01", "2026-10-01"), TODAY)
    )
    assert [item.code for item in found] == ["expiring-exception", "expired-exception"]
    lines = (tmp_path / "rules.yml").read_text().splitlines()
    for item, day in zip(found, ["2026-09-20", "2026-09-01"], strict=True):
        assert lines[item.place.line - 1] == f"expires: '{day}'"
        assert day in item.message
        assert "The bot may" in item.message


class Watched:
    """The endings of a pipeline, what they log and what they show."""

    def __init__(self, store: SQLiteStore, filters: list[RuleFilter]) -> None:
        self.pipeline = Pipeline(RuleSet([]), store, Settings())
        self.pipeline.silences = [silence(), silence(HOUR, 2 * HOUR)]
        self._metrics = Metrics()
        self.endings = Endings(self.pipeline, filters, self._metrics, NOON)

    def shown(self, name: str) -> dict[str, float]:
        samples = (item for family in self._metrics.registry.collect() for item in family.samples)
        return {item.labels["state"]: item.value for item in samples if item.name == name}

    def warned(self, at: float) -> list[tuple[object, object]]:
        """Return what is said, and of which day, when the clock is looked at."""
        with capture_logs() as lines:
            self.endings.look(at)
        assert {line["log_level"] for line in lines} <= {"warning"}
        return [(line["event"], line["day"]) for line in lines]


def test_counts_are_shown_at_once_and_follow_the_clock(store: SQLiteStore, tmp_path: Path) -> None:
    watched = Watched(store, ending_on(tmp_path, "2026-09-24"))
    assert watched.shown("detector_silences") == {"pending": 1, "active": 1, "expired": 0}
    assert watched.shown("detector_filters") == {"active": 1, "expiring": 0, "expired": 0}
    watched.endings.look(NOON + DAY)
    assert watched.shown("detector_silences") == {"pending": 0, "active": 0, "expired": 2}
    assert watched.shown("detector_filters") == {"active": 0, "expiring": 1, "expired": 0}
    watched.pipeline.silences = []
    watched.endings.count(NOON + DAY)
    assert set(watched.shown("detector_silences").values()) == {0}


def test_what_ends_is_named_once_a_day(store: SQLiteStore, tmp_path: Path) -> None:
    watched = Watched(store, ending_on(tmp_path, None, "2026-09-18"))
    soon = [("exception expires soon", "2026-09-18")]
    assert watched.warned(NOON) == soon
    assert watched.warned(NOON + 60) == []
    midnight = datetime(2026, 9, 17, tzinfo=UTC).timestamp()
    assert watched.warned(midnight - 1) == []
    assert watched.warned(midnight) == soon
    assert watched.warned(midnight + 60) == []
    assert watched.warned(midnight + DAY) == [("exception has expired", "2026-09-18")]


def test_what_ends_is_named_when_rules_were_read_again(store: SQLiteStore, tmp_path: Path) -> None:
    watched = Watched(store, [])
    assert watched.warned(NOON) == []
    with capture_logs() as lines:
        watched.endings.filters_read(ending_on(tmp_path, "2026-09-16"), NOON + 1)
    assert lines == [
        {
            "log_level": "warning",
            "event": "exception has expired",
            "title": "The bot may",
            "path": str(tmp_path / "rules.yml"),
            "day": "2026-09-16",
        }
    ]
    assert watched.warned(NOON + 2) == []
    assert watched.shown("detector_filters") == {"active": 0, "expiring": 0, "expired": 1}
