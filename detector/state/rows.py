"""What stands in the rows of the SQLite state, and what it means."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from detector.alerts.alert import Alert, AlertState
from detector.alerts.text import NotificationKind
from detector.errors import StateError
from detector.state.checks import fault
from detector.state.store import S, Timer
from detector.windows.aligned import GroupValue, WindowKey

DUE_TIMERS = (
    "SELECT rule_id, group_key, start, period, event_at, wall_at FROM timers WHERE event_at <= ?"
    " UNION"
    " SELECT rule_id, group_key, start, period, event_at, wall_at FROM timers WHERE wall_at <= ?"
    " ORDER BY wall_at, event_at, rule_id, group_key, start LIMIT ?"
)
"""As a rule nothing is due; with OR in place of UNION SQLite goes through all timers to see it."""

KEY = "rule_id = ? AND group_key = ? AND start = ? AND period = ?"
WINDOW_BODY = f"SELECT body FROM windows WHERE {KEY}"  # noqa: S608 - our own names


@contextmanager
def writing(connection: sqlite3.Connection, path: str) -> Iterator[sqlite3.Connection]:
    """Open a transaction, committed durably on leaving; within another one it is a part of that.

    Raises:
        StateError: it cannot be written; nothing of it was.
    """
    is_nested = connection.in_transaction
    if is_nested:
        yield connection
        return
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
        raise fault(error, Path(path), "written") from error


def key_columns(key: WindowKey) -> tuple[str, str, int, int]:
    """Return the columns of a key."""
    return key.rule_id, group_key(key.group), key.start, key.period


def group_key(group: Sequence[GroupValue]) -> str:
    """Return a group as its column."""
    return msgspec.json.encode(group).decode()


def key_of(row: tuple[str, str, int, int]) -> WindowKey:
    """Return the key of four columns."""
    rule_id, group, start, period = row
    return WindowKey(rule_id, tuple(msgspec.json.decode(group)), start, period)


def timer_of(row: tuple[str, str, int, int, float | None, float | None]) -> Timer:
    """Return the timer of a row."""
    return Timer(key_of(row[:4]), *row[4:])


def alert_of(row: tuple[bytes, int, AlertState], path: str) -> Alert:
    """Return an alert as it was saved, with the revision and state of now.

    Raises:
        StateError: this detector cannot read it.
    """
    body, revision, state = row
    alert = decoded(body, Alert, path)
    return msgspec.structs.replace(alert, revision=revision, state=state)


def kind_of(state: str, pages: int) -> NotificationKind:
    """Return what a receiver is told to do: of an alert in a state, whether it pages or not."""
    if pages:
        return "raised"  # also of what is over meanwhile: nobody has seen it yet
    return "updated" if state == "open" else "resolved"


def decoded(body: bytes, type_: type[S], path: str) -> S:
    """Return what a body holds.

    Raises:
        StateError: this detector cannot read it.
    """
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise StateError(
            f"the state {path} holds what this detector cannot read: {error}",
            remedy="run the detector that wrote it, or restore the state from a backup or an"
            " export, or move it aside",
        ) from error
