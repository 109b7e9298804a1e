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

from detector.alerts.alert import Alert
from detector.events.record import Identity
from detector.state.store import Notification, OutboxCounts, Position, Quarantined, Store
from detector.windows.aligned import Evidence, GroupValue, Observation, WindowKey, WindowState
from detector.windows.correlated import Bucket, Carried, Point
from tests.alerts import alert
from tests.records import record

KEY = WindowKey("rule", ("111122223333", None, 7, True), 600, 300)
DAY = 86_400.0

WINDOW = WindowState(
    count=3,
    on_time=2,
    revision=1,
    first_event_time=1.5,
    last_event_time=7,
    actors={"a\0\N{SNOWMAN}": 3},
    event_ids=[(1.5, "e")],
    evidence=[Evidence(1.5, "e", record(n=[None, 1.5, {"deep": True}]))],
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
    revision=2,
    digest="d",
)

OpenStore = Callable[[], AbstractContextManager[Store]]


ALERT = alert()
"""One alert: each call makes a record of another number."""


def revised(revision: int) -> Alert:
    return msgspec.structs.replace(ALERT, revision=revision)


def named(name: str) -> Alert:
    return msgspec.structs.replace(ALERT, id=name)


def save(store: Store, made: Alert, now: float, *sinks: str, interval: float = 60) -> None:
    with store.transaction(now) as transaction:
        transaction.save_alert(made, sinks, interval)


def due(store: Store, now: float, sink: str = "s") -> list[Notification]:
    return store.due(sink, now, limit=10)


def only_due(store: Store, now: float, sink: str = "s") -> Notification:
    (notification,) = due(store, now, sink)
    return notification


def keep_some_of_everything(store: Store, now: float = 0) -> None:
    with store.transaction(now) as transaction:
        transaction.remember(Identity("e", "1"))
        transaction.save(KEY, WINDOW)
        transaction.save_alert(ALERT, ["s", "t"], 60)
        transaction.save_position(Position("source", "key", "value"))
        transaction.quarantine(Quarantined("s", "o", 0, "why", b"\0\xff"))


