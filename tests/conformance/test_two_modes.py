"""Real logs in both modes: the tables in docs/counting.md are what a replay gives.

`python -m tests.conformance.test_two_modes LOGS` prints them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from detector.alerts.alert import Alert
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.conformance

DOCS = REPOSITORY / "docs" / "counting.md"
CIS = shipped_rules() / "cis"


def both(logs: Path, path: Path) -> tuple[list[Alert], list[Alert]]:
    """Return the alerts that notify, of aligned windows and of CloudWatch's alarms."""
    rules = RuleSet.load(path)
    aligned, sliding = (
        [item for item in replay(made, [logs], Settings()).alerts if item.status == "stable"]
        for made in (rules, rules.in_mode("sliding"))
    )
    return aligned, sliding


def by_window(logs: Path) -> list[str]:
    """Return the rows of the IAM policy rule: each window, and what CloudWatch tells of it."""
    aligned, sliding = both(logs, CIS / "iam_policy_changes.yml")
    rows = [
        "| window (eventTime) | events | the detector | a CloudWatch alarm |",
        "|---|---|---|---|",
    ]
    alarms = list(sliding)
    told = "nothing yet: its file comes later"
    for number, alert in enumerate(aligned):
        if alarms and alert.window.end > alarms[0].window.start:
            alarm = alarms.pop(0)
            told = f"one message, at {clock(alarm.window.end)}: Sum {alarm.value:g}, by nobody"
        elif number and not told.startswith("nothing"):
            told = f"nothing: in ALARM since {clock(alarm.window.end)}"
        what = "page" if number == 0 else "update of the same episode"
        rows.append(f"| {clock(alert.window.start)} | {alert.count} | {what} | {told} |")
    return rows


def by_rule(logs: Path) -> list[str]:
    """Return a row for each benchmark rule that finds something."""
    aligned, sliding = both(logs, CIS)
    rows = [
        "| rule | events | windows over the threshold | pages | CloudWatch's messages |",
        "|---|---|---|---|---|",
    ]
    for title in sorted({alert.title for alert in aligned}):
        mine = [alert for alert in aligned if alert.title == title]
        theirs = [alert for alert in sliding if alert.title == title]
        pages = len({alert.dedup_key for alert in mine})
        events = sum(alert.count for alert in mine)
        rows.append(f"| {title} | {events} | {len(mine)} | {pages} | {len(theirs)} |")
    return rows


def clock(moment: str) -> str:
    return moment[11:16]


@pytest.mark.parametrize("table", [by_window, by_rule])
def test_the_documents_tables_are_what_the_real_logs_give(reference: Path, table: object) -> None:
    assert callable(table)
    rows: Sequence[str] = table(reference / "data" / "real-logs" / "CloudTrail")
    assert len(rows) > 3
    assert "\n".join(rows) in DOCS.read_text(encoding="utf-8")


if __name__ == "__main__":
    for make in (by_window, by_rule):
        sys.stdout.write("\n".join([*make(Path(sys.argv[1])), "", ""]))
