"""What becomes of alerts: who is told what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from detector.alerts.alert import Alert
from detector.alerts.routing import Router
from detector.alerts.silence import Silence
from detector.counting.alerting import SeriesState
from detector.counting.context import MAX_GROUPS_PER_RULE
from detector.counting.current import current, current_alerts
from detector.pipeline import Pipeline, Settings
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from detector.state.store import Notification
from detector.windows.aligned import Verdict, WindowKey
from tests.records import ACCOUNT, NOON, delivery, record
from tests.rules import iam_rule, rule

HOUR = 3600.0
DAY = 86_400.0


class Life:
    """A pipeline with one sink and a clock that is set by hand; times are seconds after noon."""

    def __init__(
        self,
        store: SQLiteStore,
        *rules: Rule,
        silences: Sequence[Silence] = (),
        **settings: Any,
    ) -> None:
        self.store = store
        self.settings = Settings(**{"routing": Router.to("s"), **settings})
        self.pipeline = Pipeline(
            RuleSet(rules or [iam_rule()]), store, self.settings, silences=silences
        )
        self.now = 0.0

    def deliver(self, *records: dict[str, Any], at: float | None = None) -> list[Verdict]:
        """Deliver records, at a time or a minute later than before; return what came of it."""
        self.now = self.now + 60 if at is None else at
        made = delivery(*records, delivered_at=NOON + self.now)
        outcome = self.pipeline.process([made], NOON + self.now)
        assert all(item.accounting.is_balanced for item in outcome.deliveries)
        return [told.verdict for told in outcome.told]

    def wait(self, seconds: float) -> list[Verdict]:
        """Let time pass in which nothing comes in."""
        self.now += seconds
        return [told.verdict for told in self.pipeline.advance(NOON + self.now)]

    def send(self, sink: str = "s") -> list[Notification]:
        """Take what is due, as a sink that is there does."""
        found = self.store.outbox.due(sink, NOON + self.now, 99)
        for item in found:
            self.store.outbox.delivered(sink, item, NOON + self.now, self.settings.update_interval)
        return found

    def sent(self) -> list[tuple[str, str, int]]:
        """Take what is due, and return the kind, the window's minute and the count of each."""
        return [
            (item.kind, alert.window.start[11:16], alert.count)
            for item in self.send()
            for alert in [current(self.store, item.alert)]
        ]

    def now_of(self, item: Notification) -> Alert:
        """Return the alert of a notification as a sink gets it."""
        return current(self.store, item.alert)

    def alerts(self) -> list[Alert]:
        return current_alerts(self.store)


@pytest.fixture
def life(store: SQLiteStore) -> Life:
    return Life(store)


# Episodes and pages.


def test_the_first_window_of_an_episode_pages_and_the_next_ones_update(life: Life) -> None:
    assert life.deliver(record(at=0)) == [Verdict.RAISED]
    assert life.sent() == [("raised", "12:00", 1)]
    assert life.deliver(record(at=300), record(at=301)) == [Verdict.RAISED]
    assert life.sent() == [("updated", "12:05", 2)]
    first, second = life.alerts()
    assert first.dedup_key == second.dedup_key == first.id
    assert first.episode == second.episode
    assert first.episode is not None
    assert (first.episode.id, first.episode.windows, first.episode.count) == (first.id, 2, 3)


def test_each_window_pages_where_the_rule_says_so(store: SQLiteStore) -> None:
    life = Life(store, iam_rule(notify="window"))
    life.deliver(record(at=0))
    life.deliver(record(at=300))
    assert life.sent() == [("raised", "12:00", 1), ("raised", "12:05", 1)]
    one, two = life.alerts()
    assert (one.dedup_key, two.dedup_key) == (one.id, two.id)
    life.deliver(record(at=301))
    life.wait(60)
    assert life.sent() == [("updated", "12:05", 2)]
    life.wait(HOUR)
    assert life.sent() == [("resolved", "12:00", 1), ("resolved", "12:05", 2)]


def test_each_event_pages_where_the_rule_says_so(store: SQLiteStore) -> None:
    life = Life(store, iam_rule(notify="event"))
    for count in (1, 2, 3):
        life.deliver(record(at=count))
        assert life.sent() == [("raised", "12:00", count)]


