"""A storm: thousands of alerts at once, of which every one is told and nobody is flooded.

`DETECTOR_STORM_MATCHES` matches, over `DETECTOR_STORM_SECONDS` or as fast as they are read.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from detector.alerts.alert import Alert, utc
from detector.state.sqlite import SQLiteStore
from tests.archived import archive_files, read
from tests.records import record, zipped_log_file
from tests.rules import rule_text
from tests.servers.checking import CheckingServer
from tests.servers.pagerduty import ROUTING_KEY, PagerDutyServer
from tests.servers.slack import SlackServer
from tests.servers.standard_webhooks import StandardWebhooksServer
from tests.servers.teams import TeamsServer
from tests.service_process import Service, running
from tests.told import Told, told_by_pagerduty, told_by_slack, told_by_teams, told_by_webhook
from tests.waiting import pause

pytestmark = pytest.mark.integration

MATCHES = int(os.environ.get("DETECTOR_STORM_MATCHES", "20000"))
SECONDS = float(os.environ.get("DETECTOR_STORM_SECONDS", "8"))

RULES = 50
ACCOUNTS = 100
RECORDS_A_FILE = 200
UNMATCHED_A_FILE = 20
LEVELS = ("critical", "high", "medium", "low", "informational")

QUIET_SECONDS = 5.0
PATIENCE = 180.0
"""Seconds that each part may take, on a machine that does much else."""

PEAK_CAP = 320 << 20
"""Bytes of resident memory. It takes some 200 MiB."""

RATES = {
    "slack": {"burst": 10, "every_seconds": 2.0},
    "teams": {"burst": 3, "every_seconds": 2.0},
    # Each incident is ended by itself, and the last of them is waited for.
    "pagerduty": {"burst": 10, "every_seconds": 0.75},
}


@dataclass(frozen=True, slots=True)
class Receivers:
    """Everything that alerts go to, but for the archive."""

    slack: SlackServer
    teams: TeamsServer
    pagerduty: PagerDutyServer
    grouped: StandardWebhooksServer
    plain: StandardWebhooksServer

    @property
    def all(self) -> dict[str, CheckingServer]:
        """All of them, by the names of their sinks."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def sinks(self) -> list[dict[str, Any]]:
        """The sections of the configuration."""
        return [
            {"type": "slack", "url": self.slack.url, "rate": RATES["slack"]},
            {"type": "teams", "url": self.teams.url, "rate": RATES["teams"], "resolved": False},
            {
                "type": "pagerduty",
                "url": self.pagerduty.url,
                "routing_key": ROUTING_KEY,
                "rate": RATES["pagerduty"],
            },
            {
                "type": "webhook",
                "name": "grouped",
                "url": self.grouped.address,
                "group": {"seconds": 5, "by": ["rule"]},
            },
            {"type": "webhook", "name": "plain", "url": self.plain.address, "resolved": False},
            {"type": "archive", "path": "archive"},
        ]

    def told(self, name: str) -> list[Told]:
        """Return what one of them was told, in order."""
        return [READERS[name](request) for request in self.all[name].accepted]


READERS: dict[str, Callable[[Any], Told]] = {
    "slack": told_by_slack,
    "teams": told_by_teams,
    "pagerduty": told_by_pagerduty,
    "grouped": told_by_webhook,
    "plain": told_by_webhook,
}


