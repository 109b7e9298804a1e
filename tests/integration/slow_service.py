"""The service on a slow disk: `slow_service.py SECONDS run --config FILE`.

Each commit takes that much longer. The product has nothing in it to that end.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from typing import Any

_seconds = 0.0


class _Connection(sqlite3.Connection):
    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            time.sleep(_seconds)
        return super().execute(sql, *values)


def main() -> None:
    global _seconds  # noqa: PLW0603 - the whole process is about this one number
    _seconds = float(sys.argv.pop(1))
    connect = sqlite3.connect

    def connect_slowly(*values: Any, **settings: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*values, **{**settings, "factory": _Connection})
        return connection

    sqlite3.connect = connect_slowly  # type: ignore[assignment]
    from detector.cli import entry_point  # noqa: PLC0415

    entry_point()


if __name__ == "__main__":
    main()
