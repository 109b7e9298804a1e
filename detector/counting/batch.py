"""The matches of one transaction, and the timers that run out: handed to what counts them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from detector.counting.alerting import Alerting
from detector.counting.aligned import AlignedWindows, expires_at
from detector.counting.context import Context, counts_under
from detector.counting.correlations import Correlations
from detector.counting.observing import group_of, observation_of, sample_of
from detector.counting.singles import Singles, is_single
from detector.counting.sliding import SlidingWindows, alarm_key, is_alarm
from detector.events.record import Event
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.state.store import Timer
from detector.windows.aligned import Observation, WindowKey, window_start


class Batch:
    """Counts all that one transaction is about."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._alerting = Alerting(context)
        self._singles = Singles(context, self._alerting)
        self._aligned = AlignedWindows(context, self._alerting)
        self._sliding = SlidingWindows(context, self._alerting)
        self._correlations = Correlations(context, self._alerting, self._singles)

    def begin(self) -> None:
        """Create what is there before any event."""
        self._sliding.begin(self._context.rules.rules.values())

    def observe(self, event: Event, rules: Sequence[Rule]) -> Observation:
        """Take note of an event that was not seen before, and of the rules that it matches."""
        observation = observation_of(event, self._context.settings.late_after)
        for rule in rules:
            if self._context.rules.stands_alone(rule.id):
                self._observe(rule, event, observation)
            self._correlations.observe(rule.id, event, observation)
        return observation

    def finish(self) -> None:
        """Count what was noted, and tell of what is new."""
        self._aligned.finish()
        self._sliding.finish()
        self._correlations.finish()
        self._alerting.finish()

    def look(self, timers: Iterable[Timer]) -> None:
        """Do what was put off until now."""
        for timer in timers:
            self._look(timer.key)

    def _observe(self, rule: Rule, event: Event, observation: Observation) -> None:
        settings = rule.file.window
        group = group_of(rule, event)
        if settings.mode == "sliding":
            key = self._context.admitted(alarm_key(rule.id, group))
            sample = sample_of(rule, event) if settings.literal is None else settings.literal
            self._sliding.observe(rule, key, (observation, sample))
            return
        start = window_start(observation.time, settings.period)
        key = WindowKey(rule.id, group, start, settings.period)
        if self._context.is_retained(expires_at(rule, key)):
            self._aligned.observe(rule, key, (observation, sample_of(rule, event)))
        else:
            self._singles.observe(rule, self._context.admitted(key), observation)

    def _look(self, key: WindowKey) -> None:
        rule = self._context.rules.get(key.rule_id)
        if is_single(key):
            self._singles.look(key)
        elif is_alarm(key):
            self._sliding.look(rule, key)
        elif not key.period:
            self._alerting.look(rule, key)
        elif rule is None or not counts_under(rule, key):
            self._context.transaction.set_timer(Timer(key, None, None))
        elif isinstance(rule, Correlation):
            self._correlations.complete(rule, key)
        else:
            self._aligned.complete(rule, key)