@dataclass(frozen=True, slots=True)
class Storm:
    """What is left when it is over: what was told, the archive, and the digests in the state.

    `account` is the source's, `peak` the most resident bytes; `seconds` are those until all was
    read, and until all was over.
    """

    receivers: Receivers
    archive: Sequence[dict[str, Any]]
    digests: dict[str, Alert]
    account: dict[str, int]
    peak: int
    seconds: tuple[float, float]

    @property
    def alerts(self) -> dict[str, dict[str, Any]]:
        """The latest revision of each alert in the archive, by its id."""
        ordered = sorted(self.archive, key=lambda alert: alert["revision"])
        return {alert["id"]: alert for alert in ordered}

    @property
    def by_rule(self) -> Counter[str]:
        """How many alerts there are of each rule."""
        return Counter(alert["title"] for alert in self.alerts.values())


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    """Let the storm pass, once for all tests."""
    folder = tmp_path_factory.mktemp("storm")
    with ExitStack() as stack:
        receivers = Receivers(
            # Slack takes short bursts beside its one message a second, and states no number.
            slack=stack.enter_context(SlackServer(per_second=11)),
            teams=stack.enter_context(TeamsServer(per_second=4)),
            pagerduty=stack.enter_context(PagerDutyServer(per_minute=120)),
            grouped=stack.enter_context(StandardWebhooksServer()),
            plain=stack.enter_context(StandardWebhooksServer()),
        )
        _write_rules(folder / "rules")
        logs = _log_files(random.Random(0))  # noqa: S311 - the same storm each time
        (folder / "logs").mkdir()
        source = {"type": "directory", "name": "logs", "path": "logs"}
        config = {
            "sources": [{**source, "poll_seconds": 0.1, "settle_seconds": 0.01}],
            "rules": ["rules"],
            "sinks": receivers.sinks,
            "alerts": {
                "quiet_seconds": QUIET_SECONDS,
                "late_after_seconds": 1.0,
                "update_interval_seconds": 5.0,
            },
            "silent_sources": {"enabled": False},
        }
        with running(folder, config) as service:
            service.wait_until(lambda: service.get("/readyz")[0] == 200)
            began = time.monotonic()
            for number, body in enumerate(logs):
                (folder / "logs" / f"{number}.json.gz").write_bytes(body)
                pause(SECONDS / len(logs))
            _wait(service, lambda: service.records("logs")["matched"] == MATCHES)
            read_in = time.monotonic() - began
            _wait(service, lambda: _is_over(service))
            seconds = (read_in, time.monotonic() - began)
            account, peak = service.records("logs"), _peak(service)
            assert service.stop() == 0
        with SQLiteStore.open(folder / "state" / "detector.sqlite3") as store:
            kept = store.alerts()
        yield Storm(
            receivers,
            read(archive_files(folder / "archive")),
            {alert.id: alert for alert in kept if alert.digest is not None},
            account,
            peak,
            seconds,
        )


