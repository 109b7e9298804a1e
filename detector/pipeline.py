"""What one delivery causes: matches, counted windows, alerts in the outbox, in one transaction.

The same pipeline runs in the service and in a replay; only the store and the clock differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from detector.accounting import Accounting
from detector.alerts.alert import Alert
from detector.counting import Counting
from detector.matching import Limits, PayloadMatches, Rejection, match_payload
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery
from detector.state.store import Quarantined, Store, Transaction
from detector.windows.aligned import Verdict

LATE_AFTER_SECONDS = 900.0
"""CloudTrail delivers after some five minutes on average; three times that is out of the ordinary.
Smaller, and common delays are called late; larger, and an outage goes unremarked."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How alerts are made. `sinks` are the names of those that get them; times are in seconds."""

    sinks: Sequence[str] = ()
    late_after: float = LATE_AFTER_SECONDS
    update_interval: float = 60.0
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class Processed:
    """What became of one delivery."""

    accounting: Accounting = field(default_factory=Accounting)
    skipped: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    alerts: list[tuple[Verdict, Alert]] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    """Seconds from eventTime to CloudTrail's delivery, of each match where it is known."""
    late: int = 0

    @property
    def is_understood(self) -> bool:
        """Whether no payload was rejected as a whole, so that the source may let go of it."""
        return all(rejection.index is not None for rejection in self.rejections)


class Pipeline:
    """Rules and settings over a store.

    `rules` may be replaced at any time, from any thread: a delivery that is being processed is
    processed to its end by the set that it began with.
    """

    def __init__(self, rules: RuleSet, store: Store, settings: Settings) -> None:
        self.rules = rules
        self._store = store
        self._settings = settings

    def process(self, delivery: Delivery, now: float) -> Processed:
        """Match, count and commit; return only when everything is durable.

        A delivery that changes nothing costs no transaction. Processing the same delivery again,
        after a crash or a second copy, changes nothing but the account.

        Raises:
            StateError: nothing was committed; the delivery must not be acknowledged.
        """
        rules = self.rules
        parts = [
            match_payload(payload, rules, self._settings.limits) for payload in delivery.payloads
        ]
        processed = Processed()
        for part in parts:
            processed.accounting.add(part.accounting)
            processed.skipped += part.skipped
            processed.rejections += part.rejections
        quarantined = [item for item in processed.rejections if item.index is not None]
        if quarantined or delivery.positions or any(part.events for part in parts):
            with self._store.transaction(now) as transaction:
                self._count(rules, transaction, parts, processed)
                for item in quarantined:
                    transaction.quarantine(_quarantined(delivery.source, item))
                for position in delivery.positions:
                    transaction.save_position(position)
        return processed

    def _count(
        self,
        rules: RuleSet,
        transaction: Transaction,
        parts: Sequence[PayloadMatches],
        processed: Processed,
    ) -> None:
        counting = Counting(rules, transaction, self._settings.late_after)
        for part in parts:
            for event, matching in part.events:
                if not transaction.remember(event.identity):
                    processed.accounting.matched -= 1
                    processed.accounting.duplicate += 1
                    continue
                observation = counting.observe(event, matching)
                processed.late += observation.is_late
                if event.age is not None:
                    processed.ages.append(event.age)
        for verdict, rule, alert in counting.results():
            sinks = self._settings.sinks if rule.notifies else ()
            transaction.save_alert(alert, sinks, self._settings.update_interval)
            processed.alerts.append((verdict, alert))


def _quarantined(source: str, item: Rejection) -> Quarantined:
    return Quarantined(source, item.origin, item.index or 0, item.reason, item.body)
