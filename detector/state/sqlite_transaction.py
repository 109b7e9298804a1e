"""One transaction of the SQLite state: what deliveries change, all of it or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

import msgspec

from detector.alerts.alert import Alert, AlertState
from detector.events.record import Identity
from detector.state.rows import (
    DUE_TIMERS,
    KEY,
    WINDOW_BODY,
    alert_of,
    decoded,
    group_key,
    key_columns,
    timer_of,
)
from detector.state.sqlite_outbox import PUT_OUT, PUT_OUT_AN_END, PUT_OUT_AN_UPDATE, series_of
from detector.state.sqlite_quarantine import SQLiteQuarantine
from detector.state.store import Position, Quarantined, Revision, S, Seen, Timer
from detector.windows.aligned import GroupValue, WindowKey


class SQLiteTransaction:
    """A `Transaction` in SQLite."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: str,
        now: float,
        groups: dict[str, int],
        quarantine: SQLiteQuarantine,
    ) -> None:
        self._connection = connection
        self._path = path
        self._now = now
        self._groups = groups
        self._quarantine = quarantine

    def remember(self, identity: Identity, digest: bytes) -> Seen:
        """Remember an event and the digest of its content, unless it is known already."""
        cursor = self._connection.execute(
            "INSERT INTO seen (event_id, account, seen_at, digest) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (identity.event_id, identity.account, self._now, digest),
        )
        if cursor.rowcount == 1:
            return Seen.NEW
        (known,) = self._connection.execute(
            "SELECT digest FROM seen WHERE event_id = ? AND account = ?",
            (identity.event_id, identity.account),
        ).fetchone()
        return Seen.SAME if known in {digest, None} else Seen.DIFFERENT

    def load(self, key: WindowKey, state_type: type[S]) -> S | None:
        """Return the state that is kept under a key."""
        row = self._connection.execute(WINDOW_BODY, key_columns(key)).fetchone()
        return decoded(row[0], state_type, self._path) if row else None

    def save(self, key: WindowKey, state: msgspec.Struct, expires_at: float | None = None) -> None:
        """Keep a state under a key; see `Transaction`."""
        self._connection.execute(
            "INSERT INTO windows"
            " (rule_id, group_key, start, period, body, expires_at, touched_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body,"
            " expires_at = excluded.expires_at, touched_at = excluded.touched_at",
            (*key_columns(key), msgspec.json.encode(state), expires_at, self._now),
        )

    def drop(self, key: WindowKey) -> None:
        """Forget the state under a key, and its timer."""
        columns = key_columns(key)
        self._connection.execute(f"DELETE FROM windows WHERE {KEY}", columns)  # noqa: S608
        self._connection.execute(f"DELETE FROM timers WHERE {KEY}", columns)  # noqa: S608

    def admit(self, rule_id: str, group: Sequence[GroupValue], limit: int) -> bool:
        """Return whether a group of a rule is counted apart: a known one, or one of `limit`."""
        key = rule_id, group_key(group)
        known = self._connection.execute(
            "SELECT 1 FROM groups WHERE rule_id = ? AND group_key = ?", key
        ).fetchone()
        if known:
            return True
        if rule_id not in self._groups:
            (self._groups[rule_id],) = self._connection.execute(
                "SELECT count(*) FROM groups WHERE rule_id = ?", (rule_id,)
            ).fetchone()
        if self._groups[rule_id] >= limit:
            return False
        self._connection.execute("INSERT INTO groups (rule_id, group_key) VALUES (?, ?)", key)
        self._groups[rule_id] += 1
        return True

    def set_timer(self, timer: Timer) -> None:
        """Have a key looked at when the watermark or the clock reaches a time."""
        columns = key_columns(timer.key)
        if timer.event_at is None and timer.wall_at is None:
            self._connection.execute(f"DELETE FROM timers WHERE {KEY}", columns)  # noqa: S608
            return
        self._connection.execute(
            "INSERT OR REPLACE INTO timers (rule_id, group_key, start, period, event_at, wall_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (*columns, timer.event_at, timer.wall_at),
        )

    def due_timers(self, watermark: float, now: float, limit: int) -> list[Timer]:
        """Return timers that have run out, those set in this transaction too."""
        rows = self._connection.execute(DUE_TIMERS, (watermark, now, limit))
        return [timer_of(row) for row in rows.fetchall()]

    def save_alert(
        self,
        alert: Alert,
        sinks: Collection[str],
        update_interval: float,
        *,
        pages: bool = True,
        incident: str | None = None,
    ) -> None:
        """Keep an alert as it is now, and tell sinks of it; see `Transaction`."""
        before = self._state_of(alert.id)
        self._connection.execute(
            "INSERT INTO alerts (id, window_start, revision, state, count, touched_at, series)"
            " VALUES (?, ?, 1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET revision = revision + 1,"
            " state = excluded.state, count = excluded.count, touched_at = excluded.touched_at",
            (
                alert.id,
                alert.window.start,
                alert.state,
                alert.count,
                self._now,
                series_of(alert),
            ),
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO alert_bodies (id, body) VALUES (?, ?)",
            (alert.id, msgspec.json.encode(alert)),
        )
        revision = Revision(alert.id, alert.state, alert.count, pages, incident)
        self._put_out(revision, sinks, update_interval, before)

    def revise_alert(
        self, revision: Revision, sinks: Collection[str], update_interval: float
    ) -> None:
        """Note that an alert goes on or has ended; see `Transaction`."""
        # An alert that stays as it is is not asked how: that is the path of every single event.
        before = "open" if revision.state is None else self._state_of(revision.alert_id)
        changed = self._connection.execute(
            "UPDATE alerts SET revision = revision + 1, count = coalesce(?, count),"
            " state = coalesce(?, state), touched_at = ? WHERE id = ?",
            (revision.count, revision.state, self._now, revision.alert_id),
        )
        if changed.rowcount:  # else it was dropped long ago
            is_known = not revision.pages and revision.incident is None
            self._put_out(revision, sinks, update_interval, before, is_known=is_known)

    def _state_of(self, alert_id: str) -> AlertState:
        found = self._connection.execute("SELECT state FROM alerts WHERE id = ?", (alert_id,))
        row = found.fetchone()
        return row[0] if row else "open"

    def _put_out(
        self,
        revision: Revision,
        sinks: Collection[str],
        update_interval: float,
        before: AlertState,
        *,
        is_known: bool = False,
    ) -> None:
        """Put an alert that has changed into the outbox of each sink, or of those that know it."""
        state = revision.state or "open"
        values = {
            "id": revision.alert_id,
            "now": self._now,
            "interval": update_interval,
            "is_news": state != before,
            "withdrawn": state == "withdrawn",
            "only_opened": revision.only_opened,
            "pages": revision.pages,
            "incident": revision.incident,
        }
        if state != "open":
            statement = PUT_OUT_AN_END
        elif is_known:
            statement = PUT_OUT_AN_UPDATE
        else:
            statement = PUT_OUT
        self._connection.executemany(statement, [{**values, "sink": sink} for sink in sinks])

    def alert(self, alert_id: str) -> Alert | None:
        """Return an alert as it was last saved, with the revision and state of now."""
        row = self._connection.execute(
            "SELECT body, revision, state FROM alerts JOIN alert_bodies USING (id) WHERE id = ?",
            (alert_id,),
        ).fetchone()
        return alert_of(row, self._path) if row else None

    def save_position(self, position: Position) -> None:
        """Keep how far a source has come."""
        self._connection.execute(
            "INSERT OR REPLACE INTO positions (source, key, value, touched_at) VALUES (?, ?, ?, ?)",
            (position.source, position.key, position.value, self._now),
        )

    def quarantine(self, item: Quarantined) -> int:
        """Keep what could not be understood; see `Transaction`."""
        return self._quarantine.put(item, self._now)