def _wait(service: Service, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert service.process.poll() is None, service.errors
        assert time.monotonic() < deadline, service.metrics()
        pause(0.25)


def _write_rules(folder: Path) -> None:
    folder.mkdir()
    for number in range(RULES):
        text = rule_text(
            id=f"00000000-0000-4000-8000-{number:012d}",
            name=f"storm_{number}",
            title=_title(number),
            level=LEVELS[number % len(LEVELS)],
            pattern=f'{{ $.eventName = "Storm{number}" }}',
            window={"period": 300, "threshold": 1, "group_by": ["recipientAccountId"]},
            runbook="Stay calm.\nRead the digest.",
        )
        (folder / f"storm_{number}.yml").write_text(text)


def _title(number: int) -> str:
    return f"Storm {number:02d} of <!channel> & others"


def _log_files(chance: random.Random) -> list[bytes]:
    """Return log files; each match is of one rule and account, in one window for all of them."""
    numbers = list(range(MATCHES))
    chance.shuffle(numbers)
    start = (time.time() - 600) // 300 * 300
    files = []
    for begin in range(0, MATCHES, RECORDS_A_FILE):
        matching = numbers[begin : begin + RECORDS_A_FILE]
        records = [
            _record(f"Storm{number % RULES}", number // RULES % ACCOUNTS, start + number % 200)
            for number in matching
        ]
        records += [_record("GetUser", 0, start) for _ in range(UNMATCHED_A_FILE)]
        chance.shuffle(records)
        files.append(zipped_log_file(*records))
    return files


def _record(name: str, account: int, at: float) -> dict[str, Any]:
    return record(name, recipientAccountId=f"{100_000_000_000 + account}", eventTime=utc(at))


def _is_over(service: Service) -> bool:
    """Return whether every alert is resolved, and told as far as it is to be."""
    metrics = service.metrics()
    verdicts = Counter[str]()
    for name, value in metrics.items():
        if name.startswith("detector_alerts_total"):
            verdicts[re.findall("verdict=(.*?)}", name)[0]] += int(value)
    if not verdicts["raised"] or verdicts["resolved"] < verdicts["raised"]:
        return False
    return not any(
        value for name, value in metrics.items() if name.startswith("detector_outbox_notif")
    )


def _peak(service: Service) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return int(peak.group(1)) << 10


def test_every_match_is_counted_and_every_alert_archived(storm: Storm) -> None:
    unmatched = MATCHES // RECORDS_A_FILE * UNMATCHED_A_FILE
    assert (storm.account["matched"], storm.account["unmatched"]) == (MATCHES, unmatched)
    alerts = storm.alerts.values()
    assert len(alerts) == min(MATCHES, RULES * ACCOUNTS)
    assert sum(alert["count"] for alert in alerts) == MATCHES
    assert {alert["state"] for alert in alerts} == {"resolved"}
    raised = [alert["id"] for alert in storm.archive if alert["kind"] == "raised"]
    assert sorted(raised) == sorted(storm.alerts)


def test_a_sink_without_a_pace_is_told_of_every_alert_once(storm: Storm) -> None:
    told = storm.receivers.told("plain")
    raised = [item.id for item in told if item.kind == "raised"]
    assert sorted(raised) == sorted(storm.alerts)
    assert not any(item.is_digest for item in told)


@pytest.mark.parametrize("name", RATES)
def test_nobody_is_sent_more_than_the_pace_allows(storm: Storm, name: str) -> None:
    told, rate = storm.receivers.told(name), RATES[name]
    elapsed = told[-1].at - told[0].at
    assert len(told) <= rate["burst"] + elapsed / rate["every_seconds"] + 1
    assert not storm.receivers.all[name].refused


@pytest.mark.parametrize("name", [*RATES, "grouped"])
def test_the_totals_of_single_alerts_and_digests_are_exact(storm: Storm, name: str) -> None:
    told = storm.receivers.told(name)
    singles = [item.id for item in told if item.kind == "raised" and not item.is_digest]
    digests = _first(item for item in told if item.is_digest and item.kind != "resolved")
    assert len(set(singles)) == len(singles)
    assert digests
    raised = sum(item.kinds["raised"] for item in digests)
    assert len(singles) + raised == len(storm.alerts)
    rules = Counter(storm.alerts[id_]["title"] for id_ in singles)
    for item in digests:
        rules += _by_rule(storm, item)
    assert rules == storm.by_rule


def _first(told: Iterable[Told]) -> list[Told]:
    """Return the first message of each digest."""
    by_id: dict[str, Told] = {}
    for item in told:
        by_id.setdefault(item.id, item)
    return list(by_id.values())


def _by_rule(storm: Storm, told: Told) -> Counter[str]:
    """Return how many alerts of each rule a digest has raised.

    What people read names some of the rules only: it must agree with what the state has of it.
    """
    digest = storm.digests[told.id].digest
    assert digest is not None
    assert not digest.more_rules
    entries = {entry.title: entry for entry in digest.entries}
    assert told.rules
    for title, kinds in told.rules.items():
        entry = entries[title]
        assert (kinds["raised"], kinds["updated"], kinds["resolved"]) == (
            entry.raised,
            entry.updated,
            entry.resolved,
        )
    assert (told.kinds["raised"], told.kinds["updated"]) == (digest.raised, digest.updated)
    assert told.events == digest.events
    return Counter({title: entry.raised for title, entry in entries.items() if entry.raised})


def test_grouped_alerts_go_together_with_those_of_their_rule(storm: Storm) -> None:
    digests = [item for item in storm.receivers.told("grouped") if item.is_digest]
    assert {len(item.rules) for item in digests} == {1}


def test_every_incident_that_was_opened_is_closed(storm: Storm) -> None:
    pager = storm.receivers.pagerduty
    opened = {item.id for item in storm.receivers.told("pagerduty") if item.kind == "raised"}
    assert pager.pages == len(opened)
    assert not pager.open_incidents
    for name in ("slack", "grouped"):
        told = storm.receivers.told(name)
        opened = {item.id for item in told if item.is_digest and item.kind == "raised"}
        closed = [item.id for item in told if item.is_digest and item.kind == "resolved"]
        assert sorted(closed) == sorted(opened)


def test_memory_is_bounded(storm: Storm) -> None:
    _show(storm)
    assert storm.peak < PEAK_CAP


def _show(storm: Storm) -> None:
    """Print the figures of a run, shown with pytest -s."""
    read_in, over = storm.seconds
    print(  # noqa: T201
        f"{MATCHES} matches read in {read_in:.1f} s, all over after {over:.1f} s, peak"
        f" {storm.peak >> 20} MiB, {len(storm.alerts)} alerts, {len(storm.archive)} in the archive"
    )
    for name in storm.receivers.all:
        told = storm.receivers.told(name)
        digests = sum(item.is_digest and item.kind != "resolved" for item in told)
        elapsed = told[-1].at - told[0].at
        print(f"{name}: {len(told)} messages in {elapsed:.1f} s, {digests} digests")  # noqa: T201
