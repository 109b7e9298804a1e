"""SIGKILL at any moment: no alert is lost, and none is repeated but under its own id."""

import itertools
import json
from pathlib import Path

import pytest

from detector.counting.current import current_alerts
from detector.pipeline import Settings
from detector.replay import replay
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from tests.aws import CREDENTIALS, Trail
from tests.faults import dying_service
from tests.faults.campaign import by_folder, by_queue
from tests.faults.conftest import KILLS, Figures
from tests.faults.tearing import How, Tearing
from tests.faults.traffic import IAM_RULE
from tests.hook import Hook
from tests.service_process import running

pytestmark = pytest.mark.faults

TEARS: list[tuple[str, How, int]] = [
    ("*-wal", "before", 150),
    ("*-wal", "half", 150),
    ("*-wal", "power", 150),
    ("*.sqlite3", "before", 60),
    ("*.sqlite3", "half", 60),
]
"""Files, how the process ends at a call that writes or synchronises one, and up to which call."""

KILL_AFTER = 1200
"""Of the 2,900 real records, spread over all of which are seven alerts."""

LINGER = [0.0, 0.3]
"""Seconds that a thread stands at a step before the process ends. In 0.3 the other threads do what
they could wrongly do: delete a message of which nothing is committed yet, for one."""


def test_kills_among_messages_lose_no_alert_and_count_no_event_twice(
    trail: Trail, tmp_path: Path, figures: Figures
) -> None:
    with Hook() as hook:
        campaign = by_queue(tmp_path, trail, hook, seed=7)
        for _ in range(KILLS):
            campaign.kill_at_random()
        figures(campaign.figures(campaign.finish()))


def test_kills_among_files_lose_no_alert_and_count_no_event_twice(
    tmp_path: Path, figures: Figures
) -> None:
    with Hook() as hook:
        campaign = by_folder(tmp_path, hook, seed=7)
        for _ in range(max(1, KILLS // 3)):
            campaign.kill_at_random()
        figures(campaign.figures(campaign.finish()))


def test_kills_at_every_step_lose_no_alert_and_count_no_event_twice(
    trail: Trail, tearing: Tearing, tmp_path: Path, figures: Figures
) -> None:
    with Hook() as hook:
        campaign = by_queue(tmp_path, trail, hook, seed=8)
        chance = campaign.chance
        times = max(1, KILLS // 10)
        deaths: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        often_checkpointed = dying_service.__file__, dying_service.OFTEN_CHECKPOINTED, "1", "0"
        for step, most in dying_service.STEPS.items():
            for linger in itertools.islice(itertools.cycle(LINGER), times):
                arguments = step, str(chance.randint(1, most)), str(linger)
                deaths.append((step, {}, (dying_service.__file__, *arguments)))
        for pattern, how, most in TEARS:
            for linger in itertools.islice(itertools.cycle(LINGER), times):
                torn = tearing.at(pattern, chance.randint(1, most), how, linger)
                deaths.append((f"{how} {pattern}", torn, often_checkpointed))
        chance.shuffle(deaths)
        for moment, env, program in deaths:
            campaign.kill_by_itself(moment, env, program)
        figures(campaign.figures(campaign.finish()))


def test_a_kill_among_the_messages_of_the_real_logs_loses_no_alert(
    trail: Trail, tmp_path: Path, reference: Path
) -> None:
    logs = reference / "data" / "real-logs" / "CloudTrail"
    expected = {alert.id for alert in replay(RuleSet.load(IAM_RULE), [logs], Settings()).alerts}
    assert len(expected) == 7
    paths = sorted(logs.glob("*.json"))
    sizes = [len(json.loads(path.read_bytes())["Records"]) for path in paths]
    first = next(n for n, size in enumerate(itertools.accumulate(sizes), 1) if size >= KILL_AFTER)
    for path in paths[:first]:
        trail.put(path.name, path.read_bytes())
    config = {**trail.config(visibility_timeout_seconds=6), "rules": [str(IAM_RULE)]}
    with running(tmp_path, config, CREDENTIALS) as service:
        service.wait_until(lambda: service.records("trail")["in"] >= KILL_AFTER)
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
