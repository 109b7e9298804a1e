"""What is SQLite's own in the state; what any store must do is in `store_contract.py`."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import StateError
from detector.events.record import Identity
from detector.state import checks
from detector.state.checks import MAX_CHECKED_BYTES, TABLES
from detector.state.schema import APPLICATION_ID, MIGRATIONS, migrate
from detector.state.sqlite import SQLiteStore
from detector.state.sqlite_quarantine import SQLiteQuarantine
from detector.state.store import Quarantined, Seen
from detector.windows.aligned import WindowKey, WindowState
from tests.alerts import alert

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "BUSY_SECONDS", 0.05)


def fill(path: Path, records: int = 60) -> None:
    """Make a state of some hundred pages."""
    with SQLiteStore.open(path) as store, store.transaction(0) as transaction:
        for number in range(records):
            transaction.remember(Identity(f"event-{number}", "1"), b"digest")
            transaction.quarantine(Quarantined("s", "o", number, "why", bytes(6_000)))
            key = WindowKey("rule", (number,), 0, 300)
            transaction.save(key, WindowState(number, first_event_time=1, last_event_time=1))
        transaction.save_alert(alert(), ["s"], 60)


def change(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)


def everything(path: Path) -> dict[str, bytes]:
    """Return all files of a state but SQLite's index of its log, and the lock."""
    return {
        file.name: file.read_bytes()
        for file in path.parent.iterdir()
        if file.is_file() and not file.name.endswith(("-shm", ".lock")) and file.stat().st_size
    }


def assert_refused(path: Path, says: str) -> None:
    """Assert that a state is refused with a remedy, and left as it is byte for byte."""
    before = everything(path)
    with pytest.raises(StateError, match=says) as caught:
        SQLiteStore.open(path)
    assert caught.value.remedy
    assert everything(path) == before


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


def test_a_disk_that_is_full_is_an_error_and_commits_nothing(tmp_path: Path) -> None:
    store = SQLiteStore.open(tmp_path / "state.sqlite3")
    store._connection.execute("PRAGMA max_page_count = 30")
    record = Quarantined("s", "o", 0, "why", bytes(256 << 10))

    def remember() -> bool:
        with store.transaction(0) as transaction:
            is_new = transaction.remember(Identity("e", "1"), b"digest") is Seen.NEW
            if is_new:
                transaction.quarantine(record)
            return is_new

    for _ in range(2):
        with pytest.raises(StateError, match="cannot be written: database or disk is full"):
            remember()
    store.close()


def test_a_transaction_that_cannot_be_committed_leaves_the_store_usable(
    path: Path, impatient: None
) -> None:
    # A deferred constraint is what lets COMMIT itself fail at will.
    with SQLiteStore.open(path) as store:
        store._connection.execute("PRAGMA foreign_keys = ON")

        def fail() -> None:
            with store.writing() as connection:
                connection.execute("PRAGMA defer_foreign_keys = ON")
                connection.execute(
                    "INSERT INTO outbox (sink, alert_id, state, due_at, made_at)"
                    " VALUES ('s', 'none', 'pending', 0, 0)"
                )

        with pytest.raises(StateError, match="cannot be written: FOREIGN KEY"):
            fail()
        assert store.outbox.counts("s").pending == 0
        with store.transaction(0) as transaction:
            assert transaction.remember(Identity("e", "1"), b"digest") is Seen.NEW


def waiting(store: SQLiteStore, *, max_rows: int, max_bytes: int) -> SQLiteQuarantine:
    return SQLiteQuarantine(store._connection, max_rows=max_rows, max_bytes=max_bytes)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), max_size=30),
    st.integers(1, 6),
    st.integers(9, 30),
)
def test_what_waits_for_the_quarantine_is_bounded_and_the_oldest_goes_first(
    put: list[tuple[int, int, int]], max_rows: int, max_bytes: int
) -> None:
    with SQLiteStore.in_memory() as store:
        table = waiting(store, max_rows=max_rows, max_bytes=max_bytes)
        expected: list[Quarantined] = []
        now = dropped = 0
        for step, index, size in put:
            now += step
            item = Quarantined("s", "o", index, "why", bytes(size))
            expected = [kept for kept in expected if kept != item] + [item]
            before = len(expected)
            while len(expected) > max_rows or sum(len(kept.body) for kept in expected) > max_bytes:
                del expected[0]
            dropped = table.put(item, now)
            assert dropped == before - len(expected)
            assert store.quarantined() == expected
            assert table.counts() == store.quarantine_counts()
            assert table.counts().rows == len(expected)
            assert table.counts().bytes == sum(len(kept.body) for kept in expected)
            store._quarantine.count_again()


