"""SigmaHQ's CloudTrail rules over all events that we have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detector.envelopes.log_file import LogFile
from detector.rules.loader import LoadedRules, load_rules
from detector.rules.oracle import holds
from detector.rules.ruleset import RuleSet
from detector.rules.values import record_text
from tests.records import log_file

pytestmark = pytest.mark.conformance

RULES = 57
EVENTS = 3462
MATCHED_AT_LEAST_ONCE = 30
"""Of the rules, by any of the events; measured. The other rules' events are not among ours."""


@pytest.fixture(scope="module")
def loaded(reference: Path) -> LoadedRules:
    return load_rules([reference / "data" / "sigma" / "rules"])


@pytest.fixture(scope="module")
def events(reference: Path) -> list[dict[str, Any]]:
    data = reference / "data"
    found: list[Any] = []
    for path in sorted((data / "real-logs" / "CloudTrail").glob("*.json")):
        found += json.loads(path.read_bytes())["Records"]
    found += lines(data / "single-events" / "events.jsonl")
    found += [item["log"] for item in lines(data / "rule-verdicts.jsonl")]
    found += map(record_of, lines(data / "filter-pattern-cases.jsonl"))
    return [event for event in found if isinstance(event, dict)]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def record_of(case: dict[str, Any]) -> object:
    try:
        return json.loads(case["message"] or "null")
    except ValueError:
        return None


def test_all_of_sigmahqs_rules_load(loaded: LoadedRules) -> None:
    assert loaded.errors == []
    assert loaded.foreign == []
    assert len(loaded.rules) == RULES
    assert {rule.file.logsource.service for rule in loaded.rules} == {"cloudtrail"}


def test_the_engine_says_of_every_event_what_the_oracle_says(
    loaded: LoadedRules, events: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(events) == EVENTS
    rules = RuleSet(loaded.rules)
    expected = [
        [rule.id for rule in loaded.rules if holds(rule.tree, event, record_text(event))]
        for event in events
    ]
    assert [rules.match(event) for event in events] == expected
    # Twice, for what has been learnt of the first batch may change how the second is read.
    batch = LogFile(log_file(*events))
    for _ in range(2):
        found = rules.match_batch(batch)
        assert (found.not_records, found.unreadable) == ([], {})
        by_batch = [[rule.id for rule in found.matched.get(i, ())] for i in range(EVENTS)]
        assert by_batch == expected
    matched = {identity for ids in expected for identity in ids}
    titles = sorted(rule.file.title for rule in loaded.rules if rule.id in matched)
    with capsys.disabled():
        print(f"\n{len(titles)} of {RULES} Sigma rules matched {sum(map(bool, expected))} events")  # noqa: T201
    assert len(matched) >= MATCHED_AT_LEAST_ONCE, titles


def test_each_rule_alone_says_what_it_says_among_others(
    loaded: LoadedRules, events: list[dict[str, Any]]
) -> None:
    together = RuleSet(loaded.rules)
    some = events[::25]
    expected = [set(together.match(event)) for event in some]
    for rule in loaded.rules:
        alone = RuleSet([rule])
        assert [alone.match(event) == [rule.id] for event in some] == [
            rule.id in ids for ids in expected
        ]


def test_an_unsupported_rule_is_refused_with_its_reason(reference: Path) -> None:
    folder = reference / "data" / "sigma" / "unsupported"
    loaded = load_rules([folder])
    assert (loaded.rules, loaded.foreign) == ([], [])
    assert len(loaded.errors) == len(list(folder.rglob("*.yml"))) == 9
    for error in loaded.errors:
        assert error.place is not None
        assert error.place.line > 0
        assert "aggregation" in error.message
        assert error.remedy is not None
        assert "write a correlation" in error.remedy


def test_a_rule_with_placeholders_asks_for_their_values_and_works_with_them(
    reference: Path,
) -> None:
    folder = reference / "data" / "sigma" / "rules-placeholder"
    (error,) = load_rules([folder]).errors
    assert error.place is not None
    assert "the placeholder %Legitimate_Countries% has no values" in str(error)
    assert error.remedy == "list them in the placeholder file"
    values = {"Legitimate_Countries": ["CH", "DE"], "Legitimate_IP_Ranges": ["10.*"]}
    loaded = load_rules([folder], values)
    assert loaded.errors == []
    rules = RuleSet(loaded.rules)
    login = {"eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Success"}}
    assert len(rules.match(login)) == 1
    assert rules.match({**login, "src_country": "ch"}) == []
    assert rules.match({**login, "src_ip": "10.1.2.3"}) == []
    assert len(rules.match({**login, "src_country": "FR", "src_ip": "11.1.2.3"})) == 1
