"""A configuration that changes while the service runs, and what in it and in the rules ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.records import log_file, record
from tests.rules import rule_text
from tests.service_process import DEFAULTS, Service, running

pytestmark = pytest.mark.integration

NEVER = 3600
"""A poll so seldom that only a signal has files read."""

OFTEN = 0.05

APPLIED = "detector_config_reloads_total{result=applied}"
UNCHANGED = "detector_config_reloads_total{result=unchanged}"
FAILED = "detector_config_reloads_total{result=failed}"
SUCCESSFUL = "detector_config_last_reload_successful"
RULES_SUCCESSFUL = "detector_rules_last_reload_successful"
STABLE = "detector_rules{status=stable}"
STAGED = "detector_rules{status=test}"
SILENCE_STATES = ("pending", "active", "expired")
FILTER_STATES = ("active", "expiring", "expired")


def silence(start: float, end: float, **fields: Any) -> dict[str, Any]:
    """Return a silence of everything; times are in days from now."""
    now = datetime.now(UTC)
    times = {"start": now + timedelta(start), "end": now + timedelta(end)}
    written = {name: moment.isoformat() for name, moment in times.items()}
    return {"rules": "any", "author": "alice", "reason": "work", **written, **fields}


def exception(days: int) -> str:
    """Return a filter file; its end is in days from today."""
    day = (datetime.now(UTC) + timedelta(days)).date()
    search = {"rules": "any", "s": {"userIdentity.arn": "nobody"}, "condition": "s"}
    return yaml.safe_dump({"title": "Excepted", "filter": search, "expires": day.isoformat()})


class Site:
    """A folder with a service's configuration, a rule, and logs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        for name in ("rules", "logs", "written"):
            (path / name).mkdir()
        self.put("rules/puts.yml", rule_text(id="puts"))

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file in place of the old one, as editors do: a new one, renamed."""
        path = self._path / name
        new = self._path / "written" / path.name
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        return new.rename(path)

    def config(self, **changes: Any) -> dict[str, Any]:
        source = {"type": "directory", "path": "logs", "settle_seconds": 0, "poll_seconds": 0.02}
        common = {"rules": ["rules"], "telemetry": {"port": 0}, "rules_poll_seconds": OFTEN}
        return {"sources": [source], **common, **changes}

    def configure(self, **changes: Any) -> Path:
        """Put another configuration in the place of the one that the service was started with."""
        return self.put("detector.yaml", yaml.safe_dump(self.config(**changes)))

    @contextmanager
    def running(self, **changes: Any) -> Iterator[Service]:
        with running(self._path, self.config(**changes)) as service:
            assert service.address
            yield service


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def silences(service: Service) -> list[float]:
    metrics = service.metrics()
    return [metrics[f"detector_silences{{state={state}}}"] for state in SILENCE_STATES]


def filters(service: Service) -> list[float]:
    metrics = service.metrics()
    return [metrics[f"detector_filters{{state={state}}}"] for state in FILTER_STATES]


def lines(service: Service, event: str) -> list[dict[str, Any]]:
    return [line for line in service.log if line["event"] == event]


def wait_for_samples(service: Service, **samples: float) -> None:
    service.wait_until(lambda: samples.items() <= service.metrics().items())


def test_silences_come_into_force_when_the_file_has_changed(site: Site) -> None:
    with site.running(silences=[silence(-1, 1)]) as service:
        assert silences(service) == [0, 1, 0]
        site.configure(silences=[silence(-2, -1), silence(-1, 1), silence(1, 2), silence(3, 4)])
        service.wait_until(lambda: silences(service) == [2, 1, 1])
        service.wait_until(lambda: lines(service, "configuration reloaded"))
        (line,) = lines(service, "configuration reloaded")
        assert line.items() >= {"reason": "change", "changed": ["silences"], "silences": 4}.items()
        assert service.metrics()[APPLIED] == 1
        assert service.stop() == 0


def test_silences_come_into_force_at_a_signal(site: Site) -> None:
    with site.running(rules_poll_seconds=NEVER) as service:
        site.configure(rules_poll_seconds=NEVER, silences=[silence(-1, 1)])
        service.process.send_signal(signal.SIGHUP)
        wait_for_samples(service, **{APPLIED: 1})
        assert silences(service) == [0, 1, 0]
        service.process.send_signal(signal.SIGHUP)
        wait_for_samples(service, **{UNCHANGED: 1, APPLIED: 1})
        service.wait_until(lambda: len(lines(service, "rules unchanged")) == 2)
        assert lines(service, "configuration reloaded")[0]["reason"] == "signal"


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_status_that_is_given_to_a_rule_comes_into_force(site: Site, by_signal: bool) -> None:
    poll = NEVER if by_signal else OFTEN
    site.put("rules/creates.yml", rule_text(id="creates", pattern="{ $.eventName = CreateUser }"))
    with site.running(rules_poll_seconds=poll) as service:
        site.configure(rules_poll_seconds=poll, rule_status={"puts": "test"})
        if by_signal:
            service.process.send_signal(signal.SIGHUP)
        wait_for_samples(service, **{STABLE: 1, STAGED: 1})
        site.put("logs/1.json", log_file(record("PutUserPolicy"), record("CreateUser")))
        service.wait_until(lambda: service.alerts)
        service.wait_until(lambda: service.records("directory")["matched"] == 2)
        assert [alert["rule_id"] for alert in service.alerts] == ["creates"]
        assert lines(service, "rules reloaded")[0]["changed_ids"] == ["puts"]


def test_a_faulty_file_changes_nothing_until_it_is_mended(site: Site) -> None:
    with site.running(silences=[silence(-1, 1)]) as service:
        faulty = silence(-1, 1, rules=[])
        path = site.configure(silences=[faulty], rule_status={"puts": "test"})
        wait_for_samples(service, **{SUCCESSFUL: 0, FAILED: 1})
        event = "configuration not reloaded, the old one stays in force"
        service.wait_until(lambda: lines(service, event))
        (line,) = lines(service, event)
        number = path.read_text().splitlines().index("silences:") + 2
        assert line["error"].startswith(f"{path}:{number}:3: silences[0]: rules is empty")
        assert silences(service) == [0, 1, 0]
        assert service.metrics()[STABLE] == 1
        path.unlink()
        wait_for_samples(service, **{SUCCESSFUL: 0, FAILED: 2})
        site.configure(rule_status={"puts": "test"})
        wait_for_samples(service, **{SUCCESSFUL: 1, STAGED: 1, RULES_SUCCESSFUL: 1})
        assert silences(service) == [0, 0, 0]


def test_sections_that_need_a_restart_are_named_and_the_others_come_into_force(site: Site) -> None:
    with site.running() as service:
        hook = {"type": "webhook", "url": "http://127.0.0.1:9/s3cret"}
        changed = {"sinks": [hook], "drain_seconds": 1, "egress": DEFAULTS["egress"]}
        site.configure(**changed, silences=[silence(-1, 1)])
        service.wait_until(lambda: silences(service) == [0, 1, 0])
        event = "configuration differs in what needs a restart"
        service.wait_until(lambda: lines(service, event))
        (line,) = lines(service, event)
        assert (line["level"], line["sections"]) == ("warning", ["sinks", "drain_seconds"])
        assert "s3cret" not in service.errors
        site.put("logs/1.json", log_file(record()))
        service.wait_until(lambda: service.alerts)
        assert service.stop() == 0


def test_a_status_of_a_rule_that_is_not_there_leaves_the_old_rules_in_force(site: Site) -> None:
    with site.running(rule_status={"puts": "test"}) as service:
        site.configure(rule_status={"nobody": "test"}, silences=[silence(-1, 1)])
        wait_for_samples(service, **{RULES_SUCCESSFUL: 0, SUCCESSFUL: 1, STAGED: 1})
        assert silences(service) == [0, 1, 0]
        assert "rule_status.nobody: no rule has this id" in service.errors
        site.configure()
        wait_for_samples(service, **{RULES_SUCCESSFUL: 1, STABLE: 1, STAGED: 0})


def test_exceptions_that_end_are_named_at_the_start_and_when_rules_are_read_again(
    site: Site,
) -> None:
    ended = site.put("rules/ended.yml", exception(-10))
    site.put("rules/later.yml", exception(100))
    with site.running(rules_poll_seconds=NEVER) as service:
        assert filters(service) == [1, 0, 1]
        service.wait_until(lambda: lines(service, "exception has expired"))
        (line,) = lines(service, "exception has expired")
        assert (line["level"], line["title"], line["path"]) == ("warning", "Excepted", str(ended))
        assert line["day"] in ended.read_text()
        ended.unlink()
        soon = site.put("rules/soon.yml", exception(3))
        service.process.send_signal(signal.SIGHUP)
        service.wait_until(lambda: lines(service, "exception expires soon"))
        assert lines(service, "exception expires soon")[0]["path"] == str(soon)
        assert len(lines(service, "exception has expired")) == 1
        assert filters(service) == [1, 1, 0]