def test_an_update_waits_and_says_what_is_known_when_it_is_sent(life: Life) -> None:
    life.deliver(record(at=0))
    life.sent()
    life.deliver(record(at=1), at=90)
    life.deliver(record(at=2), at=91)
    assert life.sent() == []
    life.now = 121
    assert life.sent() == [("updated", "12:00", 3)]


def test_an_episode_is_resolved_when_it_has_been_quiet_by_both_clocks(life: Life) -> None:
    life.deliver(record(at=0), at=100)
    life.sent()
    # The watermark is 900 s behind what is delivered, and the quiet time another 900 s.
    assert life.deliver(record("GetUser", at=2000), at=2099) == []
    assert life.wait(0) == []
    life.deliver(record("GetUser", at=2001), at=2100)
    assert life.wait(0) == [Verdict.RESOLVED]
    (resolved,) = life.send()
    assert (resolved.kind, resolved.alert.state) == ("resolved", "resolved")
    assert life.wait(9 * HOUR) == []
    assert life.send() == []


def test_an_episode_is_resolved_by_the_clock_alone_if_nothing_comes_in(life: Life) -> None:
    life.deliver(record(at=0), at=100)
    assert life.wait(1799) == []
    assert life.wait(1) == [Verdict.RESOLVED]


def test_what_comes_late_is_not_resolved_before_somebody_can_have_seen_it(life: Life) -> None:
    life.deliver(record("GetUser", at=0), at=9 * HOUR)
    life.deliver(record(at=0))
    assert life.wait(899) == []
    assert life.wait(1) == [Verdict.RESOLVED]


def test_who_was_not_reached_in_time_is_paged_and_told_of_the_end(life: Life) -> None:
    life.deliver(record(at=0))
    life.wait(HOUR)
    assert [item.kind for item in life.send()] == ["raised"]
    assert [item.kind for item in life.send()] == ["resolved"]


def test_a_window_within_the_quiet_time_of_what_is_over_pages_again_under_its_key(
    life: Life,
) -> None:
    life.deliver(record(at=0))
    life.send()
    life.wait(HOUR)
    life.send()
    life.deliver(record(at=900))
    (again,) = life.send()
    first, second = life.alerts()
    assert (again.kind, again.alert.id) == ("raised", second.id)
    assert second.dedup_key == first.id
    life.wait(HOUR)
    assert [(item.kind, item.alert.id) for item in life.send()] == [("resolved", first.id)]


def test_a_late_event_of_what_is_over_updates_it_and_opens_nothing(life: Life) -> None:
    life.deliver(record(at=0))
    life.send()
    life.wait(HOUR)
    life.send()
    life.deliver(record(at=1))
    life.wait(60)
    assert life.sent() == [("resolved", "12:00", 2)]


def test_a_window_that_comes_to_alert_before_the_one_that_paged_changes_the_id_but_not_the_key(
    life: Life,
) -> None:
    life.deliver(record(at=300))
    assert life.sent() == [("raised", "12:05", 1)]
    life.deliver(record(at=0))
    assert life.sent() == [("updated", "12:00", 1)]
    first, second = life.alerts()
    assert first.episode is not None
    assert first.episode.id == first.id
    assert first.dedup_key == second.dedup_key == second.id


def test_two_incidents_that_a_late_window_makes_one_go_on_as_one(life: Life) -> None:
    life.deliver(record(at=0), record(at=1500))
    first, second = life.alerts()
    assert [item.kind for item in life.send()] == ["raised", "raised"]
    life.deliver(record(at=900))
    found = {item.alert.id: (item.kind, life.now_of(item).dedup_key) for item in life.send()}
    (_, middle, _) = life.alerts()
    # What was sent under the second one's key is another revision under the first one's.
    assert life.alerts()[2].revision == 3
    # The end of the second incident is told under its own key: the first one goes on.
    assert found == {middle.id: ("updated", first.id), second.id: ("resolved", second.id)}
    assert [alert.state for alert in life.alerts()] == ["open", "open", "resolved"]
    life.wait(HOUR)
    assert [(item.kind, item.alert.id) for item in life.send()] == [("resolved", first.id)]


