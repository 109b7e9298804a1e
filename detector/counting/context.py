"""What all that is counted in one transaction has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from detector.alerts.routing import Router
from detector.alerts.silence import Silence
from detector.envelopes.payload import Limits
from detector.quarantine.keeping import MAX_ENTRY_BYTES
from detector.rules.correlation import Correlation
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.state.store import Timer, Transaction
from detector.windows.aligned import Verdict, WindowKey

LATE_AFTER_SECONDS = 900.0
"""CloudTrail delivers after some five minutes on average; three times that is out of the ordinary.
Smaller, and common delays are called late; larger, and an outage goes unremarked."""

QUIET_SECONDS = 900.0
"""Three periods of the benchmark's alarms. Smaller, and an attacker who pauses pages twice; larger,
and what has nothing to do with it is taken for the same."""

RETENTION_SECONDS = 86_400.0
"""CloudTrail is some minutes late as a rule, hours in an outage."""

MAX_GROUPS_PER_RULE = 10_000
"""A window's state takes some kilobytes, so that a rule's take some 100 MB at most. An attacker who
makes up names that a rule groups by fills no disk."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How deliveries are read, events counted, and who is told; times are in seconds.

    `routing` says which sinks get an alert. `late_after` is how long after an event its
    delivery is late, `retention` how long windows wait for events that are. Episodes end after
    `quiet`. A sink is told again of an alert after `update_interval`. Of what could not be
    understood `max_quarantined_bytes` are kept of each.
    """

    routing: Router = field(default_factory=Router)
    late_after: float = LATE_AFTER_SECONDS
    update_interval: float = 60.0
    quiet: float = QUIET_SECONDS
    retention: float = RETENTION_SECONDS
    max_groups: int = MAX_GROUPS_PER_RULE
    limits: Limits = field(default_factory=Limits)
    max_quarantined_bytes: int = MAX_ENTRY_BYTES


class Clock(msgspec.Struct):
    """How far event time has come, in seconds.

    The `watermark` is the latest delivery time seen, less what is not late: events from before it
    should be there. Windows that ended before the `horizon` are not retained any more. Neither ever
    goes back, and an event whose own clock runs ahead moves neither.
    """

    watermark: float = 0.0
    horizon: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an alert, for metrics and logs."""

    verdict: Verdict
    rule_id: str
    level: str
    alert_id: str


def counts_under(rule: Rule | Correlation, key: WindowKey) -> bool:
    """Return whether a rule counts under a key, as the rule is now: it may have been another one.

    An empty group is also that of all groups beyond the cap.
    """
    if isinstance(rule, Correlation):
        period, fields = rule.timespan, len(rule.file.correlation.group_by)
    else:
        window = rule.file.window
        period, fields = 0 if window.mode == "sliding" else window.period, len(window.group_by)
    return key.period == period and len(key.group) in {0, fields}


@dataclass(slots=True)
class Context:
    """What counting works with in one transaction.

    `now` is the time of arrival, `heard_at` that of the latest delivery, in seconds.
    """

    rules: RuleSet
    transaction: Transaction
    settings: Settings
    silences: Sequence[Silence]
    clock: Clock
    now: float
    heard_at: float
    told: list[Told] = field(default_factory=list)
    overflowed: dict[str, int] = field(default_factory=dict)
    """Matches counted in the group of all groups beyond the cap, by rule."""
    beyond_retention: int = 0
    _admitted: dict[bytes, bool] = field(default_factory=dict)

    def admitted(self, key: WindowKey, matches: int = 1) -> WindowKey:
        """Return a key, or that of the overflow where its rule has too many groups already."""
        if not key.group:
            return key
        series = key.series.identity
        admitted = self._admitted.get(series)
        if admitted is None:
            limit = self.settings.max_groups
            admitted = self.transaction.admit(key.rule_id, key.group, limit)
            self._admitted[series] = admitted
        if admitted:
            return key
        self.overflowed[key.rule_id] = self.overflowed.get(key.rule_id, 0) + matches
        return WindowKey(key.rule_id, (), key.start, key.period)

    def wait_for(self, key: WindowKey) -> None:
        """Have a window decided when all of its events should be there.

        That is by the watermark, or by the clock if nothing is delivered any more.
        """
        patience = self.now + key.period + self.settings.late_after
        self.transaction.set_timer(Timer(key, key.end, patience))

    def is_retained(self, until: float) -> bool:
        """Return whether what is needed until an event time is still there."""
        return until > self.clock.horizon
