"""What deliveries cause: matches, counted windows, alerts in the outbox, in one transaction.

The same pipeline runs in the service and in a replay; only the store and the clock differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import msgspec

from detector.accounting import Accounting
from detector.alerts.silence import Silence
from detector.counting.batch import Batch
from detector.counting.context import Clock, Context, Settings, Told
from detector.counting.retention import CLOCK, expire, moved, retained
from detector.envelopes.log_file import Trail
from detector.matching import (
    PayloadMatches,
    Rejection,
    is_full,
    match_payload,
    trails_heard,
)
from detector.quarantine.keeping import is_kept, kept
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery, Payload
from detector.state.store import Seen, Store

__all__ = ["Outcome", "Pipeline", "Processed", "Settings"]

DIFFERING_COPY = "differing_copy"
"""The reason under which a second body of an event is kept that differs from the first one's."""

_DIFFERING = "another copy of this event came before, and says something else"

AHEAD_SECONDS = 60.0
"""How much later than its arrival an event may claim to be: clocks differ by that much."""

TIMERS_AT_ONCE = 500
"""Timers handled in one transaction, so that none holds up what comes in for long."""

EXPIRED_AT_ONCE = 500
"""States dropped in one transaction, for the same reason."""

MAX_TOLD_REJECTIONS = 1_000
"""Rejections of a delivery that are told one by one: what is not understood at all has one for each
line. The others are in the counts."""

MINUTE = 60.0

END_OF_TIME = float(1 << 40)
"""A watermark later than any event's time."""


@dataclass(slots=True)
class Processed:
    """What became of one delivery.

    `ages` are the seconds from eventTime to CloudTrail's delivery, of each match where it is known;
    `ahead` counts the events that claim to be in the future, `differing` the second copies whose
    content is not that of the first.
    """

    accounting: Accounting = field(default_factory=Accounting)
    skipped: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    """The first of them, without what was rejected."""
    rejected: Counter[str] = field(default_factory=Counter)
    """All of them, by the reason."""
    whole_rejections: set[str] = field(default_factory=set)
    """The reasons for which payloads were rejected as a whole."""
    ages: list[float] = field(default_factory=list)
    late: int = 0
    beyond_retention: int = 0
    ahead: int = 0
    differing: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    """What was put into the quarantine, by the reason."""
    unkept: int = 0
    """What waited for its place in the quarantine, and was dropped to make room."""
    trails: set[Trail] = field(default_factory=set)
    """Accounts and regions that the delivery shows to be alive, matched or not."""

    @property
    def is_understood(self) -> bool:
        """Whether no payload was rejected as a whole, so that the source may let go of it."""
        return not self.whole_rejections

    def take(self, payload: Payload, matches: PayloadMatches) -> None:
        """Take note of what a payload held."""
        self.trails |= trails_heard(payload, matches)
        self.accounting.add(matches.accounting)
        self.skipped += matches.skipped
        room = MAX_TOLD_REJECTIONS - len(self.rejections)
        self.rejections += [replace(item, body=b"") for item in matches.rejections[:room]]
        self.rejected.update(item.reason for item in matches.rejections)
        self.whole_rejections.update(
            item.reason for item in matches.rejections if item.index is None
        )


@dataclass(slots=True)
class Outcome:
    """What became of several deliveries, in their order, and of the alerts that they caused.

    `overflowed` counts matches in the group of all groups beyond the cap, by rule.
    """

    deliveries: list[Processed] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    overflowed: Counter[str] = field(default_factory=Counter)

    def take(self, context: Context) -> None:
        """Take note of what became of alerts in a transaction."""
        self.told += context.told
        self.overflowed.update(context.overflowed)