def is_new(store: Store, event_id: str = "e", account: str = "1", now: float = 0) -> bool:
    with store.transaction(now) as transaction:
        return transaction.remember(Identity(event_id, account))


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
                transaction.remember(Identity("e", "1"))
                transaction.save(KEY, WINDOW)
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

    def test_a_transaction_that_fails_takes_nothing_of_what_was_there(self, store: Store) -> None:
        keep_some_of_everything(store)

        def fail() -> None:
            with store.transaction(1) as transaction:
                transaction.save(KEY, WindowState(count=9, first_event_time=1, last_event_time=1))
                transaction.save_alert(revised(9), ["s"], 60)
                transaction.save_position(Position("source", "key", "other"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert window(store) == WINDOW
        assert store.alerts() == [ALERT]
        assert only_due(store, 1) == Notification(ALERT)
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
            assert transaction.remember(Identity("e", "1"))
            assert not transaction.remember(Identity("e", "1"))
            assert transaction.remember(Identity("e", "2"))
            assert transaction.remember(Identity("E", "1"))
            assert transaction.remember(Identity("e\0", "1"))
        assert not is_new(store)

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
        save(store, msgspec.structs.replace(named("b"), revision=2), 2)
        assert [(kept.id, kept.revision) for kept in store.alerts()] == [("b", 2), ("a", 1)]

    def test_an_alert_without_sinks_is_kept_and_sent_nowhere(self, store: Store) -> None:
        save(store, ALERT, 0)
        assert store.alerts() == [ALERT]
        assert due(store, 99) == []

    def test_a_new_alert_is_due_at_once_for_each_sink(self, store: Store) -> None:
        save(store, ALERT, 100, "s", "t")
        assert due(store, 99.9) == []
        assert only_due(store, 100) == Notification(ALERT, attempts=0, is_update=False)
        assert only_due(store, 100, "t") == Notification(ALERT)
        assert due(store, 100, "other") == []
        assert store.next_due("s") == 100
        assert store.outbox_counts("s") == OutboxCounts(pending=1, dead=0, oldest=100)
        assert store.outbox_counts("other") == OutboxCounts(0, 0, None)

    def test_what_is_due_longest_comes_first_and_no_more_than_asked_for(self, store: Store) -> None:
        for name, now in (("a", 3), ("b", 1), ("c", 2)):
            save(store, named(name), now, "s")
        found = store.due("s", 9, limit=2)
        assert [notification.alert.id for notification in found] == ["b", "c"]

    def test_a_delivered_alert_is_not_sent_again(self, store: Store) -> None:
        save(store, ALERT, 100, "s", "t")
        store.delivered("s", only_due(store, 100), 101, 60)
        assert due(store, 10_000) == []
        assert store.next_due("s") is None
        assert store.outbox_counts("s").pending == 0
        assert store.outbox_counts("t").pending == 1

    def test_an_update_waits_for_its_interval_and_takes_the_place_of_others(
        self, store: Store
    ) -> None:
        save(store, revised(1), 100, "s")
        store.delivered("s", only_due(store, 100), 100, 60)
        save(store, revised(2), 110, "s")
        save(store, revised(3), 120, "s")
        assert due(store, 159) == []
        assert store.next_due("s") == 160
        assert only_due(store, 160) == Notification(revised(3), is_update=True)

    def test_an_update_after_its_interval_is_due_at_once(self, store: Store) -> None:
        save(store, revised(1), 100, "s")
        store.delivered("s", only_due(store, 100), 100, 60)
        save(store, revised(2), 500, "s")
        assert store.next_due("s") == 500

    def test_an_update_that_comes_while_its_alert_is_being_sent_is_sent_later(
        self, store: Store
    ) -> None:
        save(store, revised(1), 100, "s")
        notification = only_due(store, 100)
        save(store, revised(2), 101, "s")
        store.delivered("s", notification, 102, 60)
        assert due(store, 161) == []
        assert only_due(store, 162).alert.revision == 2

    def test_a_first_notification_still_waiting_goes_out_with_what_is_known_then(
        self, store: Store
    ) -> None:
        save(store, revised(1), 100, "s")
        save(store, revised(2), 101, "s")
        assert only_due(store, 101) == Notification(revised(2))

    def test_a_failed_attempt_is_counted_and_put_off(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.retry_later("s", only_due(store, 100), 107, "503")
        assert due(store, 106) == []
        assert only_due(store, 107).attempts == 1
        assert store.outbox_counts("s") == OutboxCounts(pending=1, dead=0, oldest=100)

    def test_failed_attempts_are_forgotten_with_a_delivery(self, store: Store) -> None:
        save(store, revised(1), 100, "s")
        store.retry_later("s", only_due(store, 100), 107, "503")
        store.delivered("s", only_due(store, 107), 107, 60)
        save(store, revised(2), 200, "s")
        assert only_due(store, 200) == Notification(revised(2), attempts=0, is_update=True)

    def test_a_dead_letter_is_kept_and_sent_again_only_when_revived(self, store: Store) -> None:
        save(store, ALERT, 100, "s")
        store.bury("s", only_due(store, 100), "404")
        save(store, revised(2), 110, "s")
        assert due(store, 10_000) == []
        assert store.next_due("s") is None
        assert store.outbox_counts("s") == OutboxCounts(pending=0, dead=1, oldest=None)
        assert store.revive("other", 200) == 0
        assert store.revive("s", 200) == 1
        assert store.revive("s", 200) == 0
        assert due(store, 199) == []
        assert only_due(store, 200) == Notification(revised(2), attempts=0)

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

    # Retention.

    def test_what_is_past_retention_goes(self, store: Store) -> None:
        keep_some_of_everything(store)
        store.prune(before=DAY)
        assert is_new(store)
        assert window(store) is None
        assert store.quarantined() == []

    def test_what_was_touched_at_the_limit_or_later_stays(self, store: Store) -> None:
        keep_some_of_everything(store, now=0)
        keep_some_of_everything(store, now=DAY)
        for sink in ("s", "t"):
            store.delivered(sink, only_due(store, DAY, sink), DAY, 60)
        store.prune(before=DAY)
        assert window(store) == WINDOW
        assert len(store.quarantined()) == len(store.alerts()) == 1

    def test_an_event_seen_again_is_remembered_from_its_first_time(self, store: Store) -> None:
        assert is_new(store, now=0)
        assert not is_new(store, now=DAY)
        store.prune(before=DAY)
        assert is_new(store)

    def test_what_still_has_to_be_sent_outlives_its_retention(self, store: Store) -> None:
        save(store, ALERT, 0, "s", "t")
        store.delivered("t", only_due(store, 0, "t"), 0, 60)
        store.prune(before=DAY)
        assert only_due(store, DAY).alert == ALERT
        store.delivered("s", only_due(store, DAY), DAY, 60)
        store.prune(before=DAY)
        assert store.alerts() == []

    def test_dead_letters_go_with_their_alert(self, store: Store) -> None:
        save(store, ALERT, 0, "s")
        store.bury("s", only_due(store, 0), "404")
        store.prune(before=0)
        assert store.outbox_counts("s").dead == 1
        store.prune(before=DAY)
        assert store.outbox_counts("s").dead == 0
        assert store.alerts() == []

    def test_positions_have_no_retention(self, store: Store) -> None:
        keep_some_of_everything(store)
        store.prune(before=DAY)
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
            assert store.alerts() == [ALERT]
            assert only_due(store, 0) == Notification(ALERT)
            assert store.positions("source") == {"key": "value"}
            assert store.quarantined() == [Quarantined("s", "o", 0, "why", b"\0\xff")]

    def test_the_outbox_goes_on_where_it_was(self, open_store: OpenStore) -> None:
        with open_store() as store:
            save(store, named("dead"), 1, "s")
            store.bury("s", only_due(store, 1), "404")
            save(store, named("sent"), 2, "s")
            store.delivered("s", only_due(store, 2), 2, 60)
            save(store, named("put off"), 3, "s")
            store.retry_later("s", only_due(store, 3), 9, "503")
        with open_store() as store:
            assert store.outbox_counts("s") == OutboxCounts(pending=1, dead=1, oldest=3)
            assert store.next_due("s") == 9
            assert only_due(store, 9) == Notification(named("put off"), attempts=1)

    def test_what_was_not_committed_is_not_there_when_it_is_opened_again(
        self, open_store: OpenStore
    ) -> None:
        def fail() -> None:
            with open_store() as store, store.transaction(0) as transaction:
                transaction.remember(Identity("e", "1"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with open_store() as store:
            assert is_new(store)
