"""When an alarm of arrivals is evaluated, and over which periods: the arithmetic of its time.

Pure: every moment is an argument, in seconds since the epoch. Source: Amazon CloudWatch User Guide,
"Alarm evaluation window" and "Using Amazon CloudWatch alarms".

Arrivals are counted in *slots*: stretches of time so short that none is ever cut by a period's
bound, and so long that few have to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from detector.rules.window import DAY_SECONDS, WEEK_SECONDS, WindowSettings
from detector.windows.alarm import evaluation_range

MINUTE = 60
HOUR = 3600


class Schedule(Protocol):
    """How one alarm goes through time. A *moment* is a whole minute at which it is evaluated."""

    @property
    def most_slots(self) -> int:
        """How many slots can matter at once."""
        ...

    def slot(self, at: float) -> int:
        """Return the start of the slot that a time lies in."""
        ...

    def is_moment(self, at: float) -> bool:
        """Return whether the alarm is evaluated at a time."""
        ...

    def moment_after(self, at: float) -> int:
        """Return the first moment after a time."""
        ...

    def bounds(self, moment: int) -> Sequence[int]:
        """Return the bounds of the periods that are looked at, one more than there are periods.

        Each period begins at its bound and ends before the next; the last bound is the end.
        """
        ...

    def change_after(self, moment: int, slot: int) -> int | None:
        """Return the first moment after one at which a slot has come into another period.

        This may be its first period, or none at all any more. None if it has left them already.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sliding:
    """Periods that end at the moment of evaluation, whenever that is."""

    period: int
    periods: int
    """The evaluation range."""
    step: int
    """From one moment to the next."""

    @property
    def _grain(self) -> int:
        return math.gcd(self.period, self.step)

    @property
    def most_slots(self) -> int:
        """All of the range, and those that the next evaluation will see."""
        return (self.periods * self.period + self.step) // self._grain + 1

    def slot(self, at: float) -> int:
        """Return the start of the slot that a time lies in."""
        return _floor(at, self._grain)

    def is_moment(self, at: float) -> bool:
        """Return whether the alarm is evaluated at a time."""
        return at % self.step == 0

    def moment_after(self, at: float) -> int:
        """Return the first moment after a time."""
        return _floor(at, self.step) + self.step

    def bounds(self, moment: int) -> Sequence[int]:
        """Return the bounds of the range's periods."""
        return range(moment - self.periods * self.period, moment + 1, self.period)

    def change_after(self, moment: int, slot: int) -> int | None:
        """Return the first moment after one at which a slot has come into another period."""
        passed = max(0, -((slot - moment) // self.period))
        return None if passed > self.periods else self.moment_after(slot + passed * self.period)


@dataclass(frozen=True, slots=True)
class WallClock:
    """Periods that begin when a clock on a wall shows it: the full hour, midnight, Monday.

    A period in which the clock is changed is as long as it was on the wall. Evaluation is at each
    minute, though only the end of a period changes what it finds; each period is one slot.
    """

    period: int
    periods: int
    zone: tzinfo

    @property
    def most_slots(self) -> int:
        """Those evaluated, and the one that is not complete."""
        return self.periods + 1

    def slot(self, at: float) -> int:
        """Return the start of the period that a time lies in."""
        if self.period < DAY_SECONDS:
            return self._start_within_day(_floor(at, MINUTE))
        day = datetime.fromtimestamp(at, self.zone).date()
        if self.period == WEEK_SECONDS:
            day -= timedelta(days=day.weekday())
        # Of a midnight that comes twice this is the first, of one that is left out the change.
        return int(datetime.combine(day, time(), self.zone).timestamp())

    def is_moment(self, at: float) -> bool:
        """Return whether the alarm is evaluated at a time."""
        return at % MINUTE == 0

    def moment_after(self, at: float) -> int:
        """Return the first moment after a time."""
        return _floor(at, MINUTE) + MINUTE

    def bounds(self, moment: int) -> Sequence[int]:
        """Return the bounds of the newest periods that are complete."""
        bounds = [self.slot(moment)]
        while len(bounds) <= self.periods:
            bounds.append(self.slot(bounds[-1] - MINUTE))
        return bounds[::-1]

    def change_after(self, moment: int, slot: int) -> int | None:
        """Return the first end of a period after a moment, not before the slot's own."""
        return self._end(max(self.slot(moment), self.slot(slot)))

    def _end(self, start: int) -> int:
        # The next day or week may begin early or late; half a period on it has begun for certain.
        slack = 0 if self.period < DAY_SECONDS else self.period // 2
        return self.slot(start + self.period + slack)

    def _start_within_day(self, at: int) -> int:
        offset = self._offset(at)
        start = at - (at + offset) % self.period
        while self._offset(start) != offset:
            start += MINUTE  # the clock was changed, and not by whole periods: a shorter one began
        return start

    def _offset(self, at: int) -> int:
        offset = datetime.fromtimestamp(at, self.zone).utcoffset()
        return int(offset.total_seconds()) if offset else 0


def schedule_of(settings: WindowSettings) -> Schedule:
    """Return how an alarm of such settings goes through time.

    A sliding window of more than a day is evaluated once an hour, on data up to the whole hour.
    """
    periods = settings.evaluation_periods
    if settings.evaluation_window == "wall_clock":
        return WallClock(settings.period, periods, _zone(settings.timezone))
    step = HOUR if settings.period * periods > DAY_SECONDS else MINUTE
    return Sliding(settings.period, evaluation_range(periods), step)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    offset = name.removeprefix("UTC")
    if offset[0] not in "+-":
        return ZoneInfo(name)
    hours, minutes = map(int, offset[1:].split(":"))
    shift = timedelta(hours=hours, minutes=minutes)
    return timezone(shift if offset[0] == "+" else -shift)


def _floor(at: float, step: int) -> int:
    return math.floor(at / step) * step