def test_an_episode_that_goes_on_is_not_resolved_a_moment_before(life: Life) -> None:
    life.deliver(record(at=0), at=60)
    # Hours without a delivery: by every clock the episode is over, but for what comes now.
    assert life.deliver(record(at=600), at=5 * HOUR) == [Verdict.RAISED]
    assert [alert.state for alert in life.alerts()] == ["open", "open"]
    assert [item.kind for item in life.send()] == ["raised", "updated"]


# What further events can undo.


AVERAGE = {"statistic": "Average", "metric_value": "$.n", "threshold": 5}


def test_what_further_events_can_undo_is_said_when_all_should_be_there(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    assert life.deliver(record(at=0, n=9), at=10) == []
    assert life.alerts() == []
    life.deliver(record(at=1, n=3), at=1199)
    assert life.wait(0) == []
    life.deliver(record("GetUser", at=1), at=1200)
    assert life.wait(0) == [Verdict.RAISED]
    (alert,) = life.alerts()
    assert (alert.value, alert.count, alert.statistic) == (6, 2, "Average")


def test_without_any_delivery_it_is_said_by_the_clock(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), at=10)
    assert life.wait(1199) == []
    assert life.wait(1) == [Verdict.RAISED]


def test_what_a_late_event_undoes_is_withdrawn_and_may_come_back(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), at=10)
    life.wait(HOUR)
    assert [item.kind for item in life.send()] == ["raised"]
    assert life.deliver(record(at=1, n=-3)) == [Verdict.WITHDRAWN]
    (withdrawn,) = life.send()
    assert (withdrawn.kind, withdrawn.alert.state) == ("resolved", "withdrawn")
    assert life.deliver(record(at=2, n=90)) == [Verdict.RAISED]
    (again,) = life.send()
    assert (again.kind, again.alert.state) == ("raised", "open")


# Late events.


def test_an_event_beyond_the_retention_is_an_alert_of_its_own(life: Life) -> None:
    life.deliver(record(at=0), at=60)
    life.send()
    life.deliver(record("GetUser"), at=3 * DAY)
    life.pipeline.retire(NOON + life.now)
    late = [record(at=1, eventID="late-1"), record(at=2, eventID="late-2")]
    life.deliver(*late)
    life.deliver(*late)  # a second copy is one here too
    kept = {alert.event_ids[0]: alert for alert in life.alerts()}
    assert len(kept) == 3
    one, two = kept["late-1"], kept["late-2"]
    assert (one.count, one.late, one.beyond_retention, one.counting) == (1, True, True, "single")
    assert one.id != two.id
    assert one.dedup_key == two.dedup_key
    assert "is not known" in one.reason
    kinds = {item.alert.id: item.kind for item in life.send()}
    assert {kinds[one.id], kinds[two.id]} == {"raised", "updated"}
    life.wait(HOUR)
    assert [item.kind for item in life.send()] == ["resolved"]


def test_an_event_beyond_the_retention_is_told_whatever_the_threshold_is(
    store: SQLiteStore,
) -> None:
    life = Life(store, iam_rule(window={"threshold": 5}))
    life.deliver(record("GetUser"), at=3 * DAY)
    life.pipeline.retire(NOON + life.now)
    assert life.deliver(record(at=0)) == [Verdict.RAISED]
    (alert,) = life.alerts()
    assert (alert.count, alert.threshold, alert.beyond_retention) == (1, 5, True)


def test_windows_are_retained_until_the_watermark_is_past_their_retention(life: Life) -> None:
    life.deliver(record(at=0), at=60)
    life.deliver(record("GetUser"), at=DAY + 300 + 900 - 1)
    life.pipeline.retire(NOON + life.now)
    assert Verdict.UPDATED in life.deliver(record(at=1))
    life.deliver(record("GetUser"), at=DAY + 300 + 900)
    life.pipeline.retire(NOON + life.now)
    assert life.deliver(record(at=2)) == [Verdict.RAISED]
    window, single = sorted(life.alerts(), key=lambda alert: alert.beyond_retention)
    assert (window.count, single.count) == (2, 1)


def test_a_window_that_is_not_retained_any_more_leaves_its_alert_as_it_was(life: Life) -> None:
    for at in (0, 1, 2):
        life.deliver(record(at=at, eventID=f"e{at}"))
    before = life.alerts()[0]
    life.deliver(record("GetUser"), at=9 * DAY)
    life.wait(0)
    life.pipeline.retire(NOON + life.now)
    (after,) = life.alerts()
    assert (after.count, after.event_ids) == (3, before.event_ids) == (3, ["e0", "e1", "e2"])


