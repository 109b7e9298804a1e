"""The durable state in one SQLite file.

Write-ahead log with full synchronisation: a transaction that was committed survives the loss of
power. An exclusive lock on a file beside the database keeps a second detector out, whose windows
and outbox would interfere with this one's. What is opened is looked at first, see `checks`.
"""

from __future__ import annotations

import fcntl
import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Self

from detector.alerts.alert import Alert
from detector.errors import StateError
from detector.state.checks import connect, fault, refuse_unusable
from detector.state.rows import (
    DUE_TIMERS,
    WINDOW_BODY,
    alert_of,
    decoded,
    key_columns,
    key_of,
    timer_of,
    writing,
)
from detector.state.schema import MIGRATIONS, migrate
from detector.state.sqlite_outbox import SQLiteOutbox
from detector.state.sqlite_quarantine import SQLiteQuarantine
from detector.state.sqlite_transaction import SQLiteTransaction
from detector.state.store import (
    QuarantineCounts,
    Quarantined,
    S,
    Timer,
)
from detector.windows.aligned import WindowKey

CACHE_BYTES = 64 << 20
"""What SQLite keeps of the file in memory. In a storm over ten thousand groups pages are touched
all over it; with SQLite's own 2 MB each touch is a read from the system."""

LOG_PAGES = 4_096
"""The write-ahead log is taken over into the file when it has 16 MiB: what a storm writes again and
again is then written once."""

MAX_VARIABLES = 500
"""Values in one statement: SQLite takes 999 in its older versions."""

_MEMORY = ":memory:"


class SQLiteStore:
    """A `Store`. May be used from any thread, by one at a time."""

    def __init__(
        self, connection: sqlite3.Connection, path: str = _MEMORY, lock: IO[str] | None = None
    ) -> None:
        self._connection = connection
        self._path = path
        self._lock = lock
        self._groups: dict[str, int] = {}
        """How many groups of a rule there are, for rules of which it was asked."""
        self._quarantine = SQLiteQuarantine(connection)
        self._outbox = SQLiteOutbox(connection, path)

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
                connection.execute(f"PRAGMA cache_size = -{CACHE_BYTES >> 10}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
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
        try:
            with self.writing() as connection:
                yield SQLiteTransaction(connection, self._path, now, self._groups, self._quarantine)
        except BaseException:
            self._groups.clear()
            self._quarantine.count_again()
            raise

    @property
    def outbox(self) -> SQLiteOutbox:
        """What is on its way to sinks."""
        return self._outbox

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

    def load(self, key: WindowKey, state_type: type[S]) -> S | None:
        """Return the state that is kept under a key, None where there is none."""
        rows = self._rows(WINDOW_BODY, *key_columns(key))
        return decoded(rows[0][0], state_type, self._path) if rows else None

    def due_timers(self, watermark: float, now: float, limit: int) -> list[Timer]:
        """Return timers that have run out, the longest due first."""
        return [timer_of(row) for row in self._rows(DUE_TIMERS, watermark, now, limit)]

    def next_timer(self) -> float | None:
        """Return the earliest time of the clock at which a timer runs out."""
        ((wall_at,),) = self._rows("SELECT min(wall_at) FROM timers")
        return wall_at  # type: ignore[no-any-return]

    def expired(self, horizon: float, limit: int) -> list[WindowKey]:
        """Return keys of states that expired at an event time up to the horizon."""
        rows = self._rows(
            "SELECT rule_id, group_key, start, period FROM windows WHERE expires_at <= ?"
            " ORDER BY expires_at LIMIT ?",
            horizon,
            limit,
        )
        return [key_of(row) for row in rows]

    def alerts(self) -> list[Alert]:
        """Return all alerts kept, by the start of their window."""
        rows = self._rows(
            "SELECT body, revision, state FROM alerts JOIN alert_bodies USING (id)"
            " ORDER BY window_start, id"
        )
        return [alert_of(row, self._path) for row in rows]

    def counts(self, alert_ids: Collection[str]) -> int:
        """Return how many events there are in the windows of alerts, together."""
        total = 0
        for some in _batched(alert_ids, MAX_VARIABLES):
            marks = ", ".join("?" * len(some))
            query = f"SELECT sum(count) FROM alerts WHERE id IN ({marks})"  # noqa: S608
            ((count,),) = self._rows(query, *some)
            total += count or 0
        return total

    def quarantined(
        self, limit: int | None = None, max_bytes: float = math.inf
    ) -> list[Quarantined]:
        """Return what waits for its place in the quarantine, oldest first; see `Store`."""
        with self._reading():
            return self._quarantine.oldest(limit, max_bytes)

    def drop_quarantined(self, items: Iterable[Quarantined]) -> None:
        """Forget what has its place in the quarantine."""
        with self.writing():
            self._quarantine.remove(items)

    def quarantine_counts(self) -> QuarantineCounts:
        """Return how much waits for its place in the quarantine."""
        with self._reading():
            return self._quarantine.counts()

    def prune(self, before: float, ahead: float) -> None:
        """Drop what was last touched before a time, except what still has to go somewhere."""
        with self.writing() as connection:
            connection.execute("DELETE FROM seen WHERE seen_at < ?", (before,))
            connection.execute(
                "DELETE FROM windows WHERE touched_at < ? AND (start > ? OR expires_at IS NULL"
                " AND NOT EXISTS (SELECT 1 FROM timers WHERE timers.rule_id = windows.rule_id"
                " AND timers.group_key = windows.group_key AND timers.start = windows.start"
                " AND timers.period = windows.period))",
                (before, ahead),
            )
            self._groups.clear()
            connection.execute(
                "DELETE FROM groups WHERE NOT EXISTS (SELECT 1 FROM windows"
                " WHERE windows.rule_id = groups.rule_id AND windows.group_key = groups.group_key"
                # What is known of all windows together outlives them, and takes no place.
                " AND NOT (windows.start = 0 AND windows.period = 0))"
            )
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
            connection.execute("DELETE FROM alert_bodies WHERE id NOT IN (SELECT id FROM alerts)")

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
        with writing(self._connection, self._path) as connection:
            yield connection

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._reading():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise fault(error, self._path, "read") from error


def _batched(items: Collection[str], size: int) -> Iterator[Sequence[str]]:
    listed = list(items)
    for start in range(0, len(listed), size):
        yield listed[start : start + size]


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
