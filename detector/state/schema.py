"""The SQLite schema, as the steps that lead to it.

`PRAGMA user_version` counts the steps taken. A step that was ever released is never changed: a
change of the schema is one more step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from detector.errors import StateError

APPLICATION_ID = 0x43544474
"""What `PRAGMA application_id` says of a state, from its second step on: "CTDt"."""

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE seen (
        event_id TEXT NOT NULL,
        account  TEXT NOT NULL,
        seen_at  REAL NOT NULL,
        PRIMARY KEY (event_id, account)
    ) WITHOUT ROWID;
    CREATE INDEX seen_by_age ON seen (seen_at);

    CREATE TABLE windows (
        rule_id    TEXT NOT NULL,
        group_key  TEXT NOT NULL,
        start      INTEGER NOT NULL,
        period     INTEGER NOT NULL,
        body       BLOB NOT NULL,
        touched_at REAL NOT NULL,
        PRIMARY KEY (rule_id, group_key, start, period)
    ) WITHOUT ROWID;
    CREATE INDEX windows_by_age ON windows (touched_at);

    CREATE TABLE alerts (
        id           TEXT PRIMARY KEY,
        window_start TEXT NOT NULL,
        revision     INTEGER NOT NULL,
        body         BLOB NOT NULL,
        touched_at   REAL NOT NULL
    );

    CREATE TABLE outbox (
        sink         TEXT NOT NULL,
        alert_id     TEXT NOT NULL REFERENCES alerts (id),
        state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
        attempts     INTEGER NOT NULL DEFAULT 0,
        due_at       REAL NOT NULL,
        made_at      REAL NOT NULL,
        delivered_at REAL,
        last_error   TEXT,
        PRIMARY KEY (sink, alert_id)
    ) WITHOUT ROWID;
    CREATE INDEX outbox_by_due ON outbox (sink, state, due_at);

    CREATE TABLE positions (
        source     TEXT NOT NULL,
        key        TEXT NOT NULL,
        value      TEXT NOT NULL,
        touched_at REAL NOT NULL,
        PRIMARY KEY (source, key)
    ) WITHOUT ROWID;

    CREATE TABLE quarantine (
        source         TEXT NOT NULL,
        origin         TEXT NOT NULL,
        record_index   INTEGER NOT NULL,
        reason         TEXT NOT NULL,
        body           BLOB NOT NULL,
        touched_at     REAL NOT NULL,
        PRIMARY KEY (source, origin, record_index)
    );
    """,
    f"PRAGMA application_id = {APPLICATION_ID};",
    """
    ALTER TABLE seen ADD COLUMN digest BLOB;

    CREATE TABLE kept_windows (
        rule_id    TEXT NOT NULL,
        group_key  TEXT NOT NULL,
        start      INTEGER NOT NULL,
        period     INTEGER NOT NULL,
        expires_at REAL,
        touched_at REAL NOT NULL,
        body       BLOB NOT NULL, -- last: what lies behind a long column is slow to read
        PRIMARY KEY (rule_id, group_key, start, period)
    );
    INSERT INTO kept_windows
        SELECT rule_id, group_key, start, period, start + period, touched_at, body FROM windows;
    DROP TABLE windows;
    ALTER TABLE kept_windows RENAME TO windows;
    CREATE INDEX windows_by_expiry ON windows (expires_at);

    CREATE TABLE timers (
        rule_id    TEXT NOT NULL,
        group_key  TEXT NOT NULL,
        start      INTEGER NOT NULL,
        period     INTEGER NOT NULL,
        event_at   REAL,
        wall_at    REAL,
        PRIMARY KEY (rule_id, group_key, start, period)
    ) WITHOUT ROWID;
    CREATE INDEX timers_by_event ON timers (event_at);
    CREATE INDEX timers_by_wall ON timers (wall_at);

    CREATE TABLE groups (
        rule_id    TEXT NOT NULL,
        group_key  TEXT NOT NULL,
        PRIMARY KEY (rule_id, group_key)
    ) WITHOUT ROWID;
    INSERT INTO groups SELECT DISTINCT rule_id, group_key FROM windows;

    CREATE TABLE alert_bodies (
        id   TEXT PRIMARY KEY,
        body BLOB NOT NULL
    );
    INSERT INTO alert_bodies SELECT id, body FROM alerts;
    CREATE TABLE kept_alerts (
        id           TEXT PRIMARY KEY,
        window_start TEXT NOT NULL,
        revision     INTEGER NOT NULL,
        state        TEXT NOT NULL CHECK (state IN ('open', 'resolved', 'withdrawn')),
        count        INTEGER NOT NULL,
        touched_at   REAL NOT NULL
    );
    INSERT INTO kept_alerts SELECT id, window_start, revision, 'open', 0, touched_at FROM alerts;
    DROP TABLE alerts;
    ALTER TABLE kept_alerts RENAME TO alerts;

    -- The revision that was the last to page, 0 where the sink has taken it.
    ALTER TABLE outbox ADD COLUMN pages INTEGER NOT NULL DEFAULT 1;
    UPDATE outbox SET pages = 0 WHERE delivered_at IS NOT NULL;
    """,
    """
    -- Written close: SQLite keeps this text, and while all of the schema lies in the first page,
    -- what is left of a damaged state can be read wherever the damage is.
    CREATE TABLE kept_quarantine (
        number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, source TEXT NOT NULL,
        origin TEXT NOT NULL, record_index INTEGER, reason TEXT NOT NULL, message TEXT NOT NULL,
        delivered_at REAL, is_complete INTEGER NOT NULL, touched_at REAL NOT NULL,
        bytes INTEGER NOT NULL, body BLOB NOT NULL
    );
    INSERT INTO kept_quarantine
        -- The digest of older rows is what they were told apart by; longer ones were cut.
        SELECT NULL, CAST(hex(source) || '/' || hex(origin) || '/' || record_index AS BLOB),
            source, origin, record_index, reason, '', NULL,
            length(body) < 262144, touched_at, length(body), body
        FROM quarantine ORDER BY touched_at, rowid;
    DROP TABLE quarantine;
    ALTER TABLE kept_quarantine RENAME TO quarantine;
    CREATE INDEX quarantine_by_age ON quarantine (touched_at, number, bytes);
    """,
    """
    -- Written close, as above. `series` is the rule and group of an alert: a sink hears of these in
    -- order; where it was not kept, an alert stands for itself. `opens` says that a sink came to
    -- know of the incident by this alert, `digest` is the message that alone told of it, `handed`
    -- the revision that was last handed over to another sink.
    CREATE TABLE kept_positions(source TEXT NOT NULL,key TEXT NOT NULL,value TEXT NOT NULL,
    touched_at REAL NOT NULL,PRIMARY KEY(source,key))WITHOUT ROWID;
    INSERT INTO kept_positions SELECT * FROM positions;
    DROP TABLE positions;
    ALTER TABLE kept_positions RENAME TO positions;
    CREATE TABLE kept_timers(rule_id TEXT NOT NULL,group_key TEXT NOT NULL,start INTEGER NOT NULL,
    period INTEGER NOT NULL,event_at REAL,wall_at REAL,
    PRIMARY KEY(rule_id,group_key,start,period))WITHOUT ROWID;
    INSERT INTO kept_timers SELECT * FROM timers;
    DROP TABLE timers;
    ALTER TABLE kept_timers RENAME TO timers;
    CREATE INDEX timers_by_event ON timers (event_at);
    CREATE INDEX timers_by_wall ON timers (wall_at);
    CREATE TABLE kept_outbox(sink TEXT NOT NULL,alert_id TEXT NOT NULL REFERENCES alerts(id),
    state TEXT NOT NULL CHECK(state IN('pending','delivered','dead')),
    attempts INTEGER NOT NULL DEFAULT 0,due_at REAL NOT NULL,made_at REAL NOT NULL,
    delivered_at REAL,last_error TEXT,pages INTEGER NOT NULL DEFAULT 1,
    series TEXT NOT NULL DEFAULT '',incident TEXT,opens INTEGER NOT NULL DEFAULT 0,digest TEXT,
    handed INTEGER NOT NULL DEFAULT 0,PRIMARY KEY(sink,alert_id))WITHOUT ROWID;
    INSERT INTO kept_outbox SELECT sink, alert_id, state, attempts, due_at, made_at, delivered_at,
        last_error, pages, alert_id, NULL, 0, NULL, 0 FROM outbox;
    DROP TABLE outbox;
    ALTER TABLE kept_outbox RENAME TO outbox;
    CREATE TABLE kept_alerts(id TEXT PRIMARY KEY,window_start TEXT NOT NULL,
    revision INTEGER NOT NULL,state TEXT NOT NULL CHECK(state IN('open','resolved','withdrawn')),
    count INTEGER NOT NULL,touched_at REAL NOT NULL,series TEXT NOT NULL DEFAULT '');
    INSERT INTO kept_alerts SELECT *, id FROM alerts;
    DROP TABLE alerts;
    ALTER TABLE kept_alerts RENAME TO alerts;
    CREATE INDEX outbox_by_due ON outbox (sink, state, due_at, pages DESC);
    CREATE INDEX alerts_open ON alerts (id) WHERE state = 'open';
    CREATE INDEX outbox_failing ON outbox(sink,series)WHERE state='pending'AND attempts>0;
    CREATE INDEX outbox_by_incident ON outbox(incident,sink)WHERE opens;
    CREATE INDEX outbox_by_digest ON outbox(digest)WHERE digest IS NOT NULL;
    """,
)


def migrate(
    connection: sqlite3.Connection, path: str, migrations: Sequence[str] = MIGRATIONS
) -> None:
    """Bring a database to the newest schema, one transaction for each step.

    Raises:
        StateError: the database was written by a newer detector.
    """
    version = known_version(connection, path, migrations)
    for step in range(version, len(migrations)):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {migrations[step]} PRAGMA user_version = {step + 1}; COMMIT;"
            )
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def known_version(
    connection: sqlite3.Connection, path: str, migrations: Sequence[str] = MIGRATIONS
) -> int:
    """Return how many steps a database has taken.

    Raises:
        StateError: more than this detector knows.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise StateError(
            f"the state {path} has schema version {version}, this detector knows {len(migrations)}",
            remedy="run the newer detector, or give this one another state.path",
        )
    return int(version)
