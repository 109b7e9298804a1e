"""What is looked at before a file is used as the state, and how it is read without changing it.

A file that is refused is left as it is, byte for byte: nothing here opens it for writing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from detector.errors import StateError
from detector.state.schema import APPLICATION_ID, known_version

TABLES = (
    "seen",
    "windows",
    "timers",
    "groups",
    "alerts",
    "alert_bodies",
    "outbox",
    "positions",
    "quarantine",
)
"""The tables of a state; what an alert is known by comes before what refers to it."""

NEW_TABLES = {"timers": 3, "groups": 3, "alert_bodies": 3}
"""The schema version of those that were not there from the first on."""

MAX_CHECKED_BYTES = 512 << 20
"""The largest state that is checked whenever it is opened. The check reads every page once: some
0.4 s for 512 MiB that the system has cached, 4 s from a disk of 125 MiB/s. A larger one is only
identified, as a restart must not take minutes; `detector state check` looks at all of it."""

MAX_FINDINGS = 20
"""Faults that a check lists; a damaged page is often followed by thousands."""

BUSY_SECONDS = 10.0
"""How long to wait for another program that has the database locked."""

_MAGIC = b"SQLite format 3\0"
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_READ_ONLY_CODES = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_SALVAGE = "`detector state export` saves what can be read"
_LOOK_AT_DISK = "check the disk that holds state.path for space and errors"
_LOOK_AT_PATH = "check state.path: its folder must be writable, on a local disk"


def refuse_unusable(path: Path) -> None:
    """Refuse a file that is no state, a damaged one, and a newer detector's.

    Raises:
        StateError: with what to do about it; the file was not changed.
    """
    size = path.stat().st_size if path.exists() else 0
    if not size:
        if log_bytes(path):
            # SQLite would delete the log with all that it holds.
            raise damaged(path, "it is empty or missing, but its write-ahead log is not")
        return
    with reading(path) as connection:
        if identify(connection, path) and size <= MAX_CHECKED_BYTES:
            findings = faults(connection, path, "quick_check", limit=1)
            if findings:
                raise damaged(path, findings[0])


def identify(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a state, 0 of a database in which nothing is yet.

    States had no application_id in schema version 1; they are known by their tables.

    Raises:
        StateError: it is another program's database, or a newer detector's state.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if application_id not in {0, APPLICATION_ID} or (
        application_id == 0 and names and not names.issuperset(_tables(1))
    ):
        raise StateError(
            f"the state {path} is another program's database"
            f" (its application_id is {application_id:#x})",
            remedy="give the detector another state.path",
        )
    version = known_version(connection, str(path))
    if version and not names.issuperset(_tables(version)):
        missing = next(name for name in _tables(version) if name not in names)
        raise damaged(path, f"it has no table {missing}")
    return version


def faults(
    connection: sqlite3.Connection, path: Path, check: str, limit: int = MAX_FINDINGS
) -> list[str]:
    """Return what `quick_check` or `integrity_check` finds, and rows that refer to none.

    SQLite keeps no checksums: a flipped bit in a value, where any value would be good, goes
    unnoticed.
    """
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size % page_bytes and not log_bytes(path):
        return ["its last page was cut off"]  # which SQLite would take for zeros
    try:
        found = [row[0] for row in connection.execute(f"PRAGMA {check}({limit})")]
        if found == ["ok"]:
            found = [
                f"a row of {table} refers to one of {parent} that is not there"
                for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check")
            ]
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
        return [str(error)]
    return [line for text in found for line in str(text).splitlines()][:limit]


def _tables(version: int) -> list[str]:
    return [name for name in TABLES if NEW_TABLES.get(name, 1) <= version]


def log_bytes(path: Path) -> int:
    """Return the size of a state's write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return log.stat().st_size if log.exists() else 0


@contextmanager
def reading(path: Path, *, salvage: bool = False) -> Iterator[sqlite3.Connection]:
    """Read a state, also one that another process writes; what is read is of one moment.

    Where no detector runs, an empty log and its index may stay beside the file; they do no harm.
    With `salvage` a file that was cut off is read as far as it goes.

    Raises:
        StateError: it cannot be read, whether at first or within the context.
    """
    _refuse_other_files(path)
    try:
        with closing(_read_only(path, salvage=salvage)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise fault(error, path, "read") from error


def _refuse_other_files(path: Path) -> None:
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
    except FileNotFoundError as error:
        raise StateError(
            f"there is no state {path}", remedy="name the file that state.path names"
        ) from error
    except OSError as error:
        raise fault(error, path, "opened") from error
    if not begin:
        raise empty(path)
    if begin != _MAGIC:
        raise StateError(
            f"the state {path} is not an SQLite database",
            remedy="move it aside and restore the state from a backup or an export, or give the"
            " detector another state.path",
        )


def _read_only(path: Path, *, salvage: bool) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    # What SQLite bears with when somebody is about to repair a schema; nothing is written here.
    begin = f"PRAGMA writable_schema = {'ON' if salvage else 'OFF'}; BEGIN"
    connection = connect(f"{address}?mode=ro", uri=True)
    try:
        connection.executescript(begin)
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        connection.close()
        if code(error) not in _READ_ONLY_CODES or log_bytes(path):
            raise
        # In a folder that is read-only nobody writes, and SQLite must not try to.
        connection = connect(f"{address}?mode=ro&immutable=1", uri=True)
        connection.executescript(begin)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """Return a connection to a path, or a file: URI, for any thread, without transactions."""
    return sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=uri,
    )


def fault(error: sqlite3.Error | OSError, path: Path | str, verb: str) -> StateError:
    """Return in our words, and with a remedy, why a state cannot be opened, read or written."""
    what = f"the state {path} cannot be {verb}: {error}"
    if not isinstance(error, sqlite3.Error):
        return StateError(what, remedy=_LOOK_AT_PATH)
    if _is_damage(error):
        return damaged(path, str(error))
    if code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StateError(
            what, remedy="end the other program that has it open, or wait until it is done"
        )
    if code(error) in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return StateError(
            what, remedy="make the file and its folder writable for the detector's user"
        )
    is_about_disk = code(error) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
    at_path = verb == "opened" and not is_about_disk
    return StateError(what, remedy=_LOOK_AT_PATH if at_path else _LOOK_AT_DISK)


def damaged(path: Path | str, finding: str) -> StateError:
    """Return the error of a state of which a part is lost."""
    return StateError(
        f"the state {path} is damaged: {finding.rstrip('.')}",
        remedy=f"restore it from a backup or an export, or move it aside; {_SALVAGE}",
    )


def empty(path: Path) -> StateError:
    """Return the error of a file in which there is nothing to look at."""
    return StateError(
        f"the state {path} is empty", remedy="run the detector on it, or import an export"
    )


def code(error: sqlite3.Error) -> int:
    """Return the primary result code of an error, 0 where it is not SQLite's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return code(error) in _DAMAGE_CODES