def test_an_event_from_the_future_moves_nobody_elses_time(life: Life) -> None:
    made = delivery(record(at=400 * DAY), record(at=0))
    (processed,) = life.pipeline.process([made], NOON + 60).deliveries
    assert processed.ahead == 1
    life.now = 60
    life.pipeline.retire(NOON + 60)
    assert life.deliver(record(at=1)) == [Verdict.UPDATED]
    assert life.wait(0) == []
    assert [alert.count for alert in life.alerts()] == [2, 1]


def test_a_file_name_from_the_future_moves_nobody_elses_time(life: Life) -> None:
    life.pipeline.process([delivery(record("GetUser"), delivered_at=NOON + 9 * DAY)], NOON + 60)
    life.pipeline.retire(NOON + 60)
    assert life.pipeline.watermark == NOON + 60 - 900
    assert life.deliver(record(at=0)) == [Verdict.RAISED]
    assert not life.alerts()[0].beyond_retention


def test_what_waits_is_decided_before_it_is_past_its_retention(store: SQLiteStore) -> None:
    life = Life(store, rule(window=AVERAGE))
    life.deliver(record(at=0, n=9), at=10)
    life.deliver(record("GetUser"), at=3 * DAY)
    told = life.pipeline.retire(NOON + life.now)
    assert [item.verdict for item in told] == [Verdict.RAISED]
    assert life.sent() == [("raised", "12:00", 1)]


def test_an_event_from_the_future_in_a_file_without_a_time_does_not_move_the_watermark(
    life: Life,
) -> None:
    life.pipeline.process([delivery(record(at=400 * DAY), record(at=0))], NOON + 5 * DAY)
    assert life.pipeline.watermark == NOON - 900


def test_what_is_not_retained_any_more_is_not_after_weeks_of_silence_and_a_restart(
    store: SQLiteStore,
) -> None:
    life = Life(store)
    life.deliver(record("GetUser"), at=3 * DAY)
    for _ in range(20):
        life.wait(DAY)
        life.pipeline.retire(NOON + life.now)
        store.prune(NOON + life.now - 14 * DAY, NOON + life.now)
    again = Life(store)
    again.deliver(record(at=0), at=life.now)
    assert again.alerts()[0].beyond_retention


# What is one event.


def corrected(original: dict[str, Any], **fields: Any) -> dict[str, Any]:
    addendum = {
        "reason": "UPDATED_DATA",
        "updatedFields": "sourceIPAddress",
        "originalRequestID": "r",
        "originalEventID": original["eventID"],
    }
    return {**original, "eventID": "correction", "addendum": addendum, **fields}


def test_a_correction_of_an_event_counts_with_it_as_one(life: Life) -> None:
    first = record(at=0)
    life.deliver(first)
    life.deliver(corrected(first, sourceIPAddress="198.51.100.1"))
    (alert,) = life.alerts()
    assert (alert.count, alert.event_ids) == (1, [first["eventID"]])


def test_a_correction_alone_counts_once_under_the_first_ones_id(life: Life) -> None:
    unmatched = record("GetUser", at=0)
    correction = corrected(unmatched, eventName="PutUserPolicy")
    life.deliver(unmatched, correction)
    life.deliver(correction)
    (alert,) = life.alerts()
    assert (alert.count, alert.event_ids) == (1, [unmatched["eventID"]])


def test_an_event_that_was_delivered_late_is_itself(life: Life) -> None:
    life.deliver(record(at=0, addendum={"reason": "DELIVERY_DELAY"}), record(at=1))
    assert life.alerts()[0].count == 2


def test_a_second_copy_that_says_something_else_is_kept_and_shown(life: Life) -> None:
    first = record(at=0)
    life.deliver(first)
    other = {**first, "sourceIPAddress": "198.51.100.9"}
    made = [delivery(other), delivery(dict(reversed(first.items())))]
    one, two = life.pipeline.process(made, NOON + 99).deliveries
    assert (one.differing, two.differing) == (1, 0)
    assert one.accounting.duplicate == two.accounting.duplicate == 1
    assert life.alerts()[0].count == 1
    (kept,) = life.store.quarantined()
    assert kept.reason == "differing_copy"
    assert b"198.51.100.9" in kept.body


