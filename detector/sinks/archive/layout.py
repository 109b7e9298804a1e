"""Where a file of the archive goes, and what it is called. Pure.

`day=2026-09-16/alerts-20260916T165231Z-0123456789abcdef.avro`: a folder for each day (UTC), named
as Hive and Athena name a partition. One key that sorts makes a range of days one comparison, and
Athena can work out the partitions by itself, which it cannot with a key each for year, month and
day. The day is when the file was begun, not of the events in it: those come late. Names sort by
time, and the random part keeps apart the files of two detectors that write to the same place.

Source: Amazon Athena User Guide, "Use partition projection with Amazon Athena".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

SUFFIX = ".avro"

PART_SUFFIX = ".part"
"""Behind the name of a file that is still written to."""

DAMAGED_SUFFIX = ".damaged"
"""Behind the name of a file that a person has to look at."""

_NAME = re.compile(r"alerts-(\d{4})(\d\d)(\d\d)T\d{6}Z-[0-9a-f]{16}\.avro")


def file_name(now: float, unique: str) -> str:
    """Return the name of a file that is begun now, in seconds. `unique` has 16 hex digits."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"alerts-{moment:%Y%m%dT%H%M%SZ}-{unique}{SUFFIX}"


def day_of(name: str) -> str:
    """Return the folder for a file."""
    found = _NAME.fullmatch(name)
    assert found is not None  # noqa: S101 - `is_name` comes first
    return "day={}-{}-{}".format(*found.groups())


def is_name(name: str) -> bool:
    """Return whether a file's name is one of ours."""
    return _NAME.fullmatch(name) is not None
