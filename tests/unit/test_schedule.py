"""When alarms are evaluated, and where the periods of clocks on walls begin."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from detector.rules.window import WindowSettings
from detector.windows.schedule import schedule_of

DAY = 86_400
WEEK = 604_800


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def window(**fields: Any) -> WindowSettings:
    return WindowSettings(mode="sliding", **fields)


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"period": 60}, 60),
        ({"period": DAY}, 60),
        ({"period": 300, "evaluation_periods": 288}, 60),
        ({"period": 3600, "evaluation_periods": 25}, 3600),
        ({"period": WEEK}, 3600),
        ({"period": WEEK, "evaluation_window": "wall_clock"}, 60),
    ],
)
def test_alarms_are_evaluated_each_minute_and_each_hour_over_more_than_a_day(
    fields: dict[str, Any], step: int
) -> None:
    schedule = schedule_of(window(**fields))
    at = utc("2026-09-25T10:00")
    assert schedule.moment_after(at) == at + step
    assert schedule.moment_after(at - 0.5) == at
    moments = [second for second in range(at + 1, at + 3601) if schedule.is_moment(second)]
    assert moments == list(range(at + step, at + 3601, step))
    assert not schedule.is_moment(at + 0.5)


def test_a_sliding_range_ends_where_it_is_evaluated() -> None:
    at = utc("2026-09-25T10:07")
    assert list(schedule_of(window(period=300)).bounds(at)) == [at - 900, at - 600, at - 300, at]


@pytest.mark.parametrize(("period", "slots"), [(300, 17), (DAY, 3 * 1440 + 2), (WEEK, 3 * 168 + 2)])
def test_slots_are_few(period: int, slots: int) -> None:
    assert schedule_of(window(period=period)).most_slots == slots
    assert schedule_of(window(period=DAY, evaluation_window="wall_clock")).most_slots == 2


def walls(period: int, zone: str, begin: str, end: str) -> list[int]:
    """Return where the periods begin between two times in UTC, by asking minute by minute."""
    schedule = schedule_of(window(period=period, evaluation_window="wall_clock", timezone=zone))
    slots = [schedule.slot(minute) for minute in range(utc(begin), utc(end), 60)]
    assert slots == sorted(slots)
    assert all(slot <= utc(begin) + 60 * index for index, slot in enumerate(slots))
    return sorted(set(slots))


def test_days_begin_at_midnight_even_where_the_clock_is_changed() -> None:
    spring = walls(DAY, "Europe/Berlin", "2026-03-28T00:00", "2026-03-31T00:00")
    assert spring == [
        utc("2026-03-27T23:00"),
        utc("2026-03-28T23:00"),
        utc("2026-03-29T22:00"),
        utc("2026-03-30T22:00"),
    ]
    autumn = walls(DAY, "Europe/Berlin", "2026-10-24T00:00", "2026-10-27T00:00")
    assert [(after - before) // 3600 for before, after in pairwise(autumn)] == [24, 25, 24]
    # A midnight that does not come, one that comes twice, a day that is left out.
    assert walls(DAY, "America/Havana", "2026-03-08T04:00", "2026-03-08T06:00") == [
        utc("2026-03-07T05:00"),
        utc("2026-03-08T05:00"),
    ]
    assert walls(DAY, "America/Havana", "2026-11-01T03:00", "2026-11-01T06:00") == [
        utc("2026-10-31T04:00"),
        utc("2026-11-01T04:00"),
    ]
    assert walls(DAY, "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00") == [
        utc("2011-12-29T10:00"),
        utc("2011-12-30T10:00"),
        utc("2011-12-31T10:00"),
    ]


def test_weeks_begin_on_monday() -> None:
    assert walls(WEEK, "+05:30", "2026-09-25T00:00", "2026-09-30T00:00") == [
        utc("2026-09-20T18:30"),
        utc("2026-09-27T18:30"),
    ]


def test_hours_are_those_of_the_wall() -> None:
    assert walls(3600, "UTC-03:30", "2026-09-25T10:00", "2026-09-25T11:00") == [
        utc("2026-09-25T09:30"),
        utc("2026-09-25T10:30"),
    ]
    # At Lord Howe the clock is changed by half an hour: from 2:00 to 1:30, and from 2:00 to 2:30.
    assert walls(3600, "Australia/Lord_Howe", "2026-04-04T14:00", "2026-04-04T17:00") == [
        utc("2026-04-04T14:00"),
        utc("2026-04-04T15:00"),
        utc("2026-04-04T15:30"),
        utc("2026-04-04T16:30"),
    ]
    assert walls(3600, "Australia/Lord_Howe", "2026-10-03T14:30", "2026-10-03T17:00") == [
        utc("2026-10-03T14:30"),
        utc("2026-10-03T15:30"),
        utc("2026-10-03T16:00"),
    ]
