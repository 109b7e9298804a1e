"""The alert: what a window over its threshold tells people and machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from detector.rules.correlation import Correlation, Threshold
from detector.rules.rule import Level, Notify, Rule, Status
from detector.windows.aligned import (
    GroupValue,
    WindowKey,
    WindowState,
    gathered,
)
from detector.windows.correlated import Fired
from detector.windows.episodes import Episode

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


AlertState = Literal["open", "resolved", "withdrawn"]
"""Whether it goes on, has been quiet for long enough, or is true no more: events that came in later
have undone what was said."""

NotificationKind = Literal["raised", "updated", "resolved"]
"""What a receiver should do: page somebody, add to what it has shown, or close it."""

Counting = Literal["aligned", "sliding", "correlation", "single", "own"]
"""What an alert is made from: an aligned or a sliding window, a correlation, one event that is
older than the windows retained, or the detector itself."""


class AlertWindow(msgspec.Struct, frozen=True):
    """The window's first second and the first one after it, RFC 3339 in UTC."""

    start: str
    end: str


class AlertEpisode(msgspec.Struct, frozen=True, kw_only=True):
    """The windows that belong together; see `detector.windows.episodes`.

    `id` is that of its first window's alert. `count` is of the events in all of its `windows`.
    """

    id: str
    start: str
    end: str
    windows: int
    count: int


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """Which silence keeps an alert from being sent."""

    reason: str
    author: str
    end: str


class DigestEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a digest says of one rule: how many of its alerts it tells, and of how many events.

    `accounts` and `actors` are sorted and bounded.
    """

    rule_id: str
    title: str
    level: Level
    raised: int
    updated: int
    resolved: int
    events: int
    accounts: list[str]
    actors: list[str]


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """The notifications that one message stands for: they belong together, or are too many.

    `notifications` counts them all. `entries` are by rule, the highest level first and then the
    most alerts; those of further rules are only in the numbers. `alert_ids` are the first of them.
    """

    notifications: int
    raised: int
    updated: int
    resolved: int
    events: int
    entries: list[DigestEntry]
    more_rules: int = 0
    alert_ids: list[str] = []


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, one group, one window.

    `id` is made from these three alone, so that every copy of an alert carries the same one;
    `revision`, which the state counts, grows whenever there is something new to say. The lists are
    sorted and bounded (`detector.windows.bounded`), `truncated` names those that are not complete;
    `count` is exact.
    """

    id: str
    revision: int
    state: AlertState = "open"
    rule_id: str
    rule_name: str = ""
    """The rule's short name, where its file gives one."""
    title: str
    status: Status
    """`stable`; or `test` or `experimental`: the rule is staged, and its alerts are not sent."""
    level: Level
    group: dict[str, GroupValue]
    overflow: bool = False
    """Whether it is of all groups beyond limits.max_groups_per_rule, counted together."""
    counting: Counting = "aligned"
    notify: Notify = "episode"
    dedup_key: str = ""
    """What a receiver should know an incident by: the same for all alerts that belong to it."""
    episode: AlertEpisode | None = None
    window: AlertWindow
    count: int
    statistic: str = "Sum"
    value: float
    """What was compared with the threshold: the count, or what a statistic makes of the events."""
    threshold: float
    comparison_operator: Comparison
    period_seconds: int = 0
    """How long one datapoint is; 0 where there are none."""
    evaluation_periods: int = 1
    datapoints_to_alarm: int = 1
    """So many of so many datapoints that follow on one another must be over the threshold."""
    treat_missing_data: str = ""
    """What a sliding window makes of periods without events, in CloudWatch's words."""
    late: bool
    beyond_retention: bool = False
    """Whether it is of one event that came when its window was not retained any more."""
    suppressed: Suppressed | None = None
    reason: str = ""
    """Why there is an alert, where count and threshold do not say it."""
    first_event_time: str
    last_event_time: str
    max_delay_seconds: float | None = None
    """The longest time from an event to CloudTrail's delivery of it, None where nothing tells."""
    event_names: list[str]
    actors: list[str]
    source_ips: list[str]
    regions: list[str]
    accounts: list[str]
    event_ids: list[str]
    truncated: list[str] = []
    controls: dict[str, str | dict[str, str]]
    tags: list[str]
    description: str
    runbook: str
    evidence: list[Mapping[str, Any]]
    digest: Digest | None = None
    """Where it stands for other alerts, in place of a message for each."""
    test: bool = False
    """Whether somebody only wants to see that it arrives."""


def alert_id(key: WindowKey) -> str:
    """Return the id of the alert that a window raises."""
    identity = msgspec.json.encode([key.rule_id, key.group, key.start, key.period])
    return hashlib.sha256(identity).hexdigest()[:32]


def build_alert(
    rule: Rule, key: WindowKey, state: WindowState, *, has_evidence: bool = True
) -> Alert:
    """Return the alert of a window that is over its rule's threshold.

    Without its evidence where it is only kept until it is made as the window is then: `refreshed`.
    """
    if not has_evidence:
        state = msgspec.structs.replace(state, evidence=[], last_evidence=[])
    settings = rule.file.window
    return _alert(
        rule,
        key,
        state,
        group_by=settings.group_by,
        value=state.value or 0,
        statistic=settings.statistic,
        limit=(settings.comparison_operator, settings.threshold),
        late=state.is_late,
    )


