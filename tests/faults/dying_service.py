"""The service with its own death in it: `dying_service.py STEP NTH LINGER run --config FILE`.

When it comes to a step for the nth time, the thread halts there for LINGER seconds while others go
on, and kills the process as `kill -9` would. The product has nothing in it to that end: its parts
are replaced here, before its own command line runs.
"""

from __future__ import annotations

import functools
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
Call = Callable[..., Awaitable[T]]

STEPS = {
    "after_fetch": 20,
    "before_commit": 6,
    "after_commit": 6,
    "before_ack": 10,
    "after_ack": 10,
    "before_send": 8,
    "after_send": 8,
}
"""Steps, and up to which passing of them a service that has work soon gets. Commits are few, if
several deliveries share one. `after_ack` is before the queue was told, which is done in batches.
Sending is a step where the alert has a single event."""

QUARANTINE_STEPS = ("before_keep", "after_keep", "before_drop", "after_drop")
"""Steps of the quarantine: an entry's way into its folder, and out of it after a replay."""

OFTEN_CHECKPOINTED = "often_checkpointed"
"""In place of a step, where something else brings the end: what is committed goes from the log into
the database after some commits, not some hundred."""

_left = 0
_step = ""
_linger = 0.0


def _pass(step: str) -> None:
    global _left  # noqa: PLW0603 - the whole process is about this one number
    if step == _step:
        _left -= 1
        if _left == 0:
            _die(step)


def _die(step: str) -> NoReturn:
    time.sleep(_linger)
    os.write(sys.stderr.fileno(), f"died: {step}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class _Connection(sqlite3.Connection):
    """Notices commits of what counts events; what only the outbox does is not a step."""

    _has_events = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql.startswith("BEGIN"):
            self._has_events = False
        if _step == OFTEN_CHECKPOINTED and "wal_autocheckpoint" in sql:
            sql = "PRAGMA wal_autocheckpoint = 50"
        self._look(sql)
        is_commit = sql == "COMMIT" and self._has_events
        if is_commit:
            _pass("before_commit")
        cursor = super().execute(sql, *values)
        if is_commit:
            _pass("after_commit")
        return cursor

    def executemany(self, sql: str, values: Iterable[Any]) -> sqlite3.Cursor:
        self._look(sql)
        return super().executemany(sql, values)

    def _look(self, sql: str) -> None:
        self._has_events |= "INTO seen" in sql


def _replace_sources() -> None:
    from detector.sources.directory import DirectorySource  # noqa: PLC0415
    from detector.sources.firehose import FirehoseSource  # noqa: PLC0415
    from detector.sources.s3_sqs import S3SQSSource  # noqa: PLC0415

    for source in (DirectorySource, FirehoseSource, S3SQSSource):
        source.run = _with_steps(source.run)  # type: ignore[assignment, method-assign]


def _with_steps(run: Call[None]) -> Call[None]:
    @functools.wraps(run)
    async def run_with_steps(self: Any, emit: Callable[[Any], None]) -> None:
        def emit_with_steps(delivery: Any) -> None:
            _pass("after_fetch")
            emit(replace(delivery, ack=_surrounded(delivery.ack, "before_ack", "after_ack")))

        await run(self, emit_with_steps)

    return run_with_steps


def _replace_sinks() -> None:
    from detector.sinks.sns import SNSSink  # noqa: PLC0415
    from detector.sinks.stdout import StdoutSink  # noqa: PLC0415
    from detector.sinks.webhook import WebhookSink  # noqa: PLC0415

    for sink in (SNSSink, StdoutSink, WebhookSink):
        sink.send = _sending(sink.send)  # type: ignore[assignment, method-assign]


def _replace_quarantine() -> None:
    from detector.quarantine.folder import FolderQuarantine  # noqa: PLC0415

    for name in ("keep", "drop"):
        call = getattr(FolderQuarantine, name)
        setattr(FolderQuarantine, name, _surrounded(call, f"before_{name}", f"after_{name}"))


def _sending(send: Call[T]) -> Call[T]:
    with_steps = _surrounded(send, "before_send", "after_send")

    @functools.wraps(send)
    async def send_with_steps(self: Any, notification: Any) -> T:
        # An alert that comes to no more events is told of once: lost now, it is lost for good.
        call = with_steps if notification.alert.count == 1 else send
        return await call(self, notification)

    return send_with_steps


def _surrounded(call: Call[T], before: str, after: str) -> Call[T]:
    @functools.wraps(call)
    async def surrounded(*values: Any) -> T:
        _pass(before)
        result = await call(*values)
        _pass(after)
        return result

    return surrounded


def _main() -> None:
    global _left, _linger, _step
    _step, nth, linger = sys.argv[1:4]
    _left, _linger = int(nth), float(linger)
    sqlite3.connect = functools.partial(sqlite3.connect, factory=_Connection)  # type: ignore[assignment]
    _replace_sources()
    _replace_sinks()
    _replace_quarantine()
    from detector.cli import entry_point  # noqa: PLC0415

    sys.argv[1:4] = []
    entry_point()


if __name__ == "__main__":
    _main()
