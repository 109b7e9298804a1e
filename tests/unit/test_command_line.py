import io
import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from detector.cli import entry_point
from tests.conftest import REPOSITORY
from tests.records import log_file, record, zipped_log_file
from tests.rules import rule_text
from tests.sample_logs import SAMPLE_LOGS

SAMPLE = str(SAMPLE_LOGS)


def detector(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does; nothing may ever print a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "detector", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **(env or {})},
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture
def bad_rule(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yml"
    path.write_text(rule_text(pattern="{ $.eventName == A }"))
    return path


def test_replay_prints_one_json_document() -> None:
    done = detector("replay", "--format", "json", SAMPLE)
    assert done.returncode == 0
    assert json.loads(done.stdout)["records"]["in"] == 139
    assert "rejected, truncated" in done.stderr


def test_replay_prints_text_for_people() -> None:
    done = detector("replay", "--rules", REPOSITORY / "rules/cis/iam_policy_changes.yml", SAMPLE)
    assert done.returncode == 0
    assert done.stdout.count("[MEDIUM] IAM policy changed") == 5
    assert "5 alerts from 13 files; records: in 139, matched 14" in done.stdout


def test_replay_takes_rules_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(rule_text(pattern="{ $.eventName = ConsoleLogin }"))
    done = detector("replay", "--rules", tmp_path, "--format", "json", SAMPLE)
    assert {alert["title"] for alert in json.loads(done.stdout)["alerts"]} == {"A test rule"}


def test_replay_with_a_bad_rule_answers_no(bad_rule: Path) -> None:
    done = detector("replay", "--rules", bad_rule, SAMPLE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"detector: {bad_rule}:")


def test_check_of_the_shipped_rules_answers_yes() -> None:
    done = detector("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert ", 0 faults" in done.stdout.splitlines()[-1]


def test_every_finding_in_the_shipped_rules_is_accepted_with_a_reason() -> None:
    assert detector("check", "--strict").returncode == 0


def test_check_names_every_fault_with_its_place(tmp_path: Path, bad_rule: Path) -> None:
    config = tmp_path / "detector.yaml"
    config.write_text("sources: [{type: directory, path: x}]\nsinkz: []\n")
    done = detector("check", "--config", config, bad_rule)
    assert done.returncode == 1
    assert f"detector: {config}:2:1: unknown key sinkz; did you mean sinks?" in done.stderr
    assert f"detector: {bad_rule}:" in done.stderr
    assert done.stdout == "0 rules, 2 faults\n"


def test_check_of_a_configuration_checks_its_rules(tmp_path: Path, bad_rule: Path) -> None:
    config = tmp_path / "detector.yaml"
    config.write_text("sources: [{type: directory, path: x}]\nrules: [bad.yml]\n")
    done = detector("check", "--config", config)
    assert done.returncode == 1
    assert f"detector: {bad_rule}:" in done.stderr


def test_test_runs_the_tests_inside_the_shipped_rules() -> None:
    done = detector("test")
    assert done.returncode == 0
    assert done.stdout.endswith(" passed, 0 failed\n")


def test_test_names_the_tests_that_fail(tmp_path: Path) -> None:
    path = tmp_path / "rule.yml"
    tests = [
        {"name": "wrongly quiet", "fires": True, "event": {"eventName": "GetUser"}},
        {"name": "wrongly loud", "fires": False, "event": {"eventName": "PutUserPolicy"}},
        {"name": "right", "fires": True, "event": {"eventName": "PutUserPolicy"}},
    ]
    path.write_text(rule_text(tests=tests))
    done = detector("test", path)
    assert done.returncode == 1
    assert f"{path}: wrongly quiet: does not fire\n" in done.stdout
    assert f"{path}: wrongly loud: fires\n" in done.stdout
    assert done.stdout.endswith("1 rule: 1 passed, 2 failed\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay"], "Missing argument"),
        (["replay", "/no/such/file"], "does not exist"),
        (["replay", "--format", "xml", SAMPLE], "is not one of"),
        (["run"], "Missing option"),
        (["frobnicate"], "No such command"),
        (["check", "--nope"], "No such option"),
    ],
)
def test_a_wrong_call_is_told_apart_from_a_wrong_answer(arguments: list[str], says: str) -> None:
    done = detector(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("sources: [", "detector.yaml:1:11: the file is not YAML"),
        ("sources: [{type: directory, path: x}]\nstat: {}", "unknown key stat; did you mean state"),
        ("sources: [{type: directory, path: x}]\nrules: [nope]", "nope: there is no such file"),
        (
            "sources: [{type: directory, path: nope}]\ntelemetry: {port: 0}",
            "the folder",
        ),
        (
            "sources: [{type: directory, path: x}]\ntelemetry: {port: 0}\nstate: {path: /proc/x/y}",
            "cannot be opened",
        ),
    ],
)
def test_a_service_that_cannot_start_says_why_and_fails(
    tmp_path: Path, config: str, says: str
) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text(config)
    done = detector("run", "--config", path)
    assert done.returncode == 1
    assert says in done.stderr


