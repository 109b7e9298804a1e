"""Rules that change while the service runs."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from detector.counting.current import current_alerts
from detector.state.sqlite import SQLiteStore
from tests.records import log_file, record
from tests.rules import rule_text
from tests.service_process import Service, running

pytestmark = pytest.mark.integration

NEVER = 3600
"""A poll so seldom that only a signal has the rules read."""

OFTEN = 0.05

APPLIED = "detector_rules_reloads_total{result=applied}"
UNCHANGED = "detector_rules_reloads_total{result=unchanged}"
FAILED = "detector_rules_reloads_total{result=failed}"
SUCCESSFUL = "detector_rules_last_reload_successful"
STABLE = "detector_rules{status=stable}"


class Folder:
    """A folder with a service's configuration, rules and logs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        for name in ("rules", "logs", "written"):
            (path / name).mkdir()
        self.rule("puts", "PutUserPolicy")
        self._logs = 0

    def rule(self, rule_id: str, event_name: str, **fields: Any) -> Path:
        """Write a rule in place of the old one, as editors do: a new file, renamed."""
        pattern = f'{{ $.eventName = "{event_name}" }}'
        return self.rule_file(rule_id, rule_text(id=rule_id, **{"pattern": pattern, **fields}))

    def rule_file(self, name: str, text: str) -> Path:
        return self._put(self._path / "rules" / f"{name}.yml", text.encode())

    def log(self, *names: str) -> None:
        """Add a log file with an event of each name."""
        self._logs += 1
        body = log_file(*map(record, names))
        self._put(self._path / "logs" / f"{self._logs:05d}.json", body)

    def _put(self, path: Path, content: bytes) -> Path:
        new = self._path / "written" / path.name
        new.write_bytes(content)
        return new.rename(path)

    @contextmanager
    def running(self, **changes: Any) -> Iterator[Service]:
        source = {"type": "directory", "path": "logs", "settle_seconds": 0, "poll_seconds": 0.02}
        config = {"sources": [source], "rules": ["rules"], **changes}
        with running(self._path, config) as service:
            assert service.address
            yield service


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def lines(service: Service, event: str) -> list[dict[str, Any]]:
    return [line for line in service.log if line["event"] == event]


def wait_for_sample(service: Service, name: str, holds: Callable[[float], bool]) -> None:
    service.wait_until(lambda: holds(service.metrics()[name]))


def read_again(service: Service, result: str) -> None:
    """Send SIGHUP and wait for its result, one more of its kind."""
    before = service.metrics()[result]
    service.process.send_signal(signal.SIGHUP)
    wait_for_sample(service, result, lambda count: count > before)


def alerting(service: Service) -> list[str]:
    return [alert["rule_id"] for alert in service.alerts]


def test_a_new_rule_is_in_force_after_a_signal_for_later_files(folder: Folder) -> None:
    with folder.running(rules_poll_seconds=NEVER) as service:
        folder.rule("creates", "CreateUser", title="Another")
        folder.log("CreateUser")
        service.wait_until(lambda: service.records("directory")["unmatched"] == 1)
        read_again(service, APPLIED)
        assert service.metrics()[STABLE] == 2
        folder.log("CreateUser")
        service.wait_until(lambda: service.alerts)
        assert [(alert["rule_id"], alert["count"]) for alert in service.alerts] == [("creates", 1)]
        (line,) = lines(service, "rules reloaded")
        assert line.items() >= {"reason": "signal", "rules": 2, "added_ids": ["creates"]}.items()
        assert line.items() >= {"added": 1, "removed": 0, "changed": 0}.items()
        assert service.stop() == 0


def test_many_signals_end_nothing_and_become_few_readings(folder: Folder) -> None:
    with folder.running(rules_poll_seconds=NEVER) as service:
        started = service.metrics()["detector_rules_last_reload_timestamp_seconds"]
        for _ in range(100):
            service.process.send_signal(signal.SIGHUP)
        wait_for_sample(service, UNCHANGED, lambda count: count >= 1)
        assert service.metrics()["detector_rules_last_reload_timestamp_seconds"] > started
        read_again(service, UNCHANGED)
        assert service.metrics()[UNCHANGED] < 100
        folder.log("PutUserPolicy")
        service.wait_until(lambda: alerting(service) == ["puts"])
        assert service.stop() == 0


