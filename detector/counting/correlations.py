"""Correlations: matches of several rules, kept by group and timespan, and what fires of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detector.alerts.alert import build_correlation_alert
from detector.counting.alerting import Alerting
from detector.counting.context import Context
from detector.counting.observing import correlated_value, group_value
from detector.counting.singles import Singles
from detector.events.record import Event
from detector.rules.correlation import Correlation
from detector.state.store import Timer
from detector.windows.aligned import Observation, WindowKey, window_start
from detector.windows.correlated import Bucket, Carried, Fired, Point, fire, insert, way_up


class Correlations:
    """Keeps the matches of one transaction, and decides what fires."""

    def __init__(self, context: Context, alerting: Alerting, singles: Singles) -> None:
        self._context = context
        self._alerting = alerting
        self._singles = singles
        self._points: dict[str, dict[bytes, tuple[WindowKey, list[Point]]]] = {}

    def observe(self, rule_id: str, event: Event, observation: Observation) -> None:
        """Take note of a rule's match for all correlations above the rule."""
        about = self._context.rules.correlations_about(rule_id)
        if not about:
            return
        carried: dict[str, Carried] = {}
        self._carry(rule_id, event, carried)
        for correlation in about:
            self._add_point(correlation, rule_id, carried, observation)

    def finish(self) -> None:
        """Keep what was noted, and tell of what fires."""
        for correlation in self._context.rules.correlations:  # inner ones before what is above them
            self._correlate(correlation)

    def complete(self, correlation: Correlation, key: WindowKey) -> None:
        """Decide a bucket of which all matches should be there."""
        self._context.transaction.set_timer(Timer(key, None, None))
        bucket = self._bucket(key)
        bucket.is_complete = True
        self._decide(correlation, key, self._bucket(_shifted(key, -1)), bucket)

    def _carry(self, member: str, event: Event, carried: dict[str, Carried]) -> None:
        """Note an event's group and value in every correlation above a member, by every way up."""
        for outer in self._context.rules.correlations_about(member):
            way = way_up(member, outer.id)
            if way not in carried:
                group = tuple(group_value(event, ways[member]) for ways in outer.group_by)
                carried[way] = Carried(group, correlated_value(event, outer))
                self._carry(outer.id, event, carried)

    def _add_point(
        self,
        correlation: Correlation,
        member: str,
        carried: dict[str, Carried],
        observation: Observation,
    ) -> None:
        here = carried.get(way_up(member, correlation.id))
        if here is None or len(here.group) != len(correlation.group_by):
            return  # the match was kept before the correlation was there, or was as it is now
        period = correlation.timespan
        start = window_start(observation.time, period)
        key = self._context.admitted(WindowKey(correlation.id, here.group, start, period))
        if not self._context.is_retained(expires_at(key)):
            if self._context.rules.stands_alone(correlation.id):
                self._singles.observe(correlation, key, observation)
            return
        event = observation.event_id, observation.account
        point = Point(observation.time, event, member, here.value, observation, carried)
        added = self._points.setdefault(correlation.id, {})
        added.setdefault(key.identity, (key, []))[1].append(point)

    def _correlate(self, correlation: Correlation) -> None:
        changed: dict[bytes, tuple[WindowKey, Bucket]] = {}
        for key, points in self._points.pop(correlation.id, {}).values():
            changed[key.identity] = key, insert(self._bucket(key), points)
        # What is new in a bucket can make something fire in it, and in the one after it.
        for key, _ in list(changed.values()):
            following = _shifted(key, 1)
            if following.identity not in changed:
                changed[following.identity] = following, self._bucket(following)
        for identity, (key, bucket) in sorted(changed.items(), key=lambda item: item[1][0].start):
            if not bucket.points:
                continue
            previous = _shifted(key, -1)
            known = changed.get(previous.identity)
            before = known[1] if known else self._bucket(previous)
            if correlation.only_grows or bucket.is_complete:
                changed[identity] = key, self._decide(correlation, key, before, bucket)
            else:
                self._context.wait_for(key)
                self._save(key, bucket)

    def _decide(
        self, correlation: Correlation, key: WindowKey, before: Bucket, bucket: Bucket
    ) -> Bucket:
        """Tell of what fires in a bucket, or of what does no more, and keep the bucket."""
        fired = fire(correlation, before, bucket, key.start)
        stands_alone = self._context.rules.stands_alone(correlation.id)
        if fired is None:
            bucket = msgspec.structs.replace(bucket, fired=[], digest="")
            if bucket.is_alerting:
                self._alerting.turn(correlation, key, breaching=False)
                self._alerting.withdrawn(correlation, key)
                bucket.is_alerting = False
        else:
            bucket = fired.bucket
            self._hand_up(correlation, fired)
            if stands_alone:
                self._tell(correlation, key, fired, bucket)
        self._save(key, bucket)
        return bucket

    def _hand_up(self, correlation: Correlation, fired: Fired) -> None:
        outer: Sequence[Correlation] = self._context.rules.correlations_about(correlation.id)
        for above in outer:
            for firing in fired.fresh:
                point = firing.point
                self._add_point(above, correlation.id, point.carried, point.observation)

    def _tell(self, correlation: Correlation, key: WindowKey, fired: Fired, bucket: Bucket) -> None:
        if bucket.is_alerting and not fired.is_news:
            return
        alert = build_correlation_alert(correlation, key, fired)
        if not bucket.is_alerting:
            bucket.is_alerting = True
            self._alerting.turn(correlation, key, breaching=True)
        elif bucket.is_told or not self._alerting.tells(correlation, alert.accounts):
            self._alerting.updated(correlation, key, alert, alert.count, alert.accounts)
            return
        bucket.is_told = self._alerting.raised(correlation, key, alert)

    def _bucket(self, key: WindowKey) -> Bucket:
        return self._context.transaction.load(key, Bucket) or Bucket()

    def _save(self, key: WindowKey, bucket: Bucket) -> None:
        self._context.transaction.save(key, bucket, expires_at(key))


def expires_at(key: WindowKey) -> float:
    """Return the event time from which on nothing needs a bucket: the next one looks back at it."""
    return key.end + key.period


def _shifted(key: WindowKey, periods: int) -> WindowKey:
    return msgspec.structs.replace(key, start=key.start + periods * key.period)