def test_a_missing_configuration_is_an_error_with_its_path(tmp_path: Path) -> None:
    done = detector("run", "--config", tmp_path / "no.yaml")
    assert done.returncode == 1
    assert "no.yaml: the file cannot be read: No such file or directory" in done.stderr


def test_help_shows_no_value_of_the_environment() -> None:
    done = detector("run", "--help", env={"AWS_SECRET_ACCESS_KEY": "hunter2"})
    assert done.returncode == 0
    assert "hunter2" not in done.stdout


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(log_file(*[record(at=n * 300) for n in range(500)]))
    command = f"{sys.executable} -m detector replay {tmp_path} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[MEDIUM]")
    assert done.stderr == ""


def test_names_in_messages_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "x\x1b[2J.json").write_bytes(b"damaged")
    done = detector("replay", tmp_path)
    assert "rejected" in done.stderr
    assert "\x1b" not in done.stderr


# In-process, where nothing depends on a process of its own.


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Call = Callable[..., Done]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    def run(*arguments: str | Path, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["detector", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            entry_point()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "this is a bug" not in err
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return run


@pytest.fixture
def event(tmp_path: Path) -> Path:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(record("PutUserPolicy"), indent=2))
    return path


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    path = tmp_path / "rules" / "rule.yml"
    path.parent.mkdir()
    path.write_text(rule_text())
    return path


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


# detector explain


def test_explain_says_first_that_the_rule_matches_and_why(
    call: Call, rule_file: Path, event: Path
) -> None:
    done = call("explain", rule_file, event)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        'matches "A test rule": $.eventName = "PutUserPolicy" holds, saw "PutUserPolicy"',
        '  ✓ holds  $.eventName = "PutUserPolicy", saw "PutUserPolicy"',
    ]


def test_explain_says_first_which_condition_failed_and_what_it_saw(
    call: Call, tmp_path: Path, event: Path
) -> None:
    pattern = "{ $.eventName = Put* && ($.errorCode = A || $.errorCode = B) && $.readOnly IS TRUE }"
    rule = written(tmp_path / "rule.yml", rule_text(pattern=pattern))
    done = call("explain", rule, event)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        'does not match "A test rule": $.errorCode satisfies none of 2 conditions,'
        " the field is missing",
        "  ✗ fails  all of 3",
        '    ✓ holds  $.eventName = "Put*", saw "PutUserPolicy"',
        "    ✗ fails  any of 2",
        '      ✗ fails  $.errorCode = "A", the field is missing',
        '      ✗ fails  $.errorCode = "B", the field is missing',
        "    ✗ fails  $.readOnly IS TRUE, saw false",
    ]


@pytest.mark.parametrize(
    "name", ["IAM policy changed", "iam POLICY changed", "b6a29b0a-6d3c-4b9e-8a52-0f1f7a6e9d41"]
)
def test_explain_finds_a_shipped_rule_by_its_title_or_id(
    call: Call, event: Path, name: str
) -> None:
    done = call("explain", name, event)
    assert done.returncode == 0
    assert done.stdout.startswith('matches "IAM policy changed": ')


def test_explain_finds_a_rule_of_ones_own_by_its_name(
    call: Call, rule_file: Path, event: Path
) -> None:
    rule_file.write_text(rule_text(name="puts"))
    done = call("explain", "--rules", rule_file.parent, "puts", event)
    assert done.returncode == 0


def test_explain_knows_a_rule_file_that_is_named_twice(
    call: Call, rule_file: Path, event: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rule_file.parent)
    done = call("explain", "--rules", rule_file.parent, "rule.yml", event)
    assert (done.returncode, done.stderr) == (0, "")


