"""Changes that an operator makes to a state, also while a detector runs on it.

The lock beside the state keeps out a second detector, whose windows would interfere. What is
changed here the running one reads anew whenever it needs it, and SQLite lets one of both write
after the other: each waits for `BUSY_SECONDS`, and these transactions are short.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from detector.errors import StateError
from detector.state.checks import connect, empty, fault, identify, reading
from detector.state.schema import MIGRATIONS
from detector.state.sqlite_outbox import SQLiteOutbox

T = TypeVar("T")


def change_outbox(path: Path, change: Callable[[SQLiteOutbox], T]) -> T:
    """Return what a function makes of the outbox, in one transaction.

    Raises:
        StateError: it is no state, not one of this detector's schema version, or cannot be written;
            it was not changed.
    """
    with reading(path) as connection:
        identify(connection, path)
    try:
        with closing(connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            outbox = SQLiteOutbox(connection, str(path))
            with outbox.writing():
                _refuse_other_versions(connection, path)
                return change(outbox)
    except sqlite3.Error as error:
        raise fault(error, path, "written") from error


def _refuse_other_versions(connection: sqlite3.Connection, path: Path) -> None:
    version = identify(connection, path)
    if not version:
        raise empty(path)
    if version < len(MIGRATIONS):
        raise StateError(
            f"the state {path} has schema version {version}, this detector writes"
            f" {len(MIGRATIONS)}",
            remedy="start the service once, which brings it up to date",
        )
