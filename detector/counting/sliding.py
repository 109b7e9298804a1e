"""Sliding windows: CloudWatch's alarms, evaluated as the clock goes on."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from detector.alerts.alert import alert_id, build_alarm_alert
from detector.counting.alerting import Alerting
from detector.counting.context import Context, counts_under
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.state.store import Timer
from detector.windows.aligned import GroupValue, Match, WindowKey
from detector.windows.schedule import MINUTE
from detector.windows.sliding import (
    SlidingState,
    Transition,
    advance,
    arrive,
    initial_state,
    next_evaluation,
)

LOOK_SECONDS = 86_400.0
"""How often an alarm is looked at that nothing more will change: its rule may be gone."""

SET_BACK_SECONDS = 2.0 * MINUTE
"""How far ahead of the clock an alarm may be. One further ahead was evaluated by a clock that was
set back since, and would be deaf until the clock is there again."""

_ALARM = -1
"""Stands for the start of no window: an alarm is kept beside what is known of aligned windows,
which the same rule may have had before."""


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


def alarm_key(rule_id: str, group: tuple[GroupValue, ...]) -> WindowKey:
    """Return the key under which the alarm of a rule and group is kept."""
    return WindowKey(rule_id, group, _ALARM, 0)


def is_alarm(key: WindowKey) -> bool:
    """Return whether a key is an alarm's."""
    return key.start == _ALARM and not key.period


class SlidingWindows:
    """Counts the matches of one transaction by their arrival, and evaluates alarms."""

    def __init__(self, context: Context, alerting: Alerting) -> None:
        self._context = context
        self._alerting = alerting
        self._matches: dict[bytes, tuple[Rule, WindowKey, list[Match]]] = {}

    def begin(self, rules: Iterable[Rule]) -> None:
        """Create the alarms that are there without any event: those that count nothing apart.

        Those that are there already are evaluated anew: the rule may ask for something else now.
        """
        new = initial_state(self._context.now)
        for rule in rules:
            if rule.file.window.mode == "sliding" and not rule.group_by:
                key = alarm_key(rule.id, ())
                kept = self._context.transaction.load(key, AlarmState)
                if kept is not None:
                    kept = self._advanced(rule, key, kept)
                    kept.state.is_new = True
                    kept.state.decided = max(kept.state.decided, new.decided)
                self._keep(rule, key, kept or AlarmState(new))

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

    def look(self, rule: Rule | Correlation | None, key: WindowKey) -> None:
        """Evaluate an alarm as far as the clock has come; end one that its rule does not have."""
        kept = self._context.transaction.load(key, AlarmState)
        if kept is None:
            self._context.transaction.set_timer(Timer(key, None, None))
        elif isinstance(rule, Rule) and counts_under(rule, key):
            self._keep(rule, key, self._advanced(rule, key, kept))
        else:
            if kept.start is not None:
                self._alerting.alarm_ended(rule, alert_id(self._window(key, kept)))
            self._context.transaction.drop(key)

    def _advanced(self, rule: Rule, key: WindowKey, kept: AlarmState) -> AlarmState:
        now = self._context.now
        if kept.state.decided > now + SET_BACK_SECONDS:
            new = initial_state(now)
            kept.state = msgspec.structs.replace(
                new, alarm=kept.state.alarm, since=kept.state.since, detail=kept.state.detail
            )
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
        is_due = not kept.is_told and self._alerting.tells(rule, alert.accounts)
        kept.is_told = self._alerting.alarmed(
            rule, alert, pages=pages or is_due, is_whole=not kept.unlisted
        )

    def _window(self, key: WindowKey, kept: AlarmState) -> WindowKey:
        assert kept.start is not None  # noqa: S101 - asked only of an alarm that has an alert
        return key.window(kept.start, kept.period)

    def _keep(self, rule: Rule, key: WindowKey, kept: AlarmState) -> None:
        self._context.transaction.save(key, kept)
        wall_at: float | None = next_evaluation(kept.state, rule.file.window)
        if wall_at is None and kept.start is not None:
            wall_at = self._context.now + LOOK_SECONDS
        self._context.transaction.set_timer(Timer(key, None, wall_at))