def test_explain_takes_records_a_line_from_standard_input(call: Call, rule_file: Path) -> None:
    lines = [json.dumps(record(name)) for name in ("GetUser", "PutUserPolicy")]
    done = call("explain", rule_file, "-", stdin="\n".join(lines).encode())
    assert done.returncode == 0  # one that matches is enough
    verdicts = [line for line in done.stdout.splitlines() if line.startswith("record")]
    assert verdicts[0].startswith("record 1 (GetUser, 00000000-")
    assert ') does not match "A test rule": ' in verdicts[0]
    assert ') matches "A test rule": ' in verdicts[1]


def test_explain_takes_one_record_of_a_log_file(
    call: Call, rule_file: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.json.gz"
    log.write_bytes(zipped_log_file(record("GetUser"), record("PutUserPolicy")))
    assert call("explain", rule_file, log, "--record", "1").returncode == 1
    assert call("explain", rule_file, log, "--record", "2").returncode == 0
    done = call("explain", rule_file, log, "--record", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "log.json.gz holds only 2 records" in done.stderr


def test_explain_stops_after_so_many_records_as_a_person_reads(
    call: Call, rule_file: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.json"
    log.write_bytes(log_file(*(record("GetUser") for _ in range(23))))
    done = call("explain", rule_file, log)
    assert done.stdout.count("does not match") == 20
    assert done.stderr == "detector: 3 more records not explained; choose one with --record\n"


def test_explain_gives_all_of_it_as_json(call: Call, rule_file: Path, event: Path) -> None:
    done = call("explain", "--format", "json", rule_file, event)
    data = json.loads(done.stdout)
    assert data["rule"]["title"] == "A test rule"
    assert data["records"][0]["matches"] is True
    assert data["records"][0]["explanation"] == {
        "kind": "condition",
        "holds": True,
        "condition": '$.eventName = "PutUserPolicy"',
        "seen": [{"field": "$.eventName", "values": ["PutUserPolicy"]}],
    }


def test_explain_shows_the_exception_of_a_filter_as_such(
    call: Call, rule_file: Path, event: Path
) -> None:
    filter_ = {"rules": "any", "who": {"userIdentity.userName": "alice"}, "condition": "who"}
    data = {"title": "Alice may", "reason": "ticket 4711", "filter": filter_}
    path = written(rule_file.parent / "filter.yml", yaml.safe_dump(data))
    done = call("explain", "--rules", rule_file.parent, "A test rule", event)
    assert done.returncode == 1
    assert f"the exception Alice may ({path}): ticket 4711 applies" in done.stdout.splitlines()[0]
    assert f"    ✗ fails  not excepted: Alice may ({path}): ticket 4711\n" in done.stdout
    assert '      ✓ holds  userIdentity.userName: alice, saw "alice"' in done.stdout


def test_explain_takes_the_values_of_placeholders(call: Call, tmp_path: Path, event: Path) -> None:
    detection = {"s": {"userIdentity.userName|expand": "%admins%"}, "condition": "s"}
    rule = written(tmp_path / "rule.yml", rule_text(pattern=..., detection=detection))
    values = written(tmp_path / "values.yaml", "admins: [alice]")
    assert call("explain", "--placeholders", values, rule, event).returncode == 0
    done = call("explain", rule, event)
    assert done.returncode == 2
    assert "the placeholder %admins% has no values" in done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("IAM policy chnged", "did you mean IAM policy changed?"),
        ("no-such.yml", "no-such.yml: no such rule file"),
        (".", "no such rule file"),
        ("zzzzzzzzzzzzzz", "no rule has the id, name or title zzzzzzzzzzzzzz; name a file"),
    ],
)
def test_explain_without_such_a_rule_has_no_answer(
    call: Call, event: Path, name: str, says: str
) -> None:
    done = call("explain", name, event)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("detector: ")
    assert says in done.stderr


def test_explain_says_why_a_document_cannot_be_explained(
    call: Call, rule_file: Path, event: Path, bad_rule: Path
) -> None:
    folder = rule_file.parent
    correlation = {"type": "event_count", "rules": ["one"], "timespan": "5m"}
    documents = [
        {"title": "Many", "correlation": {**correlation, "condition": {"gte": 2}}},
        {"title": "Elsewhere", "logsource": {"product": "azure"}, "pattern": "a"},
        {"title": "One", "name": "one", "pattern": "a"},
    ]
    written(folder / "more.yml", yaml.safe_dump_all(documents))
    written(folder / "old.yml", rule_text(id="old", status="deprecated"))
    for name, says in (
        ("Many", "Many is a correlation; explain the rules that it is about: "),
        ("Elsewhere", "Elsewhere is about other logs than CloudTrail's"),
        (str(folder / "old.yml"), "old.yml holds no good rule that is in force"),
        (str(bad_rule), "bad.yml holds no good rule that is in force"),
    ):
        done = call("explain", "--rules", folder, name, event)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
    assert f"detector: {bad_rule}:" in done.stderr


def test_explain_asks_which_rule_of_a_file_is_meant(
    call: Call, tmp_path: Path, event: Path
) -> None:
    text = "\n---\n".join(rule_text(id=name, title=name) for name in ("one", "two"))
    done = call("explain", written(tmp_path / "two.yml", text), event)
    assert done.returncode == 2
    assert "means several rules: one, two; name one by its id, with --rules" in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no record"),
        (b"not json", "record 1 is not a JSON object"),
        (b"[1]", "record 1 is not a JSON object"),
        (b'{"a": 1}\n{"a":', "record 2 is not a JSON object"),
        (b"\x1f\x8bdamaged", "the gzip data"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1}\n{"a":' + b"[" * 100_000, "record 2 is not a JSON object"),
    ],
)
def test_explain_of_what_is_no_record_has_no_answer(
    call: Call, rule_file: Path, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(content)
    done = call("explain", rule_file, path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr) < 500


def test_what_a_caller_of_aws_wrote_cannot_write_to_the_terminal(
    call: Call, tmp_path: Path
) -> None:
    pattern = "{ $.userAgent = x && $.eventName = x }"
    rule = written(tmp_path / "rule.yml", rule_text(pattern=pattern))
    agent = "\x1b[2J\u202e\n" + "a" * 1000
    done = call("explain", rule, "-", stdin=json.dumps(record(agent, userAgent=agent)).encode())
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 200


def in_terminal(*arguments: str | Path, **env: str) -> str:
    """Run the command line in a terminal; return what it shows."""
    leader, follower = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-m", "detector", *map(str, arguments)],
        stdout=follower,
        stderr=follower,
        env={**environment, **env},
    ) as process:
        os.close(follower)
        shown = b""
        while chunk := _read_or_nothing(leader):
            shown += chunk
        process.wait(60)
    os.close(leader)
    return shown.decode()


