import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from detector.alerts.alert import Alert
from detector.errors import StateError
from detector.events.record import Identity
from detector.state.schema import MIGRATIONS, migrate
from detector.state.sqlite import MAX_QUARANTINED_BYTES, SQLiteStore
from detector.state.store import Notification, Position, Quarantined
from detector.windows.aligned import WindowKey, WindowState
from tests.alerts import alert

KEY = WindowKey("rule", ("111122223333", None, 7, True), 600, 300)
DAY = 86_400.0


def revised(revision: int) -> Alert:
    return msgspec.structs.replace(alert(), revision=revision)


def save(store: SQLiteStore, made: Alert, now: float, *sinks: str, interval: float = 60) -> None:
    with store.transaction(now) as transaction:
        transaction.save_alert(made, sinks, interval)


def due(store: SQLiteStore, now: float, sink: str = "s") -> list[Notification]:
    return store.due(sink, now, limit=10)


def test_an_event_is_new_only_once(store: SQLiteStore) -> None:
    with store.transaction(0) as transaction:
        assert transaction.remember(Identity("e", "1"))
        assert not transaction.remember(Identity("e", "1"))
        assert transaction.remember(Identity("e", "2"))


def test_a_window_comes_back_as_it_was_kept(store: SQLiteStore) -> None:
    state = WindowState(count=3, on_time=2, revision=1, first_event_time=1.5, last_event_time=7)
    state.actors["a"] = 3
    state.event_ids.append((1.5, "e"))
    with store.transaction(0) as transaction:
        assert transaction.load(KEY, WindowState) is None
        transaction.save(KEY, state)
        assert transaction.load(KEY, WindowState) == state
        assert transaction.load(msgspec.structs.replace(KEY, start=900), WindowState) is None


def test_a_transaction_that_fails_leaves_nothing(store: SQLiteStore) -> None:
    def fail() -> None:
        with store.transaction(0) as transaction:
            transaction.remember(Identity("e", "1"))
            transaction.save_position(Position("source", "key", "value"))
            transaction.save_alert(alert(), ["s"], 60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.transaction(0) as transaction:
        assert transaction.remember(Identity("e", "1"))
    assert store.positions("source") == {}
    assert store.alerts() == []
    assert due(store, 99) == []


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.sqlite3"
    first = SQLiteStore.open(path)
    with first.transaction(0) as transaction:
        transaction.remember(Identity("e", "1"))
        transaction.save_position(Position("source", "key", "value"))
        transaction.save_alert(alert(), ["s"], 60)
    first.close()
    second = SQLiteStore.open(path)
    with second.transaction(0) as transaction:
        assert not transaction.remember(Identity("e", "1"))
    assert second.positions("source") == {"key": "value"}
    assert [kept.id for kept in second.alerts()] == [alert().id]
    assert len(due(second, 0)) == 1
    second.close()


def test_commits_survive_the_loss_of_power(tmp_path: Path) -> None:
    store = SQLiteStore.open(tmp_path / "state.sqlite3")
    connection = store._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    store.close()


def test_a_second_detector_is_kept_out_and_let_in_after_the_first(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    first = SQLiteStore.open(path)
    open_it = (
        "from pathlib import Path; from detector.state.sqlite import SQLiteStore;"
        f"SQLiteStore.open(Path({str(path)!r})).close()"
    )
    attempt = [sys.executable, "-c", open_it]
    refused = subprocess.run(attempt, capture_output=True, text=True, check=False)
    assert "is in use by another detector" in refused.stderr
    first.close()
    subprocess.run(attempt, check=True)


def test_a_state_of_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    SQLiteStore.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StateError, match=f"has schema version {len(MIGRATIONS) + 1}, this"):
        SQLiteStore.open(path)


def test_a_migration_is_taken_whole_or_not_at_all_and_only_once() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    first = "CREATE TABLE a (x);"
    migrate(connection, "x", [first])
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "x", [first, "CREATE TABLE b (x); CREATE TABLE a (x);"])
    migrate(connection, "x", [first, "CREATE TABLE b (x); INSERT INTO a VALUES (1);"])
    migrate(connection, "x", [first, "CREATE TABLE b (x); INSERT INTO a VALUES (1);"])
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (1,)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.mark.parametrize("content", [b"this is not a database, whatever its name says" * 99, None])
def test_a_state_that_cannot_be_opened_is_an_error_with_a_remedy(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "state.sqlite3"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StateError, match=r"cannot be opened: .*; check state\.path"):
        SQLiteStore.open(path)


def test_a_disk_that_is_full_is_an_error_and_commits_nothing(tmp_path: Path) -> None:
    store = SQLiteStore.open(tmp_path / "state.sqlite3")
    store._connection.execute("PRAGMA max_page_count = 30")
    record = Quarantined("s", "o", 0, "why", bytes(MAX_QUARANTINED_BYTES))

    def remember() -> bool:
        with store.transaction(0) as transaction:
            is_new = transaction.remember(Identity("e", "1"))
            if is_new:
                transaction.quarantine(record)
            return is_new

    for _ in range(2):
        with pytest.raises(StateError, match="cannot be written: database or disk is full"):
            remember()
    store.close()


