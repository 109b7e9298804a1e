"""The alerts of the detector's own: what they say, and that one silence has one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.alert import Alert
from detector.alerts.own import SILENT_SOURCE, silence_alert
from detector.alerts.text import alert_text
from detector.envelopes.log_file import Trail
from detector.windows.hearing import Silence
from tests.records import NOON

TRAIL = Trail("111122223333", "eu-central-1")
OPEN = Silence(NOON + 0.25, NOON + 3600.25, 3600.0)
OVER = msgspec.structs.replace(OPEN, ended=NOON + 7200)


def test_an_alert_on_a_silence_says_whose_and_since_when_and_what_to_look_at() -> None:
    alert = silence_alert(TRAIL, OPEN)
    assert (alert.rule_id, alert.level, alert.status) == (SILENT_SOURCE, "high", "stable")
    assert alert.group == {"recipientAccountId": TRAIL.account, "awsRegion": TRAIL.region}
    assert alert.window.start == "2026-09-16T12:00:00.250Z"
    assert alert.window.end == "2026-09-16T13:00:00.250Z"
    assert (alert.state, alert.count, alert.value, alert.threshold) == ("open", 0, 3600.0, 3600.0)
    assert (alert.accounts, alert.regions) == ([TRAIL.account], [TRAIL.region])
    assert "account 111122223333 in eu-central-1" in alert.description
    for help_ in ("StopLogging", "get-trail-status", "AWSLogs/", "SQS queue", "policy"):
        assert help_ in alert.runbook
    assert "{" not in alert.runbook


def test_the_alert_on_the_detector_as_a_whole_has_no_group() -> None:
    alert = silence_alert(None, OPEN)
    assert alert.group == {}
    assert alert.title == "The detector hears nothing"
    assert alert.accounts == alert.regions == []
    assert alert.id != silence_alert(TRAIL, OPEN).id
    for help_ in ("IsLogging", "/readyz", "sqs:ReceiveMessage", "SNS topic", "bucket"):
        assert help_ in alert.runbook


@pytest.mark.parametrize("trail", [TRAIL, None])
def test_the_end_of_a_silence_resolves_its_alert(trail: Trail | None) -> None:
    first, second = silence_alert(trail, OPEN), silence_alert(trail, OVER)
    assert (first.id, first.dedup_key) == (second.id, second.id)
    assert (first.state, second.state) == ("open", "resolved")
    assert second.title.endswith("again")
    assert second.title != first.title
    assert second.window.end == "2026-09-16T14:00:00Z"
    assert "again since 2026-09-16T14:00:00Z" in second.description


@given(st.floats(0, 4e9), st.floats(0, 1e6), st.floats(1, 1e5))
def test_the_id_is_that_of_the_trail_and_the_second_it_was_last_heard_in(
    since: float, later: float, limit: float
) -> None:
    found = silence_alert(TRAIL, Silence(since, since + later, limit))
    assert found.id == silence_alert(TRAIL, Silence(float(int(since)), since, 1.0)).id
    assert found.id != silence_alert(TRAIL, Silence(since + 1, since + 1, limit)).id
    assert found.value >= found.threshold
    assert msgspec.json.decode(msgspec.json.encode(found), type=Alert) == found


def test_its_text_says_what_is_missing_instead_of_counting_nothing() -> None:
    lines = alert_text(silence_alert(TRAIL, OPEN)).splitlines()
    assert lines[0] == "[HIGH] CloudTrail has fallen silent"
    assert lines[1].startswith("  what     Nothing of account 111122223333 in eu-central-1 has")
    assert lines[2].startswith("  where    111122223333, eu-central-1")
    assert not any(line.startswith(("  count", "  when", "  result")) for line in lines)
