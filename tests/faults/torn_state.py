"""A state that is made, written and closed, dying at each single write.

`torn_state.py FOLDER HOW PATTERN` runs with `tear.c` before libc. It writes how many deaths it has
survived; it fails where a state cannot be opened afterwards, has lost what was committed, or has a
part of what was not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from detector.state.sqlite import SQLiteStore
from detector.state.store import Quarantined

TRANSACTIONS = 3
ROWS = 2
"""Rows of each transaction: all of them must be there, or none."""

BODY = b"x" * 9_000
"""More than two pages, so that a row is torn in many places."""


def write(path: Path, committed: int) -> None:
    """Make a state with some transactions; write a byte to `committed` after each."""
    with SQLiteStore.open(path) as store:
        for number in range(TRANSACTIONS):
            with store.transaction(number) as transaction:
                for row in range(ROWS):
                    transaction.quarantine(Quarantined(f"{number}", "o", row, "why", BODY))
            os.write(committed, b".")


def write_and_die(path: Path, pattern: bytes, nth: int, how: bytes) -> tuple[bool, int]:
    """Let a child write; return whether it died at the nth call, and after how many commits."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        ctypes.CDLL(None).tear_at(pattern, ctypes.c_long(nth), how)
        write(path, writer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as marks:
        committed = len(marks.read())
    _, status = os.waitpid(child, 0)
    assert status in {0, signal.SIGKILL}, status
    return status != 0, committed


def check(path: Path, committed: int) -> None:
    """Check what a death after some commits has left, and that it can be written."""
    with SQLiteStore.open(path) as store:
        found = [(item.source, item.index, item.body) for item in store.quarantined()]
        for last in (committed, committed + 1):
            if sorted(found) == [
                (f"{number}", row, BODY) for number in range(last) for row in range(ROWS)
            ]:
                break
        else:
            raise AssertionError(f"{committed} commits, and {len(found)} rows")
        with store.transaction(0) as transaction:
            transaction.quarantine(Quarantined("after", "o", 0, "why", BODY))


def main() -> None:
    folder, how, pattern = sys.argv[1:]
    nth = 0
    died = True
    while died:
        nth += 1
        path = Path(folder) / f"{nth}" / "state.sqlite3"
        died, committed = write_and_die(path, pattern.encode(), nth, how.encode())
        try:
            check(path, committed)
        except Exception as error:
            raise AssertionError(f"at call {nth}: {error}") from error
    assert committed == TRANSACTIONS
    sys.stdout.write(f"{nth - 1}\n")


if __name__ == "__main__":
    main()