def _read_or_nothing(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_outcomes_are_coloured_on_a_terminal_unless_no_color_forbids_it(
    rule_file: Path, event: Path
) -> None:
    assert "\x1b[32m✓ holds\x1b[0m" in in_terminal("explain", rule_file, event)
    assert "\x1b" not in in_terminal("explain", rule_file, event, NO_COLOR="1")
    assert "\x1b" not in detector("explain", rule_file, event).stdout


def test_marks_are_ascii_where_nothing_else_can_be_shown(rule_file: Path, event: Path) -> None:
    done = detector("explain", rule_file, event, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "  + holds  $.eventName" in done.stdout


# detector test-metric-filter

PATTERN = '{ $.eventName = "DeleteTrail" }'


def test_a_metric_filter_answers_as_aws_does(call: Call, tmp_path: Path) -> None:
    log = tmp_path / "log.json.gz"
    log.write_bytes(zipped_log_file({"eventName": "DeleteTrail"}))
    done = call(
        "test-metric-filter",
        *("--filter-pattern", PATTERN),
        *("--log-event-messages", "{}"),
        *("--log-event-messages", '{"eventName":  "DeleteTrail"}'),
        *(log, "-"),
        stdin=b'x\n{"eventName":"DeleteTrail","more":1}\n',
    )
    assert (done.returncode, done.stderr) == (0, "")
    texts = [
        (2, '{"eventName":  "DeleteTrail"}'),
        (3, '{"eventName":"DeleteTrail"}'),
        (5, '{"eventName":"DeleteTrail","more":1}'),
    ]
    assert json.loads(done.stdout) == {
        "matches": [
            {
                "eventNumber": number,
                "eventMessage": text,
                "extractedValues": {"$.eventName": "DeleteTrail"},
            }
            for number, text in texts
        ]
    }


def test_a_metric_filter_that_matches_nothing_is_no_failure(call: Call) -> None:
    done = call("test-metric-filter", "--filter-pattern", PATTERN, "-")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"matches": []})
    assert "0 also where nothing matches" in call("test-metric-filter", "--help").stdout


