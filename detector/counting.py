"""What matched events do to windows and correlations, within the transaction of their delivery."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

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
from detector.windows.correlated import Bucket, Carried, Point, Value, fire, insert, way_up

Raised = tuple[Verdict, Rule | Correlation, Alert]

Identity = bytes
"""A window's key as the state knows it: in Python 1, 1.0 and True are one, there they are not."""


class Counting:
    """Counts the matches of one delivery; `late_after` is in seconds."""

    def __init__(self, rules: RuleSet, transaction: Transaction, late_after: float) -> None:
        self._rules = rules
        self._transaction = transaction
        self._late_after = late_after
        self._windows: dict[Identity, tuple[WindowKey, Rule, list[Observation]]] = {}
        self._points: dict[str, dict[Identity, tuple[WindowKey, list[Point]]]] = {}

    def observe(self, event: Event, rules: Sequence[Rule]) -> Observation:
        """Take note of an event that was not seen before, and of the rules that it matches."""
        observation = self._observation(event)
        for rule in rules:
            if self._rules.stands_alone(rule.id):
                key = _window_key(rule, event)
                entry = self._windows.setdefault(_identity(key), (key, rule, []))
                entry[2].append(observation)
            carried: dict[str, Carried] = {}
            self._carry(rule.id, event, carried)
            for correlation in self._rules.correlations_about(rule.id):
                self._add_point(correlation, rule.id, carried, observation)
        return observation

    def results(self) -> Iterator[Raised]:
        """Count, and yield each window that is over its threshold and has changed."""
        for key, rule, observations in self._windows.values():
            state, verdict = add(
                self._transaction.load(key, WindowState),
                observations,
                rule.file.window.is_crossed_by,
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

    def _carry(self, member: str, event: Event, carried: dict[str, Carried]) -> None:
        """Note an event's group and value in every correlation above a member, by every way up."""
        for outer in self._rules.correlations_about(member):
            way = way_up(member, outer.id)
            if way not in carried:
                group = tuple(_group_value(event, ways[member]) for ways in outer.group_by)
                carried[way] = Carried(group, _value(event, outer))
                self._carry(outer.id, event, carried)

    def _add_point(
        self,
        correlation: Correlation,
        member: str,
        carried: dict[str, Carried],
        observation: Observation,
    ) -> None:
        here = carried.get(way_up(member, correlation.id))
        if here is None:
            return  # the match was kept before the correlation was there
        period = correlation.timespan
        key = WindowKey(correlation.id, here.group, window_start(observation.time, period), period)
        event = observation.event_id, observation.account
        point = Point(observation.time, event, member, here.value, observation, carried)
        added = self._points.setdefault(correlation.id, {})
        added.setdefault(_identity(key), (key, []))[1].append(point)

    def _correlate(self, correlation: Correlation) -> Iterator[Raised]:
        changed: dict[Identity, tuple[WindowKey, Bucket]] = {}
        for key, points in self._points.pop(correlation.id, {}).values():
            changed[_identity(key)] = key, insert(self._bucket(key), points)
        # What is new in a bucket can make something fire in it, and in the one after it.
        for key, _ in list(changed.values()):
            following = _shifted(key, 1)
            identity = _identity(following)
            if identity not in changed:
                changed[identity] = following, self._bucket(following)
        for identity, (key, bucket) in sorted(changed.items(), key=lambda item: item[1][0].start):
            previous = _shifted(key, -1)
            known = changed.get(_identity(previous))
            before = known[1] if known else self._bucket(previous)
            fired = fire(correlation, before, bucket, key.start) if bucket.points else None
            if fired is None:
                if bucket.points:
                    self._transaction.save(key, bucket)
                continue
            changed[identity] = key, fired.bucket
            self._transaction.save(key, fired.bucket)
            for outer in self._rules.correlations_about(correlation.id):
                for firing in fired.fresh:
                    point = firing.point
                    self._add_point(outer, correlation.id, point.carried, point.observation)
            if fired.is_news and self._rules.stands_alone(correlation.id):
                is_first = fired.bucket.revision == 1
                verdict = Verdict.RAISED if is_first else Verdict.UPDATED
                yield verdict, correlation, build_correlation_alert(correlation, key, fired)

    def _bucket(self, key: WindowKey) -> Bucket:
        return self._transaction.load(key, Bucket) or Bucket()


def _identity(key: WindowKey) -> Identity:
    return msgspec.json.encode(key)


def _shifted(key: WindowKey, periods: int) -> WindowKey:
    return msgspec.structs.replace(key, start=key.start + periods * key.period)


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
    return _finite(number) if is_number(number) else None


def _finite(number: float) -> float | None:
    """Return a number, or None for one that no double holds: a caller of AWS may have chosen it."""
    try:
        return number if math.isfinite(number) else None
    except OverflowError:
        return None
