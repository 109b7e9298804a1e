import json
from pathlib import Path

from detector.alerts.alert import Alert
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from tests.records import ACCOUNT, log_file, record, zipped_log_file
from tests.rules import iam_rule
from tests.sample_logs import (
    SAMPLE_ALERTS,
    SAMPLE_FILES,
    SAMPLE_LOGS,
    SAMPLE_RECORDS,
    SAMPLE_STAGED,
    SampleAlert,
)

RULES = RuleSet([iam_rule()])


def as_shown(alert: Alert) -> SampleAlert:
    account = str(alert.group["recipientAccountId"])
    start = alert.window.start[11:16]
    return SampleAlert(alert.title, account, start, alert.count, alert.late)


def test_the_sample_logs_are_accounted_for_as_their_readme_says() -> None:
    shipped = RuleSet.load(shipped_rules())
    result = replay(shipped, [SAMPLE_LOGS], Settings())
    assert result.accounting.as_json() == SAMPLE_RECORDS
    assert result.skipped == {"digest": 1}
    sent = [as_shown(item) for item in result.alerts if shipped.rules[item.rule_id].notifies]
    assert sorted(sent) == sorted(SAMPLE_ALERTS)
    assert len(result.alerts) - len(sent) == SAMPLE_STAGED


def test_the_iam_policy_rule_alone_finds_the_five_alerts_that_the_readme_shows_first() -> None:
    result = replay(RULES, [SAMPLE_LOGS], Settings())
    assert result.accounting.as_json() == {
        "in": 139,
        "matched": 14,
        "unmatched": 119,
        "duplicate": 4,
        "skipped": 1,
        "rejected": 1,
    }
    assert sorted(map(as_shown, result.alerts)) == sorted(SAMPLE_ALERTS[:5])


def test_the_sample_logs_are_the_files_that_their_readme_names() -> None:
    assert sorted(SAMPLE_FILES) == sorted(path.name for path in SAMPLE_LOGS.iterdir())


def test_the_document_keeps_the_command_lines_contract() -> None:
    result = replay(RULES, [SAMPLE_LOGS], Settings())
    document = json.loads(json.dumps(result.as_json()))
    assert list(document["records"]) == [
        *("in", "matched", "unmatched", "duplicate", "skipped", "rejected")
    ]
    contract = {
        *("id", "rule_id", "title", "level", "group", "window", "count", "threshold", "late"),
        *("first_event_time", "last_event_time", "event_names", "actors", "source_ips"),
        *("regions", "event_ids", "controls", "tags", "runbook"),
    }
    for alert in document["alerts"]:
        assert contract <= alert.keys()
        assert alert["window"].keys() == {"start", "end"}
        assert alert["group"].keys() == {"recipientAccountId"}
    (rejected,) = document["rejected"]
    assert rejected["reason"] == "truncated"


def test_files_and_folders_may_be_mixed_and_repeated(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.json").write_bytes(log_file(record()))
    (tmp_path / "deep" / "er" / "b.json.gz").write_bytes(zipped_log_file(record()))
    (tmp_path / "notes.txt").write_text("not a log file")
    result = replay(RULES, [tmp_path, tmp_path / "a.json"], Settings())
    assert (result.files, result.accounting.matched, result.accounting.duplicate) == (3, 2, 1)


def test_a_file_named_outright_is_read_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "export.txt").write_bytes(log_file(record()))
    result = replay(RULES, [tmp_path / "export.txt"], Settings())
    assert [alert.accounts for alert in result.alerts] == [[ACCOUNT]]
