"""Thresholds that no count reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from detector.rules.correlation import Correlation, CorrelationSettings, Threshold
from detector.rules.finding import Finding
from detector.rules.lint.implication import fixed_values
from detector.rules.lint.subject import place_of
from detector.rules.rule import Rule
from detector.rules.syntax import Selector

_EVENT_ID = ("eventID",)
_MEASURES = frozenset({"value_sum", "value_avg", "value_percentile", "value_median"})
"""Correlations whose number is measured, not counted: it can be any."""


def window_findings(rule: Rule) -> Iterator[Finding]:
    """Yield why a rule's window can never be over its threshold."""
    by = {selector.steps for _, selector in rule.group_by}
    if _EVENT_ID in by and not rule.file.window.is_breached_by(1):
        yield Finding(
            "unreachable-threshold",
            "grouped by eventID, no group has a second event",
            place_of(rule.document, rule.path, "window", "threshold"),
            "take eventID out of group_by, or set the threshold to 1",
        )


def correlation_findings(correlation: Correlation, rules: Mapping[str, Rule]) -> Iterator[Finding]:
    """Yield why a correlation's condition can never hold; `rules` are all by their id."""
    settings = correlation.file.correlation
    condition = settings.condition
    if condition is None:
        return
    if condition.percentile is not None and settings.type != "value_percentile":
        yield _finding(
            correlation,
            f"nothing reads percentile in a correlation of the type {settings.type}",
            "remove it, or set the type to value_percentile",
            "percentile",
        )
    extent = _extent(correlation, rules)
    if not extent.reaches(condition):
        yield _finding(correlation, f"the condition never holds: {extent.why}", extent.remedy)


def _finding(correlation: Correlation, message: str, remedy: str, *key: str) -> Finding:
    place = place_of(correlation.document, correlation.path, "correlation", "condition", *key)
    return Finding("unreachable-threshold", message, place, remedy)


@dataclass(frozen=True, slots=True)
class _Extent:
    """The numbers that a correlation can come to, and why these."""

    least: float
    most: float
    why: str
    remedy: str
    is_whole: bool = True

    def reaches(self, condition: Threshold) -> bool:
        """Return whether a condition holds of one of the numbers."""
        return any(
            self.least <= number <= self.most and condition.holds(number)
            for number in self._telling(condition)
        )

    def _telling(self, condition: Threshold) -> Iterable[float]:
        """Return numbers of which one is enough if any is: those at the limits and between."""
        limits = [limit for limit in condition.limits if limit is not None]
        limits += [self.least, self.most]
        limits = sorted(filter(math.isfinite, limits)) or [0.0]
        if self.is_whole:
            return [math.floor(limit) + step for limit in limits for step in (-1, 0, 1, 2)]
        between = [(one + other) / 2 for one, other in pairwise(limits)]
        outside = [limits[0] - abs(limits[0]) - 1, limits[-1] + abs(limits[-1]) + 1]
        return [*limits, *between, *outside]


def _extent(correlation: Correlation, rules: Mapping[str, Rule]) -> _Extent:
    settings = correlation.file.correlation
    kind = settings.type
    if kind in _MEASURES:
        return _measured(settings)
    if kind.startswith("temporal"):
        count = len(correlation.members)
        why = f"it counts the rules that match, of which there are {count}"
        # An ordered one may see its second rule match alone, and then has seen none in order.
        return _Extent(1 if kind == "temporal" else 0, count, why, f"ask for at most {count}")
    if kind == "event_count":
        return _count_of_events(correlation)
    return _count_of_values(correlation, rules)


def _measured(settings: CorrelationSettings) -> _Extent:
    is_share = settings.type == "value_percentile" and (
        settings.condition is None or settings.condition.percentile is None
    )
    if is_share:
        why = "without percentile it is a share in per cent, from 0 to 100"
        return _Extent(0, 100, why, "ask for a share, or set percentile", is_whole=False)
    return _Extent(-math.inf, math.inf, "its limits leave no number", "widen them", is_whole=False)


def _count_of_events(correlation: Correlation) -> _Extent:
    if any(_is_by(ways, _EVENT_ID) for ways in correlation.group_by):
        why = "grouped by eventID, no group has a second event"
        return _Extent(1, 1, why, "take eventID out of group-by")
    why = "it counts events, of which a group has at least one"
    return _Extent(1, math.inf, why, "ask for a whole number from 1 on")


def _count_of_values(correlation: Correlation, rules: Mapping[str, Rule]) -> _Extent:
    why, most = "it counts values, and its limits leave no whole number from 0 on", 1.0
    for field in correlation.fields:
        values = _values_of(field, correlation, rules)
        if values is None:
            return _Extent(0, math.inf, "its limits leave no whole number", "widen them")
        count, why = values
        most *= count
    return _Extent(0, most, why, "count a field that differs, or ask for less")


def _values_of(
    field: Selector, correlation: Correlation, rules: Mapping[str, Rule]
) -> tuple[int, str] | None:
    """Return how many values a field can have in one group at most, and why; None if any."""
    name = ".".join(map(str, field.steps))
    if any(_is_by(ways, field.steps) for ways in correlation.group_by):
        return 1, f"{name} has one value in each group, since it is grouped by"
    texts: set[str] = set()
    for member in correlation.members:
        rule = rules.get(member)
        fixed = None if rule is None else fixed_values(rule.tree, field.steps)
        if fixed is None:
            return None
        texts |= fixed
    return len(texts), f"the rules leave {name} only {', '.join(sorted(texts)[:5])}"


def _is_by(ways: Mapping[str, Selector], steps: tuple[object, ...]) -> bool:
    """Return whether a group-by finds its value in this field, for every rule."""
    return bool(ways) and all(selector.steps == steps for selector in ways.values())
