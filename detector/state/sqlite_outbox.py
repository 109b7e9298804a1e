"""The outbox in SQLite."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec

from detector.alerts.alert import Alert
from detector.alerts.digest import Mention
from detector.state.checks import fault
from detector.state.outbox import (
    HOLDING_UP,
    LONGEST_WAIT_SECONDS,
    Entry,
    Notification,
    OutboxCounts,
    Selection,
    Tally,
)
from detector.state.rows import alert_of, decoded, kind_of, writing
from detector.windows.aligned import GroupValue

PUT_OUT = """
    INSERT INTO outbox (sink, alert_id, series, incident, opens, state, due_at, made_at, pages)
    SELECT :sink, id, series, :incident, NOT is_known, 'pending', :now, :now,
        iif(:pages OR NOT is_known, revision, 0)
    FROM (
        SELECT id, series, revision, :incident IS NULL OR EXISTS (
            SELECT 1 FROM outbox
            WHERE sink = :sink AND alert_id IN (:incident, :id) AND state != 'dead'
        ) OR EXISTS (
            SELECT 1 FROM outbox INDEXED BY outbox_by_incident
            WHERE incident = :incident AND sink = :sink AND opens AND state != 'dead'
        ) AS is_known
        FROM alerts WHERE id = :id
    )
    WHERE true
    ON CONFLICT (sink, alert_id) DO UPDATE SET
        attempts = iif(state = 'pending', attempts, 0),
        made_at = iif(state = 'pending', made_at, excluded.made_at),
        due_at = CASE
            WHEN state = 'delivered' AND NOT excluded.pages
                THEN max(coalesce(delivered_at + :interval, 0), excluded.due_at)
            WHEN state != 'pending' OR excluded.pages AND NOT pages THEN excluded.due_at
            ELSE due_at END,
        pages = max(pages, excluded.pages),
        state = 'pending'
    WHERE state = 'delivered' OR excluded.pages > pages
"""
"""An alert for a sink that may not know of it; `pages` is the revision that was the last to page, 0
where the sink has taken it. What was refused once is tried again when it pages anew."""

PUT_OUT_AN_UPDATE = """
    UPDATE outbox SET attempts = 0, made_at = :now, state = 'pending',
        due_at = max(coalesce(delivered_at + :interval, 0), :now)
    WHERE sink = :sink AND alert_id = :id AND state = 'delivered'
"""

PUT_OUT_AN_END = """
    UPDATE outbox SET
        attempts = iif(state = 'pending', attempts, 0),
        made_at = iif(state = 'pending', made_at, :now),
        due_at = CASE
            WHEN delivered_at IS NULL THEN due_at
            WHEN :is_news THEN :now
            ELSE max(delivered_at + :interval, :now) END,
        pages = iif(:withdrawn, 0, pages),
        opens = 0,
        state = iif(:withdrawn AND delivered_at IS NULL AND attempts = 0, 'delivered', 'pending')
    WHERE sink = :sink AND alert_id = :id AND (state != 'dead' OR delivered_at IS NOT NULL)
        AND (opens OR NOT :only_opened)
"""
"""Who was never told of an alert need not hear that it is over, and what is withdrawn pages nobody
who has not been paged yet."""

_DUE = f"""
    SELECT alert_id, pages, attempts, made_at, due_at, delivered_at, series, coalesce(digest, (
        SELECT digest FROM outbox AS known INDEXED BY outbox_by_incident
        WHERE known.incident = mine.incident AND known.sink = mine.sink AND known.opens
    )) AS digest
    FROM outbox AS mine
    WHERE sink = :sink AND state = 'pending' AND due_at <= :now
    AND (:series IS NULL OR series = :series) AND NOT EXISTS (
        SELECT 1 FROM outbox AS first INDEXED BY outbox_failing
        WHERE first.sink = mine.sink AND first.series = mine.series
            AND first.state = 'pending' AND first.attempts > 0
            AND first.attempts <= {HOLDING_UP} AND first.alert_id != mine.alert_id
            AND (first.made_at, first.pages = 0, first.alert_id)
                < (mine.made_at, mine.pages = 0, mine.alert_id)
    )
    ORDER BY due_at, pages DESC LIMIT :limit
