"""Keys of a bucket: which are log files, and which folders can hold those of a period. Pure.

CloudTrail writes `[prefix/]AWSLogs/[o-organization/]account/CloudTrail/region/YYYY/MM/DD/name`,
with other services' logs and its own digests in folders beside; Firehose writes
`[prefix/]YYYY/MM/DD/HH/stream-version-YYYY-MM-DD-HH-MM-SS-random`. Both go by UTC, so that the
keys of a folder of years are in the order of their days. Sources: AWS CloudTrail User Guide,
"Finding your CloudTrail log files"; Amazon Data Firehose Developer Guide, "Amazon S3 object name
format".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from detector.envelopes.log_file import skipped_by_name
from detector.sources.files import is_log_file_name
from detector.sources.stored import Period

TRAIL_MARGIN_SECONDS = 3600.0
"""How far a log file's delivery may be from the day of its folder. They agree as a rule; that they
do at midnight too is not documented."""

FOLDER_MARGIN_SECONDS = 86_400.0
"""The same for other folders by day. Firehose names an object after its first record, tries for up
to 24 hours to write it, and can be told to count days in another time zone."""

_SCHEME = "s3://"
_ORGANIZATION = r"(?:o-[a-z0-9]{10,32}/)?"
_TRAIL_FOLDER = re.compile(rf"(?:^|/)AWSLogs/{_ORGANIZATION}[0-9]{{12}}/CloudTrail/[^/]+/")
_OTHER_SERVICE = re.compile(
    rf"(?:^|/)AWSLogs/{_ORGANIZATION}[0-9]{{12}}/(?!CloudTrail/)[^/]+/",
)
_MONTH_FOLDER = re.compile(r"(?:^|/)(?=20[0-9]{2}/(?:0[1-9]|1[0-2])/)")
_YEAR_FOLDER = re.compile(r"(?:^|/)20[0-9]{2}/\Z")
_AWS_LOGS = re.compile(r"(?:^|/)AWSLogs/")
_FIREHOSE_NAME = re.compile(
    r"-[0-9]+-[0-9]{4}(?:-[0-9]{2}){5}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}[\w.]*\Z"
)


class S3Address(NamedTuple):
    """A prefix of the keys of a bucket; the whole key of an object is one too."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}/{self.prefix}"


def s3_address(text: str) -> S3Address | None:
    """Return the address that a text is, None where it is not one of S3.

    Raises:
        ValueError: it names no bucket.
    """
    if not text.startswith(_SCHEME):
        return None
    bucket, _, prefix = text.removeprefix(_SCHEME).partition("/")
    if not bucket:
        raise ValueError("it names no bucket; expected s3://bucket/prefix")
    return S3Address(bucket, prefix)


class Dated(NamedTuple):
    """A folder of years, and how far what lies in a day's folder may be from that day."""

    root: str
    margin: float

    def keys(self, period: Period) -> tuple[str, str | None]:
        """Return between which keys all those of a period are: after one, and before another."""
        start, end = (
            None if moment is None else _day(moment + margin)
            for moment, margin in ((period.start, -self.margin), (period.end, self.margin))
        )
        # A slash follows the day in a key, and is less than a zero.
        return self.root + (start or ""), None if end is None else f"{self.root}{end}0"


def dated(prefix: str) -> Dated | None:
    """Return the folder of years that a prefix is in; None where that is not sure.

    What only looks like a year may be anything: there are months in it, or it is none.
    """
    trail = _TRAIL_FOLDER.search(prefix)
    if trail is not None:
        return Dated(prefix[: trail.end()], TRAIL_MARGIN_SECONDS)
    month = _MONTH_FOLDER.search(prefix)
    return None if month is None else Dated(prefix[: month.end()], FOLDER_MARGIN_SECONDS)


def may_hold_log_files(folder: str) -> bool:
    """Return whether there can be log files in a folder: those of other services are none."""
    return skipped_by_name(folder) is None and _OTHER_SERVICE.search(folder) is None


def leads_to_days(folder: str) -> bool:
    """Return whether a folder is one of accounts, regions or months, so that a look is worth it."""
    return any(item.search(folder) for item in (_AWS_LOGS, _YEAR_FOLDER, _MONTH_FOLDER))


def is_log_file_key(key: str) -> bool:
    """Return whether a key is that of a log file, or of an object that Firehose wrote."""
    folder, _, name = key.rpartition("/")
    if not may_hold_log_files(f"{folder}/") or skipped_by_name(name):
        return False
    return is_log_file_name(name) or _FIREHOSE_NAME.search(name) is not None


def _day(moment: float) -> str | None:
    try:
        return datetime.fromtimestamp(moment, UTC).date().isoformat().replace("-", "/")
    except (OverflowError, OSError, ValueError):  # before or after all days that can be named
        return None