def test_rows_of_the_quarantine_from_before_they_had_a_message_are_kept(path: Path) -> None:
    long = bytes(256 << 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), MIGRATIONS[:3])
        connection.executemany(
            "INSERT INTO quarantine VALUES (?, ?, ?, 'why', ?, ?)",
            [("s", "o", 1, b"later", 9.0), ("s", "o", 0, long, 8.0), ("s", "p", 1, b"x", 9.0)],
        )
    with SQLiteStore.open(path) as store:
        assert store.quarantined() == [
            Quarantined("s", "o", 0, "why", long, is_complete=False),
            Quarantined("s", "o", 1, "why", b"later"),
            Quarantined("s", "p", 1, "why", b"x"),
        ]
        assert [item.kept_at for item in store.quarantined()] == [8, 9, 9]
        store.drop_quarantined(store.quarantined())
        assert store.quarantined() == []


def test_a_body_that_no_detector_understands_is_an_error_and_not_a_crash(path: Path) -> None:
    with SQLiteStore.open(path) as store:
        with store.transaction(0) as transaction:
            transaction.save_alert(alert(), ["s"], 60)
        store._connection.execute("UPDATE alert_bodies SET body = '{\"id\": 7}'")
        for read in (store.alerts, lambda: store.outbox.due("s", 0, 1)):
            with pytest.raises(StateError, match="holds what this detector cannot read: Expected"):
                read()


def test_a_state_says_whose_it_is(path: Path) -> None:
    SQLiteStore.open(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert path.read_bytes()[68:72] == b"CTDt"


def test_a_state_of_the_first_schema_is_known_by_its_tables_and_brought_up_to_date(
    path: Path,
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), MIGRATIONS[:1])
        connection.execute("INSERT INTO seen VALUES ('e', '1', 0)")
    with SQLiteStore.open(path) as store, store.transaction(0) as transaction:
        assert transaction.remember(Identity("e", "1"), b"digest") is Seen.SAME
    test_a_state_says_whose_it_is(path)


def test_an_empty_file_is_a_new_state(path: Path) -> None:
    path.touch()
    SQLiteStore.open(path).close()


@pytest.mark.parametrize("content", [b"x", b"this is not a database, whatever its name says" * 99])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert_refused(path, "is not an SQLite database; move it aside")


def test_a_folder_in_place_of_the_state_is_refused(path: Path) -> None:
    path.mkdir()
    assert_refused(path, r"cannot be opened: .*; check state\.path")


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TABLE bookmarks (x); PRAGMA user_version = 1",
        "CREATE TABLE seen (x); PRAGMA journal_mode = WAL",
        "PRAGMA application_id = 1",
        ";".join(f"CREATE TABLE {table} (x)" for table in TABLES) + "; PRAGMA application_id = 7",
    ],
)
def test_a_database_of_another_program_is_refused(path: Path, statements: str) -> None:
    change(path, statements)
    assert_refused(path, "is another program's database .*; give the detector another state.path")


