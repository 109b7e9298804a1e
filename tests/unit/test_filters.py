"""Filter documents: exceptions from rules that somebody else wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.counting.current import current_alerts
from detector.pipeline import Pipeline, Settings
from detector.rules.loader import LoadedRules, load_rules
from detector.rules.ruleset import RuleSet
from detector.state.sqlite import SQLiteStore
from tests.records import NOON, delivery, record
from tests.rules import rule_text
from tests.unit.test_correlation_files import correlation, detection
from tests.unit.verdict import tree_holds

CLOUDTRAIL = {"product": "aws", "service": "cloudtrail"}
BOT: dict[str, Any] = {"userIdentity": {"arn": "arn:bot"}}


def exception(*rules: str, **fields: Any) -> dict[str, Any]:
    """Return a filter that excepts a bot; `fields` replace or add to its parts, `...` removes."""
    document = {
        "title": "The bot may",
        "logsource": CLOUDTRAIL,
        "filter": {
            "rules": list(rules),
            "selection": {"userIdentity.arn|startswith": "arn:bot"},
            "condition": "selection",
        },
        **fields,
    }
    return {key: value for key, value in document.items() if value is not ...}


def load(folder: Path, *documents: Mapping[str, Any]) -> LoadedRules:
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return load_rules([path])


def ids(loaded: LoadedRules, event: Mapping[str, Any]) -> list[str]:
    assert loaded.errors == []
    for rule in loaded.rules:
        tree_holds(rule.tree, event)
    return RuleSet(loaded.rules).match(event)


def test_an_exception_is_made_from_the_rules_named_by_id_and_by_name(tmp_path: Path) -> None:
    rules = [detection("a"), detection("b", name="second"), detection("c")]
    same = {"detection": {"selection": {"eventName": "x"}, "condition": "selection"}}
    loaded = load(tmp_path, *({**rule, **same} for rule in rules), exception("a", "second"))
    assert ids(loaded, {"eventName": "x"}) == ["a", "b", "c"]
    assert ids(loaded, {"eventName": "x", **BOT}) == ["c"]
    (found,) = loaded.filters
    assert found.file.title == "The bot may"
    assert found.path == str(tmp_path / "rules.yml")


def test_any_stands_for_every_rule(tmp_path: Path) -> None:
    anybody = {**exception(), "filter": {**exception()["filter"], "rules": "any"}}
    loaded = load(tmp_path, detection("a"), detection("b"), anybody)
    assert ids(loaded, {"eventName": "a"}) == ["a"]
    assert ids(loaded, {"eventName": "a", **BOT}) == []
    assert ids(loaded, {"eventName": "b", **BOT}) == []


def test_a_filter_may_stand_before_its_rules_and_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(yaml.safe_dump(exception("x")))
    (tmp_path / "b.yml").write_text(yaml.safe_dump(detection("x")))
    assert ids(load_rules([tmp_path]), {"eventName": "x", **BOT}) == []


def test_a_filter_excepts_from_a_filter_pattern_too(tmp_path: Path) -> None:
    pattern = yaml.safe_load(rule_text(id="p"))
    loaded = load(tmp_path, pattern, exception("p"))
    assert ids(loaded, record("PutUserPolicy")) == ["p"]
    assert ids(loaded, record("PutUserPolicy", **BOT)) == []


def test_several_exceptions_add_up(tmp_path: Path) -> None:
    other = exception("a", title="And the robot")
    other["filter"] = {**other["filter"], "selection": {"userAgent": "robot"}}
    loaded = load(tmp_path, detection("a"), exception("a"), other, exception("b"))
    assert ids(loaded, {"eventName": "a"}) == ["a"]
    assert ids(loaded, {"eventName": "a", **BOT}) == []
    assert ids(loaded, {"eventName": "a", "userAgent": "robot"}) == []
    assert ids(loaded, {"eventName": "a", "userAgent": "human"}) == ["a"]


def test_a_filter_may_have_several_searches_and_a_condition_of_them(tmp_path: Path) -> None:
    section = {
        "rules": ["a"],
        "selection": {"userAgent": "robot"},
        "selection_two": {"userAgent": "bot"},
        "human": {"additionalEventData.MFAUsed": "Yes"},
        "condition": "1 of selection* and not human",
    }
    loaded = load(tmp_path, detection("a"), exception(filter=section))
    assert ids(loaded, {"eventName": "a", "userAgent": "bot"}) == []
    person = {"eventName": "a", "userAgent": "bot", "additionalEventData": {"MFAUsed": "Yes"}}
    assert ids(loaded, person) == ["a"]


def test_a_filter_may_name_placeholders(tmp_path: Path) -> None:
    section = {
        "rules": ["a"],
        "selection": {"userIdentity.arn|expand": "%robots%"},
        "condition": "selection",
    }
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump_all([detection("a"), exception(filter=section)]))
    loaded = load_rules([path], {"robots": ["arn:r*"]})
    assert ids(loaded, {"eventName": "a", "userIdentity": {"arn": "arn:r2"}}) == []
    assert ids(loaded, {"eventName": "a", **BOT}) == ["a"]


@pytest.mark.parametrize(
    ("of_filter", "of_rule", "expected"),
    [
        (CLOUDTRAIL, CLOUDTRAIL, True),
        ({"product": "aws"}, CLOUDTRAIL, True),
        ({"service": "cloudtrail"}, CLOUDTRAIL, True),
        ({}, CLOUDTRAIL, True),
        (..., CLOUDTRAIL, True),
        (CLOUDTRAIL, {"product": "aws"}, False),
        ({"product": "aws"}, {"product": "aws"}, True),
        ({"product": "aws", "service": "s3"}, CLOUDTRAIL, False),
        ({"product": "windows"}, CLOUDTRAIL, False),
        ({"category": "process_creation"}, CLOUDTRAIL, False),
        ({**CLOUDTRAIL, "definition": "words"}, CLOUDTRAIL, True),
    ],
)
def test_a_filter_is_about_rules_for_logs_among_its_own(
    tmp_path: Path, of_filter: Any, of_rule: Any, expected: bool
) -> None:
    loaded = load(tmp_path, detection("a", logsource=of_rule), exception("a", logsource=of_filter))
    assert (ids(loaded, {"eventName": "a", **BOT}) == []) is expected
    assert ids(loaded, {"eventName": "a"}) == ["a"]


def test_a_filter_of_nobodys_rule_changes_nothing(tmp_path: Path) -> None:
    loaded = load(tmp_path, detection("a"), exception("nobody"))
    assert ids(loaded, {"eventName": "a", **BOT}) == ["a"]
    assert len(loaded.filters) == 1


def test_an_empty_list_of_rules_is_not_every_rule(tmp_path: Path) -> None:
    # The schema asks for one rule at least; whoever takes the last one out means none.
    loaded = load(tmp_path, detection("a"), exception())
    assert loaded.errors != [] or ids(loaded, {"eventName": "a", **BOT}) == ["a"]


# Exceptions that end.


@pytest.mark.parametrize(
    ("event_time", "excepted"),
    [
        ("2026-09-15T23:59:59Z", True),
        ("2026-09-16T00:00:00Z", False),
        ("2026-09-16T12:00:00Z", False),
        ("2026-09-16T00:59:59+01:00", True),
        ("not a time", False),
        ("", False),
        (None, False),
        (..., False),
        (1_789_000_000, False),
    ],
)
def test_an_exception_ends_by_the_time_of_the_event(
    tmp_path: Path, event_time: Any, excepted: bool
) -> None:
    loaded = load(tmp_path, detection("a"), exception("a", expires="2026-09-16", reason="TICKET-1"))
    event = {"eventName": "a", "eventTime": event_time, **BOT}
    event = {key: value for key, value in event.items() if value is not ...}
    assert (ids(loaded, event) == []) is excepted
    assert ids(
        loaded, {"eventName": "a", "eventTime": event_time if event_time is not ... else 0}
    ) == ["a"]


def test_an_event_from_before_the_end_is_excepted_however_late_it_comes_in(tmp_path: Path) -> None:
    # Noon of the 16th is the records' time 0; the exception holds until midnight after it.
    loaded = load(tmp_path, detection("a"), exception("a", expires="2026-09-17"))
    rules = RuleSet(loaded.rules)
    before = record("a", at=12 * 3600 - 1, **BOT)
    after = record("a", at=12 * 3600, **BOT)
    with SQLiteStore.in_memory() as store:
        pipeline = Pipeline(rules, store, Settings())
        week = 7 * 86_400
        pipeline.process([delivery(before, after, delivered_at=NOON + week)], now=NOON + week)
        assert [alert.count for alert in current_alerts(store)] == [1]


def test_a_filter_says_why_and_for_how_long(tmp_path: Path) -> None:
    loaded = load(tmp_path, detection("a"), exception("a", expires="2026-12-31", reason="TICKET-1"))
    (found,) = loaded.filters
    assert (found.file.reason, found.file.expires) == ("TICKET-1", "2026-12-31")
    assert found.file.expiry == 1_798_675_200
    (endless,) = load(tmp_path, detection("a"), exception("a")).filters
    assert (endless.file.reason, endless.file.expires, endless.file.expiry) == ("", None, None)


def section(**changes: Any) -> dict[str, Any]:
    parts = {**exception("a")["filter"], **changes}
    return {key: value for key, value in parts.items() if value is not ...}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"title": ...}, "title is missing"),
        ({"title": " "}, "title is empty"),
        ({"expires": "tomorrow"}, "expires is a day, as 2026-12-31"),
        ({"expires": "2026-02-30"}, "expires is a day"),
        ({"expires": "2026-09-16T00:00:00Z"}, "expires is a day"),
        ({"expires": 20261231}, "expires must be a string"),
        ({"reason": 7}, "reason must be a string"),
        ({"level": "high"}, "unknown key level"),
        ({"status": "stable"}, "unknown key status"),
        ({"expire": "2026-12-31"}, "unknown key expire; did you mean expires?"),
        ({"filter": []}, "filter must be a mapping"),
        ({"filter": section(rules=...)}, "filter.rules is a list of rules' ids or names, or any"),
        ({"filter": section(rules="a")}, "filter.rules is a list"),
        ({"filter": section(rules=[7])}, "filter.rules is a list"),
        ({"filter": section(rules={"a": 1})}, "filter.rules is a list"),
        ({"filter": section(condition=...)}, "the detection has no condition"),
        ({"filter": section(condition="nobody")}, "Detection 'nobody' not defined"),
        ({"filter": section(condition="selection and")}, "the condition cannot be read"),
        ({"filter": section(condition="selection | count() > 5")}, "aggregation"),
        ({"filter": section(selection=...)}, ""),
        ({"filter": section(selection={"a|contians": "x"})}, "Unknown modifier 'contians'"),
        ({"filter": section(selection={"a|re": "(?=x)"})}, "regular expression"),
        ({"filter": section(selection={"a|expand": "%x%"})}, "the placeholder %x% has no values"),
        ({"filter": section(timeframe="5m")}, "timeframe belongs to an aggregation"),
    ],
)
def test_a_mistake_in_a_filter_is_named_with_its_place_and_excepts_nothing(
    tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    loaded = load(tmp_path, detection("a"), exception("a", **fields))
    (error,) = loaded.errors
    assert error.place is not None
    assert error.place.line > 10
    assert says.lower() in str(error).lower()
    assert loaded.filters == []
    assert RuleSet(loaded.rules).match({"eventName": "a", **BOT}) == ["a"]


def test_a_filter_leaves_a_rules_own_file_and_windows_alone(tmp_path: Path) -> None:
    rule = {**detection("a"), "window": {"threshold": 3, "group_by": ["awsRegion"]}}
    (plain,) = load(tmp_path, rule).rules
    (excepted,) = load(tmp_path, rule, exception("a")).rules
    assert excepted.file == plain.file
    assert excepted.group_by == plain.group_by
    assert excepted.tree != plain.tree


def test_an_exception_from_a_rule_is_one_from_its_correlations_too(tmp_path: Path) -> None:
    loaded = load(tmp_path, correlation("c", "a"), detection("a"), exception("a"))
    assert loaded.errors == []
    assert ids(loaded, {"eventName": "a", **BOT}) == []


def test_a_rule_may_have_a_thousand_exceptions(tmp_path: Path) -> None:
    many = []
    for number in range(1000):
        item = exception("a", title=f"Number {number}")
        item["filter"] = {**item["filter"], "selection": {"userAgent": f"agent{number}"}}
        many.append(item)
    loaded = load(tmp_path, detection("a"), *many)
    assert loaded.errors == []
    rules = RuleSet(loaded.rules)
    assert rules.match({"eventName": "a", "userAgent": "agent999"}) == []
    assert rules.match({"eventName": "a", "userAgent": "agent1000"}) == ["a"]
