"""The durable state in one SQLite file.

Write-ahead log with full synchronisation: a transaction that was committed survives the loss of
power. An exclusive lock on a file beside the database keeps a second detector out, whose windows
and outbox would interfere with this one's. What is opened is looked at first, see `checks`.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Self

import msgspec

from detector.alerts.alert import Alert
from detector.errors import StateError
from detector.events.record import Identity
from detector.state.checks import connect, fault, refuse_unusable
from detector.state.schema import MIGRATIONS, migrate
from detector.state.store import Notification, OutboxCounts, Position, Quarantined, S
from detector.windows.aligned import WindowKey

MAX_QUARANTINED_BYTES = 256 << 10
"""CloudTrail's own cap for a record; of a longer one the beginning is kept."""

_MEMORY = ":memory:"


class SQLiteStore:
    """A `Store`. May be used from any thread, by one at a time."""

    def __init__(
        self, connection: sqlite3.Connection, path: str = _MEMORY, lock: IO[str] | None = None
    ) -> None:
        self._connection = connection
        self._path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> SQLiteStore:
        """Open or create the state at a path, and bring its schema up to date.

        Raises:
            StateError: it cannot be opened, is damaged, another program's or a newer detector's,
                or in use by another detector. It was not changed.
        """
        with ExitStack() as opened:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = opened.enter_context(_lock(path))
                _roll_back(path)
                refuse_unusable(path)
                connection = opened.enter_context(closing(connect(str(path))))
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                migrate(connection, str(path))
                # A first write tells a file that is read-only, and a disk that is full.
                connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            except (OSError, sqlite3.Error) as error:
                raise fault(error, path, "opened") from error
            opened.pop_all()
        return cls(connection, str(path), lock)

    @classmethod
    def in_memory(cls) -> SQLiteStore:
        """Return a state that ends with the process: for a replay."""
        connection = connect(_MEMORY)
        migrate(connection, _MEMORY)
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and let go of the lock."""
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def transaction(self, now: float) -> Iterator[SQLiteTransaction]:
        """Open a transaction; see `Store`."""
        with self.writing() as connection:
            yield SQLiteTransaction(connection, self._path, now)

    def positions(self, source: str) -> Mapping[str, str]:
        """Return a source's positions by key."""
        return dict(self._rows("SELECT key, value FROM positions WHERE source = ?", source))

    def forget_positions(self, source: str, keys: Iterable[str]) -> None:
        """Drop positions of a source."""
        with self.writing() as connection:
            connection.executemany(
                "DELETE FROM positions WHERE source = ? AND key = ?",
                [(source, key) for key in keys],
            )

    def alerts(self) -> list[Alert]:
        """Return all alerts kept, by the start of their window."""
        rows = self._rows("SELECT body FROM alerts ORDER BY window_start, id")
        return [_decoded(body, Alert, self._path) for (body,) in rows]

    def quarantined(self) -> list[Quarantined]:
        """Return all quarantined records, oldest first."""
        rows = self._rows(
            "SELECT source, origin, record_index, reason, body FROM quarantine ORDER BY touched_at"
        )
        return [Quarantined(*row) for row in rows]

    def due(self, sink: str, now: float, limit: int) -> list[Notification]:
        """Return notifications that are due, the longest due first."""
        rows = self._rows(
            "SELECT alerts.body, attempts, delivered_at IS NOT NULL"
            " FROM outbox JOIN alerts ON alerts.id = alert_id"
            " WHERE sink = ? AND state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?",
            sink,
            now,
            limit,
        )
        return [
            Notification(_decoded(body, Alert, self._path), attempts, bool(is_update))
            for body, attempts, is_update in rows
        ]

    def next_due(self, sink: str) -> float | None:
        """Return when the next notification is due, or None where none is waiting."""
        ((due_at,),) = self._rows(
            "SELECT min(due_at) FROM outbox WHERE sink = ? AND state = 'pending'", sink
        )
        return due_at  # type: ignore[no-any-return]

    def delivered(
        self, sink: str, notification: Notification, now: float, update_interval: float
    ) -> None:
        """Note that a sink has taken a notification; a newer revision stays pending."""
        alert = notification.alert
        self._write(
            "UPDATE outbox SET delivered_at = ?, attempts = 0, last_error = NULL, due_at = ?,"
            " state = CASE WHEN (SELECT revision FROM alerts WHERE id = alert_id) > ?"
            " THEN 'pending' ELSE 'delivered' END WHERE sink = ? AND alert_id = ?",
            now,
            now + update_interval,
            alert.revision,
            sink,
            alert.id,
        )

    def retry_later(self, sink: str, notification: Notification, due_at: float, why: str) -> None:
        """Note that a sink could not take a notification now."""
        self._write(
            "UPDATE outbox SET attempts = attempts + 1, due_at = ?, last_error = ?"
            " WHERE sink = ? AND alert_id = ?",
            due_at,
            why,
            sink,
            notification.alert.id,
        )

    def bury(self, sink: str, notification: Notification, why: str) -> None:
        """Note that a sink will never take a notification."""
        self._write(
            "UPDATE outbox SET state = 'dead', attempts = attempts + 1, last_error = ?"
            " WHERE sink = ? AND alert_id = ?",
            why,
            sink,
            notification.alert.id,
        )

    def revive(self, sink: str, now: float) -> int:
        """Make a sink's dead letters due once more, and return how many they are."""
        with self.writing() as connection:
            return connection.execute(
                "UPDATE outbox SET state = 'pending', attempts = 0, due_at = ?"
                " WHERE sink = ? AND state = 'dead'",
                (now, sink),
            ).rowcount

    def outbox_counts(self, sink: str) -> OutboxCounts:
        """Return how a sink's outbox stands."""
        ((pending, dead, oldest),) = self._rows(
            "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state ="
            " 'dead'), min(made_at) FILTER (WHERE state = 'pending') FROM outbox WHERE sink = ?",
            sink,
        )
        return OutboxCounts(pending, dead, oldest)

    def prune(self, before: float) -> None:
        """Drop what was last touched before a time, except what the outbox still has to send."""
        with self.writing() as connection:
            connection.execute("DELETE FROM seen WHERE seen_at < ?", (before,))
            connection.execute("DELETE FROM windows WHERE touched_at < ?", (before,))
            connection.execute("DELETE FROM quarantine WHERE touched_at < ?", (before,))
            connection.execute(
                "DELETE FROM outbox WHERE state != 'pending' AND alert_id IN"
                " (SELECT id FROM alerts WHERE touched_at < ?)",
                (before,),
            )
            connection.execute(
                "DELETE FROM alerts WHERE touched_at < ?"
                " AND id NOT IN (SELECT alert_id FROM outbox)",
                (before,),
            )

    def compact(self) -> None:
        """Give back the space of what was dropped: rewrite the file, and empty its log."""
        try:
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise fault(error, self._path, "written") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction on the tables themselves, for what moves a whole state."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise fault(error, self._path, "written") from error

    def _write(self, statement: str, *values: object) -> None:
        with self.writing() as connection:
            connection.execute(statement, values)

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise fault(error, self._path, "read") from error


