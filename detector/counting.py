"""What matched events do to windows and correlations, within the transaction of their delivery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from detector.alerts.alert import Alert, build_alert, build_correlation_alert
from detector.events.actor import actor
from detector.events.projection import dict_getter
from detector.events.record import Event
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.rules.syntax import Selector
from detector.rules.values import MISSING, is_number, number_of
from detector.state.store import Transaction
from detector.windows.aligned import (
    GroupValue,
    Observation,
    Verdict,
    WindowKey,
    WindowState,
    add,
    window_start,
)
from detector.windows.correlated import Bucket, Carried, Firing, Point, Value, firings, insert

Raised = tuple[Verdict, Rule | Correlation, Alert]


class Counting:
    """Counts the matches of one delivery; `late_after` is in seconds."""

    def __init__(self, rules: RuleSet, transaction: Transaction, late_after: float) -> None:
        self._rules = rules
        self._transaction = transaction
        self._late_after = late_after
        self._windows: dict[WindowKey, tuple[Rule, list[Observation]]] = {}
        self._points: dict[str, dict[WindowKey, list[Point]]] = {}

    def observe(self, event: Event, rules: Sequence[Rule]) -> Observation:
        """Take note of an event that was not seen before, and of the rules that it matches."""
        observation = self._observation(event)
        for rule in rules:
            if self._rules.stands_alone(rule.id):
                key = _window_key(rule, event)
                self._windows.setdefault(key, (rule, []))[1].append(observation)
            for correlation in self._rules.correlations_about(rule.id):
                carried = self._carried(correlation, rule.id, event)
                self._add_point(
                    correlation, rule.id, carried.pop(correlation.id), carried, observation
                )
        return observation

    def results(self) -> Iterable[Raised]:
        """Count, and yield each window that is over its threshold and has changed."""
        for key, (rule, observations) in self._windows.items():
            is_crossed_by = rule.file.window.is_crossed_by
            state, verdict = add(
                self._transaction.load(key, WindowState), observations, is_crossed_by
            )
            self._transaction.save(key, state)
            if verdict is not Verdict.SILENT:
                yield verdict, rule, build_alert(rule, key, state)
        for correlation in self._rules.correlations:  # inner ones before those that are about them
            yield from self._correlate(correlation)

    def _observation(self, event: Event) -> Observation:
        age = event.age
        return Observation(
            time=event.time,
            event_id=event.identity.event_id,
            is_late=age is not None and age > self._late_after,
            event_name=event.text("eventName"),
            actor=actor(event.record),
            source_ip=event.text("sourceIPAddress"),
            region=event.text("awsRegion"),
            account=event.identity.account,
            record=event.record,
        )

    def _carried(self, correlation: Correlation, member: str, event: Event) -> dict[str, Carried]:
        """Return an event's group and value in a correlation, and in all those further up."""
        found = {
            correlation.id: Carried(
                tuple(_group_value(event, ways[member]) for ways in correlation.group_by),
                _value(event, correlation),
            )
        }
        for outer in self._rules.correlations_about(correlation.id):
            found |= self._carried(outer, correlation.id, event)
        return found

    def _add_point(
        self,
        correlation: Correlation,
        member: str,
        here: Carried,
        carried: dict[str, Carried],
        observation: Observation,
    ) -> None:
        period = correlation.timespan
        key = WindowKey(correlation.id, here.group, window_start(observation.time, period), period)
        point = Point(
            observation.time,
            observation.event_id,
            correlation.members.index(member),
            here.value,
            observation,
            carried,
        )
        self._points.setdefault(correlation.id, {}).setdefault(key, []).append(point)

    def _correlate(self, correlation: Correlation) -> Iterable[Raised]:
        added = self._points.pop(correlation.id, {})
        buckets: dict[WindowKey, Bucket] = {}
        for key, points in added.items():
            buckets[key] = insert(self._bucket(key), points)
        touched = dict.fromkeys(added) | {_next(key): None for key in added}
        for key in sorted(touched, key=lambda key: key.start):
            bucket = buckets.get(key) or self._bucket(key)
            before = buckets.get(_previous(key)) or self._bucket(_previous(key))
            if bucket.points:
                yield from self._fire(correlation, key, before, bucket)

    def _fire(
        self, correlation: Correlation, key: WindowKey, before: Bucket, bucket: Bucket
    ) -> Iterable[Raised]:
        settings = correlation.file.correlation
        points = [*before.points, *bucket.points]
        arguments = (settings.type, settings.condition, len(correlation.members))
        found = list(firings(*arguments, correlation.timespan, points, key.start))
        fired = set(bucket.fired)
        fresh = [firing for firing in found if firing.point.event_id not in fired]
        bucket.fired = sorted({*fired, *(firing.point.event_id for firing in fresh)})
        verdict = Verdict.SILENT
        if found:
            bucket.revision += 1
            verdict = Verdict.RAISED if bucket.revision == 1 else Verdict.UPDATED
        self._transaction.save(key, bucket)
        for outer in self._rules.correlations_about(correlation.id):
            for firing in fresh:
                carried = dict(firing.point.carried)
                here = carried.pop(outer.id)
                self._add_point(outer, correlation.id, here, carried, firing.point.observation)
        if verdict is not Verdict.SILENT and self._rules.stands_alone(correlation.id):
            contributing = _contributing(points, found, correlation.timespan)
            on_time = [point for point in points if not point.observation.is_late]
            is_late = len(on_time) < len(points) and not any(
                True for _ in firings(*arguments, correlation.timespan, on_time, key.start)
            )
            yield (
                verdict,
                correlation,
                build_correlation_alert(
                    correlation, key, bucket, contributing, found[-1].number, is_late=is_late
                ),
            )

    def _bucket(self, key: WindowKey) -> Bucket:
        return self._transaction.load(key, Bucket) or Bucket()


def _contributing(
    points: Sequence[Point], found: Sequence[Firing], timespan: float
) -> list[Observation]:
    """Return, once each, the observations within a timespan before any match that fired."""
    ends = [firing.point.time for firing in found]
    seen: dict[str, Observation] = {}
    next_end = 0
    for point in points:
        while next_end < len(ends) and ends[next_end] < point.time:
            next_end += 1
        if next_end < len(ends) and point.time > ends[next_end] - timespan:
            seen.setdefault(point.event_id, point.observation)
    return list(seen.values())


def _next(key: WindowKey) -> WindowKey:
    return msgspec.structs.replace(key, start=key.start + key.period)


def _previous(key: WindowKey) -> WindowKey:
    return msgspec.structs.replace(key, start=key.start - key.period)


def _window_key(rule: Rule, event: Event) -> WindowKey:
    group = tuple(_group_value(event, selector) for _, selector in rule.group_by)
    period = rule.file.window.period
    return WindowKey(rule.id, group, window_start(event.time, period), period)


def _group_value(event: Event, selector: Selector) -> GroupValue:
    value = dict_getter(selector)(event.record)
    if value is MISSING:
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return msgspec.json.encode(value, order="deterministic").decode()


def _value(event: Event, correlation: Correlation) -> Value | None:
    """Return what a correlation counts of an event, or None where the event does not have it."""
    if not correlation.fields:
        return None
    values = tuple(_group_value(event, selector) for selector in correlation.fields)
    if not correlation.counts_numbers:
        return None if None in values else values
    number = number_of(values[0]) if isinstance(values[0], str) else values[0]
    return number if is_number(number) else None