def test_a_metric_filter_shows_people_the_messages_and_their_values(call: Call) -> None:
    done = call(
        "test-metric-filter",
        *("--filter-pattern", "[level=E*, ..., last]"),
        *("--format", "text", "-"),
        stdin=b"INFO fine\nERROR it \x1b[2J broke\n",
    )
    assert done.stdout.splitlines() == [
        "2: ERROR it  [2J broke",
        "    $level  ERROR",
        "    $2  it",
        "    $3   [2J",
        "    $last  broke",
        "1 of 2 messages match",
    ]


def test_a_malformed_pattern_is_shown_with_its_place_and_its_repair(call: Call) -> None:
    pattern = "{ $eventName = A }"
    done = call("test-metric-filter", "--filter-pattern", pattern, "--log-event-messages", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "detector: column 4: a selector begins with $.; write $.eventName",
        "  { $eventName = A }",
        "     ^",
        "the pattern was probably meant to be: { $.eventName = A }",
    ]


def test_an_argument_that_is_not_utf_8_is_no_reason_to_fail() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "detector", "test-metric-filter"),
            *("--filter-pattern", "a", "--log-event-messages", b"a \xff"),
        ],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["matches"][0]["eventNumber"] == 1


def test_a_metric_filter_without_messages_is_called_wrongly(call: Call) -> None:
    done = call("test-metric-filter", "--filter-pattern", PATTERN)
    assert done.returncode == 2
    assert "give --log-event-messages" in done.stderr


# detector check

ACCOUNT_RULE = "{ $.recipientAccountId = 111122223333 }"
TESTS = [
    {"name": "it fires", "fires": True, "event": {"recipientAccountId": "111122223333"}},
    {"name": "it does not", "fires": False, "event": {"recipientAccountId": "444455556666"}},
]


def test_findings_are_shown_and_fail_only_a_strict_check(call: Call, rule_file: Path) -> None:
    rule_file.write_text(rule_text(pattern=ACCOUNT_RULE, tests=TESTS))
    done = call("check", rule_file)
    assert (done.returncode, done.stderr) == (0, "")
    finding, summary = done.stdout.splitlines()
    assert finding.startswith(f"{rule_file}:")
    assert "[unquoted-account-id]; " in finding
    assert summary == "1 rule, 0 faults, 1 finding"
    assert call("check", "--strict", rule_file).returncode == 1


def test_accepted_findings_are_counted_and_shown_with_their_reason_when_asked(
    call: Call, rule_file: Path
) -> None:
    rule_file.write_text(rule_text(lint_exceptions={"untested": "only an example"}))
    done = call("check", "--strict", rule_file)
    assert done.returncode == 0
    assert done.stdout == "1 rule, 0 faults, 1 finding accepted\n"
    shown = call("check", "--all", rule_file).stdout
    assert shown.splitlines()[0].endswith("accepted [untested]: only an example")


def test_a_fix_rewrites_the_file_as_it_was_encoded_and_says_what_it_changed(
    call: Call, rule_file: Path
) -> None:
    head, tail = "\ufefftitle: t\r\nid: t\r\npattern: '{ $.recipientAccountId = ", " }'\r\n"
    rule_file.write_bytes(f"{head}111122223333{tail}".encode())
    done = call("check", "--fix", rule_file)
    assert rule_file.read_bytes() == f'{head}"111122223333"{tail}'.encode()
    assert "-pattern: '{ $.recipientAccountId = 111122223333 }'\n" in done.stdout
    assert "+pattern: '{ $.recipientAccountId = \"111122223333\" }'\n" in done.stdout
    assert "unquoted-account-id" not in done.stdout
    before = rule_file.stat().st_mtime_ns
    again = call("check", "--fix", rule_file)
    assert again.stdout.startswith(f"{rule_file}:1:1: the rule has no tests")
    assert rule_file.stat().st_mtime_ns == before


