"""Sliding windows: CloudWatch's alarms, evaluated as the clock goes on."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from detector.alerts.alert import alert_id, build_alarm_alert
from detector.counting.alerting import Alerting
from detector.counting.context import Context
from detector.rules.rule import Rule
from detector.state.store import Timer
from detector.windows.aligned import Observation, WindowKey
from detector.windows.sliding import (
    SlidingState,
    Transition,
    advance,
    arrive,
    initial_state,
    next_evaluation,
)
from detector.windows.statistic import Sample

Match = tuple[Observation, Sample]


class AlarmState(msgspec.Struct):
    """What is kept of one alarm; `start` and `period` are those of its alert's window."""

    state: SlidingState
    start: int | None = None
    period: int = 0
    value: float = 0
    reason: str = ""
    is_told: bool = False
    unlisted: int = 0
    """Events of the datapoints of which nothing more is known, as the detail is bounded."""


class SlidingWindows:
    """Counts the matches of one transaction by their arrival, and evaluates alarms."""

    def __init__(self, context: Context, alerting: Alerting) -> None:
        self._context = context
        self._alerting = alerting
        self._matches: dict[bytes, tuple[Rule, WindowKey, list[Match]]] = {}

    def begin(self, rules: Iterable[Rule]) -> None:
        """Create the alarms that are there without any event: those that count nothing apart."""
        for rule in rules:
            if rule.file.window.mode == "sliding" and not rule.group_by:
                key = WindowKey(rule.id, (), 0, 0)
                if self._context.transaction.load(key, AlarmState) is None:
                    self._keep(rule, key, AlarmState(initial_state(self._context.now)))

    def observe(self, rule: Rule, key: WindowKey, match: Match) -> None:
        """Take note of a match; the key is that of the alarm, without a window."""
        self._matches.setdefault(key.identity, (rule, key, []))[2].append(match)

    def finish(self) -> None:
        """Count what was noted."""
        now = self._context.now
        for rule, key, matches in self._matches.values():
            kept = self._context.transaction.load(key, AlarmState)
            kept = self._advanced(rule, key, kept or AlarmState(initial_state(now)))
            kept.state = arrive(kept.state, matches, now, rule.file.window)
            if kept.start is not None:
                self._tell(rule, key, kept, pages=False)
            self._keep(rule, key, kept)
        self._matches.clear()

    def look(self, rule: Rule, key: WindowKey) -> None:
        """Evaluate an alarm as far as the clock has come."""
        kept = self._context.transaction.load(key, AlarmState)
        if kept is None:
            self._context.transaction.set_timer(Timer(key, None, None))
        else:
            self._keep(rule, key, self._advanced(rule, key, kept))

    def _advanced(self, rule: Rule, key: WindowKey, kept: AlarmState) -> AlarmState:
        kept.state, transitions = advance(kept.state, self._context.now, rule.file.window)
        for transition in transitions:
            self._follow(rule, key, kept, transition)
        return kept

    def _follow(self, rule: Rule, key: WindowKey, kept: AlarmState, transition: Transition) -> None:
        if transition.state == "ALARM":
            kept.start = transition.start
            kept.period = transition.end - transition.start
            kept.value = transition.datapoints[-1].value if transition.datapoints else 0
            kept.reason = transition.reason
            kept.is_told = False
            samples = sum(item.samples for item in transition.datapoints)
            kept.unlisted = samples - (transition.detail.count if transition.detail else 0)
            self._tell(rule, key, kept, pages=True)
        elif kept.start is not None:
            self._alerting.alarm_ended(rule, alert_id(self._window(key, kept)))
            kept.start = None

    def _tell(self, rule: Rule, key: WindowKey, kept: AlarmState, *, pages: bool) -> None:
        alert = build_alarm_alert(
            rule, self._window(key, kept), kept.state.detail, kept.value, kept.reason
        )
        alert = msgspec.structs.replace(alert, count=alert.count + kept.unlisted)
        # What a silence has kept until now pages when something comes that it does not hold.
        is_due = self._alerting.tells(rule) and not kept.is_told
        kept.is_told = self._alerting.alarmed(rule, alert, pages=pages or is_due)

    def _window(self, key: WindowKey, kept: AlarmState) -> WindowKey:
        assert kept.start is not None  # noqa: S101 - asked only of an alarm that has an alert
        return msgspec.structs.replace(key, start=kept.start, period=kept.period)

    def _keep(self, rule: Rule, key: WindowKey, kept: AlarmState) -> None:
        self._context.transaction.save(key, kept)
        self._context.transaction.set_timer(
            Timer(key, None, next_evaluation(kept.state, rule.file.window))
        )
