"""The alert: what a window over its threshold tells people and machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from detector.rules.correlation import Correlation, Threshold
from detector.rules.rule import Level, Rule, Status
from detector.windows.aligned import (
    GroupValue,
    WindowKey,
    WindowState,
    add,
    is_late,
)
from detector.windows.correlated import Fired

Comparison = Literal[
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "EqualToThreshold",
    "NotEqualToThreshold",
]
"""CloudWatch's words, and two for what only a correlation can ask."""

_COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)


class AlertWindow(msgspec.Struct, frozen=True):
    """The window's first second and the first one after it, RFC 3339 in UTC."""

    start: str
    end: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, one group, one window.

    `id` is made from these three alone, so that every copy of an alert carries the same one;
    `revision` grows as more events of the same window arrive. The lists are sorted and bounded
    (`detector.windows.aligned`), `count` is exact.
    """

    id: str
    revision: int
    rule_id: str
    title: str
    status: Status
    """`stable`; or `test` or `experimental`: the rule is staged, and its alerts are not sent."""
    level: Level
    group: dict[str, GroupValue]
    window: AlertWindow
    count: int
    value: float
    """What was compared with the threshold: the count, or what a correlation counts."""
    threshold: float
    comparison_operator: Comparison
    late: bool
    first_event_time: str
    last_event_time: str
    event_names: list[str]
    actors: list[str]
    source_ips: list[str]
    regions: list[str]
    accounts: list[str]
    event_ids: list[str]
    controls: dict[str, str | dict[str, str]]
    tags: list[str]
    description: str
    runbook: str
    evidence: list[Mapping[str, Any]]


def alert_id(key: WindowKey) -> str:
    """Return the id of the alert that a window raises."""
    identity = msgspec.json.encode([key.rule_id, key.group, key.start, key.period])
    return hashlib.sha256(identity).hexdigest()[:32]


def build_alert(rule: Rule, key: WindowKey, state: WindowState) -> Alert:
    """Return the alert of a window that is over its rule's threshold."""
    settings = rule.file.window
    return _alert(
        rule,
        key,
        state,
        group_by=settings.group_by,
        revision=state.revision,
        value=state.count,
        limit=(settings.comparison_operator, settings.threshold),
        late=is_late(state, settings.is_crossed_by),
    )


def build_correlation_alert(correlation: Correlation, key: WindowKey, fired: Fired) -> Alert:
    """Return the alert of a bucket in which a correlation fired."""
    state, _ = add(None, fired.contributing, lambda _: False)
    settings = correlation.file.correlation
    return _alert(
        correlation,
        key,
        msgspec.structs.replace(state, count=state.count + fired.bucket.overflow),
        group_by=settings.group_by,
        revision=fired.bucket.revision,
        value=fired.number,
        limit=_limit(settings.condition, len(correlation.members)),
        late=fired.is_late,
    )


def _limit(condition: Threshold | None, members: int) -> tuple[Comparison, float]:
    """Return a condition's first limit, in CloudWatch's words."""
    limits = condition.limits if condition else ()
    for comparison, limit in zip(_COMPARISONS, limits, strict=False):
        if limit is not None:
            return comparison, limit
    return "GreaterThanOrEqualToThreshold", members


def _alert(
    rule: Rule | Correlation,
    key: WindowKey,
    state: WindowState,
    *,
    group_by: Sequence[str],
    revision: int,
    value: float,
    limit: tuple[Comparison, float],
    late: bool,
) -> Alert:
    return Alert(
        id=alert_id(key),
        revision=revision,
        rule_id=rule.id,
        title=rule.file.title,
        status=rule.file.status,
        level=rule.file.level,
        group=dict(zip(group_by, key.group, strict=True)),
        window=AlertWindow(utc(key.start), utc(key.end)),
        count=state.count,
        value=value,
        threshold=limit[1],
        comparison_operator=limit[0],
        late=late,
        first_event_time=utc(state.first_event_time),
        last_event_time=utc(state.last_event_time),
        event_names=sorted(state.event_names),
        actors=sorted(state.actors),
        source_ips=sorted(state.source_ips),
        regions=sorted(state.regions),
        accounts=sorted(state.accounts),
        event_ids=[event_id for _, event_id in state.event_ids],
        controls=dict(rule.file.controls),
        tags=list(rule.file.tags),
        description=rule.file.description,
        runbook=rule.file.runbook,
        evidence=[item.record for item in state.evidence],
    )


def utc(seconds: float) -> str:
    """Return a time as CloudTrail writes it: RFC 3339, UTC, with a fraction only if it has one."""
    moment = datetime.fromtimestamp(seconds, UTC)
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