def test_files_that_are_edited_added_and_removed_are_found_by_looking(folder: Folder) -> None:
    with folder.running(rules_poll_seconds=OFTEN) as service:
        folder.rule("puts", "CreateUser")
        wait_for_sample(service, APPLIED, lambda count: count == 1)
        folder.log("PutUserPolicy", "CreateUser")
        service.wait_until(lambda: service.alerts)
        assert service.alerts[0]["event_names"] == ["CreateUser"]
        added = folder.rule("more", "CreateUser")
        wait_for_sample(service, STABLE, lambda count: count == 2)
        added.unlink()
        wait_for_sample(service, STABLE, lambda count: count == 1)
        changes = [
            [line.get(f"{kind}_ids") for kind in ("added", "removed", "changed")]
            for line in lines(service, "rules reloaded")
        ]
        assert changes == [[None, None, ["puts"]], [["more"], None, None], [None, ["more"], None]]
        assert {line["reason"] for line in lines(service, "rules reloaded")} == {"change"}


def test_a_broken_file_keeps_the_old_rules_until_it_is_mended(folder: Folder) -> None:
    with folder.running(rules_poll_seconds=OFTEN) as service:
        folder.rule_file("other", "title: [")
        wait_for_sample(service, SUCCESSFUL, lambda value: value == 0)
        folder.rule("more", "CreateUser")
        broken = folder.rule("puts", "", pattern="{ $.eventName ~ PutUserPolicy }")

        def refused() -> list[str]:
            errors = [line["error"] for line in lines(service, "rule refused")]
            return [error for error in errors if error.startswith(str(broken))]

        text = broken.read_text()
        line = text.count("\n", 0, text.index("~")) + 1
        column = text.index("~") - text.rindex("\n", 0, text.index("~"))
        service.wait_until(refused)
        assert refused()[0].startswith(f"{broken}:{line}:{column}: expected an operator")
        kept = lines(service, "rules not reloaded, the old ones stay in force")
        assert {item["rules"] for item in kept} == {1}
        assert service.metrics()[STABLE] == 1
        folder.log("PutUserPolicy", "CreateUser")
        service.wait_until(lambda: service.records("directory")["in"] == 2)
        service.wait_until(lambda: alerting(service) == ["puts"])
        folder.rule("puts", "PutUserPolicy")
        folder.rule("other", "DeleteUser")
        wait_for_sample(service, SUCCESSFUL, lambda value: value == 1)
        wait_for_sample(service, STABLE, lambda count: count == 3)
        assert service.metrics()[FAILED] >= 1
        assert service.metrics()[APPLIED] >= 1


def test_rules_that_vanish_as_a_whole_are_a_fault_and_not_an_empty_set(
    folder: Folder, tmp_path: Path
) -> None:
    with folder.running(rules_poll_seconds=OFTEN) as service:
        (tmp_path / "rules").rename(tmp_path / "away")
        wait_for_sample(service, FAILED, lambda count: count == 1)
        assert "there is no such file or folder" in lines(service, "rule refused")[0]["error"]
        folder.log("PutUserPolicy")
        service.wait_until(lambda: alerting(service) == ["puts"])
        (tmp_path / "away").rename(tmp_path / "rules")
        wait_for_sample(service, SUCCESSFUL, lambda value: value == 1)


def test_an_operators_status_holds_when_the_rules_are_read_again(folder: Folder) -> None:
    with folder.running(rules_poll_seconds=NEVER, rule_status={"puts": "test"}) as service:
        folder.rule("creates", "CreateUser", title="Another")
        read_again(service, APPLIED)
        assert service.metrics()["detector_rules{status=test}"] == 1
        assert lines(service, "rules reloaded")[0]["changed"] == 0
        folder.log("PutUserPolicy", "CreateUser")
        service.wait_until(lambda: service.alerts)
        assert service.records("directory")["matched"] == 2
        assert alerting(service) == ["creates"]


def test_nothing_is_lost_while_rules_change_under_load(folder: Folder, tmp_path: Path) -> None:
    turns, files = 10, 30
    window = {"period": 86_400}
    folder.rule("puts", "PutUserPolicy", window=window)
    with folder.running(rules_poll_seconds=NEVER) as service:
        for turn in range(turns):
            for _ in range(files):
                folder.log("PutUserPolicy", "CreateUser", "GetUser")
            folder.rule("turns", "DeleteUser" if turn % 2 else "CreateUser", window=window)
            read_again(service, APPLIED)
        service.wait_until(lambda: service.records("directory")["in"] == turns * files * 3)
        account = service.records("directory")
        assert service.metrics()[APPLIED] == turns
        assert service.stop() == 0
    assert account["matched"] + account["unmatched"] == account["in"]
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        counts = {alert.rule_id: alert.count for alert in current_alerts(store)}
    assert counts["puts"] == turns * files
    assert sum(counts.values()) == account["matched"]
