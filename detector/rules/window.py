"""How a rule's matches are counted, in CloudWatch's words.

Sources: Amazon CloudWatch API Reference, "PutMetricAlarm"; Amazon CloudWatch Logs API Reference,
"MetricTransformation". `mode`, `aligned` and `DistinctCount` are ours.
"""

from __future__ import annotations

import math
import re
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

Mode = Literal["aligned", "sliding"]
Statistic = Literal["Sum", "SampleCount", "Minimum", "Maximum", "Average", "DistinctCount"]
ComparisonOperator = Literal[
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
]
TreatMissingData = Literal["missing", "ignore", "breaching", "notBreaching"]
EvaluationWindow = Literal["sliding", "wall_clock"]

DAY_SECONDS = 86_400
WEEK_SECONDS = 604_800
WALL_CLOCK_PERIODS = (60, 300, 3600, DAY_SECONDS, WEEK_SECONDS)
"""The periods whose bounds a clock on the wall shows; CloudWatch takes no other."""

MAX_DISTINCT = 1_000
"""Distinct values told apart in one window: some 20 kB of its state. A rule that asks for more can
never alert, and is refused."""

_LITERAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_OFFSET = re.compile(r"(?:UTC)?([+-])([01][0-9]):([0-5][05])")
_COUNTS = frozenset({"Sum", "SampleCount"})


class WindowSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a rule's matches are counted. The defaults are those of the benchmark's alarms.

    `period` is in seconds. `metric_value` is what a match adds: a number, or a field of the record
    that holds one; `DistinctCount` tells apart the values of such a field. `group_by` names the
    record's fields whose values are counted apart. With more than one of `evaluation_periods`, so
    many of them as `datapoints_to_alarm` says (all, without it) must breach the threshold.

    An `aligned` window goes by the events' own time and begins at whole multiples of the period. A
    `sliding` one is CloudWatch's: by arrival, evaluated each minute; `treat_missing_data`,
    `evaluation_window` and `timezone` mean something for it alone.
    """

    mode: Mode = "aligned"
    period: int = 300
    statistic: Statistic = "Sum"
    metric_value: str | float = 1
    threshold: float = 1
    comparison_operator: ComparisonOperator = "GreaterThanOrEqualToThreshold"
    evaluation_periods: int = 1
    datapoints_to_alarm: int | None = None
    treat_missing_data: TreatMissingData = "missing"
    evaluation_window: EvaluationWindow = "sliding"
    timezone: str = "UTC"
    group_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold) or not math.isfinite(self.literal or 0):
            raise ValueError("threshold and metric_value are finite numbers")
        if len(set(self.group_by)) != len(self.group_by):
            raise ValueError("group_by names a field twice")
        if self.evaluation_periods < 1:
            raise ValueError("evaluation_periods is at least 1")
        if not 1 <= self.breaches_to_alarm <= self.evaluation_periods:
            raise ValueError("datapoints_to_alarm is from 1 to evaluation_periods")
        self._check_statistic()
        if self.mode == "aligned":
            self._check_aligned()
        else:
            self._check_sliding()

    @property
    def breaches_to_alarm(self) -> int:
        """M of M out of N."""
        most = self.datapoints_to_alarm
        return self.evaluation_periods if most is None else most

    @property
    def literal(self) -> float | None:
        """What each match adds, or None where a field of the record says it."""
        if isinstance(self.metric_value, str):
            return float(self.metric_value) if _LITERAL.fullmatch(self.metric_value) else None
        return self.metric_value

    @property
    def counts_matches(self) -> bool:
        """Whether the number of matches is all that the statistic needs."""
        return self.statistic != "DistinctCount" and self.literal is not None

    @property
    def is_raised_by_more(self) -> bool:
        """Whether a window that breaches goes on to do so, whatever else is counted in it.

        If not, what is true of it can be said only when all of its events are there.
        """
        grows = self.comparison_operator.startswith("GreaterThan")
        if self.statistic == "Minimum":
            return not grows
        if self.statistic == "Sum":
            return grows and self.literal is not None and self.literal >= 0
        return grows and self.statistic != "Average"

    def is_breached_by(self, number: float | None) -> bool:
        """Return whether a window's number is on the threshold's wrong side; None never is."""
        if number is None:
            return False
        match self.comparison_operator:
            case "GreaterThanOrEqualToThreshold":
                return number >= self.threshold
            case "GreaterThanThreshold":
                return number > self.threshold
            case "LessThanThreshold":
                return number < self.threshold
            case "LessThanOrEqualToThreshold":
                return number <= self.threshold

    def _check_statistic(self) -> None:
        if self.statistic == "DistinctCount":
            if self.literal is not None:
                raise ValueError("DistinctCount needs a field of the record as metric_value")
            if self.mode == "sliding":
                raise ValueError("DistinctCount is for aligned windows: CloudWatch has no such")
            if self.threshold > MAX_DISTINCT:
                raise ValueError(f"DistinctCount tells at most {MAX_DISTINCT} values apart")

    def _check_aligned(self) -> None:
        self._check_length(DAY_SECONDS, DAY_SECONDS)
        if self.treat_missing_data not in {"missing", "notBreaching"}:
            raise ValueError(
                "treat_missing_data must be missing or notBreaching: an aligned window without"
                " events does not exist; mode: sliding sees what is missing"
            )
        if self.evaluation_window != "sliding" or self.timezone != "UTC":
            raise ValueError("evaluation_window and timezone are for mode: sliding")
        if self.statistic in _COUNTS and self.counts_matches:
            one = self.literal if self.statistic == "Sum" else 1
            grows = self.comparison_operator.startswith("GreaterThan")
            if self.is_breached_by(0) if grows else not self.is_breached_by(one):
                raise ValueError(
                    "a window without events cannot raise an alert: threshold is too low"
                )

    def _check_length(self, longest: int, together: int) -> None:
        """Refuse periods that are longer than that, or than that together."""
        if not 60 <= self.period <= longest or self.period % 60:  # noqa: PLR2004
            raise ValueError(f"period is a multiple of 60, from 60 to {longest} seconds")
        if self.period * self.evaluation_periods > together:
            raise ValueError(f"period times evaluation_periods is at most {together} seconds")

    def _check_sliding(self) -> None:
        most = DAY_SECONDS if self.period < 3600 else WEEK_SECONDS  # noqa: PLR2004
        self._check_length(WEEK_SECONDS, most)
        if self.period * self.evaluation_periods > DAY_SECONDS and self.period % 3600:
            raise ValueError("period is a multiple of 3600 where more than a day is looked at")
        if self.evaluation_window == "wall_clock" and self.period not in WALL_CLOCK_PERIODS:
            raise ValueError(f"period is one of {', '.join(map(str, WALL_CLOCK_PERIODS))}")
        if self.timezone != "UTC":
            if self.evaluation_window != "wall_clock":
                raise ValueError("timezone is for evaluation_window: wall_clock")
            if not _OFFSET.fullmatch(self.timezone):
                try:
                    ZoneInfo(self.timezone)
                except (ValueError, OSError, KeyError):
                    raise ValueError(
                        "timezone is an IANA name, as Europe/Berlin, or +05:30"
                    ) from None
