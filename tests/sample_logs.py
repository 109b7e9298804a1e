"""The sample logs of the embedded default, and what their README says of them."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.conftest import REPOSITORY

LOCAL = REPOSITORY / "deploy" / "local"
SAMPLE_LOGS = LOCAL / "logs"

_README = (LOCAL / "README.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
_ALERT = re.compile(
    r"^\| (?P<title>[^|]+) \| (?P<account>\d{12}) \| (?P<start>\d\d:\d\d) \| (?P<count>\d+)"
    r" \| (?P<what>[^|]+) \|$",
    re.MULTILINE,
)
_NUMBER = re.compile(
    r"\b(?P<count>\d+) (?P<what>records come in|matched|unmatched|duplicate|skipped|rejected)\b"
)


SAMPLE_FILES: list[str] = _FILE.findall(_README)


class SampleAlert(NamedTuple):
    """One row of the README: `start` is the hour and minute at which the window begins."""

    title: str
    account: str
    start: str
    events: int
    late: bool


SAMPLE_ALERTS = [
    SampleAlert(
        row["title"],
        row["account"],
        row["start"],
        int(row["count"]),
        row["what"].startswith("late"),
    )
    for row in _ALERT.finditer(_README)
]
"""The alerts that the shipped rules send, those of the IAM policy rule first."""

SAMPLE_RECORDS = {
    item["what"].replace("records come in", "in"): int(item["count"])
    for item in _NUMBER.finditer(_README)
}

(_STAGED,) = re.findall(r"\b(\d+) more windows", _README)
SAMPLE_STAGED = int(_STAGED)
"""Windows over the threshold of rules that notify nobody."""