def test_a_fix_that_would_break_a_rule_is_undone(
    call: Call, rule_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = rule_text(pattern=ACCOUNT_RULE, tests=TESTS)
    rule_file.write_text(text)
    monkeypatch.setattr("detector.rules.lint.apply_fixes", lambda *_: "title: [")
    done = call("check", "--fix", rule_file)
    assert done.returncode == 1
    assert f"detector: {rule_file}: the fixes would break the rule" in done.stderr
    assert rule_file.read_text() == text


def test_a_file_that_cannot_be_rewritten_is_an_error_with_its_name(
    call: Call, rule_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    rule_file.write_text(rule_text(pattern=ACCOUNT_RULE, tests=TESTS))
    monkeypatch.setattr(Path, "write_bytes", refuse)
    done = call("check", "--fix", rule_file)
    assert done.returncode == 1
    assert done.stderr == f"detector: {rule_file} cannot be written: Permission denied\n"


def test_a_check_can_answer_with_one_json_document(
    call: Call, rule_file: Path, bad_rule: Path
) -> None:
    rule_file.write_text(rule_text(pattern=ACCOUNT_RULE, tests=TESTS))
    done = call("check", "--format", "json", rule_file, bad_rule)
    assert (done.returncode, done.stderr) == (1, "")
    data = json.loads(done.stdout)
    assert data["rules"] == 1
    assert [fault["path"] for fault in data["faults"]] == [str(bad_rule)]
    (finding,) = data["findings"]
    assert finding["code"] == "unquoted-account-id"
    assert finding["line"] > 0
    assert finding["can_be_fixed"] is True
    assert data["changes"] == []


def test_correlations_and_rules_for_other_logs_count_as_rules(call: Call, tmp_path: Path) -> None:
    settings = {"type": "temporal", "rules": ["one"], "timespan": "5m"}
    documents = [
        {"title": "Many", "correlation": settings},
        {"title": "Elsewhere", "logsource": {"product": "azure"}, "pattern": "a"},
        {"title": "One", "name": "one", "pattern": "a"},
    ]
    path = written(tmp_path / "rules.yml", yaml.safe_dump_all(documents))
    assert call("check", path).stdout.splitlines()[-1].startswith("3 rules, 0 faults")


def test_check_of_a_configuration_checks_its_placeholders_and_statuses(
    call: Call, rule_file: Path, tmp_path: Path
) -> None:
    detection = {"s": {"userIdentity.userName|expand": "%admins%"}, "condition": "s"}
    rule_file.write_text(rule_text(pattern=..., detection=detection))
    config = "sources: [{type: directory, path: x}]\nrules: [rules]\n"
    path = written(tmp_path / "detector.yaml", config)
    assert "%admins% has no values" in call("check", "--config", path).stderr
    values = written(tmp_path / "values.yml", "admins: [alice]")
    assert call("check", "--config", path, "--placeholders", values).returncode == 0
    path.write_text(f"{config}placeholders: values.yml\nrule_status: {{nobody: test}}\n")
    done = call("check", "--config", path)
    assert done.returncode == 1
    assert "rule_status.nobody: no rule has this id" in done.stderr
    assert call("check", "--config", path, rule_file).returncode == 0


def test_exceptions_and_silences_that_have_ended_are_findings(
    call: Call, rule_file: Path, tmp_path: Path
) -> None:
    rule_file.write_text(rule_text(id="a", lint_exceptions={"untested": "an example"}))
    search = {"rules": ["a"], "s": {"userIdentity.arn": "x"}, "condition": "s"}
    excepted = {"title": "Excepted", "filter": search, "expires": "2020-01-01"}
    filter_file = written(rule_file.parent / "filter.yml", yaml.safe_dump(excepted))
    soon = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    times = "start: 2020-01-01T00:00:00Z, end: 2020-01-02T00:00:00Z"
    config = written(
        tmp_path / "detector.yaml",
        "sources: [{type: directory, path: x}]\nrules: [rules]\nsilences:\n"
        f"  - {{rules: any, every_days: 7, {times}, author: bob, reason: weekly}}\n"
        f"  - {{rules: any, {times}, author: alice, reason: once}}\n",
    )
    done = call("check", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    ended, expired, summary = done.stdout.splitlines()
    assert ended.startswith(
        f"{config}:5:5: silences[1] of alice ended at 2020-01-02T00:00:00+00:00 [ended-silence]"
    )
    assert expired.startswith(
        f"{filter_file}:1:10: the exception Excepted holds no more since 2020-01-01"
        " [expired-exception]"
    )
    assert summary == "1 rule, 0 faults, 2 findings, 1 finding accepted"
    assert call("check", "--strict", "--config", config).returncode == 1
    filter_file.write_text(yaml.safe_dump({**excepted, "expires": soon}))
    done = call("check", "--format", "json", "--strict", rule_file.parent)
    assert done.returncode == 1
    codes = [item["code"] for item in json.loads(done.stdout)["findings"]]
    assert codes == ["expiring-exception", "untested"]


@pytest.mark.parametrize("command", [["check"], ["test"], ["replay", SAMPLE]])
def test_placeholders_that_cannot_be_read_are_an_error_with_their_place(
    call: Call, tmp_path: Path, command: list[str]
) -> None:
    values = written(tmp_path / "values.yml", "admins: alice")
    done = call(*command, "--placeholders", values)
    assert done.returncode == 1
    assert done.stderr.startswith(f"detector: {values}:1:")
    assert "must be a list, not a string" in done.stderr


def test_replay_takes_the_values_of_placeholders(call: Call, tmp_path: Path) -> None:
    detection = {"s": {"eventName|expand": "%names%"}, "condition": "s"}
    rule = written(tmp_path / "rule.yml", rule_text(pattern=..., detection=detection))
    values = written(tmp_path / "values.yml", "names: [ConsoleLogin]")
    done = call("replay", "--rules", rule, "--placeholders", values, SAMPLE)
    assert done.returncode == 0
    assert "A test rule" in done.stdout


# detector test


def test_a_test_that_fails_says_what_the_rule_saw(call: Call, rule_file: Path) -> None:
    tests = [
        {"name": "wrongly quiet", "fires": True, "event": {"eventName": "GetUser"}},
        {"name": "wrongly loud", "fires": False, "event": {"eventName": "PutUserPolicy"}},
    ]
    rule_file.write_text(rule_text(tests=tests))
    assert call("test", rule_file).stdout.splitlines() == [
        f"{rule_file}: wrongly quiet: does not fire",
        '    $.eventName = "PutUserPolicy" fails, saw "GetUser"',
        f"{rule_file}: wrongly loud: fires",
        '    $.eventName = "PutUserPolicy" holds, saw "PutUserPolicy"',
        "1 rule: 0 passed, 2 failed",
    ]


def test_junit_holds_a_suite_a_file_and_a_case_a_test(
    call: Call, rule_file: Path, bad_rule: Path, tmp_path: Path
) -> None:
    tests = [
        {"name": 'a "quoted" <name> &\x01', "fires": True, "event": {"eventName": "\x1b\ufffe"}},
        {"name": "right", "fires": True, "event": {"eventName": "PutUserPolicy"}},
    ]
    rule_file.write_text(rule_text(title='A "title"', tests=tests))
    junit = tmp_path / "out.xml"
    done = call("test", "--junit", junit, rule_file, bad_rule)
    assert done.returncode == 1
    root = ET.parse(junit).getroot()  # noqa: S314 - it was written just now
    assert root.tag == "testsuites"
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {str(rule_file), str(bad_rule)}
    wrong, right = suites[str(rule_file)]
    assert wrong.get("name") == 'a "quoted" <name> &\ufffd'
    assert wrong.get("classname") == 'A "title"'
    (failure,) = wrong
    assert failure.tag == "failure"
    assert str(failure.get("message")).startswith("does not fire: $.eventName = ")
    assert "- fails  $.eventName = " in str(failure.text)
    assert len(right) == 0
    ((error,),) = suites[str(bad_rule)]
    assert error.tag == "error"
    assert str(bad_rule) in str(error.get("message"))


def test_junit_that_cannot_be_written_is_an_error_with_its_name(
    call: Call, rule_file: Path, tmp_path: Path
) -> None:
    done = call("test", "--junit", tmp_path / "no" / "out.xml", rule_file)
    assert done.returncode == 1
    assert "out.xml cannot be written: No such file or directory" in done.stderr


def test_every_command_that_has_options_shows_examples(call: Call) -> None:
    for command in ("replay", "check", "test", "explain", "test-metric-filter"):
        done = call(command, "--help")
        assert "Examples:\n" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 100
