import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.records import log_file, record
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
    path.write_text(rule_text(pattern="{ $.eventName > 3 }"))
    return path


def test_replay_prints_one_json_document() -> None:
    done = detector("replay", "--format", "json", SAMPLE)
    assert done.returncode == 0
    assert json.loads(done.stdout)["records"]["in"] == 139
    assert "rejected, truncated" in done.stderr


def test_replay_prints_text_for_people() -> None:
    done = detector("replay", SAMPLE)
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
    assert done.stdout.endswith(", 0 faults\n")


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
