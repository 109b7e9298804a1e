"""What there is in a state, for a person to look at or a script to read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from detector.state.checks import TABLES, connect, empty, faults, identify, log_bytes, reading
from detector.state.schema import MIGRATIONS, migrate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WindowsOfRule:
    """The windows kept of a rule or correlation, and the span of event time they cover."""

    rule_id: str
    windows: int
    first_start: str
    last_end: str


@dataclass(frozen=True, slots=True)
class OutboxEntries:
    """How many notifications of a sink stand alike, and since when the oldest does."""

    sink: str
    state: str
    notifications: int
    oldest: str


@dataclass(frozen=True, slots=True)
class QuarantinedFor:
    """How many records are quarantined for a reason."""

    reason: str
    records: int


@dataclass(frozen=True, slots=True)
class Report:
    """A state at one moment. Sizes are in bytes; `free_bytes` is what compacting gives back."""

    path: str
    schema_version: int
    bytes: int
    free_bytes: int
    log_bytes: int
    rows: Mapping[str, int]
    oldest_seen: str | None
    newest_seen: str | None
    windows: list[WindowsOfRule]
    outbox: list[OutboxEntries]
    quarantine: list[QuarantinedFor]


def inspect(path: Path) -> Report:
    """Look at a state, whether a service runs on it or not.

    Raises:
        StateError: it cannot be read.
    """
    return with_state(path, lambda connection, version: _report(connection, version, path))


def check(path: Path) -> list[str]:
    """Return all faults of a state (the first twenty), after reading every page and index.

    Raises:
        StateError: it cannot be read at all.
    """
    return with_state(path, lambda connection, _: faults(connection, path, "integrity_check"))


def with_state(
    path: Path, look: Callable[[sqlite3.Connection, int], T], *, salvage: bool = False
) -> T:
    """Return what a function makes of a state that is open for reading, and its schema version.

    With `salvage` a file that was cut off is read as far as it goes.

    Raises:
        StateError: it cannot be read, or nothing is in it yet.
    """
    with reading(path, salvage=salvage) as connection:
        version = identify(connection, path)
        if not version:
            raise empty(path)
        if version == len(MIGRATIONS):
            return look(connection, version)
        # An older detector's: it is brought up to date in a copy, and left as it is.
        with closing(connect("")) as copy:
            connection.backup(copy)
            migrate(copy, str(path))
            return look(copy, version)


def _report(connection: sqlite3.Connection, version: int, path: Path) -> Report:
    def rows(query: str) -> list[tuple]:  # type: ignore[type-arg]
        return connection.execute(query).fetchall()

    ((page_size,),) = rows("PRAGMA page_size")
    ((pages,),) = rows("PRAGMA page_count")
    ((free,),) = rows("PRAGMA freelist_count")
    ((oldest, newest),) = rows("SELECT min(seen_at), max(seen_at) FROM seen")
    return Report(
        path=str(path),
        schema_version=version,
        bytes=pages * page_size,
        free_bytes=free * page_size,
        log_bytes=log_bytes(path),
        rows={
            table: rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608 - our own names
            for table in TABLES
        },
        oldest_seen=None if oldest is None else _moment(oldest),
        newest_seen=None if newest is None else _moment(newest),
        windows=[
            WindowsOfRule(rule_id, count, _moment(start), _moment(end))
            for rule_id, count, start, end in rows(
                "SELECT rule_id, count(*), min(start), max(start + period) FROM windows"
                " GROUP BY rule_id ORDER BY rule_id"
            )
        ],
        outbox=[
            OutboxEntries(sink, state, count, _moment(made_at))
            for sink, state, count, made_at in rows(
                "SELECT sink, state, count(*), min(made_at) FROM outbox"
                " GROUP BY sink, state ORDER BY sink, state"
            )
        ],
        quarantine=[
            QuarantinedFor(*row)
            for row in rows(
                "SELECT reason, count(*) FROM quarantine GROUP BY reason ORDER BY reason"
            )
        ],
    )


def _moment(time: float) -> str:
    try:
        return (
            datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        )
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s"  # an event's time is whatever its sender wrote
