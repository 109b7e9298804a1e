"""Windows of event time: matches counted under their keys, and what that does to alerts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detector.alerts.alert import Alert, build_alert
from detector.counting.alerting import Alerting
from detector.counting.context import Context
from detector.rules.rule import Rule
from detector.state.store import Timer
from detector.windows.aligned import Match, WindowKey, WindowState, add_to


class AlignedWindows:
    """Counts the matches of one transaction, each key once."""

    def __init__(self, context: Context, alerting: Alerting) -> None:
        self._context = context
        self._alerting = alerting
        self._matches: dict[bytes, tuple[Rule, WindowKey, list[Match]]] = {}
        self._states: dict[bytes, tuple[Rule, WindowKey, WindowState]] = {}

    def observe(self, rule: Rule, key: WindowKey, match: Match) -> None:
        """Take note of a match."""
        self._matches.setdefault(key.identity, (rule, key, []))[2].append(match)

    def finish(self) -> None:
        """Count what was noted, decide what can be decided, and keep the states."""
        changed = {}
        for rule, key, matches in self._matches.values():
            counted = self._add(rule, key, matches)
            changed[counted.identity] = rule, counted
        self._matches.clear()
        for rule, key in changed.values():
            self._count(rule, key)
        for rule, key, state in self._states.values():
            self._context.transaction.save(key, state, expires_at(rule, key))
        self._states.clear()

    def complete(self, rule: Rule, key: WindowKey) -> None:
        """Decide a window of which all events should be there."""
        state = self._context.transaction.load(key, WindowState)
        self._context.transaction.set_timer(Timer(key, None, None))
        if state is not None:
            state.is_complete = True
            self._states[key.identity] = rule, key, state
            self._decide(rule, key, state, has_more=False)
            self.finish()

    def _add(self, rule: Rule, key: WindowKey, matches: Sequence[Match]) -> WindowKey:
        """Count matches, and return under which key: there may be too many groups."""
        state = self._context.transaction.load(key, WindowState)
        if state is None:
            key = self._context.admitted(key, len(matches))
            state = self._state(rule, key)
        add_to(state, matches, rule.file.window)
        self._states[key.identity] = rule, key, state
        return key

    def _count(self, rule: Rule, key: WindowKey) -> None:
        state = self._states[key.identity][2]
        if rule.file.window.is_raised_by_more or state.is_complete:
            self._decide(rule, key, state, has_more=True)
        else:
            self._context.wait_for(key)

    def _decide(self, rule: Rule, key: WindowKey, state: WindowState, *, has_more: bool) -> None:
        settings = rule.file.window
        breaching = settings.is_breached_by(state.value)
        was_alerting = state.is_alerting
        if breaching is not state.is_breaching:
            state.is_breaching = breaching
            change = self._alerting.turn(rule, key, breaching=breaching, settings=settings)
            for start in change.withdrawn:
                self._withdraw(rule, msgspec.structs.replace(key, start=start))
            for start in change.raised:
                self._raise(rule, msgspec.structs.replace(key, start=start))
        if has_more and was_alerting and state.is_alerting:
            self._update(rule, key, state)

    def _raise(self, rule: Rule, key: WindowKey) -> None:
        state = self._state(rule, key)
        if not state.count:
            del self._states[key.identity]
            return  # it is not retained any more: the rule looked back at fewer windows
        state.is_alerting = True
        state.is_told = self._alerting.raised(rule, key, _alert(rule, key, state))

    def _update(self, rule: Rule, key: WindowKey, state: WindowState) -> None:
        if not state.is_told and self._alerting.tells(rule, state.accounts):
            alert = _alert(rule, key, state)
            if not self._alerting.suppressed(rule, alert):
                state.is_told = self._alerting.raised(rule, key, alert)
            return
        self._alerting.updated(rule, key, None, state.count, sorted(state.accounts))

    def _withdraw(self, rule: Rule, key: WindowKey) -> None:
        self._state(rule, key).is_alerting = False
        self._alerting.withdrawn(rule, key)

    def _state(self, rule: Rule, key: WindowKey) -> WindowState:
        """Return a window's state, to be kept with those that have changed."""
        found = self._states.get(key.identity)
        if found is None:
            state = self._context.transaction.load(key, WindowState) or WindowState()
            found = self._states[key.identity] = rule, key, state
        return found[2]


def _alert(rule: Rule, key: WindowKey, state: WindowState) -> Alert:
    return build_alert(rule, key, state, has_evidence=False)


def expires_at(rule: Rule, key: WindowKey) -> float:
    """Return the event time from which on nothing needs a window; later ones may look back."""
    return key.end + (rule.file.window.evaluation_periods - 1) * key.period