class Pipeline:
    """Rules, silences and settings over a store.

    `rules` and `silences` may be replaced at any time, from any thread: what is being processed is
    processed to its end by those with which it began.
    """

    def __init__(
        self,
        rules: RuleSet,
        store: Store,
        settings: Settings,
        silences: Sequence[Silence] = (),
    ) -> None:
        self.rules = rules
        self.silences = silences
        self._store = store
        self._settings = settings
        self._clock = store.load(CLOCK, Clock) or Clock()
        self._kept_clock = self._clock
        self._begun: RuleSet | None = None
        self._now = 0.0
        self._heard_at: float | None = None

    @property
    def watermark(self) -> float:
        """Up to when all events should be there, in seconds of event time."""
        return self._clock.watermark

    def process(self, deliveries: Sequence[Delivery], now: float | None = None) -> Outcome:
        """Match, count and commit; return only when everything is durable.

        Deliveries that change nothing cost no transaction. Processing the same one again, after a
        crash or a second copy, changes nothing but the account. `now` is the time of arrival, in
        seconds; without it that of the latest event.

        Raises:
            StateError: nothing was committed; no delivery must be acknowledged.
        """
        rules = self.rules
        outcome = Outcome()
        found = _Found(rules)
        for delivery in deliveries:
            processed = Processed()
            outcome.deliveries.append(processed)
            for payload in delivery.payloads:
                for matches in match_payload(payload, rules, self._settings.limits):
                    processed.take(payload, matches)
                    found.add(_Part(delivery, payload, matches, processed))
                    if found.is_full:
                        # A delivery's position comes with the last of it: until then, all of it
                        # would come again.
                        self._commit(found, now, outcome)
                        found = _Found(rules)
            found.done.append(delivery)
        self._commit(found, now, outcome)
        return outcome

    def _commit(self, found: _Found, now: float | None, outcome: Outcome) -> None:
        """Count what was found, in one transaction if there is anything."""
        now = self._arrival(found) if now is None else now
        self._now = max(self._now, now)
        self._heard_at = max(self._heard(now), now)
        self._move(found, now)
        if found.changes_something:
            with self._transaction(found.rules, now) as (context, batch):
                for part in found.parts:
                    self._count(part, context, batch)
                for delivery in found.done:
                    for position in delivery.positions:
                        context.transaction.save_position(position)
            outcome.take(context)

    def advance(self, now: float) -> Sequence[Told]:
        """Do what was put off until now; return what became of alerts.

        Raises:
            StateError: some of it was not done.
        """
        return [told for some in self.advancing(now) for told in some]

    def advancing(self, now: float) -> Iterator[Sequence[Told]]:
        """Do the same transaction by transaction, so that something else can be done between."""
        is_new = self._begun is not self.rules
        while is_new or self._store.due_timers(self._clock.watermark, now, 1):
            is_new = False
            with self._transaction(self.rules, now) as (context, _):
                pass
            yield context.told

    def close(self) -> None:
        """Decide what waits for events that may still come: there are none.

        Alarms are evaluated for the minute in which the last events arrived.
        """
        self._clock = Clock(END_OF_TIME, self._clock.horizon)
        self.advance(self._now + MINUTE)

    def retire(self, now: float) -> Sequence[Told]:
        """Drop the states of windows that are past their retention; return what became of alerts.

        What waits is decided first: the watermark may have come a long way at once.

        Raises:
            StateError: not all of them were dropped.
        """
        return [told for some in self.retiring(now) for told in some]

    def retiring(self, now: float) -> Iterator[Sequence[Told]]:
        """Do the same transaction by transaction, so that something else can be done between."""
        yield from self.advancing(now)
        self._clock = clock = retained(self._clock, self._settings)
        with self._store.transaction(now) as transaction:
            # Also where nothing has changed: what nobody touches for long is dropped.
            transaction.save(CLOCK, clock)
        self._kept_clock = clock
        while keys := self._store.expired(self._clock.horizon, EXPIRED_AT_ONCE):
            # The clock is kept before: what comes late must not find a window half empty.
            with self._store.transaction(now) as transaction:
                expire(transaction, keys, self._settings)
            yield ()

    def _arrival(self, found: _Found) -> float:
        times = (event.time for part in found.parts for event, _ in part.matches.events)
        return max(self._now, *times, 0.0)

    def _heard(self, now: float) -> float:
        """Return when the latest delivery came; before the first one, when that was asked first."""
        if self._heard_at is None:
            self._heard_at = now
        return self._heard_at

    @contextmanager
    def _transaction(self, rules: RuleSet, now: float) -> Iterator[tuple[Context, Batch]]:
        """Open a transaction in which what was put off until now is done last.

        Last, so that an episode that goes on is not resolved a moment before.
        """
        clock = self._clock
        with self._store.transaction(now) as transaction:
            context = Context(
                rules, transaction, self._settings, self.silences, clock, now, self._heard(now)
            )
            batch = Batch(context)
            if self._begun is not rules:
                batch.begin()
            yield context, batch
            batch.finish()
            batch.look(transaction.due_timers(clock.watermark, now, TIMERS_AT_ONCE))
            batch.finish()
            if clock != self._kept_clock:
                transaction.save(CLOCK, clock)
        self._begun = rules
        self._kept_clock = clock

    def _move(self, found: _Found, now: float) -> None:
        seen: list[float] = []
        for part in found.parts:
            if part.delivery.delivered_until is not None:
                continue
            if part.payload.delivered_at is not None:
                seen.append(part.payload.delivered_at)
            else:
                times = (event.time for event, _ in part.matches.events)
                seen += [time for time in times if time <= now + AHEAD_SECONDS]
        until = (delivery.delivered_until for delivery in found.done)
        seen += [moment for moment in until if moment is not None]
        self._clock = moved(self._clock, seen, now, self._settings.late_after)

    def _count(self, part: _Part, context: Context, batch: Batch) -> None:
        transaction, processed, payload = context.transaction, part.processed, part.payload
        beyond = context.beyond_retention
        rejections = list(part.matches.rejections)
        for (event, matching), index in zip(part.matches.events, part.matches.places, strict=True):
            seen = transaction.remember(event.identity, event.digest)
            if seen is not Seen.NEW:
                processed.accounting.matched -= 1
                processed.accounting.duplicate += 1
                if seen is Seen.DIFFERENT:
                    processed.differing += 1
                    body = msgspec.json.encode(event.record)
                    rejections.append(
                        Rejection(payload.origin, index, DIFFERING_COPY, _DIFFERING, body)
                    )
                continue
            observation = batch.observe(event, matching)
            processed.late += observation.is_late
            processed.ahead += event.time > context.now + AHEAD_SECONDS
            if event.age is not None:
                processed.ages.append(event.age)
        for item in kept(part.delivery, payload, rejections, self._settings.max_quarantined_bytes):
            processed.unkept += transaction.quarantine(item)
            processed.quarantined[item.reason] += 1
        processed.beyond_retention += context.beyond_retention - beyond


@dataclass(frozen=True, slots=True)
class _Part:
    """What was found in a slice of a delivery's payload."""

    delivery: Delivery
    payload: Payload
    matches: PayloadMatches
    processed: Processed

    @property
    def changes_something(self) -> bool:
        """Whether anything of it is to be kept."""
        return bool(self.matches.events) or any(
            is_kept(self.delivery, item) for item in self.matches.rejections
        )


@dataclass(slots=True)
class _Found:
    """What was found and is not counted yet; `done` are deliveries of which that is the last."""

    rules: RuleSet
    parts: list[_Part] = field(default_factory=list)
    done: list[Delivery] = field(default_factory=list)
    size: tuple[int, int, int] = (0, 0, 0)

    def add(self, part: _Part) -> None:
        """Take a part."""
        self.parts.append(part)
        matches, rejections, held = part.matches.size
        self.size = (self.size[0] + matches, self.size[1] + rejections, self.size[2] + held)

    @property
    def is_full(self) -> bool:
        """Whether it is to be counted before anything else is read."""
        return is_full(self.size)

    @property
    def changes_something(self) -> bool:
        """Whether it costs a transaction."""
        return any(delivery.positions for delivery in self.done) or any(
            part.changes_something for part in self.parts
        )
