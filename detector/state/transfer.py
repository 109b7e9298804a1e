"""A whole state as an Avro object container file, and back.

One record for each row of each table, and a last one that counts them: a file that was cut off
anywhere is told from a whole one. The file carries its schema, so that any Avro reader can read it.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import fastavro

from detector.errors import StateError
from detector.state.checks import TABLES
from detector.state.report import with_state
from detector.state.schema import MIGRATIONS
from detector.state.sqlite import SQLiteStore

_NAMESPACE = "detector.state"
_END = f"{_NAMESPACE}.end"
_VERSION = "detector.schema_version"
_NAME_AN_EXPORT = "name a file that `detector state export` wrote"

_MAYBE_TEXT = ["null", "string"]
_MAYBE_TIME = ["null", "double"]
_MAYBE_BYTES = ["null", "bytes"]
_MAYBE_LONG = ["null", "long"]
_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "seen": {
        "event_id": "string",
        "account": "string",
        "seen_at": "double",
        "digest": _MAYBE_BYTES,
    },
    "windows": {
        "rule_id": "string",
        "group_key": "string",
        "start": "long",
        "period": "long",
        "expires_at": _MAYBE_TIME,
        "touched_at": "double",
        "body": "bytes",
    },
    "timers": {
        "rule_id": "string",
        "group_key": "string",
        "start": "long",
        "period": "long",
        "event_at": _MAYBE_TIME,
        "wall_at": _MAYBE_TIME,
    },
    "groups": {"rule_id": "string", "group_key": "string"},
    "alerts": {
        "id": "string",
        "window_start": "string",
        "revision": "long",
        "state": "string",
        "count": "long",
        "touched_at": "double",
        "series": "string",
    },
    "alert_bodies": {"id": "string", "body": "bytes"},
    "outbox": {
        "sink": "string",
        "alert_id": "string",
        "state": "string",
        "attempts": "long",
        "due_at": "double",
        "made_at": "double",
        "delivered_at": _MAYBE_TIME,
        "last_error": _MAYBE_TEXT,
        "pages": "long",
        "series": "string",
        "incident": _MAYBE_TEXT,
        "opens": "long",
        "digest": _MAYBE_TEXT,
        "handed": "long",
    },
    "positions": {"source": "string", "key": "string", "value": "string", "touched_at": "double"},
    "quarantine": {
        "number": "long",
        "digest": "bytes",
        "source": "string",
        "origin": "string",
        "record_index": _MAYBE_LONG,
        "reason": "string",
        "message": "string",
        "delivered_at": _MAYBE_TIME,
        "is_complete": "long",
        "touched_at": "double",
        "bytes": "long",
        "body": "bytes",
    },
}
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "long": (int,),
    "double": (float,),
    "bytes": (bytes,),
    str(_MAYBE_TEXT): (str, type(None)),
    str(_MAYBE_TIME): (float, type(None)),
    str(_MAYBE_BYTES): (bytes, type(None)),
    str(_MAYBE_LONG): (int, type(None)),
}
_KEYS = {
    "seen": ("event_id", "account"),
    "windows": ("rowid",),
    "timers": ("rule_id", "group_key", "start", "period"),
    "groups": ("rule_id", "group_key"),
    "alerts": ("rowid",),
    "alert_bodies": ("rowid",),
    "outbox": ("sink", "alert_id"),
    "positions": ("source", "key"),
    "quarantine": ("number",),
}

SCHEMA = fastavro.parse_schema(
    [
        *(
            {
                "type": "record",
                "name": table,
                "namespace": _NAMESPACE,
                "fields": [{"name": name, "type": type_} for name, type_ in columns.items()],
            }
            for table, columns in _COLUMNS.items()
        ),
        {
            "type": "record",
            "name": "end",
            "namespace": _NAMESPACE,
            "doc": "The last record: how many there are of each table, and which of them have gaps",
            "fields": [
                {"name": "rows", "type": {"type": "map", "values": "long"}},
                {"name": "incomplete", "type": {"type": "array", "items": "string"}},
            ],
        },
    ]
)
"""The schema of a file: a union of a record for each table, and the end."""

_INSERTS = {
    table: f"INSERT INTO {table} ({', '.join(columns)})"  # noqa: S608 - our own names
    f" VALUES ({', '.join(f':{name}' for name in columns)})"
    for table, columns in _COLUMNS.items()
}


@dataclass(frozen=True, slots=True)
class Transferred:
    """What was moved. `incomplete` are tables of which damage has taken a part.

    `orphans` are notifications left out since the damage has taken their alert.
    """

    rows: dict[str, int]
    incomplete: list[str]
    orphans: int = 0


def export_state(path: Path, target: Path) -> Transferred:
    """Write a state to a file that does not exist yet, whether a service runs on it or not.

    What is written is the state of one moment. Of a damaged state, what can be read is written.

    Raises:
        StateError: the state cannot be read at all, or the file not be written; there is none then.
    """
    if target.exists():
        raise StateError(f"{target} exists already", remedy="name a file that does not")
    return with_state(path, lambda connection, _: _export(connection, target), salvage=True)


def import_state(source: Path, path: Path) -> Transferred:
    """Fill an empty or new state from a file, as a whole or not at all.

    Raises:
        StateError: the file is not an export, or cut off; or the state is not empty or in use.
    """
    try:
        with source.open("rb") as file:
            records = _records(source, file)
            with SQLiteStore.open(path) as store:
                return _import(store, records, source, path)
    except OSError as error:
        raise StateError(
            f"{source} cannot be read: {error.strerror}", remedy=_NAME_AN_EXPORT
        ) from error


def _export(connection: sqlite3.Connection, target: Path) -> Transferred:
    moved = Transferred({}, [])
    part: str | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=target.parent, prefix=f"{target.name}.", delete=False
        ) as file:
            part = file.name
            metadata = {_VERSION: str(len(MIGRATIONS))}
            with closing(_rows(connection, moved)) as records:
                fastavro.writer(file, SCHEMA, records, codec="deflate", metadata=metadata)
            file.flush()
            os.fsync(file.fileno())
        Path(part).rename(target)
        part = None
    except OSError as error:
        raise StateError(
            f"{target} cannot be written: {error.strerror}",
            remedy="check its folder, and the disk for space",
        ) from error
    finally:
        if part is not None:
            with suppress(OSError):
                Path(part).unlink()
    return moved


def _rows(
    connection: sqlite3.Connection, moved: Transferred
) -> Generator[tuple[str, Mapping[str, Any]]]:
    """Yield all rows, then the end; fill in what was moved."""
    rows = Counter[str]()
    for table in TABLES:
        for row in _table(connection, table, moved.incomplete):
            rows[table] += 1
            yield f"{_NAMESPACE}.{table}", row
    counts = {table: rows[table] for table in TABLES}
    moved.rows.update(counts)
    yield _END, {"rows": counts, "incomplete": moved.incomplete}


def _table(
    connection: sqlite3.Connection, table: str, incomplete: list[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table; where one cannot be read, those from the other end instead.

    What lies between two damaged places of a table is not reached.
    """
    last: tuple[Any, ...] | None = None
    try:
        for key, row in _ordered(connection, table, "ASC"):
            yield row
            last = key
    except sqlite3.DatabaseError:
        incomplete.append(table)
    else:
        return
    with suppress(sqlite3.DatabaseError):
        for _, row in takewhile(
            lambda item: last is None or item[0] > last, _ordered(connection, table, "DESC")
        ):
            yield row