class SQLiteTransaction:
    """A `Transaction` in SQLite."""

    def __init__(self, connection: sqlite3.Connection, path: str, now: float) -> None:
        self._connection = connection
        self._path = path
        self._now = now

    def remember(self, identity: Identity) -> bool:
        """Remember an event; return False where it was known already."""
        cursor = self._connection.execute(
            "INSERT INTO seen (event_id, account, seen_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (identity.event_id, identity.account, self._now),
        )
        return cursor.rowcount == 1

    def load(self, key: WindowKey, state_type: type[S]) -> S | None:
        """Return the state that is kept under a key."""
        row = self._connection.execute(
            "SELECT body FROM windows"
            " WHERE rule_id = ? AND group_key = ? AND start = ? AND period = ?",
            _key_columns(key),
        ).fetchone()
        return _decoded(row[0], state_type, self._path) if row else None

    def save(self, key: WindowKey, state: msgspec.Struct) -> None:
        """Keep a state under a key."""
        self._connection.execute(
            "INSERT OR REPLACE INTO windows (rule_id, group_key, start, period, body, touched_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (*_key_columns(key), msgspec.json.encode(state), self._now),
        )

    def save_alert(self, alert: Alert, sinks: Collection[str], update_interval: float) -> None:
        """Keep an alert, and put it into the outbox of each sink; see `Transaction`."""
        self._connection.execute(
            "INSERT INTO alerts (id, window_start, revision, body, touched_at)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " revision = excluded.revision, body = excluded.body, touched_at = excluded.touched_at",
            (
                alert.id,
                alert.window.start,
                alert.revision,
                msgspec.json.encode(alert),
                self._now,
            ),
        )
        self._connection.executemany(
            "INSERT INTO outbox (sink, alert_id, state, due_at, made_at)"
            " VALUES (?, ?, 'pending', ?, ?) ON CONFLICT (sink, alert_id) DO UPDATE SET"
            " state = 'pending', attempts = 0, made_at = excluded.made_at,"
            " due_at = max(delivered_at + ?, excluded.due_at) WHERE state = 'delivered'",
            [(sink, alert.id, self._now, self._now, update_interval) for sink in sinks],
        )

    def save_position(self, position: Position) -> None:
        """Keep how far a source has come."""
        self._connection.execute(
            "INSERT OR REPLACE INTO positions (source, key, value, touched_at) VALUES (?, ?, ?, ?)",
            (position.source, position.key, position.value, self._now),
        )

    def quarantine(self, record: Quarantined) -> None:
        """Keep a record that could not be understood."""
        self._connection.execute(
            "INSERT OR REPLACE INTO quarantine"
            " (source, origin, record_index, reason, body, touched_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                record.source,
                record.origin,
                record.index,
                record.reason,
                record.body[:MAX_QUARANTINED_BYTES],
                self._now,
            ),
        )


def _key_columns(key: WindowKey) -> tuple[str, str, int, int]:
    return key.rule_id, msgspec.json.encode(key.group).decode(), key.start, key.period


def _decoded(body: bytes, type_: type[S], path: str) -> S:
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise StateError(
            f"the state {path} holds what this detector cannot read: {error}",
            remedy="run the detector that wrote it, or restore the state from a backup or an"
            " export, or move it aside",
        ) from error


def _roll_back(path: Path) -> None:
    """Let SQLite undo a transaction that was cut off before the state had a write-ahead log."""
    if path.with_name(f"{path.name}-journal").exists() and path.exists():
        with closing(connect(str(path))) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")


def _lock(path: Path) -> IO[str]:
    lock = path.with_name(path.name + ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise StateError(
            f"the state {path} is in use by another detector",
            remedy="stop that one, or give this one a state.path of its own",
        ) from None
    return lock