# Groups.


def test_groups_beyond_the_cap_are_counted_together_and_the_alert_says_so(
    store: SQLiteStore,
) -> None:
    life = Life(store, iam_rule(), max_groups=2)
    accounts = ["1", "2", "3", "4", "3"]
    made = delivery(*(record(at=n, recipientAccountId=a) for n, a in enumerate(accounts)))
    outcome = life.pipeline.process([made], NOON)
    assert outcome.overflowed == {iam_rule().id: 3}
    found = {alert.overflow: alert for alert in life.alerts()}
    assert (found[True].group, found[True].count) == ({}, 3)
    assert found[True].accounts == ["3", "4"]
    assert sum(alert.count for alert in life.alerts()) == 5
    # A group that has a place keeps it, in other windows too.
    life.deliver(record(at=600, recipientAccountId="1"), record(at=600, recipientAccountId="9"))
    assert [alert.overflow for alert in life.alerts()].count(True) == 2
    assert MAX_GROUPS_PER_RULE == 10_000


def test_a_group_that_has_alerted_takes_no_place_when_its_windows_are_not_retained_any_more(
    store: SQLiteStore,
) -> None:
    life = Life(store, iam_rule(), max_groups=1)
    life.deliver(record(at=0, recipientAccountId="1"), at=60)
    life.deliver(record("GetUser"), at=3 * DAY)
    life.pipeline.retire(NOON + life.now)
    store.prune(NOON + life.now - 14 * DAY, NOON + life.now)
    life.deliver(record(at=3 * DAY, recipientAccountId="2"))
    assert [alert.overflow for alert in life.alerts()] == [False, False]


def test_a_long_value_makes_no_long_key_and_is_told_apart(store: SQLiteStore) -> None:
    life = Life(store, rule(window={"group_by": ["userAgent", "requestParameters"]}))
    values = ["x" * 1_000_000, "x" * 1_000_000 + "y"]
    for value in values * 2:
        life.deliver(record(at=0, userAgent=value, requestParameters=[value]))
    assert [alert.count for alert in life.alerts()] == [2, 2]
    assert all(len(str(alert.group)) < 2000 for alert in life.alerts())


def test_windows_that_breach_without_an_alert_are_forgotten_with_their_retention(
    store: SQLiteStore,
) -> None:
    made = iam_rule(window={"evaluation_periods": 3, "group_by": ()})
    life = Life(store, made)
    for at in range(0, 3 * int(DAY), 1200):
        life.deliver(record(at=at), at=at + 60)
        life.pipeline.retire(NOON + life.now)
    series = store.load(WindowKey(made.id, (), 0, 0), SeriesState)
    assert series is not None
    assert len(series.breaching) < 80  # a day of them


# Silences.


def silence(minutes: int) -> Silence:
    return Silence(
        start=datetime.fromtimestamp(NOON, UTC),
        end=datetime.fromtimestamp(NOON + 60 * minutes, UTC),
        author="alice",
        reason="key rotation",
        accounts=(ACCOUNT,),
    )


def test_an_alert_in_a_silence_is_kept_and_sent_to_nobody(store: SQLiteStore) -> None:
    life = Life(store, silences=[silence(4)])
    assert life.deliver(record(at=0)) == [Verdict.SUPPRESSED]
    assert life.deliver(record(at=1)) == [Verdict.SUPPRESSED]
    assert life.send() == []
    (alert,) = life.alerts()
    assert alert.count == 2
    assert alert.suppressed is not None
    assert (alert.suppressed.author, alert.suppressed.reason) == ("alice", "key rotation")
    life.wait(HOUR)
    assert life.send() == []


def test_an_event_outside_of_the_silence_makes_the_window_page(store: SQLiteStore) -> None:
    life = Life(store, silences=[silence(4)])
    life.deliver(record(at=0))
    assert life.deliver(record(at=241)) == [Verdict.RAISED]
    assert life.sent() == [("raised", "12:00", 2)]
    assert life.alerts()[0].suppressed is None


