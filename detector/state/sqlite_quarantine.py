"""The table of what could not be understood and waits for its place in the quarantine.

It is an outbox: rows come with the transaction of the delivery that they are of, and go once they
are in the folder or under the prefix. Where that cannot be reached they wait, within a bound.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from detector.state.store import QuarantineCounts, Quarantined

MAX_WAITING_ROWS = 100_000
"""Rows that wait at most: one damaged file in which no record can be read has some ten thousand."""

MAX_WAITING_BYTES = 256 << 20
"""Bytes of bodies that wait at most: four times what may be in hand, and little beside what else a
state takes. Only while the folder or the bucket cannot be written do so many gather."""

_COLUMNS = "source, origin, record_index, reason, body, message, delivered_at, is_complete"
_OLDEST_FIRST = "FROM quarantine INDEXED BY quarantine_by_age ORDER BY touched_at, number"


class SQLiteQuarantine:
    """The rows, and how many they are: that is counted once, and then kept."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        max_rows: int = MAX_WAITING_ROWS,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._connection = connection
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._counts: QuarantineCounts | None = None

    def put(self, item: Quarantined, now: float) -> int:
        """Add a row, in place of the same one; return how many older ones had to make room."""
        digest = item.digest
        before = self.counts()
        known = self._connection.execute(
            "SELECT length(body) FROM quarantine WHERE digest = ?", (digest,)
        ).fetchone()
        self._connection.execute(
            f"INSERT OR REPLACE INTO quarantine (digest, touched_at, bytes, {_COLUMNS})"  # noqa: S608
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                digest,
                now,
                len(item.body),
                item.source,
                item.origin,
                item.index,
                item.reason,
                item.body,
                item.message,
                item.delivered_at,
                item.is_complete,
            ),
        )
        self._counts = QuarantineCounts(
            before.rows + (known is None),
            before.bytes + len(item.body) - (known[0] if known else 0),
        )
        return self._make_room()

    def oldest(self, limit: int | None, max_bytes: float) -> list[Quarantined]:
        """Return the oldest rows, oldest first: up to a number, and to so many bytes but one."""
        found: list[Quarantined] = []
        size = 0
        for row in self._connection.execute(
            f"SELECT {_COLUMNS}, touched_at, number {_OLDEST_FIRST} LIMIT ?",
            (-1 if limit is None else limit,),
        ):
            item = _item_of(row)
            size += len(item.body)
            if found and size > max_bytes:
                break
            found.append(item)
        return found

    def remove(self, items: Iterable[Quarantined]) -> None:
        """Delete the rows of these."""
        self._connection.executemany(
            "DELETE FROM quarantine WHERE number = ?", [(item.number,) for item in items]
        )
        self._counts = None

    def counts(self) -> QuarantineCounts:
        """Return how many rows there are, and what their bodies take."""
        if self._counts is None:
            row = self._connection.execute(
                "SELECT count(*), coalesce(sum(bytes), 0)"
                " FROM quarantine INDEXED BY quarantine_by_age"
            ).fetchone()
            self._counts = QuarantineCounts(*row)
        return self._counts

    def count_again(self) -> None:
        """Forget how many there are: a transaction was rolled back."""
        self._counts = None

    def _make_room(self) -> int:
        dropped = 0
        counts = self.counts()
        while counts.rows > self._max_rows or counts.bytes > self._max_bytes:
            number, size = self._connection.execute(
                f"SELECT number, bytes {_OLDEST_FIRST} LIMIT 1"
            ).fetchone()
            self._connection.execute("DELETE FROM quarantine WHERE number = ?", (number,))
            counts = QuarantineCounts(counts.rows - 1, counts.bytes - size)
            dropped += 1
        self._counts = counts
        return dropped


def _item_of(row: tuple[Any, ...]) -> Quarantined:
    source, origin, index, reason, body, message, delivered_at, is_complete, kept_at, number = row
    return Quarantined(
        source=source,
        origin=origin,
        index=index,
        reason=reason,
        body=body,
        message=message,
        delivered_at=delivered_at,
        is_complete=bool(is_complete),
        kept_at=kept_at,
        number=number,
    )
