import json
from pathlib import Path

from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.ruleset import RuleSet
from tests.records import ACCOUNT, log_file, record, zipped_log_file
from tests.rules import iam_rule
from tests.sample_logs import SAMPLE_LOGS, SAMPLE_RECORDS

RULES = RuleSet([iam_rule()])


def test_the_sample_logs_are_accounted_for_as_their_readme_says() -> None:
    result = replay(RULES, [SAMPLE_LOGS], Settings())
    assert result.accounting.as_json() == SAMPLE_RECORDS
    assert result.skipped == {"digest": 1}
    found = [
        (alert.group["recipientAccountId"], alert.window.start[11:16], alert.count, alert.late)
        for alert in result.alerts
    ]
    assert found == [
        ("777788889999", "13:45", 2, True),
        ("111122223333", "14:00", 5, False),
        ("111122223333", "14:10", 1, False),
        ("111122223333", "14:20", 2, False),
        ("444455556666", "14:30", 4, False),
    ]


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