def test_the_first_window_after_a_silence_pages_though_its_episode_began_in_it(
    store: SQLiteStore,
) -> None:
    life = Life(store, silences=[silence(5)])
    life.deliver(record(at=299))
    life.deliver(record(at=300))
    assert life.sent() == [("raised", "12:05", 1)]
    first, second = life.alerts()
    assert second.episode is not None
    assert second.episode.id == first.id
    assert second.dedup_key == second.id


def test_an_event_beyond_the_retention_is_silenced_as_it_would_have_been_before(
    store: SQLiteStore,
) -> None:
    life = Life(store, silences=[silence(4)])
    life.deliver(record("GetUser"), at=3 * DAY)
    life.pipeline.retire(NOON + life.now)
    assert life.deliver(record(at=0)) == [Verdict.SUPPRESSED]
    assert life.send() == []
    assert life.deliver(record(at=241)) == [Verdict.RAISED]
    assert [item.kind for item in life.send()] == ["raised"]


def test_another_account_is_not_silenced(store: SQLiteStore) -> None:
    life = Life(store, silences=[silence(5)])
    assert life.deliver(record(recipientAccountId="444455556666")) == [Verdict.RAISED]


# Sliding windows.


SLIDING = {"mode": "sliding", "period": 300, "threshold": 2}


def test_a_sliding_window_alarms_by_arrival_and_is_resolved_when_cloudwatch_would(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window=SLIDING))
    life.deliver(record(at=0, eventID="a"), at=0)
    life.deliver(record(at=5000, eventID="b"), at=119)
    assert life.alerts() == []
    assert life.wait(1) == [Verdict.RAISED]
    (raised,) = life.send()
    assert raised.kind == "raised"
    (alert,) = life.alerts()
    assert (alert.counting, alert.count, alert.value) == ("sliding", 2, 2)
    assert alert.event_ids == ["a", "b"]
    assert "Threshold Crossed: 1 datapoint" in alert.reason
    assert life.deliver(record(at=0, eventID="c"), at=130) == [Verdict.UPDATED]
    assert life.alerts()[0].count == 3
    assert life.wait(230) == []
    # The trailing period has but one of the three now.
    assert life.wait(60) == [Verdict.RESOLVED]
    assert [item.kind for item in life.send()] == ["resolved"]


def test_an_alarm_that_a_silence_kept_pages_when_something_else_comes(store: SQLiteStore) -> None:
    life = Life(store, rule(window=SLIDING), silences=[silence(4)])
    life.deliver(record(at=0), record(at=1), at=0)
    assert life.wait(60) == [Verdict.SUPPRESSED]
    assert life.send() == []
    assert life.deliver(record(at=241)) == [Verdict.RAISED]
    assert [item.kind for item in life.send()] == ["raised"]
    life.deliver(record(at=242))
    life.wait(60)
    assert [item.kind for item in life.send()] == ["updated"]


def test_an_alarm_of_which_not_all_events_are_known_is_not_held_by_a_silence(
    store: SQLiteStore,
) -> None:
    life = Life(store, rule(window={**SLIDING, "threshold": 60}), silences=[silence(4)])
    life.deliver(*(record(at=-1) for _ in range(10)), at=0)
    life.deliver(*(record(at=1) for _ in range(50)), at=10)
    assert life.wait(60) == [Verdict.RAISED]
    assert [item.kind for item in life.send()] == ["raised"]


def test_an_alarm_on_missing_data_needs_no_event(store: SQLiteStore) -> None:
    life = Life(store, rule(window={**SLIDING, "treat_missing_data": "breaching"}))
    assert life.wait(0) == []
    assert life.wait(60) == [Verdict.RAISED]
    (alert,) = life.alerts()
    assert (alert.count, alert.event_ids) == (0, [])
    assert "no datapoints were received" in alert.reason


def test_an_alarm_goes_on_after_a_restart_where_it_was(store: SQLiteStore) -> None:
    life = Life(store, rule(window=SLIDING))
    life.deliver(record(at=0), record(at=1), at=0)
    life = Life(store, rule(window=SLIDING))
    assert life.wait(60) == [Verdict.RAISED]
    life = Life(store, rule(window=SLIDING))
    assert life.wait(HOUR) == [Verdict.RESOLVED]