"""  # noqa: S608 - our own names
"""Of one moment, first what others update. What belongs to an incident of which a sink was told in
a digest was told there too."""

_ALERT = "body, revision, alerts.state"


class SQLiteOutbox:
    """An `Outbox`."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction for several calls."""
        return writing(self._connection, self._path)

    def due(self, sink: str, now: float, limit: int) -> list[Notification]:
        """Return notifications that are due, the longest due first; see `Outbox`."""
        rows = self._rows(
            f"SELECT {_ALERT}, pages, attempts, made_at, digest,"  # noqa: S608 - our own names
            f" delivered_at IS NOT NULL FROM ({_DUE}) AS due"
            " JOIN alerts ON alerts.id = alert_id JOIN alert_bodies ON alert_bodies.id = alert_id"
            " ORDER BY due_at, pages DESC",
            {"sink": sink, "now": now, "limit": limit, "series": None},
        )
        return list(map(self._notification, rows))

    def notifications(self, sink: str, alert_ids: Sequence[str]) -> list[Notification]:
        """Return what waits for a sink of some alerts, in their order."""
        marks = ", ".join("?" * len(alert_ids))
        rows = self._rows(
            f"SELECT {_ALERT}, pages, attempts, made_at, digest, delivered_at IS NOT NULL"  # noqa: S608
            " FROM outbox JOIN alerts ON alerts.id = alert_id"
            " JOIN alert_bodies ON alert_bodies.id = alert_id"
            f" WHERE sink = ? AND alert_id IN ({marks}) AND outbox.state = 'pending'",
            (sink, *alert_ids),
        )
        found = {item.alert.id: item for item in map(self._notification, rows)}
        return [found[id_] for id_ in alert_ids if id_ in found]

    def due_mentions(
        self, sink: str, now: float, limit: int, series: str | None = None
    ) -> list[Mention]:
        """Return what a digest says of notifications that are due; see `due`."""
        rows = self._rows(
            f"SELECT {_ALERT}, count, pages, made_at, due.series, digest"  # noqa: S608
            f" FROM ({_DUE}) AS due"
            " JOIN alerts ON alerts.id = alert_id JOIN alert_bodies ON alert_bodies.id = alert_id",
            {"sink": sink, "now": now, "limit": limit, "series": series},
        )
        return [
            msgspec.structs.replace(
                decoded(body, Mention, self._path),
                revision=revision,
                kind=kind_of(state, pages),
                count=count,
                made_at=made_at,
                series=series,
                told_by=digest,
            )
            for body, revision, state, count, pages, made_at, series, digest in rows
        ]

    def open(self, sink: str, limit: int) -> list[Notification]:
        """Return the alerts that a sink has been told of and that are open."""
        rows = self._rows(
            f"SELECT {_ALERT}, opens FROM alerts INDEXED BY alerts_open"  # noqa: S608 - our own names
            " CROSS JOIN outbox ON sink = :sink AND alert_id = alerts.id"
            " JOIN alert_bodies ON alert_bodies.id = alert_id"
            " WHERE alerts.state = 'open' AND delivered_at IS NOT NULL AND digest IS NULL"
            " ORDER BY alert_id LIMIT :limit",
            {"sink": sink, "limit": limit},
        )
        found = ((alert_of(row[:3], self._path), row[3]) for row in rows)
        # Of events beyond the retention only the first one's alert is resolved.
        return [
            Notification(alert, "updated")
            for alert, opens in found
            if opens or alert.counting != "single"
        ]

    def next_due(self, sink: str, after: float = 0.0) -> float | None:
        """Return when the next notification is due after a time, or None where none is."""
        ((due_at,),) = self._rows(
            "SELECT min(due_at) FROM outbox WHERE sink = ? AND state = 'pending' AND due_at > ?",
            (sink, after),
        )
        return due_at  # type: ignore[no-any-return]

    def delivered(
        self, sink: str, notification: Notification, now: float, update_interval: float
    ) -> None:
        """Note that a sink has taken a notification; a newer revision stays pending.

        So does a page that was put in while an earlier one was on its way: `pages` is the revision
        that was the last to page, 0 where the sink has taken it.
        """
        alert = notification.alert
        self._taken(sink, alert.id, alert.revision, notification.kind, now, update_interval, None)

    def digested(self, sink: str, mentions: Iterable[Mention], digest_id: str, now: float) -> None:
        """Note that a digest stands for notifications; what is newer than it stays pending.

        A sink that has had a message of an alert itself goes on hearing of it in the same way.
        """
        with self.writing():
            for item in mentions:
                told_by = digest_id if item.kind == "raised" else item.told_by
                self._taken(sink, item.id, item.revision, item.kind, now, 0.0, told_by)

    def passed_over(self, sink: str, mention: Mention, now: float) -> None:
        """Note that a sink need not hear of a notification; what is newer stays pending."""
        self._taken(sink, mention.id, mention.revision, mention.kind, now, 0.0, mention.told_by)

    def _taken(
        self,
        sink: str,
        alert_id: str,
        revision: int,
        kind: str,
        now: float,
        update_interval: float,
        told_by: str | None,
    ) -> None:
        self._write(
            "UPDATE outbox SET delivered_at = :now, attempts = 0, last_error = NULL,"
            " digest = :digest,"
            " pages = iif(:kind = 'raised' AND pages <= :revision, 0, pages),"
            " state = iif(known.revision > :revision OR untold, 'pending', 'delivered'),"
            " made_at = iif(known.revision > :revision OR untold, :now, made_at),"
            " due_at = iif(untold OR pages > iif(:kind = 'raised', :revision, 0),"
            "  :now, :now + :interval)"
            " FROM (SELECT id, revision, state != 'open' AND :kind != 'resolved' AS untold"
            "       FROM alerts) AS known"
            " WHERE sink = :sink AND alert_id = :id AND known.id = alert_id",
            {
                "now": now,
                "kind": kind,
                "revision": revision,
                "interval": update_interval,
                "sink": sink,
                "id": alert_id,
                "digest": told_by,
            },
        )

    def is_digest_over(self, sink: str, digest_id: str) -> bool:
        """Return whether an open digest has no open alert that it alone told of."""
        return bool(
            self._rows(
                "SELECT 1 FROM alerts AS mine WHERE id = :id AND state = 'open' AND NOT EXISTS ("
                " SELECT 1 FROM outbox JOIN alerts ON alerts.id = alert_id"
                " WHERE digest = :id AND sink = :sink AND alerts.state = 'open')",
                {"id": digest_id, "sink": sink},
            )
        )

    def retry_later(
        self, sink: str, notification: Notification, due_at: float, why: str, *, counts: bool = True
    ) -> None:
        """Note that a sink could not take a notification now; see `Outbox`."""
        self._write(
            "UPDATE outbox SET attempts = iif(?, attempts + 1, max(attempts, 1)), due_at = ?,"
            " last_error = ? WHERE sink = ? AND alert_id = ?",
            (counts, due_at, why, sink, notification.alert.id),
        )

    def retry_now(self, sink: str, now: float, limit: int | None = None) -> int:
        """Make due what a sink could not take; return how many notifications that were."""
        return self._write(
            "UPDATE outbox SET due_at = :now WHERE sink = :sink AND alert_id IN ("
            " SELECT alert_id FROM outbox INDEXED BY outbox_failing"
            " WHERE sink = :sink AND state = 'pending' AND attempts > 0"
            " ORDER BY made_at, pages = 0, alert_id LIMIT :limit) AND due_at > :now",
            {"now": now, "sink": sink, "limit": -1 if limit is None else limit},
        )

    def bury(self, sink: str, notification: Notification, why: str) -> None:
        """Note that a sink will never take a notification."""
        self._write(
            "UPDATE outbox SET state = 'dead', attempts = attempts + 1, last_error = ?"
            " WHERE sink = ? AND alert_id = ?",
            (why, sink, notification.alert.id),
        )

    def expire(self, sink: str, before: float, why: str) -> int:
        """Bury what was put in before a time and waits."""
        return self._write(
            "UPDATE outbox SET state = 'dead', last_error = coalesce(last_error || '; ', '') || ?"
            " WHERE sink = ? AND alert_id IN (SELECT alert_id FROM outbox INDEXED BY outbox_by_due"
            "  WHERE sink = ? AND state = 'pending' AND made_at < ?)",
            (why, sink, sink, before),
        )

    def hand_over(self, sink: str, other: str, now: float, alert_id: str | None = None) -> int:
        """Have another sink page for what waits at one, or for one alert; see `Outbox`."""
        values = {"other": other, "sink": sink, "now": now, "id": alert_id}
        which = (
            " WHERE sink = :sink AND state IN ('pending', 'dead') AND pages > handed"
            " AND (:id IS NULL OR alert_id = :id)"
        )
        with self.writing():
            handed = self._write(
                "INSERT INTO outbox"  # noqa: S608 - our own names
                " (sink, alert_id, series, incident, opens, state, due_at, made_at, pages)"
                " SELECT :other, alert_id, series, incident, 1, 'pending', :now, :now, pages"
                f" FROM outbox INDEXED BY outbox_by_due {which}"
                " ON CONFLICT (sink, alert_id) DO UPDATE SET pages = max(pages, excluded.pages),"
                "  attempts = 0, state = 'pending', due_at = :now, made_at = :now",
                values,
            )
            if handed:
                self._write(
                    f"UPDATE outbox INDEXED BY outbox_by_due SET handed = pages {which}",  # noqa: S608
                    values,
                )
        return handed

    def revive(self, sink: str, now: float) -> int:
        """Make a sink's dead letters due once more, and return how many they are."""
        return self._write(
            "UPDATE outbox SET state = 'pending', made_at = ?, due_at = ?"
            " WHERE sink = ? AND state = 'dead'",
            (now, now, sink),
        )

    def counts(self, sink: str) -> OutboxCounts:
        """Return how a sink's outbox stands."""
        (pending, oldest), (dead, _) = (
            row
            for state in ("pending", "dead")
            for row in self._rows(
                # What was delivered is nearly all there is, and is not counted.
                "SELECT count(*), min(made_at) FROM outbox INDEXED BY outbox_by_due"
                " WHERE sink = ? AND state = ?",
                (sink, state),
            )
        )
        return OutboxCounts(pending, dead, oldest)

    def mend_clock(self, now: float) -> int:
        """Make due what was put off to a time that only a clock set back since can have meant."""
        return self._write(
            "UPDATE outbox SET due_at = :now, made_at = min(made_at, :now),"
            " delivered_at = min(delivered_at, :now)"
            " WHERE made_at > :now OR delivered_at > :now OR due_at > :now + :longest",
            {"now": now, "longest": LONGEST_WAIT_SECONDS},
        )

    def entries(self, selection: Selection, limit: int) -> Sequence[Entry]:
        """Return entries, the oldest first."""
        where, values = _condition(selection)
        rows = self._rows(
            f"SELECT {_ALERT}, sink, outbox.state, attempts, made_at, due_at,"  # noqa: S608
            " delivered_at, last_error, pages"
            " FROM outbox JOIN alerts ON alerts.id = alert_id"
            f" JOIN alert_bodies ON alert_bodies.id = alert_id WHERE {where}"
            " ORDER BY made_at, sink, alert_id LIMIT ?",
            (*values, limit),
        )
        return [
            Entry(
                sink=sink,
                alert=alert_of((body, revision, alert_state), self._path),
                kind=kind_of(alert_state, pages),
                state=state,
                attempts=attempts,
                made_at=made_at,
                due_at=due_at,
                delivered_at=delivered_at,
                last_error=last_error,
            )
            for (
                body,
                revision,
                alert_state,
                sink,
                state,
                attempts,
                made_at,
                due_at,
                delivered_at,
                last_error,
                pages,
            ) in rows
        ]

    def tally(self, selection: Selection) -> Sequence[Tally]:
        """Return how many entries there are, by sink and state."""
        where, values = _condition(selection)
        rows = self._rows(
            f"SELECT sink, state, count(*) FROM outbox WHERE {where}"  # noqa: S608 - see there
            " GROUP BY sink, state ORDER BY sink, state",
            values,
        )
        return [Tally(*row) for row in rows]

    def retry(self, selection: Selection, now: float) -> int:
        """Make entries due now; return how many they are."""
        where, values = _condition(selection)
        return self._write(
            "UPDATE outbox SET made_at = iif(state = 'dead', ?, made_at), attempts = 0,"  # noqa: S608
            f" due_at = ?, state = 'pending' WHERE {where}",
            (now, now, *values),
        )

    def drop(self, selection: Selection) -> int:
        """Forget entries: their sinks are told nothing more of that."""
        where, values = _condition(selection)
        return self._write(f"DELETE FROM outbox WHERE {where}", values)  # noqa: S608

    def _notification(self, row: tuple) -> Notification:  # type: ignore[type-arg]
        body, revision, state, pages, attempts, made_at, digest, was_told = row
        alert = alert_of((body, revision, state), self._path)
        return Notification(alert, kind_of(state, pages), attempts, made_at, digest, bool(was_told))

    def _write(self, statement: str, values: Sequence[object] | dict[str, object]) -> int:
        with self.writing() as connection:
            return connection.execute(statement, values).rowcount

    def _rows(self, query: str, values: Sequence[object] | dict[str, object]) -> list[tuple]:  # type: ignore[type-arg]
        with self._reading():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise fault(error, self._path, "read") from error


def series_of(alert: Alert) -> str:
    """Return what an alert has in common with those of the same rule and group."""
    return series(alert.rule_id, list(alert.group.values()), overflow=alert.overflow)


def series(rule_id: str, group: Sequence[GroupValue], *, overflow: bool = False) -> str:
    """Return what alerts of a rule and group have in common, or those of its overflow."""
    identity = msgspec.json.encode([rule_id, overflow, group])
    return hashlib.sha256(identity).hexdigest()[:16]


def _condition(selection: Selection) -> tuple[str, list[object]]:
    """Return a condition of SQL for entries, and its values."""
    terms = ["true"]
    values: list[object] = []
    for column, wanted in (
        ("sink", selection.sinks),
        ("alert_id", selection.alerts),
        ("outbox.state", selection.states),
    ):
        if wanted:
            terms.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    if selection.made_until is not None:
        terms.append("made_at <= ?")
        values.append(selection.made_until)
    return " AND ".join(terms), values