def test_a_new_alert_is_due_at_once_for_each_sink(store: SQLiteStore) -> None:
    save(store, alert(), 100, "s", "t")
    assert [notification.alert.id for notification in due(store, 100)] == [alert().id]
    assert len(due(store, 100, "t")) == 1
    assert due(store, 100, "other") == []
    assert store.next_due("s") == 100


def test_a_delivered_alert_is_not_sent_again(store: SQLiteStore) -> None:
    save(store, alert(), 100, "s")
    (notification,) = due(store, 100)
    store.delivered("s", notification, 101, 60)
    assert due(store, 10_000) == []
    assert store.next_due("s") is None
    assert store.outbox_counts("s").pending == 0


def test_an_update_waits_for_its_interval_and_takes_the_place_of_others(store: SQLiteStore) -> None:
    save(store, revised(1), 100, "s")
    store.delivered("s", due(store, 100)[0], 100, 60)
    save(store, revised(2), 110, "s")
    save(store, revised(3), 120, "s")
    assert due(store, 159) == []
    (notification,) = due(store, 160)
    assert (notification.alert.revision, notification.is_update) == (3, True)


def test_an_update_that_comes_while_its_alert_is_being_sent_is_sent_later(
    store: SQLiteStore,
) -> None:
    save(store, revised(1), 100, "s")
    (notification,) = due(store, 100)
    save(store, revised(2), 101, "s")
    store.delivered("s", notification, 102, 60)
    assert due(store, 161) == []
    (notification,) = due(store, 162)
    assert notification.alert.revision == 2


def test_a_first_notification_still_waiting_goes_out_with_what_is_known_then(
    store: SQLiteStore,
) -> None:
    save(store, revised(1), 100, "s")
    save(store, revised(2), 101, "s")
    (notification,) = due(store, 101)
    assert (notification.alert.revision, notification.is_update) == (2, False)


def test_a_failed_attempt_is_counted_and_put_off(store: SQLiteStore) -> None:
    save(store, alert(), 100, "s")
    store.retry_later("s", due(store, 100)[0], 107, "503")
    assert due(store, 106) == []
    assert due(store, 107)[0].attempts == 1
    counts = store.outbox_counts("s")
    assert (counts.pending, counts.dead, counts.oldest) == (1, 0, 100)


def test_a_dead_letter_is_kept_and_sent_again_only_when_revived(store: SQLiteStore) -> None:
    save(store, alert(), 100, "s")
    store.bury("s", due(store, 100)[0], "404")
    save(store, revised(2), 110, "s")
    assert due(store, 10_000) == []
    assert store.outbox_counts("s").dead == 1
    assert store.revive("other", 200) == 0
    assert store.revive("s", 200) == 1
    (notification,) = due(store, 200)
    assert (notification.alert.revision, notification.attempts) == (2, 0)


def test_a_long_quarantined_record_is_kept_in_part(store: SQLiteStore) -> None:
    with store.transaction(0) as transaction:
        transaction.quarantine(Quarantined("s", "o", 3, "why", b"x" * MAX_QUARANTINED_BYTES + b"y"))
    (kept,) = store.quarantined()
    assert kept == Quarantined("s", "o", 3, "why", b"x" * MAX_QUARANTINED_BYTES)


def test_positions_are_kept_by_source_and_can_be_forgotten(store: SQLiteStore) -> None:
    with store.transaction(0) as transaction:
        transaction.save_position(Position("a", "k", "1"))
        transaction.save_position(Position("a", "l", "1"))
        transaction.save_position(Position("b", "k", "1"))
        transaction.save_position(Position("a", "k", "2"))
    store.forget_positions("a", ["l", "m"])
    assert store.positions("a") == {"k": "2"}
    assert store.positions("b") == {"k": "1"}


def test_what_is_past_retention_goes_and_what_still_has_to_be_sent_stays(
    store: SQLiteStore,
) -> None:
    with store.transaction(0) as transaction:
        transaction.remember(Identity("e", "1"))
        transaction.save(KEY, WindowState(first_event_time=1, last_event_time=1))
        transaction.quarantine(Quarantined("s", "o", 0, "why", b""))
        transaction.save_alert(alert(), ["s", "t"], 60)
    store.delivered("t", due(store, 0, "t")[0], 0, 60)
    store.prune(before=0)
    assert len(store.quarantined()) == 1
    store.prune(before=DAY)
    assert store.quarantined() == []
    assert len(due(store, DAY)) == 1
    with store.transaction(DAY) as transaction:
        assert transaction.remember(Identity("e", "1"))
        assert transaction.load(KEY, WindowState) is None
    store.delivered("s", due(store, DAY)[0], DAY, 60)
    store.prune(before=DAY)
    assert store.alerts() == []