def test_a_state_of_a_newer_schema_is_refused(path: Path) -> None:
    SQLiteStore.open(path).close()
    change(path, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert_refused(path, f"has schema version {len(MIGRATIONS) + 1}, this .*; run the newer")


def test_a_state_without_one_of_its_tables_is_refused(path: Path) -> None:
    SQLiteStore.open(path).close()
    change(path, "DROP TABLE positions")
    assert_refused(path, "is damaged: it has no table positions; restore it from a backup")


def test_a_notification_without_its_alert_is_damage(path: Path) -> None:
    fill(path, 1)
    change(path, "DELETE FROM alerts")
    assert_refused(path, "is damaged: a row of outbox refers to one of alerts that is not there")


def pages(path: Path) -> Iterator[Callable[[], None]]:
    """Yield for each page of a file what damages it."""
    whole = path.read_bytes()
    for start in range(0, len(whole), PAGE):

        def damage(start: int = start) -> None:
            path.write_bytes(whole[:start] + b"\xff" * PAGE + whole[start + PAGE :])

        yield damage


def test_a_page_that_is_overwritten_is_found_wherever_it_is(path: Path) -> None:
    fill(path)
    damages = list(pages(path))
    assert len(damages) > 100
    for damage in damages:
        damage()
        assert_refused(path, "is damaged: .*state export. saves what|is not an SQLite database")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_file_that_was_cut_off_is_refused(path: Path, share: float) -> None:
    fill(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert_refused(path, "is damaged: .*; restore it")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_log_without_its_file_is_not_thrown_away(path: Path, is_there: bool) -> None:
    # SQLite itself deletes the log of an empty database.
    with SQLiteStore.open(path) as store:
        with store.transaction(0) as transaction:
            transaction.remember(Identity("e", "1"), b"digest")
        log = path.with_name("state.sqlite3-wal")
        content = log.read_bytes()
    path.unlink()
    if is_there:
        path.touch()
    log.write_bytes(content)
    assert_refused(path, "it is empty or missing, but its write-ahead log is not")
    assert log.read_bytes() == content


def test_what_only_the_log_holds_is_read_and_kept(path: Path) -> None:
    end = (
        "import os; from pathlib import Path; from detector.state.sqlite import SQLiteStore;"
        "from detector.events.record import Identity;"
        f"store = SQLiteStore.open(Path({str(path)!r}))"
        "\nwith store.transaction(0) as t: t.remember(Identity('e', '1'), b'digest')\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", end], check=True)
    assert path.with_name("state.sqlite3-wal").stat().st_size
    path.with_name("state.sqlite3-shm").unlink()
    with SQLiteStore.open(path) as store, store.transaction(0) as transaction:
        assert transaction.remember(Identity("e", "1"), b"digest") is Seen.SAME


def test_a_state_whose_making_was_cut_off_is_made_anew(path: Path) -> None:
    # Until the log is in use, SQLite keeps a journal of what to undo.
    make = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('CREATE TABLE t (x)'); c.execute('DROP TABLE t'); c.execute('VACUUM');"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN');"
        "c.execute('CREATE TABLE half (x)');"
        "c.executemany('INSERT INTO half VALUES (?)', [(bytes(3000),)] * 500); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", make, str(path)], check=True)
    assert path.with_name("state.sqlite3-journal").stat().st_size
    with SQLiteStore.open(path) as store:
        assert store.alerts() == []


def test_a_large_state_is_identified_but_not_read_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path)
    *_, damage = pages(path)
    damage()
    monkeypatch.setattr(checks, "MAX_CHECKED_BYTES", path.stat().st_size - 1)
    SQLiteStore.open(path).close()
    change(path, "PRAGMA application_id = 7")
    assert_refused(path, "another program's")
    assert MAX_CHECKED_BYTES >= 100 << 20


@pytest.mark.usefixtures("impatient")
def test_a_state_that_another_program_has_locked_is_an_error_with_a_remedy(path: Path) -> None:
    SQLiteStore.open(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM seen")
        assert_refused(path, "database is locked; end the other program that has it open")


@pytest.mark.usefixtures("impatient")
def test_a_write_while_another_program_writes_is_an_error_and_can_be_repeated(path: Path) -> None:
    with SQLiteStore.open(path) as store, closing(sqlite3.connect(path)) as other:
        other.execute("DELETE FROM seen")
        with pytest.raises(StateError, match="cannot be written: database is locked; end the"):
            store.prune(0, 0)
        other.rollback()
        store.prune(0, 0)


def test_damage_that_shows_while_running_is_an_error_with_a_remedy(path: Path) -> None:
    fill(path)
    with SQLiteStore.open(path) as store:
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(PAGE)
            file.write(b"\xff" * (len(whole) - PAGE))
        store._connection.execute("PRAGMA shrink_memory")
        with pytest.raises(StateError, match=r"is damaged: .*; restore it from a backup"):
            store.quarantined()
    path.write_bytes(whole)
    SQLiteStore.open(path).close()


def test_compacting_gives_back_the_space_of_what_was_dropped(path: Path) -> None:
    fill(path)
    with SQLiteStore.open(path) as store:
        store.drop_quarantined(store.quarantined())
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.stat().st_size
        store.compact()
        assert path.stat().st_size < before / 3
        assert [kept.id for kept in store.alerts()] == [alert().id]
