"""What is asked of the state for every delivery and message goes by indexes."""

from __future__ import annotations

import sqlite3

from detector.state.schema import migrate
from detector.state.sqlite import SQLiteStore
from tests.records import NOON, record
from tests.rules import iam_rule
from tests.unit.test_alert_life import HOUR, Life

FINE = ("CONSTANT ROW", "SCAN due", "INDEX alerts_open")
"""What a bounded query has found, and an index of nothing but what is open."""


def test_no_statement_of_every_day_reads_through_a_table() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, ":memory:")
    statements: set[str] = set()
    connection.set_trace_callback(statements.add)
    with SQLiteStore(connection) as store:
        life = Life(store, iam_rule(notify="event"))
        for at in (0, 1, 300):
            life.deliver(record(at=at))
            life.send()
        life.wait(HOUR)
        (ended, *_) = life.send()
        store.outbox.retry_later("s", ended, NOON, "503")
        store.outbox.bury("s", ended, "400")
        store.outbox.revive("s", NOON)
        store.outbox.next_due("s")
        store.outbox.counts("s")
        store.outbox.open("s", 9)
        store.outbox.retry_now("s", NOON, 1)
        store.outbox.digested("s", store.outbox.due_mentions("s", NOON, 9), "d", NOON)
        store.outbox.is_digest_over("s", "d")
        store.outbox.expire("s", 0, "old")
        store.outbox.hand_over("s", "other", NOON)
        store.expired(0, 9)
        connection.set_trace_callback(None)
        scans = {
            statement: plan
            for statement in statements
            if statement.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}
            for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
            if (plan.startswith("SCAN") and not plan.endswith(FINE))
            # All that was ever sent to a sink.
            or plan.endswith("PRIMARY KEY (sink=?)")
        }
    assert len(statements) > 15
    assert list(scans.items()) == []
