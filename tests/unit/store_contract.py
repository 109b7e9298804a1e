"""What any `Store` must do, whatever it is made of.

A test module makes a class of `StoreContract`, or of `DurableStoreContract`, for each
implementation, and gives it `open_store`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from detector.alerts.alert import Alert, AlertState
from detector.events.record import Identity
from detector.state.store import (
    Notification,
    OutboxCounts,
    Position,
    QuarantineCounts,
    Quarantined,
    Revision,
    Seen,
    Store,
    Timer,
)
from detector.windows.aligned import Evidence, GroupValue, Observation, WindowKey, WindowState
from detector.windows.correlated import Bucket, Carried, Point
from detector.windows.statistic import Totals
from tests.alerts import alert
from tests.records import record

KEY = WindowKey("rule", ("111122223333", None, 7, True), 600, 300)
DAY = 86_400.0

WINDOW = WindowState(
    count=3,
    on_time=2,
    is_alerting=True,
    sampled=["actors"],
    totals=Totals(3, "7/2", 0.5, 2, [1, 2]),
    first_event_time=1.5,
    last_event_time=7,
    actors={"a\0\N{SNOWMAN}": 3},
    event_ids=[(1.5, "e")],
    evidence=[Evidence(1.5, "e", msgspec.Raw(b'{"n":[null,1.5,{"deep":true}]}'))],
    last_evidence=[Evidence(7, "f", msgspec.Raw(b"{}"))],
)
BUCKET = Bucket(
    points=[
        Point(
            1.5,
            ("e", "1"),
            "member",
            ("v", None, 2),
            Observation(1.5, "e", False, "Name", "actor", "10.0.0.1", "r", "1", record()),
            {"outer": Carried(("g", 1), 0.25)},
        )
    ],
    fired=[("e", "1")],
    overflow=4,
    digest="d",
    is_complete=True,
)

OpenStore = Callable[[], AbstractContextManager[Store]]


ALERT = alert()
"""One alert: each call makes a record of another number."""


DIGEST = b"0123456789abcdef"


def saved(made: Alert, revision: int = 1) -> Alert:
    """Return an alert as it comes back after it was saved so many times."""
    return msgspec.structs.replace(made, revision=revision)


def named(name: str) -> Alert:
    return msgspec.structs.replace(ALERT, id=name)


def save(store: Store, made: Alert, now: float, *sinks: str, pages: bool = True) -> None:
    with store.transaction(now) as transaction:
        transaction.save_alert(made, sinks, 60, pages=pages)


def revise(
    store: Store, now: float, state: AlertState = "open", count: int = 2, pages: bool = False
) -> None:
    with store.transaction(now) as transaction:
        transaction.revise_alert(Revision(ALERT.id, state, count, pages), ["s"], 60)


def due(store: Store, now: float, sink: str = "s") -> list[Notification]:
    return store.outbox.due(sink, now, limit=10)


def only_due(store: Store, now: float, sink: str = "s") -> Notification:
    (notification,) = due(store, now, sink)
    return notification


def keep_some_of_everything(store: Store, now: float = 0) -> None:
    with store.transaction(now) as transaction:
        transaction.remember(Identity("e", "1"), DIGEST)
        transaction.save(KEY, WINDOW, DAY)
        transaction.set_timer(Timer(KEY, 5, 7))
        transaction.save_alert(ALERT, ["s", "t"], 60)
        transaction.save_position(Position("source", "key", "value"))
        transaction.quarantine(Quarantined("s", "o", 0, "why", b"\0\xff"))


def is_new(store: Store, event_id: str = "e", account: str = "1", now: float = 0) -> bool:
    with store.transaction(now) as transaction:
        return transaction.remember(Identity(event_id, account), DIGEST) is Seen.NEW


def window(store: Store, key: WindowKey = KEY) -> WindowState | None:
    with store.transaction(0) as transaction:
        return transaction.load(key, WindowState)


class StoreContract:
    """The tests of every store."""

    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[Store]:
        with open_store() as store:
            yield store

    # Transactions.

    @pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, GeneratorExit])
    def test_a_transaction_that_fails_leaves_nothing(
        self, store: Store, kind: type[BaseException]
    ) -> None:
        def fail() -> None:
            with store.transaction(0) as transaction:
                transaction.remember(Identity("e", "1"), DIGEST)
                transaction.save(KEY, WINDOW)
                transaction.set_timer(Timer(KEY, 1, None))
                transaction.admit("rule", ("a",), 1)
                transaction.save_alert(ALERT, ["s"], 60)
                transaction.save_position(Position("source", "key", "value"))
                transaction.quarantine(Quarantined("s", "o", 0, "why", b""))
                raise kind

        with pytest.raises(kind):
            fail()
        assert is_new(store)
        assert window(store) is None
        assert store.alerts() == []
        assert due(store, 99) == []
        assert store.positions("source") == {}
        assert store.quarantined() == []
        assert store.due_timers(9, 9, 9) == []
        with store.transaction(0) as transaction:
            assert transaction.admit("rule", ("b",), 1)

    def test_a_transaction_that_fails_takes_nothing_of_what_was_there(self, store: Store) -> None:
        keep_some_of_everything(store)

        def fail() -> None:
            with store.transaction(1) as transaction:
                transaction.save(KEY, WindowState(count=9, first_event_time=1, last_event_time=1))
                transaction.save_alert(ALERT, ["s"], 60)
                transaction.save_position(Position("source", "key", "other"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert window(store) == WINDOW
        assert store.alerts() == [saved(ALERT)]
        assert only_due(store, 1) == Notification(saved(ALERT))
        assert store.positions("source") == {"key": "value"}

    def test_a_transaction_sees_what_it_has_changed_itself(self, store: Store) -> None:
        with store.transaction(0) as transaction:
            assert transaction.load(KEY, WindowState) is None
            transaction.save(KEY, WINDOW)
            assert transaction.load(KEY, WindowState) == WINDOW
            transaction.save(KEY, WindowState(count=9, first_event_time=1, last_event_time=1))
        kept = window(store)
        assert kept is not None
        assert kept.count == 9

    # Events.

    def test_an_event_is_new_only_once(self, store: Store) -> None:
        with store.transaction(0) as transaction:
            assert transaction.remember(Identity("e", "1"), DIGEST) is Seen.NEW
            assert transaction.remember(Identity("e", "1"), DIGEST) is Seen.SAME
            assert transaction.remember(Identity("e", "2"), DIGEST) is Seen.NEW
            assert transaction.remember(Identity("E", "1"), DIGEST) is Seen.NEW
            assert transaction.remember(Identity("e\0", "1"), DIGEST) is Seen.NEW
        assert not is_new(store)

    def test_a_second_copy_with_another_content_is_told_from_one_with_the_same(
        self, store: Store
    ) -> None:
        assert is_new(store)
        with store.transaction(1) as transaction:
            assert transaction.remember(Identity("e", "1"), b"another") is Seen.DIFFERENT
            assert transaction.remember(Identity("e", "1"), DIGEST) is Seen.SAME

    # Windows and buckets.

    @pytest.mark.parametrize("state", [WINDOW, BUCKET, Bucket()])
    def test_a_state_comes_back_as_it_was_kept(self, store: Store, state: msgspec.Struct) -> None:
        with store.transaction(0) as transaction:
            transaction.save(KEY, state)
        with store.transaction(0) as transaction:
            kept = transaction.load(KEY, type(state))
        assert kept == state

    @pytest.mark.parametrize(
        "other",
        [
            msgspec.structs.replace(KEY, rule_id="Rule"),
            msgspec.structs.replace(KEY, start=900),
            msgspec.structs.replace(KEY, period=600),
            msgspec.structs.replace(KEY, group=()),
        ],
    )
    def test_keys_that_differ_anywhere_are_apart(self, store: Store, other: WindowKey) -> None:
        with store.transaction(0) as transaction:
            transaction.save(KEY, WINDOW)
        assert window(store, other) is None

    def test_groups_are_apart_by_the_types_of_their_values(self, store: Store) -> None:
        values: Sequence[GroupValue] = [None, "", "null", 0, False, "0", 1, True, 1.5, "1", "a,b"]
        keys = [msgspec.structs.replace(KEY, group=(value,)) for value in values]
        with store.transaction(0) as transaction:
            for count, key in enumerate(keys, 1):
                transaction.save(
                    key, WindowState(count=count, first_event_time=1, last_event_time=1)
                )
        found = [window(store, key) for key in keys]
        assert [state and state.count for state in found] == [*range(1, len(keys) + 1)]

    # Alerts and the outbox.

    def test_alerts_come_by_the_start_of_their_window_in_their_last_revision(
        self, store: Store
    ) -> None:
        later = msgspec.structs.replace(
            named("a"), window=msgspec.structs.replace(ALERT.window, start="2027-01-01T00:00:00Z")
        )
        save(store, later, 0)
        save(store, named("b"), 1)
        save(store, named("b"), 2)
        assert [(kept.id, kept.revision) for kept in store.alerts()] == [("b", 2), ("a", 1)]

    def test_an_alert_without_sinks_is_kept_and_sent_nowhere(self, store: Store) -> None:
        save(store, ALERT, 0)
        assert store.alerts() == [saved(ALERT)]
        assert due(store, 99) == []

    def test_a_new_alert_is_due_at_once_for_each_sink(self, store: Store) -> None:
        save(store, ALERT, 100, "s", "t")
        assert due(store, 99.9) == []
        assert only_due(store, 100) == Notification(saved(ALERT), "raised", 0)
        assert only_due(store, 100, "t") == Notification(saved(ALERT))
        assert due(store, 100, "other") == []
        assert store.outbox.next_due("s") == 100
        assert store.outbox.counts("s") == OutboxCounts(pending=1, dead=0, oldest=100)
        assert store.outbox.counts("other") == OutboxCounts(0, 0, None)

    def test_what_is_due_longest_comes_first_and_no_more_than_asked_for(self, store: Store) -> None:
        for name, now in (("a", 3), ("b", 1), ("c", 2)):
            save(store, named(name), now, "s")
        found = store.outbox.due("s", 9, limit=2)
        assert [notification.alert.id for notification in found] == ["b", "c"]

    def test_a_delivered_alert_is_not_sent_again(self, store: Store) -> None:
        save(store, ALERT, 100, "s", "t")
        store.outbox.delivered("s", only_due(store, 100), 101, 60)
        assert due(store, 10_000) == []
        assert store.outbox.next_due("s") is None
        assert store.outbox.counts("s").pending == 0
        assert store.outbox.counts("t").pending == 1

    def test_an_update_waits_for_its_interval_and_takes_the_place_of_others(
        self, store: Store
    ) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.delivered("s", only_due(store, 100), 100, 60)
        revise(store, 110)
        save(store, ALERT, 120, "s", pages=False)
        assert due(store, 159) == []
        assert store.outbox.next_due("s") == 160
        assert only_due(store, 160) == Notification(saved(ALERT, 3), "updated")

    def test_an_update_after_its_interval_is_due_at_once(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.delivered("s", only_due(store, 100), 100, 60)
        revise(store, 500)
        assert store.outbox.next_due("s") == 500

    def test_an_update_that_comes_while_its_alert_is_being_sent_is_sent_later(
        self, store: Store
    ) -> None:
        save(store, ALERT, 100, "s")
        notification = only_due(store, 100)
        revise(store, 101)
        store.outbox.delivered("s", notification, 102, 60)
        assert due(store, 161) == []
        assert only_due(store, 162).alert.revision == 2

    def test_a_first_notification_still_waiting_goes_out_with_what_is_known_then(
        self, store: Store
    ) -> None:
        save(store, ALERT, 100, "s")
        revise(store, 101)
        assert only_due(store, 101) == Notification(saved(ALERT, 2))

    def test_a_page_does_not_wait_for_the_interval_of_updates(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.delivered("s", only_due(store, 100), 100, 60)
        revise(store, 101)
        revise(store, 102, pages=True)
        assert only_due(store, 102) == Notification(saved(ALERT, 3), "raised")
        revise(store, 103)
        assert only_due(store, 103).kind == "raised"
        store.outbox.delivered("s", only_due(store, 103), 104, 60)
        assert due(store, 10_000) == []

    @pytest.mark.parametrize("first", [True, False], ids=["page", "update"])
    def test_a_page_that_comes_while_a_message_is_on_its_way_is_due_at_once(
        self, store: Store, first: bool
    ) -> None:
        save(store, ALERT, 100, "s", pages=first)
        on_its_way = only_due(store, 100)
        revise(store, 101, pages=True)
        store.outbox.delivered("s", on_its_way, 102, 60)
        found = only_due(store, 102)
        assert (found.kind, found.alert.revision) == ("raised", 2)
        store.outbox.delivered("s", found, 103, 60)
        assert due(store, 10_000) == []

    def test_pages_that_come_while_a_sink_is_down_do_not_hurry_its_next_attempt(
        self, store: Store
    ) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.retry_later("s", only_due(store, 100), 500, "503")
        revise(store, 101, pages=True)
        assert store.outbox.next_due("s") == 500
        store.outbox.delivered("s", only_due(store, 500), 501, 60)
        assert due(store, 10_000) == []

    def test_an_alert_that_pages_nobody_is_told_as_an_update(self, store: Store) -> None:
        save(store, ALERT, 100, "s", pages=False)
        assert only_due(store, 100) == Notification(saved(ALERT), "updated")

    def test_the_end_of_an_alert_is_told_at_once_to_those_who_know_it(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.delivered("s", only_due(store, 100), 100, 60)
        revise(store, 110, "resolved", count=5)
        assert store.counts([ALERT.id, "unknown"]) == 5
        ended = msgspec.structs.replace(saved(ALERT, 2), state="resolved")
        assert only_due(store, 110) == Notification(ended, "resolved")
        store.outbox.delivered("s", only_due(store, 110), 111, 60)
        assert due(store, 10_000) == []
        assert store.alerts() == [ended]

    def test_who_has_not_been_told_hears_of_an_alert_before_its_end(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        revise(store, 110, "resolved")
        first = only_due(store, 110)
        assert (first.kind, first.alert.state) == ("raised", "resolved")
        store.outbox.delivered("s", first, 111, 60)
        second = only_due(store, 111)
        assert (second.kind, second.alert.state) == ("resolved", "resolved")
        store.outbox.delivered("s", second, 112, 60)
        assert due(store, 10_000) == []

    def test_the_end_of_an_alert_that_was_never_sent_to_a_sink_is_not_either(
        self, store: Store
    ) -> None:
        save(store, ALERT, 100)
        revise(store, 110, "resolved")
        assert due(store, 10_000) == []

    def test_what_is_withdrawn_before_it_was_sent_pages_nobody(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        revise(store, 110, "withdrawn")
        assert due(store, 10_000) == []
        save(store, ALERT, 120, "s")
        assert only_due(store, 120).kind == "raised"

    def test_an_alert_that_goes_on_after_its_end_is_open_again(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.delivered("s", only_due(store, 100), 100, 60)
        revise(store, 110, "resolved")
        store.outbox.delivered("s", only_due(store, 110), 110, 60)
        revise(store, 120, pages=True)
        found = only_due(store, 120)
        assert (found.kind, found.alert.state) == ("raised", "open")

    def test_updates_of_what_is_over_wait_for_their_interval(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.delivered("s", only_due(store, 100), 100, 60)
        revise(store, 110, "resolved")
        store.outbox.delivered("s", only_due(store, 110), 110, 60)
        revise(store, 120, "resolved")
        assert store.outbox.next_due("s") == 170
        assert only_due(store, 170).kind == "resolved"

    def test_a_transaction_finds_an_alert_by_its_id(self, store: Store) -> None:
        save(store, ALERT, 100)
        with store.transaction(0) as transaction:
            assert transaction.alert(ALERT.id) == saved(ALERT)
            assert transaction.alert("unknown") is None

    def test_what_was_put_off_by_a_clock_that_was_set_back_is_due(self, store: Store) -> None:
        save(store, ALERT, 9_000, "s")
        assert due(store, 5_000) == []
        assert store.outbox.mend_clock(5_000) == 1
        assert only_due(store, 5_000).alert.id == ALERT.id
        store.outbox.retry_later("s", only_due(store, 5_000), 5_100, "503")
        assert store.outbox.mend_clock(5_000) == 0
        assert due(store, 5_000) == []

    # Timers.

    def test_a_timer_runs_out_by_the_watermark_or_by_the_clock(self, store: Store) -> None:
        other = msgspec.structs.replace(KEY, start=900)
        with store.transaction(0) as transaction:
            transaction.set_timer(Timer(KEY, 10, 20))
            transaction.set_timer(Timer(other, None, 15))
            assert transaction.due_timers(10, 0, 9) == [Timer(KEY, 10, 20)]
        assert store.due_timers(9, 14, 9) == []
        assert store.due_timers(10, 0, 9) == [Timer(KEY, 10, 20)]
        assert store.due_timers(0, 20, 9) == [Timer(other, None, 15), Timer(KEY, 10, 20)]
        assert store.due_timers(0, 20, 1) == [Timer(other, None, 15)]
        assert store.next_timer() == 15

    def test_a_key_has_one_timer_and_can_have_none(self, store: Store) -> None:
        with store.transaction(0) as transaction:
            transaction.set_timer(Timer(KEY, 1, 1))
            transaction.set_timer(Timer(KEY, None, 5))
        assert store.due_timers(99, 4, 9) == []
        assert store.due_timers(0, 5, 9) == [Timer(KEY, None, 5)]
        with store.transaction(0) as transaction:
            transaction.set_timer(Timer(KEY, None, None))
        assert store.due_timers(99, 99, 9) == []
        assert store.next_timer() is None

    # Groups.

    def test_a_rule_has_so_many_groups_and_those_it_has_stay(self, store: Store) -> None:
        with store.transaction(0) as transaction:
            assert transaction.admit("rule", ("a", 1), 2)
            assert transaction.admit("rule", ("a", True), 2)
            assert not transaction.admit("rule", ("b", 1), 2)
            assert transaction.admit("rule", ("a", 1), 2)
            assert transaction.admit("other", ("b", 1), 2)
        with store.transaction(0) as transaction:
            assert not transaction.admit("rule", ("b", 1), 2)
            assert transaction.admit("rule", ("b", 1), 3)

    def test_a_group_without_windows_makes_room_for_another(self, store: Store) -> None:
        with store.transaction(0) as transaction:
            assert transaction.admit("rule", KEY.group, 1)
            transaction.save(KEY, WINDOW, 900)
        store.prune(0, DAY)
        with store.transaction(0) as transaction:
            assert not transaction.admit("rule", ("b",), 1)
            transaction.drop(KEY)
        store.prune(0, DAY)
        with store.transaction(0) as transaction:
            assert transaction.admit("rule", ("b",), 1)

    def test_a_failed_attempt_is_counted_and_put_off(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.retry_later("s", only_due(store, 100), 107, "503")
        assert due(store, 106) == []
        assert only_due(store, 107).attempts == 1
        assert store.outbox.counts("s") == OutboxCounts(pending=1, dead=0, oldest=100)

    def test_failed_attempts_are_forgotten_with_a_delivery(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.retry_later("s", only_due(store, 100), 107, "503")
        store.outbox.delivered("s", only_due(store, 107), 107, 60)
        revise(store, 200)
        assert only_due(store, 200) == Notification(saved(ALERT, 2), "updated", 0)

    def test_a_dead_letter_is_kept_and_sent_again_only_when_revived(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.outbox.bury("s", only_due(store, 100), "404")
        revise(store, 110)
        assert due(store, 10_000) == []
        assert store.outbox.next_due("s") is None
        assert store.outbox.counts("s") == OutboxCounts(pending=0, dead=1, oldest=None)
        assert store.outbox.revive("other", 200) == 0
        assert store.outbox.revive("s", 200) == 1
        assert store.outbox.revive("s", 200) == 0
        assert due(store, 199) == []
        assert only_due(store, 200) == Notification(saved(ALERT, 2), attempts=1)

    # Positions.

    def test_positions_are_kept_by_source_and_can_be_forgotten(self, store: Store) -> None:
        with store.transaction(0) as transaction:
            transaction.save_position(Position("a", "k", "1"))
            transaction.save_position(Position("a", "l", "1"))
            transaction.save_position(Position("b", "k", "1"))
            transaction.save_position(Position("a", "k", "2"))
        store.forget_positions("a", ["l", "m"])
        assert store.positions("a") == {"k": "2"}
        assert store.positions("b") == {"k": "1"}
        assert store.positions("c") == {}

    # The quarantine.

    def test_quarantined_records_come_oldest_first_and_once_each(self, store: Store) -> None:
        second = Quarantined("s", "o", 1, "why", b"\0\xff")
        first = Quarantined("s", "o", 2, "why", b"")
        for now, kept in ((5.0, second), (3.0, first), (6.0, second)):
            with store.transaction(now) as transaction:
                transaction.quarantine(kept)
        assert store.quarantined() == [first, second]
        assert [item.kept_at for item in store.quarantined()] == [3, 6]

    def test_what_is_kept_comes_back_as_it_was(self, store: Store) -> None:
        items = [
            Quarantined("s", "o", None, "why", b"", "what is wrong", 7.5, is_complete=False),
            Quarantined("s", "o", None, "why", b"x", "what is wrong"),
            Quarantined("s", "o", 0, "why", b"x"),
            Quarantined("s", "o", 0, "why", b"y"),
            Quarantined("s", "p", 0, "why", b"y"),
            Quarantined("t", "p", 0, "why", b"y"),
        ]
        with store.transaction(1) as transaction:
            for item in items:
                assert transaction.quarantine(item) == 0
        assert store.quarantined() == items

    def test_no_more_of_the_quarantine_is_returned_than_asked_for_but_one(
        self, store: Store
    ) -> None:
        items = [Quarantined("s", "o", index, "why", bytes(10)) for index in range(3)]
        with store.transaction(1) as transaction:
            for item in items:
                transaction.quarantine(item)
        assert store.quarantined(limit=2) == items[:2]
        assert store.quarantined(max_bytes=20) == items[:2]
        assert store.quarantined(max_bytes=5) == items[:1]
        assert store.quarantined(limit=0) == []

    def test_what_has_its_place_in_the_quarantine_is_forgotten(self, store: Store) -> None:
        items = [Quarantined("s", "o", index, "why", bytes(10)) for index in range(3)]
        with store.transaction(1) as transaction:
            for item in items:
                transaction.quarantine(item)
        assert store.quarantine_counts() == QuarantineCounts(3, 30)
        store.drop_quarantined(store.quarantined(limit=2))
        assert store.quarantined() == items[2:]
        assert store.quarantine_counts() == QuarantineCounts(1, 10)
        store.drop_quarantined(store.quarantined())
        assert store.quarantine_counts() == QuarantineCounts(0, 0)

    def test_what_was_not_committed_does_not_count_in_the_quarantine(self, store: Store) -> None:
        def fail() -> None:
            with store.transaction(0) as transaction:
                transaction.quarantine(Quarantined("s", "o", 0, "why", bytes(10)))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert store.quarantine_counts() == QuarantineCounts(0, 0)

    # Retention.

    def test_what_is_past_retention_goes(self, store: Store) -> None:
        keep_some_of_everything(store)
        store.prune(before=DAY, ahead=DAY)
        assert is_new(store)

    def test_what_waits_for_its_place_in_the_quarantine_has_no_retention(
        self, store: Store
    ) -> None:
        keep_some_of_everything(store)
        store.prune(before=DAY, ahead=DAY)
        assert len(store.quarantined()) == 1

    def test_a_window_goes_by_event_time_with_its_timer(self, store: Store) -> None:
        keep_some_of_everything(store)
        store.prune(before=DAY, ahead=DAY)
        assert window(store) == WINDOW
        assert store.expired(DAY - 1, 9) == []
        assert store.expired(DAY, 9) == [KEY]
        with store.transaction(0) as transaction:
            transaction.drop(KEY)
        assert window(store) is None
        assert store.expired(DAY, 9) == []
        assert store.due_timers(DAY, DAY, 9) == []

    def test_windows_that_expire_come_earliest_first_and_no_more_than_asked_for(
        self, store: Store
    ) -> None:
        keys = [msgspec.structs.replace(KEY, start=start) for start in (900, 300, 600)]
        with store.transaction(0) as transaction:
            for key in keys:
                transaction.save(key, WINDOW, key.end)
        assert [key.start for key in store.expired(DAY, 2)] == [300, 600]

    def test_a_window_of_a_clock_that_ran_ahead_goes_by_when_it_was_touched(
        self, store: Store
    ) -> None:
        keep_some_of_everything(store, now=DAY)
        store.prune(before=DAY, ahead=0)
        assert window(store) == WINDOW
        store.prune(before=DAY + 1, ahead=0)
        assert window(store) is None

    def test_what_never_expires_goes_when_nothing_touches_it_and_no_timer_runs(
        self, store: Store
    ) -> None:
        with store.transaction(0) as transaction:
            transaction.save(KEY.series, BUCKET)
            transaction.set_timer(Timer(KEY.series, None, 9 * DAY))
        store.prune(before=DAY, ahead=DAY)
        assert store.load(KEY.series, Bucket) == BUCKET
        with store.transaction(0) as transaction:
            transaction.set_timer(Timer(KEY.series, None, None))
        store.prune(before=0, ahead=DAY)
        assert store.load(KEY.series, Bucket) == BUCKET
        store.prune(before=DAY, ahead=DAY)
        assert store.load(KEY.series, Bucket) is None

    def test_what_was_touched_at_the_limit_or_later_stays(self, store: Store) -> None:
        keep_some_of_everything(store, now=0)
        keep_some_of_everything(store, now=DAY)
        for sink in ("s", "t"):
            store.outbox.delivered(sink, only_due(store, DAY, sink), DAY, 60)
        store.prune(before=DAY, ahead=DAY)
        assert window(store) == WINDOW
        assert len(store.quarantined()) == len(store.alerts()) == 1

    def test_an_event_seen_again_is_remembered_from_its_first_time(self, store: Store) -> None:
        assert is_new(store, now=0)
        assert not is_new(store, now=DAY)
        store.prune(before=DAY, ahead=DAY)
        assert is_new(store)

    def test_what_still_has_to_be_sent_outlives_its_retention(self, store: Store) -> None:
        save(store, ALERT, 0, "s", "t")
        store.outbox.delivered("t", only_due(store, 0, "t"), 0, 60)
        store.prune(before=DAY, ahead=DAY)
        assert only_due(store, DAY).alert == saved(ALERT)
        store.outbox.delivered("s", only_due(store, DAY), DAY, 60)
        store.prune(before=DAY, ahead=DAY)
        assert store.alerts() == []

    def test_dead_letters_go_with_their_alert(self, store: Store) -> None:
        save(store, ALERT, 0, "s")
        store.outbox.bury("s", only_due(store, 0), "404")
        store.prune(before=0, ahead=DAY)
        assert store.outbox.counts("s").dead == 1
        store.prune(before=DAY, ahead=DAY)
        assert store.outbox.counts("s").dead == 0
        assert store.alerts() == []

    def test_positions_have_no_retention(self, store: Store) -> None:
        keep_some_of_everything(store)
        store.prune(before=DAY, ahead=DAY)
        assert store.positions("source") == {"key": "value"}


class DurableStoreContract(StoreContract):
    """The tests of a store that outlives its process; `open_store` opens the same each time."""

    def test_what_was_committed_is_there_when_it_is_opened_again(
        self, open_store: OpenStore
    ) -> None:
        with open_store() as store:
            keep_some_of_everything(store)
            with store.transaction(0) as transaction:
                transaction.save(msgspec.structs.replace(KEY, rule_id="c"), BUCKET)
        with open_store() as store:
            assert not is_new(store)
            assert window(store) == WINDOW
            with store.transaction(0) as transaction:
                key = msgspec.structs.replace(KEY, rule_id="c")
                assert transaction.load(key, Bucket) == BUCKET
            assert store.alerts() == [saved(ALERT)]
            assert only_due(store, 0) == Notification(saved(ALERT))
            assert store.due_timers(5, 0, 9) == [Timer(KEY, 5, 7)]
            assert store.positions("source") == {"key": "value"}
            assert store.quarantined() == [Quarantined("s", "o", 0, "why", b"\0\xff")]

    def test_the_outbox_goes_on_where_it_was(self, open_store: OpenStore) -> None:
        with open_store() as store:
            save(store, named("dead"), 1, "s")
            store.outbox.bury("s", only_due(store, 1), "404")
            save(store, named("sent"), 2, "s")
            store.outbox.delivered("s", only_due(store, 2), 2, 60)
            save(store, named("put off"), 3, "s")
            store.outbox.retry_later("s", only_due(store, 3), 9, "503")
        with open_store() as store:
            assert store.outbox.counts("s") == OutboxCounts(pending=1, dead=1, oldest=3)
            assert store.outbox.next_due("s") == 9
            assert only_due(store, 9) == Notification(saved(named("put off")), attempts=1)

    def test_what_was_not_committed_is_not_there_when_it_is_opened_again(
        self, open_store: OpenStore
    ) -> None:
        def fail() -> None:
            with open_store() as store, store.transaction(0) as transaction:
                transaction.remember(Identity("e", "1"), DIGEST)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with open_store() as store:
            assert is_new(store)
