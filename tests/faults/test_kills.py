"""SIGKILL at any moment: no alert is lost, and none is repeated but under its own id."""

import json
import os
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from detector.counting.current import current_alerts
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from tests.aws import CREDENTIALS, Trail, moto_server
from tests.hook import Hook
from tests.records import record, zipped_log_file
from tests.service_process import Service, running
from tests.waiting import pause

pytestmark = pytest.mark.faults

KILLS = int(os.environ.get("DETECTOR_KILLS", "8"))
FILES_A_ROUND = 15
UPDATE_INTERVAL = 0.1
IAM_RULE = shipped_rules() / "cis" / "iam_policy_changes.yml"


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RuleSet.load(IAM_RULE)


def write_round(folder: Path, chance: random.Random, events: list[dict[str, Any]]) -> None:
    """Write log files of new events, and of second copies of earlier ones."""
    for _ in range(FILES_A_ROUND):
        new = [
            record(
                chance.choice(["PutUserPolicy", "CreatePolicy", "GetUser"]),
                at=chance.randrange(86_400),
                recipientAccountId=chance.choice(["111122223333", "444455556666"]),
            )
            for _ in range(chance.randint(1, 6))
        ]
        copies = chance.sample(events, min(len(events), chance.randint(0, 3)))
        events += new
        name = f"{len(list(folder.iterdir())):05d}.json.gz"
        (folder / name).write_bytes(zipped_log_file(*new, *copies))


def kill_somewhere(service: Service, hook: Hook, chance: random.Random) -> None:
    """Kill at once, in the middle of the work, or while a receiver holds an alert."""
    moment = chance.choice(["soon", "working", "sending"])
    if moment == "soon":
        pause(chance.uniform(0, 1.0))
    elif moment == "working":
        assert service.address
        pause(chance.uniform(0, 0.15))
    else:
        hook.is_open.clear()
        before = len(hook.received)
        service.wait_until(lambda: len(hook.received) > before)
    service.kill()
    hook.is_open.set()


def test_kills_at_any_moment_lose_no_alert_and_count_no_event_twice(
    tmp_path: Path, rules: RuleSet
) -> None:
    chance = random.Random(7)  # noqa: S311
    logs = tmp_path / "logs"
    logs.mkdir()
    events: list[dict[str, Any]] = []
    with Hook() as hook:
        config = {
            "sources": [
                {"type": "directory", "path": "logs", "settle_seconds": 0, "poll_seconds": 0.02}
            ],
            "sinks": [{"type": "webhook", "url": hook.url}],
            "rules": [str(IAM_RULE)],
            "alerts": {"update_interval_seconds": UPDATE_INTERVAL},
        }
        for _ in range(KILLS):
            write_round(logs, chance, events)
            with running(tmp_path, config) as service:
                kill_somewhere(service, hook, chance)
        expected = {alert.id: alert for alert in replay(rules, [logs], Settings()).alerts}
        with running(tmp_path, config) as service:
            service.wait_until(lambda: hook.counts() == counts(expected.values()))
            assert service.stop() == 0
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        assert counts(current_alerts(store)) == counts(expected.values())
        kept = {alert.id: alert.event_ids for alert in current_alerts(store)}
        assert kept == {alert.id: alert.event_ids for alert in expected.values()}


def counts(alerts: Any) -> dict[str, int]:
    return {alert.id: alert.count for alert in alerts}


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    with moto_server(tmp_path) as host:
        yield Trail(host)


@pytest.mark.parametrize("kill_after", [200, 1200, 2200])
def test_a_kill_among_the_messages_of_the_real_logs_loses_no_alert(
    trail: Trail, tmp_path: Path, rules: RuleSet, reference: Path, kill_after: int
) -> None:
    logs = reference / "data" / "real-logs" / "CloudTrail"
    expected = {alert.id for alert in replay(rules, [logs], Settings()).alerts}
    assert len(expected) == 7
    paths = sorted(logs.glob("*.json"))
    sizes = [len(json.loads(path.read_bytes())["Records"]) for path in paths]
    first = next(n for n, size in enumerate(accumulate(sizes), 1) if size >= kill_after)
    for path in paths[:first]:
        trail.put(path.name, path.read_bytes())
    config = {**trail.config(visibility_timeout_seconds=6), "rules": [str(IAM_RULE)]}
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: service.records("trail")["in"] >= kill_after)
        # Not before: a fast service would be done with all of them by the time it is looked at.
        for path in paths[first:]:
            trail.put(path.name, path.read_bytes())
        service.kill()
    waiting, in_flight = trail.queue_counts()
    assert waiting + in_flight > 0, "it was killed too late to tell anything"
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: trail.queue_counts() == (0, 0))
        assert service.stop() == 0
    # A set: what was published twice carries the same id.
    assert {alert["id"] for alert in trail.published()} == expected
    with SQLiteStore.open(tmp_path / "state" / "detector.sqlite3") as store:
        assert sorted(alert.count for alert in current_alerts(store)) == [1, 2, 2, 2, 2, 4, 13]
