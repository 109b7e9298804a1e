"""One sink's share of the state: what it is to be sent next, and what became of that.

Everything here runs in the state's thread, each step in one transaction.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from detector.alerts.digest import DIGEST, Mention, digest_alert
from detector.alerts.failing_sink import SINK_FAILING, failing_sink_alert
from detector.alerts.routing import Routed, Router
from detector.backoff import backoff_seconds
from detector.counting.current import Current
from detector.sinks.health import ALERT_CAP_SECONDS, Health
from detector.sinks.pacing import Bucket, Step, one_by_one, put_together
from detector.sinks.policy import Policy
from detector.sinks.sink import Answer, Delivered, Permanent, Retry
from detector.state.outbox import HOLDING_UP
from detector.state.sqlite_outbox import series
from detector.state.store import Notification, OutboxCounts, Revision, Store
from detector.windows.aligned import WindowKey

MAX_DIGESTED = 10_000
"""Notifications that one digest stands for: some 20 MB while it is made. More make another one."""

WAVES = 32
"""How many times as many alerts as may be on their way at a time are chosen at once, at most. Each
choice, and each account of one, waits for what the pipeline commits meanwhile: with few alerts in
one, a flood of deliveries would hold up the very alerts that come of it. Where people are told one
by one, each is accounted for by itself: none is told twice if the process is killed."""

MAX_PASSED_OVER = 500
"""Notifications noted at a time as nothing for a sink: some 20 ms. After a storm there are
thousands."""

MAX_REFRESHED = 20_000
"""Open alerts of which a sink is reminded."""

HAND_OVER_SECONDS = 30.0
"""How often what has come for a sink that fails is handed over to its fallback."""

_KEY = "detector.sink"
_OWN = frozenset({DIGEST, SINK_FAILING})


class SinkState(msgspec.Struct):
    """What is kept of a sink over a restart."""

    bucket: Bucket
    health: Health = msgspec.field(default_factory=Health)


@dataclass(frozen=True, slots=True)
class Work:
    """What to do now: alerts to send, in any order and as many as can be, or seconds to wait.

    `has_more` says that there may be something else to do at once. `digested` counts the
    notifications for which a digest stands since. `concerns_others` says that another sink has
    something to send since.
    """

    send: Sequence[Notification] = ()
    wait: float | None = None
    has_more: bool = False
    digested: int = 0
    concerns_others: bool = False


class Desk:
    """Plans for one sink, and keeps its account."""

    def __init__(self, sink: str, policy: Policy, router: Router, concurrency: int) -> None:
        self._sink = sink
        self._policy = policy
        self._router = router
        self._concurrency = concurrency
        self._most = concurrency
        """How many alerts are chosen at once: twice as many as could be sent the last time."""
        self._key = WindowKey(_KEY, (sink,), 0, 0)
        burst = float(policy.rate.burst) if policy.rate else 0.0
        self._kept = SinkState(Bucket(burst, 0.0))
        self._written = msgspec.json.encode(self._kept)
        self._queue: list[Mention] = []
        """What was planned to be sent one by one and was not yet, in order."""
        self._handed_at = 0.0
        self._digests = series(DIGEST, [sink])

    @property
    def health(self) -> Health:
        """How the sink fares."""
        return self._kept.health

    def open(self, store: Store, now: float) -> int:
        """Read what is kept; return how many dead letters are tried once more.

        Raises:
            StateError: the state cannot be read.
        """
        kept = store.load(self._key, SinkState)
        if kept is not None:
            self._kept = kept
            self.health.start(now)
            # The clock may have been set back since.
            self._kept.bucket = Bucket(kept.bucket.messages, min(kept.bucket.at, now))
        return store.outbox.revive(self._sink, now)

    def plan(self, store: Store, now: float) -> Work:
        """Return what to do now; digests are made on the way."""
        with store.outbox.writing():
            if now < self.health.closed_until:
                return self._while_closed(store, now)
            if self.health.is_down:
                self._queue.clear()
                store.outbox.retry_now(self._sink, now, 1)
            elif self._queue and self._policy.group is not None:
                # To find groups all that waits is read: not once more for each message.
                send = self._next_of_queue(store)
                if send:
                    return Work(send=send, has_more=True)
            mentions = self._due(store, now)
            if any(map(self._is_passed_over, mentions)):
                self._pass_over(store, now)
                return Work(has_more=True)
            step = self._step(mentions, now)
            if step.digests:
                if self._policy.group is None:
                    due = store.outbox.due_mentions(self._sink, now, MAX_DIGESTED)
                    return self._digest(store, self._loose(due), now)
                made = [self._digest(store, digest, now) for digest in step.digests]
                return Work(has_more=True, digested=sum(work.digested for work in made))
            self._queue = list(step.single)
            send = self._next_of_queue(store)
            return Work(send=send, has_more=bool(send), wait=step.wait)

    def relieve(self, store: Store, now: float) -> int:
        """Put the oldest notifications together if there are too many; return how many went."""
        if not self._policy.has_digests:
            return 0
        if store.outbox.counts(self._sink).pending <= self._policy.max_pending:
            return 0
        with store.outbox.writing():
            due = store.outbox.due_mentions(self._sink, now, MAX_DIGESTED)
            return self._digest(store, self._loose(due), now).digested

    def settle(
        self, store: Store, answers: Sequence[tuple[Notification, Answer]], now: float
    ) -> bool:
        """Note what became of alerts; return whether other sinks have something to send since."""
        concerns_others = False
        # What has failed counts last: a wait that it asks for is not over because others went well.
        ordered = sorted(answers, key=lambda pair: not isinstance(pair[1], Delivered))
        if all(isinstance(answer, Delivered) for _, answer in ordered):
            done = {notification.alert.id for notification, _ in ordered}
            self._queue = [item for item in self._queue if item.id not in done]
        else:
            self._queue.clear()  # what follows on what has failed may have to wait
        with store.outbox.writing():
            for notification, answer in ordered:
                concerns_others |= self._settle(store, notification, answer, now)
            concerns_others |= self._look_after(store, now)
            self._keep(store, now)
        if self._concurrency > 1:
            self._most = min(max(2 * len(answers), self._concurrency), WAVES * self._concurrency)
        return concerns_others

    def refreshed(self, store: Store, answer: Answer, now: float) -> bool:
        """Note how the sink has taken a reminder of what is open; see `settle`."""
        with store.outbox.writing():
            concerns_others = False
            if isinstance(answer, Delivered):
                concerns_others = self._has_worked(store, now)
            elif isinstance(answer, Permanent):
                self.health.refused(now, answer.why)
            else:
                self.health.failed(now, answer.why, answer.after, random.random)
            concerns_others |= self._look_after(store, now)
            self._keep(store, now)
        return concerns_others

    def open_alerts(self, store: Store) -> list[Notification]:
        """Return the alerts that the sink has and that are open, as they are now."""
        now_of = Current(store).alert
        found = store.outbox.open(self._sink, MAX_REFRESHED)
        return [replace(item, alert=now_of(item.alert)) for item in found]

    def look(self, store: Store, now: float) -> bool:
        """Tell others if the sink has failed for too long; return whether there is news for one."""
        with store.outbox.writing():
            concerns_others = self._look_after(store, now)
            self._keep(store, now)
        return concerns_others

    def _look_after(self, store: Store, now: float) -> bool:
        health, policy = self.health, self._policy
        since = health.failing_since
        if since is not None and health.is_overdue(now, policy.alert_after):
            self._tell_others(store, now, since=since, has_ended=False)
            health.is_told = True
            self._hand_over(store, now)
            return True
        if health.is_told and health.failing_since is not None:
            return self._hand_over(store, now)
        return False

    def expire(self, store: Store, now: float) -> int:
        """Bury what has waited for too long; return how many notifications that were."""
        why = f"it has waited for {self._policy.retention:g} s"
        return store.outbox.expire(self._sink, now - self._policy.retention, why)

    def overdue_at(self) -> float | None:
        """Return when others are to be told that the sink fails."""
        since = self.health.failing_since
        if since is None or self.health.is_told:
            return None
        return since + self._policy.alert_after

    def counts(self, store: Store) -> OutboxCounts:
        """Return how the sink's outbox stands."""
        return store.outbox.counts(self._sink)

    def _due(self, store: Store, now: float) -> list[Mention]:
        """Return as much of what is due as is needed to see what to do."""
        policy = self._policy
        limit = 2 * self._most
        if policy.rate is not None:
            limit = max(limit, policy.rate.burst + 1)
        if policy.group is not None and not self.health.is_down:
            limit = MAX_DIGESTED
            if policy.rate is None:
                # What waits for its group need not all be read for each message made of it.
                own = store.outbox.due_mentions(self._sink, now, self._concurrency, self._digests)
                if own:
                    return own
        return store.outbox.due_mentions(self._sink, now, 1 if self.health.is_down else limit)

    def _pass_over(self, store: Store, now: float) -> None:
        """Note as done what is due and what the sink need not hear of."""
        due = store.outbox.due_mentions(self._sink, now, MAX_PASSED_OVER)
        passed = [item for item in due if self._is_passed_over(item)]
        for item in passed:
            store.outbox.passed_over(self._sink, item, now)
        self._end_digests(store, (item.told_by for item in passed if item.kind == "resolved"), now)

    def _is_passed_over(self, item: Mention) -> bool:
        """Return whether the sink is not to hear of a notification, or knows it."""
        if item.rule_id == DIGEST:  # what it tells may be of other kinds than it is itself
            return item.kind == "resolved" and not self._policy.resolved
        if not self._policy.wants(item.kind):
            return True
        if item.told_by is None:
            return False
        # What it was told of in a digest alone ends with that, and is no incident of its own.
        return item.kind == "resolved" or (item.kind == "updated" and self._policy.folds)

    def _end_digests(self, store: Store, ids: Iterable[str | None], now: float) -> None:
        """Tell that digests are over of which nothing goes on that is told by them alone."""
        # Each once: of all that it tells it is asked whether it is open.
        for digest_id in sorted({id_ for id_ in ids if id_ is not None}):
            if store.outbox.is_digest_over(self._sink, digest_id):
                with store.transaction(now) as transaction:
                    # Also at its fallback, which may have been told in its place.
                    transaction.revise_alert(
                        Revision(digest_id, "resolved"),
                        self._router.names,
                        self._policy.update_interval,
                    )

    def _step(self, mentions: Sequence[Mention], now: float) -> Step:
        rate, bucket = self._policy.rate, self._bucket(now)
        # What the detector itself has to say goes first, and never into a digest.
        own = one_by_one([item for item in mentions if item.rule_id in _OWN], rate, bucket)
        if own != Step():
            return own
        loose = self._loose(mentions)
        together = put_together(loose, now, rate=rate, bucket=bucket, group=self._policy.group)
        if together.single or together.digests:
            return together
        known = {item.id for item in loose}
        others = one_by_one([item for item in mentions if item.id not in known], rate, bucket)
        return others if others.single else replace(others, wait=together.wait or others.wait)

    def _loose(self, mentions: Iterable[Mention]) -> list[Mention]:
        """Return those of which several may be one message."""
        return [
            item
            for item in mentions
            if self._policy.has_digests
            and item.rule_id not in _OWN
            and (item.kind == "raised" or not self._policy.folds)
        ]

    def _next_of_queue(self, store: Store) -> list[Notification]:
        """Return what is first of what was planned, of each rule and group one, as it is now."""
        chosen: dict[str, str] = {}
        for item in self._queue:
            if len(chosen) == self._most:
                break
            # Of digests none waits for another: what one tells, no other does.
            chosen.setdefault(item.id if item.rule_id == DIGEST else item.series, item.id)
        now_of = Current(store).alert
        send = [
            replace(item, alert=now_of(item.alert))
            for item in store.outbox.notifications(self._sink, list(chosen.values()))
            if self._policy.wants(item.kind) or item.alert.rule_id == DIGEST
        ]
        if not send:
            self._queue.clear()  # it has been overtaken by what came since
        return send

    def _while_closed(self, store: Store, now: float) -> Work:
        """Wait for a sink that fails; what has come meanwhile goes to its fallback."""
        concerns_others = False
        if self.health.is_told and now >= self._handed_at + HAND_OVER_SECONDS:
            concerns_others = self._hand_over(store, now)
        wait = self.health.closed_until - now
        if self.health.is_told:
            wait = min(wait, HAND_OVER_SECONDS)
        return Work(wait=wait, concerns_others=concerns_others)

    def _digest(self, store: Store, mentions: Sequence[Mention], now: float) -> Work:
        """Put notifications together, and the message that stands for them into the outbox."""
        if len(mentions) < 2:  # noqa: PLR2004 - one alone says more as itself
            return Work()
        alert = digest_alert(self._sink, mentions, now)
        assert alert.digest is not None  # noqa: S101 - that is what was made
        with store.transaction(now) as transaction:
            transaction.save_alert(
                alert, [self._sink], self._policy.update_interval, pages=alert.digest.raised > 0
            )
        store.outbox.digested(self._sink, mentions, alert.id, now)
        self._end_digests(store, (item.told_by for item in mentions), now)
        return Work(has_more=True, digested=len(mentions))

    def _settle(self, store: Store, notification: Notification, answer: Answer, now: float) -> bool:
        """Note what became of one alert; return whether another sink has something to send."""
        if isinstance(answer, Delivered):
            self._spend(now)
            store.outbox.delivered(self._sink, notification, now, self._policy.update_interval)
            self._end_digests(store, [notification.digest], now)
            self._close_if_over(store, notification, now)
            return self._has_worked(store, now)
        if isinstance(answer, Permanent):
            self._spend(now)
            return self._refused(store, notification, answer, now)
        return self._failed(store, notification, answer, now)

    def _refused(
        self, store: Store, notification: Notification, answer: Permanent, now: float
    ) -> bool:
        if not notification.attempts:  # else it is known: the sink has refused it before
            self.health.refused(now, answer.why)
        if notification.kind == "updated" and notification.was_told:
            # Its incident is known, and must not miss its end for an update that is too long.
            store.outbox.delivered(self._sink, notification, now, self._policy.update_interval)
            return False
        store.outbox.bury(self._sink, notification, answer.why)
        return self._hand_over(store, now, notification.alert.id)

    def _failed(self, store: Store, notification: Notification, answer: Retry, now: float) -> bool:
        was_down = self.health.is_down
        self.health.failed(now, answer.why, answer.after, random.random)
        failures = notification.attempts + (not was_down)
        wait = backoff_seconds(failures, random.random, cap=ALERT_CAP_SECONDS)
        due_at = now + max(wait, answer.after or 0.0)
        store.outbox.retry_later(self._sink, notification, due_at, answer.why, counts=not was_down)
        if failures > HOLDING_UP:
            return self._hand_over(store, now, notification.alert.id)
        return False

    def _close_if_over(self, store: Store, notification: Notification, now: float) -> None:
        """End a digest of which nothing goes on, in the account alone."""
        alert = notification.alert
        if alert.digest is not None and not alert.digest.raised:
            with store.transaction(now) as transaction:
                transaction.revise_alert(Revision(alert.id, "resolved"), (), 0.0)

    def _has_worked(self, store: Store, now: float) -> bool:
        since, was_told = self.health.failing_since, self.health.is_told
        was_down = self.health.is_down
        self.health.worked()
        if was_down:
            store.outbox.retry_now(self._sink, now)
        if since is None or not was_told:
            return False
        self.health.is_told = False
        self._tell_others(store, now, since=since, has_ended=True)
        return True

    def _tell_others(self, store: Store, now: float, *, since: float, has_ended: bool) -> None:
        alert = failing_sink_alert(
            self._sink,
            self.health.why,
            since,
            now,
            limit=self._policy.alert_after,
            has_ended=has_ended,
        )
        others = [name for name in self._router.names if name != self._sink]
        routed = self._router.sinks(Routed.of_own(alert))
        with store.transaction(now) as transaction:
            transaction.save_alert(
                alert,
                [name for name in others if name in routed] or others,
                self._policy.update_interval,
            )

    def _hand_over(self, store: Store, now: float, alert_id: str | None = None) -> bool:
        """Have the fallback told of what waits, or of one alert; return whether there is any."""
        fallback = self._policy.fallback
        if fallback is None:
            return False
        if alert_id is None:
            self._handed_at = now
        return bool(store.outbox.hand_over(self._sink, fallback, now, alert_id))

    def _bucket(self, now: float) -> Bucket:
        rate = self._policy.rate
        return self._kept.bucket if rate is None else self._kept.bucket.filled(rate, now)

    def _spend(self, now: float) -> None:
        if self._policy.rate is not None:
            self._kept.bucket = self._bucket(now).less(1)

    def _keep(self, store: Store, now: float) -> None:
        """Keep what has changed: of a sink without a rate that works, nothing has."""
        body = msgspec.json.encode(self._kept)
        if body != self._written:
            with store.transaction(now) as transaction:
                transaction.save(self._key, self._kept)
            self._written = body