def build_alarm_alert(
    rule: Rule, key: WindowKey, state: WindowState | None, value: float, reason: str
) -> Alert:
    """Return the alert of a sliding window in ALARM; without a state no event caused it."""
    state = state or WindowState(first_event_time=key.start, last_event_time=key.start)
    alert = build_alert(rule, key, state)
    return msgspec.structs.replace(
        alert,
        counting="sliding",
        value=value,
        reason=reason,
        late=False,
    )


def build_single_alert(rule: Rule | Correlation, key: WindowKey, state: WindowState) -> Alert:
    """Return the alert of one event whose window is not retained any more.

    The count of its window is not known, so that it is told whatever the threshold is.
    """
    (_, event_id), (account, *_) = state.event_ids[0], [*state.accounts, ""]
    identity = msgspec.json.encode(
        [key.rule_id, key.group, key.start, key.period, event_id, account]
    )
    if isinstance(rule, Rule):
        group_by: Sequence[str] = rule.file.window.group_by
        limit: tuple[Comparison, float] = (
            rule.file.window.comparison_operator,
            rule.file.window.threshold,
        )
    else:
        group_by = rule.file.correlation.group_by
        limit = _limit(rule.file.correlation.condition, len(rule.members))
    alert = _alert(
        rule,
        key,
        state,
        group_by=group_by,
        value=1,
        statistic="Sum",
        limit=limit,
        late=True,
    )
    return msgspec.structs.replace(
        alert,
        id=hashlib.sha256(identity).hexdigest()[:32],
        counting="single",
        beyond_retention=True,
        reason="The event came when its window was not retained any more: how many others there"
        " are in it is not known",
    )


def build_correlation_alert(correlation: Correlation, key: WindowKey, fired: Fired) -> Alert:
    """Return the alert of a bucket in which a correlation fired."""
    state = gathered(None, fired.contributing)
    settings = correlation.file.correlation
    alert = _alert(
        correlation,
        key,
        msgspec.structs.replace(state, count=state.count + fired.bucket.overflow),
        group_by=settings.group_by,
        value=fired.number,
        statistic=settings.type,
        limit=_limit(settings.condition, len(correlation.members)),
        late=fired.is_late,
    )
    return msgspec.structs.replace(alert, counting="correlation")


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
    value: float,
    statistic: str,
    limit: tuple[Comparison, float],
    late: bool,
) -> Alert:
    overflow = bool(group_by) and not key.group
    identity = alert_id(key)
    return Alert(
        id=identity,
        revision=0,
        rule_id=rule.id,
        rule_name=rule.file.name,
        title=rule.file.title,
        status=rule.file.status,
        level=rule.file.level,
        group={} if overflow else dict(zip(group_by, key.group, strict=True)),
        overflow=overflow,
        notify=rule.file.notify,
        dedup_key=identity,
        window=AlertWindow(utc(key.start), utc(key.end)),
        statistic=statistic,
        value=value,
        threshold=limit[1],
        comparison_operator=limit[0],
        controls=dict(rule.file.controls),
        tags=list(rule.file.tags),
        description=rule.file.description,
        runbook=rule.file.runbook,
        **_datapoints(rule),
        **{**detail(state), "late": late},
    )


def _datapoints(rule: Rule | Correlation) -> dict[str, Any]:
    if not isinstance(rule, Rule):
        return {"period_seconds": rule.timespan}
    settings = rule.file.window
    return {
        "period_seconds": settings.period,
        "evaluation_periods": settings.evaluation_periods,
        "datapoints_to_alarm": settings.breaches_to_alarm,
        "treat_missing_data": settings.treat_missing_data if settings.mode == "sliding" else "",
    }


def refreshed(alert: Alert, state: WindowState) -> Alert:
    """Return the alert of an aligned window as the window is now."""
    return msgspec.structs.replace(alert, value=state.value or 0, **detail(state))


def detail(state: WindowState) -> dict[str, Any]:
    """Return the fields of an alert that say which events there are, and who caused them."""
    event_ids = [event_id for _, event_id in (*state.event_ids, *state.last_event_ids)]
    truncated = list(state.sampled)
    if len(event_ids) < state.count:
        truncated.append("event_ids")
    return {
        "count": state.count,
        "late": state.is_late,
        "first_event_time": utc(state.first_event_time),
        "last_event_time": utc(state.last_event_time),
        "max_delay_seconds": None if state.delay is None else round(state.delay, 3),
        "event_names": sorted(state.event_names),
        "actors": sorted(state.actors),
        "source_ips": sorted(state.source_ips),
        "regions": sorted(state.regions),
        "accounts": sorted(state.accounts),
        "event_ids": event_ids,
        "truncated": truncated,
        "evidence": [
            msgspec.json.decode(item.record) for item in (*state.evidence, *state.last_evidence)
        ],
    }


def with_episode(
    alert: Alert, key: WindowKey, episode: Episode, count: int, sent_window: int
) -> Alert:
    """Return an alert as part of an episode, of so many events.

    `sent_window` is the start of the window by whose alert receivers know the episode.
    """
    each = alert.notify != "episode"
    return msgspec.structs.replace(
        alert,
        dedup_key=alert.id if each else alert_id(msgspec.structs.replace(key, start=sent_window)),
        episode=AlertEpisode(
            id=alert_id(msgspec.structs.replace(key, start=episode.first)),
            start=utc(episode.first),
            end=utc(episode.end(key.period)),
            windows=len(episode.windows) + episode.earlier,
            count=count + episode.earlier_count,
        ),
    )


def utc(seconds: float) -> str:
    """Return a time as CloudTrail writes it: RFC 3339, UTC, with a fraction only if it has one."""
    moment = datetime.fromtimestamp(seconds, UTC)
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