def _ordered(
    connection: sqlite3.Connection, table: str, direction: str
) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """Yield key and columns of each row; a row of other types than we write ends it as damage."""
    keys = _KEYS[table]
    types = [_PYTHON_TYPES[str(type_)] for type_ in _COLUMNS[table].values()]
    order = ", ".join(f"{key} {direction}" for key in keys)
    columns = ", ".join([*keys, *_COLUMNS[table]])
    query = f"SELECT {columns} FROM {table} ORDER BY {order}"  # noqa: S608 - our own names
    for row in connection.execute(query):
        key, values = row[: len(keys)], row[len(keys) :]
        if not all(map(isinstance, values, types)):
            raise sqlite3.DatabaseError(f"a row of {table} holds what no detector has written")
        yield key, dict(zip(_COLUMNS[table], values, strict=True))


def _records(source: Path, file: IO[bytes]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the records of a file, after a look at its header."""
    try:
        reader = fastavro.reader(file, SCHEMA, return_record_name=True)
        version = int(reader.metadata[_VERSION])
    except OSError:
        raise
    except Exception as error:
        raise _no_export(source, error) from error
    if version < len(MIGRATIONS):
        raise StateError(
            f"{source} is an older detector's export, of schema version {version}",
            remedy="import it with that one, and start this one on the state",
        )
    if version > len(MIGRATIONS):
        raise StateError(
            f"{source} is an export of schema version {version}, this detector knows"
            f" {len(MIGRATIONS)}",
            remedy="import it with the newer detector",
        )
    return _read(source, reader)


def _read(source: Path, reader: Iterable[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    records = iter(reader)
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except OSError:
            raise
        except Exception as error:  # a decoder raises anything on bytes of any kind
            raise _no_export(source, error) from error
        yield record


def _import(
    store: SQLiteStore,
    records: Iterator[tuple[str, Mapping[str, Any]]],
    source: Path,
    path: Path,
) -> Transferred:
    with store.writing() as connection:
        for table in TABLES:
            if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608
                raise StateError(
                    f"the state {path} is not empty: it has rows in {table}",
                    remedy="move it aside, or import into another state.path",
                )
        try:
            end = _fill(connection, records)
        except sqlite3.IntegrityError as error:
            raise _no_export(source, error) from error
        if end is None:
            raise StateError(
                f"{source} is not whole: it was cut off, or changed",
                remedy="copy it again from where it was made",
            )
        orphans = connection.execute(
            "DELETE FROM outbox WHERE alert_id NOT IN (SELECT id FROM alerts)"
            " OR alert_id NOT IN (SELECT id FROM alert_bodies)"
        ).rowcount
    return Transferred(end["rows"], end["incomplete"], orphans)


def _fill(
    connection: sqlite3.Connection, records: Iterable[tuple[str, Mapping[str, Any]]]
) -> Mapping[str, Any] | None:
    """Insert all rows; return the end, None where there is none or it counts other rows."""
    rows = dict.fromkeys(TABLES, 0)
    end: Mapping[str, Any] | None = None
    for name, record in records:
        if end is not None:
            return None
        if name == _END:
            end = record
            continue
        table = name.removeprefix(f"{_NAMESPACE}.")
        connection.execute(_INSERTS[table], record)
        rows[table] += 1
    return end if end is not None and end["rows"] == rows else None


def _no_export(source: Path, error: Exception) -> StateError:
    return StateError(
        f"{source} is not an export of a state, or damaged: {error}",
        remedy=_NAME_AN_EXPORT,
    )
