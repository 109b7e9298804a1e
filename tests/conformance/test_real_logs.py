"""Real logs: one account, 55 files, 2,900 events; the figures are known beforehand."""

import random
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from detector.counting.current import current_alerts
from detector.pipeline import Pipeline, Settings
from detector.replay import Replay, replay
from detector.rules.loader import shipped_rules
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery
from detector.sources.files import read_payload
from detector.state.sqlite import SQLiteStore

pytestmark = pytest.mark.conformance

COUNTS = [13, 4, 2, 2, 2, 2, 1]

SHIPPED = {
    "access_key_created_for_another_user": (1, 2),
    "administrator_policy_attached": (1, 2),
    "cloudtrail_config_changes": (5, 13),
    "console_password_set": (2, 2),
    "console_signin_without_mfa": (1, 1),
    "iam_policy_changes": (7, 26),
    "network_gateway_changes": (5, 15),
    "logging_stopped_or_narrowed": (2, 2),
    "organizations_changes": (1, 1),
    "route_table_changes": (6, 40),
    "s3_bucket_policy_changes": (5, 6),
    "security_group_changes": (1, 8),
    "trust_policy_changed": (2, 2),
    "unauthorized_api_calls": (4, 60),
    "users_and_groups_changed": (2, 8),
    "vpc_changes": (5, 16),
}
"""The shipped rules that send alerts: how many, and the events in them. The events were counted
by name and by error code in the files themselves."""


@pytest.fixture(scope="module")
def logs(reference: Path) -> Path:
    return reference / "data" / "real-logs" / "CloudTrail"


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return RuleSet.load(shipped_rules() / "cis" / "iam_policy_changes.yml")


@pytest.fixture(scope="module")
def once(logs: Path, rules: RuleSet) -> Replay:
    return replay(rules, [logs], Settings())


def verdicts(result: Replay) -> set[tuple[str, int]]:
    return {(alert.id, alert.count) for alert in result.alerts}


def test_a_replay_finds_the_known_matches_and_alerts(once: Replay) -> None:
    assert once.accounting.as_json() == {
        "in": 2900,
        "matched": 26,
        "unmatched": 2874,
        "duplicate": 0,
        "skipped": 0,
        "rejected": 0,
    }
    assert sorted((alert.count for alert in once.alerts), reverse=True) == COUNTS
    assert {alert.group["recipientAccountId"] for alert in once.alerts} == {"123837392027"}


def test_the_shipped_packs_find_what_the_attacks_left_behind(logs: Path, once: Replay) -> None:
    shipped = RuleSet.load(shipped_rules())
    result = replay(shipped, [logs], Settings())
    assert result.accounting.as_json() == {
        "in": 2900,
        "matched": 263,
        "unmatched": 2637,
        "duplicate": 0,
        "skipped": 0,
        "rejected": 0,
    }
    found: defaultdict[str, list[int]] = defaultdict(list)
    for alert in result.alerts:
        rule = shipped.rules[alert.rule_id]
        if rule.notifies:
            found[Path(rule.path).stem].append(alert.count)
    assert {name: (len(counts), sum(counts)) for name, counts in found.items()} == SHIPPED
    # Other rules beside it change nothing of what a rule finds.
    assert verdicts(once) <= verdicts(result)


def test_the_same_files_twice_give_the_same_alerts(
    logs: Path, rules: RuleSet, once: Replay, tmp_path: Path
) -> None:
    for copy in ("a", "b"):
        shutil.copytree(logs, tmp_path / copy)
    twice = replay(rules, [tmp_path / "a", tmp_path / "b"], Settings())
    assert twice.accounting.duplicate == 26
    assert twice.accounting.matched == 26
    assert verdicts(twice) == verdicts(once)


def test_the_files_in_any_order_give_the_same_alerts(
    logs: Path, rules: RuleSet, once: Replay
) -> None:
    paths = sorted(logs.glob("*.json"))
    for seed in range(5):
        random.Random(seed).shuffle(paths)  # noqa: S311
        assert verdicts(replay(rules, paths, Settings())) == verdicts(once)


def test_files_that_come_together_give_the_same_alerts(
    logs: Path, rules: RuleSet, once: Replay
) -> None:
    payloads = [read_payload(path, 1 << 27) for path in logs.glob("*.json")]
    with SQLiteStore.in_memory() as store:
        Pipeline(rules, store, Settings()).process([Delivery("all", payloads, 0.0)], now=0.0)
        assert {(alert.id, alert.count) for alert in current_alerts(store)} == verdicts(once)
