"""The linter: each code where it must speak and where it must not; its fixes change no meaning."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detector.document import parse_all
from detector.errors import Edit, Place, RuleError
from detector.rules.finding import Code, Finding
from detector.rules.lint import apply_fixes, lint
from detector.rules.lint.implication import contradicts, implies
from detector.rules.loader import LoadedRules, load_rules, rule_of
from detector.rules.oracle import holds
from detector.rules.syntax import (
    And,
    Condition,
    Equal,
    Exists,
    FieldsAlike,
    Glob,
    InNetwork,
    InText,
    IsBoolean,
    IsNull,
    Like,
    Literal_,
    Matches,
    Node,
    Not,
    NotEqual,
    NotExists,
    NullOrMissing,
    Number,
    NumberLike,
    Or,
    Order,
    Ordered,
    Regex,
    Selector,
    Test,
    Wild,
    Wildcard,
    star_glob,
)
from tests.rules import rule, rule_of_tree, rule_text

TESTED = [
    {"name": "one that it finds", "fires": True, "event": {}},
    {"name": "one that it does not find", "fires": False, "event": {}},
]


def of_rule(**fields: Any) -> list[Finding]:
    """Return the findings of one rule, which has tests unless `fields` say otherwise."""
    return lint(LoadedRules(rules=[rule(**{"tests": TESTED, **fields})]))


def of_sigma(condition: str, **searches: Any) -> list[Finding]:
    """Return the findings of a rule with a Sigma detection."""
    return of_rule(pattern=..., detection={**searches, "condition": condition})


def of_text(text: str) -> list[Finding]:
    """Return the findings of the rules in a file of this text, but for the lack of tests."""
    documents = parse_all(text, "rule.yml", RuleError)
    found = lint(LoadedRules(rules=[rule_of(document) for document in documents]))
    return [item for item in found if item.code != "untested"]


def of_files(folder: Path, *texts: str) -> list[Finding]:
    """Return the findings of files, but for the lack of tests."""
    for number, text in enumerate(texts):
        (folder / f"{number}.yml").write_text(text)
    loaded = load_rules([folder])
    assert loaded.errors == []
    return [item for item in lint(loaded) if item.code != "untested"]


def codes(pattern: str) -> list[str]:
    """Return the codes of what is found in a filter pattern."""
    return [item.code for item in of_rule(pattern=pattern)]


def only(findings: Sequence[Finding], code: Code) -> Finding:
    (finding,) = findings
    assert finding.code == code
    return finding


def test_a_rule_without_faults_has_no_findings() -> None:
    assert of_rule() == []


def test_findings_are_ordered_by_place(tmp_path: Path) -> None:
    pattern = '{ $.eventName = "Nothing1" || $.errorCode != "x" }'
    found = of_files(tmp_path, *(rule_text(id=f"r{n}", pattern=pattern) for n in range(3)))
    places = [(item.place.path, item.place.line, item.place.column) for item in found]
    assert places == sorted(places)
    assert len({item.place.path for item in found}) == 3


# negated-optional-field


@pytest.mark.parametrize(
    "field",
    [
        "errorCode",
        "errorMessage",
        "vpcEndpointId",
        "eventType",
        "userIdentity.userName",
        "userIdentity.invokedBy",
        "userIdentity.sessionContext.attributes.mfaAuthenticated",
        "additionalEventData.MFAUsed",
        "requestParameters.list[0]",
    ],
)
def test_a_negation_on_a_field_that_may_be_missing_is_found(field: str) -> None:
    finding = only(of_rule(pattern=f"{{ $.{field} != x }}"), "negated-optional-field")
    assert f'( $.{field} NOT EXISTS || $.{field} != "x" )' in str(finding)
    assert finding.fix is None  # it would change what the rule matches


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.eventName != "HeadBucket" && $.sourceIPAddress != "x" }',
        '{ $.userIdentity.type != "Root" }',
        '{ $.errorCode NOT EXISTS || $.errorCode != "x" }',
        '{ ($.errorCode != "x" && $.errorCode != "y") || $.errorCode NOT EXISTS }',
        '{ $.errorCode = "Access*" && $.errorCode != "AccessDenied" }',
        '{ ($.errorCode = "A*" || $.errorCode = "B*") && $.errorCode != "AB" }',
    ],
)
def test_a_negation_whose_missing_field_is_provided_for_is_not_found(pattern: str) -> None:
    assert codes(pattern) == []


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.errorMessage NOT EXISTS || $.errorCode != "x" }',
        '{ ($.errorCode NOT EXISTS && $.awsRegion = "x") || $.errorCode != "x" }',
        '{ ($.errorCode = "A" || $.awsRegion = "x") && $.errorCode != "AB" }',
    ],
)
def test_what_provides_for_a_missing_field_must_be_about_it(pattern: str) -> None:
    assert "negated-optional-field" in codes(pattern)


def test_a_negation_in_sigma_matches_a_missing_field() -> None:
    found = of_sigma("one and not two", one={"awsRegion": "x"}, two={"errorCode": "y"})
    assert found == []


# always-true-or


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.awsRegion != "x" || $.awsRegion != "y" }',
        '{ $.userAgent = "z" || ($.awsRegion != "x" || $.awsRegion != "y") }',
        '{ $.readOnly IS TRUE && ($.awsRegion != "x*" || $.awsRegion != "y*") }',
        '{ $.sourceIPAddress != "x" || $.eventName != "HeadBucket" }',
        '{ $.sourceIPAddress != "x" || ($.userAgent != "y" && $.eventSource != "z") }',
        '{ $.errorCode NOT EXISTS || $.errorCode != "x" || $.errorCode != "y" }',
    ],
)
def test_negations_of_which_one_always_holds_are_found(pattern: str) -> None:
    assert codes(pattern) == ["always-true-or"]


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.awsRegion != "x" && $.awsRegion != "y" }',
        '{ $.awsRegion != "x*" || $.awsRegion = "xy" }',
        '{ $.eventName != "HeadBucket" || $.readOnly IS TRUE }',
        '{ ($.awsRegion != "x" && $.readOnly IS TRUE) || ($.awsRegion != "y" && $.a = "b") }',
        '{ $.awsRegion != "*" || $.userAgent != "*" }',
    ],
)
def test_negations_that_say_something_are_not_always_true(pattern: str) -> None:
    assert codes(pattern) == []


def test_negations_joined_with_or_are_found_at_the_condition_of_a_detection() -> None:
    text = (
        "title: x\ndetection:\n  one: {awsRegion: x}\n  two: {userAgent: y}\n"
        "  condition: not one or not two\n"
    )
    finding = only(of_text(text), "always-true-or")
    assert finding.place == Place("rule.yml", 5, 14)


@pytest.mark.parametrize(
    ("condition", "searches"),
    [
        ("not (one or two)", {"one": {"awsRegion": "x"}, "two": {"userAgent": "y"}}),
        ("not (not one or not two)", {"one": {"awsRegion": "x"}, "two": {"userAgent": "y"}}),
        ("one or not two", {"one": {"awsRegion": "x"}, "two": {"userAgent": "y"}}),
        ("not one or not two", {"one": {"errorCode": None}, "two": {"vpcEndpointId|exists": True}}),
        ("not one or not two", {"one": {"awsRegion": "*"}, "two": {"userAgent": "y"}}),
    ],
)
def test_other_negations_of_sigma_say_something(condition: str, searches: Any) -> None:
    assert of_sigma(condition, **searches) == []


# mixed-operators

MIXED = '{ $.awsRegion = "x" || $.awsRegion = "y" && $.readOnly IS TRUE }'
MIXED_FIXED = '{ $.awsRegion = "x" || ($.awsRegion = "y" && $.readOnly IS TRUE) }'


def test_operators_mixed_without_parentheses_are_found_where_they_mix() -> None:
    text = f"title: x\nlevel: low\npattern: '{MIXED}'\n"
    finding = only(of_text(text), "mixed-operators")
    assert finding.place == Place("rule.yml", 3, 11 + MIXED.index("||"))
    assert apply_fixes(text, [finding]) == text.replace(MIXED, MIXED_FIXED)


@pytest.mark.parametrize(
    "pattern",
    [
        MIXED_FIXED,
        '{ $.awsRegion = "x" || $.awsRegion = "y && z" }',
        "ERROR",
        '[w1 = "a" || w1 = "b" && w1 = "c*", w2]',
    ],
)
def test_parentheses_and_one_operator_alone_are_fine(pattern: str) -> None:
    assert codes(pattern) == []


@pytest.mark.parametrize(
    ("written", "fixed"),
    [
        ("$.a=1&&$.b=2||$.c=3", "($.a=1&&$.b=2)||$.c=3"),
        ("$.a=1 || $.b=2&&$.c=3 || $.d=4", "$.a=1 || ($.b=2&&$.c=3) || $.d=4"),
        ("($.a=1 || $.b=2 && $.c=3) && $.d=4", "($.a=1 || ($.b=2 && $.c=3)) && $.d=4"),
        ("$.a=1 && ($.b=2 || $.c=3) || $.d=4", "($.a=1 && ($.b=2 || $.c=3)) || $.d=4"),
        ("$.a=$.b && $.c[0][*]=%a|b% || $.d=x", "($.a=$.b && $.c[0][*]=%a|b%) || $.d=x"),
        ('$.a="|| $.b=(" && $.["&&"]=1 || $.d=x', '($.a="|| $.b=(" && $.["&&"]=1) || $.d=x'),
        (
            "$.a IS  NULL && $.b NOT  EXISTS || $.c>=4",
            "($.a IS  NULL && $.b NOT  EXISTS) || $.c>=4",
        ),
    ],
)
def test_the_fix_writes_the_parentheses_that_precedence_implies(written: str, fixed: str) -> None:
    text = f"title: x\npattern: '{{ {written} }}'\n"
    found = [item for item in of_text(text) if item.code == "mixed-operators"]
    assert apply_fixes(text, found) == text.replace(written, fixed)


@pytest.mark.parametrize(
    "text",
    [
        f"title: x\npattern: |\n  {MIXED}\n",
        f"title: x\npattern: >-\n  {MIXED}\n",
        f"title: x\npattern: &anchor '{MIXED}'\n",
        "title: x\npattern: '{}'\n".format(MIXED.replace("readOnly", "[''a b'']")),
        "title: x\npattern: '{}'\n".format(MIXED.replace(" || ", "\n   || ")),
    ],
)
def test_a_pattern_that_is_not_written_as_it_reads_is_found_and_not_fixed(text: str) -> None:
    finding = only(of_text(text), "mixed-operators")
    assert finding.place.line > 1
    assert finding.fix is None


def test_a_pattern_that_parentheses_would_make_too_long_is_not_fixed() -> None:
    longest = MIXED.replace('"x"', '"' + "x" * (1024 - len(MIXED) + 1) + '"')
    assert only(of_text(f"title: x\npattern: '{longest}'\n"), "mixed-operators").fix is None


def test_fixes_reach_every_document_of_a_file() -> None:
    text = "---\n".join(f"title: {n} ✓\npattern: '{MIXED}'\nlevel: {n}\n" for n in ("low", "high"))
    found = [item for item in of_text(text) if item.code == "mixed-operators"]
    assert apply_fixes(text, found) == text.replace(MIXED, MIXED_FIXED)


def test_fixes_count_every_character_of_the_file() -> None:
    text = f"title: 𝄞 é\r\nlevel: low\r\npattern: '{MIXED}'\r\n"
    finding = only(of_text(text), "mixed-operators")
    assert finding.place.line == 3
    assert apply_fixes(text, [finding]) == text.replace(MIXED, MIXED_FIXED)


# unknown-event-name


def test_an_event_name_that_no_service_has_is_found_at_its_condition() -> None:
    text = (
        "title: x\npattern: '{ $.eventName = \"PutUserPolicy\" || $.eventName = PutUserPolcy }'\n"
    )
    finding = only(of_text(text), "unknown-event-name")
    assert finding.place == Place(
        "rule.yml", 2, text.splitlines()[1].index("$.eventName = PutUserPolcy") + 1
    )
    assert "not in the catalogue" in finding.message
    assert finding.remedy == "did you mean PutUserPolicy?"


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        (
            "{ $.eventSource = iam.amazonaws.com && $.eventName = StopLogging }",
            "StopLogging is an event of cloudtrail.amazonaws.com",
        ),
        (
            "{ $.eventSource = s3.amazonaws.com && $.eventName = PutBucketLifecycleConfiguration }",
            "did you mean PutBucketLifecycle?",
        ),
        (
            "{ $.eventSource = iam.amazonaw.com && $.eventName = PutUserPolicy }",
            "PutUserPolicy is an event of iam.amazonaws.com",
        ),
        ("{ $.eventName != HeadBuckt }", "did you mean HeadBucket?"),
        (
            "{ $.eventName = NothingLikeIt }",
            "check its spelling; the catalogue does not hold every event",
        ),
    ],
)
def test_a_name_is_looked_for_among_those_of_the_source_beside_it(
    pattern: str, remedy: str
) -> None:
    assert only(of_rule(pattern=pattern), "unknown-event-name").remedy == remedy


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.eventSource != iam.amazonaws.com && $.eventName = StopLogging }",
        "{ $.eventSource = s3.amazonaws.com && ($.eventName = PutBucketAcl || $.eventName = x*) }",
        "{ ($.eventSource = a.b || $.eventSource = iam*) && $.eventName = PutUserPolicy }",
        "{ $.eventSource != s3.amazonaws.com && $.eventName = PutUserPolicy }",
        "{ $.requestParameters.eventName = Anything }",
        "{ $.eventName = %Nothing% }",
    ],
)
def test_a_known_name_or_no_exact_one_is_fine(pattern: str) -> None:
    assert codes(pattern) == []


def test_sigma_knows_a_name_in_any_case() -> None:
    assert of_sigma("one", one={"eventName": "putuserpolicy"}) == []
    found = of_sigma("one", one={"eventName": ["putuserpolicy", "PutUserPolcy"]})
    assert only(found, "unknown-event-name").remedy == "did you mean PutUserPolicy?"


def test_a_name_in_sigma_is_found_at_its_value() -> None:
    text = (
        "title: x\ndetection:\n  one:\n    eventName:\n      - PutUserPolicy\n      - Nothing1\n"
        "  condition: one\n"
    )
    assert only(of_text(text), "unknown-event-name").place == Place("rule.yml", 6, 9)


def test_a_pack_of_unheard_of_names_is_linted_without_a_search_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("detector.rules.lint.names.MAX_SUGGESTIONS", 1)
    names = ["PutUserPolcy", "PutRolePolcy"]
    found = of_rule(pattern="{ " + " || ".join(f"$.eventName = {name}" for name in names) + " }")
    assert [(item.remedy or "").startswith("did you mean") for item in found] == [True, False]
    # Whether a name is known in another case is not known any more: better silent than wrong.
    assert len(of_sigma("one", one={"eventName": [*names, "putuserpolicy"]})) == 1


# shared-event-name


def test_a_name_that_services_share_is_found_with_some_of_them() -> None:
    finding = only(of_rule(pattern="{ $.eventName = DeletePolicy }"), "shared-event-name")
    assert "iam.amazonaws.com" in finding.message
    assert finding.message.count(".amazonaws.com") == 5
    assert finding.message.endswith("more")


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.eventSource = iam.amazonaws.com && $.eventName = DeletePolicy }",
        "{ $.eventSource = iam* && ($.eventName = DeletePolicy || $.eventName = CreatePolicy) }",
        "{ $.eventName = PutUserPolicy }",
        "{ $.eventName != DeletePolicy }",
        "{ $.eventName = *Policy }",
    ],
)
def test_a_name_beside_its_source_or_of_one_service_is_fine(pattern: str) -> None:
    assert codes(pattern) == []


def test_a_source_in_another_arm_is_not_beside_a_name() -> None:
    pattern = "{ $.eventSource = iam.amazonaws.com || $.eventName = DeletePolicy }"
    assert codes(pattern) == ["shared-event-name"]


# unquoted-account-id

ACCOUNT_PATTERN = "{ $.recipientAccountId = 012345678901 }"


@pytest.mark.parametrize(("quote", "fixed"), [("'", '"012345678901"'), ('"', '\\"012345678901\\"')])
def test_an_account_id_without_quotes_is_found_and_quoted(quote: str, fixed: str) -> None:
    text = f"title: x\npattern: {quote}{ACCOUNT_PATTERN}{quote}\n"
    finding = only(of_text(text), "unquoted-account-id")
    assert finding.place == Place("rule.yml", 2, text.splitlines()[1].index("0123") + 1)
    whole = apply_fixes(text, [finding])
    assert whole == text.replace("012345678901", fixed)
    (document,) = parse_all(whole, "rule.yml", RuleError)
    assert rule_of(document).tree == Condition(
        Selector(("recipientAccountId",)), Equal(Glob(("012345678901",)))
    )
    assert of_text(whole) == []


@pytest.mark.parametrize(
    "field", ["userIdentity.accountId", "resources[0].accountId", "a.bAccountId"]
)
def test_any_account_id_is_meant(field: str) -> None:
    assert codes(f"{{ $.{field} = 123456789012 }}") == ["unquoted-account-id"]


@pytest.mark.parametrize(
    "pattern",
    [
        '{ $.recipientAccountId = "012345678901" }',
        "{ $.recipientAccountId = 12345678901 }",
        "{ $.recipientAccountId = 1234567890.1 }",
        "{ $.requestParameters.size = 123456789012 }",
        "{ $.recipientAccountId > 123456789012 }",
    ],
)
def test_another_number_is_no_account_id(pattern: str) -> None:
    assert codes(pattern) == []


# negated-wildcard


def test_a_negated_wildcard_selector_is_found_once() -> None:
    pattern = '{ $.requestParameters.items[*].name != "x" }'
    finding = only(of_rule(pattern=pattern), "negated-wildcard")
    assert "one of the values differs" in finding.message
    assert codes(pattern.replace("!=", "=")) == []


# untested


@pytest.mark.parametrize(
    ("tests", "missing"),
    [
        ([], "no tests"),
        (TESTED[:1], "no test in which it does not fire"),
        (TESTED[1:], "no test in which it fires"),
    ],
)
def test_a_rule_without_both_kinds_of_test_is_found(tests: Any, missing: str) -> None:
    assert only(of_rule(tests=tests), "untested").message == f"the rule has {missing}"


# shadowed-rule


def shadowed(*rules: dict[str, Any]) -> list[str]:
    """Return the ids of those rules that others make needless."""
    made = [rule(**{"id": f"r{n}", "title": f"r{n}", **fields}) for n, fields in enumerate(rules)]
    found = lint(LoadedRules(rules=made))
    by_place = [item for item in found if item.code == "shadowed-rule"]
    assert all(item.place.line > 0 for item in by_place)
    return [item.message for item in by_place]


def says(other: str) -> list[str]:
    return [f"whatever this rule matches, {other} ({other}) matches too"]


WIDE = '{ $.eventName = "a" || $.eventName = "b" || $.eventName = "c*" }'


@pytest.mark.parametrize(
    "narrow",
    [
        '{ $.eventName = "a" }',
        '{ $.eventName = "b" || $.eventName = "a" }',
        '{ $.eventName = "cd" }',
        '{ $.eventName = "cd*" || $.eventName = "a" }',
        '{ $.eventName = "a" && $.awsRegion = "x" }',
        '{ ($.eventName = "a" || $.eventName = "b") && $.awsRegion = "x" }',
        '{ ($.eventName = "a" && $.awsRegion = "x") || $.eventName = "b" }',
    ],
)
def test_a_rule_that_matches_less_than_another_is_found(narrow: str) -> None:
    assert shadowed({"pattern": narrow}, {"pattern": WIDE}) == says("r1")
    assert shadowed({"pattern": WIDE}, {"pattern": narrow}) == says("r0")


@pytest.mark.parametrize(
    "other",
    [
        '{ $.eventName = "d" }',
        '{ $.eventName = "a" || $.eventName = "d" }',
        '{ $.awsRegion = "a" }',
        '{ $.eventName = "*c" }',
        '{ $.eventName = "a" || $.awsRegion = "x" }',
    ],
)
def test_a_rule_that_matches_something_else_is_not(other: str) -> None:
    assert shadowed({"pattern": other}, {"pattern": WIDE}) == []


def test_of_two_equal_rules_the_second_is_found() -> None:
    assert shadowed({"pattern": WIDE}, {"pattern": WIDE}) == says("r0")
    assert shadowed({"pattern": WIDE}, {"pattern": WIDE, "level": "high"}) == says("r1")


@pytest.mark.parametrize(
    "difference",
    [
        {"level": "high"},
        {"status": "test"},
        {"window": {"period": 60}},
        {"window": {"threshold": 2}},
        {"window": {"group_by": ["awsRegion"]}},
    ],
)
def test_a_rule_that_alerts_otherwise_is_there_for_something(difference: dict[str, Any]) -> None:
    assert shadowed({"pattern": WIDE.replace("c", "d"), **difference}, {"pattern": WIDE}) == []
    assert shadowed({"pattern": '{ $.eventName = "a" }', **difference}, {"pattern": WIDE}) == []


def test_a_filter_pattern_can_be_needless_beside_a_detection() -> None:
    detection = {"one": {"eventName": ["PutUserPolicy", "x"]}, "condition": "one"}
    assert shadowed({}, {"pattern": ..., "detection": detection}) == says("r1")
    # Not the other way round: Sigma takes putuserpolicy too.
    assert shadowed({"pattern": WIDE}, {"pattern": ..., "detection": detection}) == []


CORRELATION: dict[str, Any] = {
    "title": "c",
    "id": "c",
    "correlation": {
        "type": "event_count",
        "rules": ["r0"],
        "timespan": "5m",
        "condition": {"gte": 2},
    },
}


def correlation(**settings: Any) -> str:
    """Return a file with a correlation; `settings` replace or add to those of a good one."""
    section = {**CORRELATION["correlation"], **settings}
    kept = {key: value for key, value in section.items() if value is not ...}
    return yaml.safe_dump({**CORRELATION, "correlation": kept})


def test_a_rule_that_a_correlation_is_about_is_there_for_that(tmp_path: Path) -> None:
    rules = rule_text(id="r0"), rule_text(id="r1", pattern="{ $.eventName = Put* }")
    assert of_files(tmp_path, *rules, correlation()) == []
    found = of_files(tmp_path, *rules, rule_text(id="r2", pattern="{ $.eventName = x* }"))
    assert only(found, "shadowed-rule").place.path.endswith("0.yml")


def test_a_rule_with_exceptions_is_needless_beside_the_same_without(tmp_path: Path) -> None:
    exception = {
        "title": "f",
        "filter": {"rules": ["r0"], "one": {"awsRegion": "x"}, "condition": "one"},
    }
    rules = rule_text(id="r0"), rule_text(id="r1")
    found = of_files(tmp_path, *rules, yaml.safe_dump(exception))
    assert only(found, "shadowed-rule").place.path.endswith("0.yml")


# unreachable-threshold


def test_a_group_for_each_event_never_has_two() -> None:
    by = {"group_by": ["eventID"]}
    finding = only(of_rule(window={**by, "threshold": 2}), "unreachable-threshold")
    assert finding.place.line > 0
    assert of_rule(window=by) == []
    assert of_rule(window={"group_by": ["awsRegion"], "threshold": 100}) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"condition": {"lt": 1}},
        {"condition": {"lte": 0}},
        {"condition": {"eq": 1.5}},
        {"condition": {"gt": 5, "lte": 5}},
        {"condition": {"gt": 5, "lt": 6}},
        {"condition": {"eq": 5, "neq": 5}},
        {"condition": {"gte": 2}, "group-by": ["eventID"]},
        {"type": "temporal", "condition": {"gte": 2}},
        {"type": "temporal_ordered", "condition": {"gt": 1}},
        {"type": "temporal", "condition": {"neq": 1}},
        {"type": "temporal", "condition": {"lt": 1}},
        {"type": "value_count", "condition": {"lt": 0, "field": "awsRegion"}},
        {"type": "value_count", "condition": {"gte": 2, "field": "eventName"}},
        {"type": "value_count", "condition": {"gte": 3, "field": ["eventName", "eventName"]}},
        {
            "type": "value_count",
            "condition": {"gte": 2, "field": "awsRegion"},
            "group-by": ["awsRegion"],
        },
        {"type": "value_sum", "condition": {"gt": 5, "lt": 4, "field": "requestParameters.size"}},
        {
            "type": "value_percentile",
            "condition": {"gt": 5, "eq": 5, "field": "a", "percentile": 95},
        },
        {"type": "value_avg", "condition": {"gt": 5, "field": "a", "percentile": 95}},
        {"type": "value_percentile", "condition": {"gt": 100, "field": "a"}},
        {"type": "value_percentile", "condition": {"lt": 0, "field": "a"}},
    ],
)
def test_a_condition_that_no_count_satisfies_is_found(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    found = of_files(tmp_path, rule_text(id="r0"), correlation(**settings))
    finding = only(found, "unreachable-threshold")
    assert finding.place.path.endswith("1.yml")
    assert finding.place.line > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"condition": {"eq": 1}},
        {"condition": {"gt": 5, "lte": 6}},
        {"condition": {"gte": 5000}},
        {"condition": {"lt": 5, "neq": 2}},
        {"condition": {"gte": 1}, "group-by": ["eventID"]},
        {"type": "temporal", "condition": ...},
        {"type": "temporal", "condition": {"gte": 1}},
        {"type": "value_count", "condition": {"lt": 1, "field": "awsRegion"}},
        {"type": "value_count", "condition": {"gte": 100, "field": "awsRegion"}},
        {"type": "value_count", "condition": {"gte": 1, "field": "eventName"}},
        {"type": "value_count", "condition": {"gte": 2, "field": ["eventName", "awsRegion"]}},
        {"type": "value_sum", "condition": {"gt": 4, "lt": 4.5, "field": "requestParameters.size"}},
        {"type": "value_percentile", "condition": {"gt": 5, "field": "a", "percentile": 95}},
        {"type": "value_percentile", "condition": {"gt": 100, "field": "a", "percentile": 95}},
        {"type": "value_percentile", "condition": {"gt": 99.5, "field": "a"}},
        {"type": "value_median", "condition": {"neq": 0, "field": "a"}},
        {"type": "temporal_ordered", "condition": {"lt": 1}},
    ],
)
def test_a_condition_that_some_count_satisfies_is_fine(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert of_files(tmp_path, rule_text(id="r0"), correlation(**settings)) == []


def test_values_are_counted_over_all_rules_of_a_correlation(tmp_path: Path) -> None:
    texts = rule_text(id="r0"), rule_text(id="r1", pattern="{ $.eventName = PutRolePolicy }")
    counted = {"type": "value_count", "rules": ["r0", "r1"]}
    settings = {**counted, "condition": {"gte": 2, "field": "eventName"}}
    assert of_files(tmp_path, *texts, correlation(**settings)) == []
    settings["condition"] = {"gte": 3, "field": "eventName"}
    finding = only(of_files(tmp_path, *texts, correlation(**settings)), "unreachable-threshold")
    assert "putrolepolicy, putuserpolicy" in finding.message


# unreachable-branch


@pytest.mark.parametrize(
    "condition",
    [
        '$.awsRegion = "a" && $.awsRegion = "b"',
        '$.awsRegion = "a" && $.awsRegion != "a"',
        '$.awsRegion = "a" && $.awsRegion NOT EXISTS',
        '$.awsRegion = "a" && $.awsRegion IS NULL',
        '$.awsRegion = "a*" && $.awsRegion = "b*"',
        '$.awsRegion = "*a" && $.awsRegion = "*ab"',
        '$.awsRegion = "b" && $.awsRegion = %^a%',
        "$.readOnly IS TRUE && $.readOnly IS FALSE",
        "$.a > 5 && $.a < 5",
        "$.a >= 5 && $.a < 5",
        "$.a < 4 && $.a > 5",
        "$.a = 4 && $.a > 5",
        '($.awsRegion = "a" || $.awsRegion = "b") && $.awsRegion = "c"',
        '$.awsRegion = "a" && ($.awsRegion = "b" || $.readOnly IS TRUE)',
        '$.awsRegion = "a" && ($.readOnly IS TRUE || ($.awsRegion = "b" && $.userAgent = "x"))',
    ],
)
def test_conditions_that_contradict_each_other_are_found(condition: str) -> None:
    assert codes(f"{{ {condition} }}") == ["unreachable-branch"]


@pytest.mark.parametrize(
    "condition",
    [
        '$.awsRegion = "a*" && $.awsRegion = "*b"',
        '$.awsRegion = "a*" && $.awsRegion != "ab"',
        "$.a >= 5 && $.a <= 5",
        "$.a = 5 && $.a > 4.5",
        '$.a = 1 && $.a = "1"',
        "$.a = 1 && $.a = 1.0",
        '$.a[*] = "x" && $.a[*] = "y"',
        '$.a[0] = "x" && $.a[1] = "y"',
        '$.awsRegion = "a" && $.userAgent = "b"',
        '$.awsRegion = "a" || $.awsRegion = "b"',
        "$.a IS NULL && $.b NOT EXISTS",
    ],
)
def test_conditions_that_one_record_can_satisfy_are_fine(condition: str) -> None:
    assert codes(f"{{ {condition} }}") == []


@pytest.mark.parametrize(
    ("condition", "second"),
    [
        ('$.awsRegion = "a" || $.awsRegion = "b" || $.awsRegion = "a"', 2),
        ('$.awsRegion = "ab" || $.awsRegion = "a*"', 0),
        ('$.awsRegion = "a*" || $.awsRegion = "ab*"', 1),
        ('$.awsRegion = "ab" || $.awsRegion = %^a%', 0),
        ('$.awsRegion = "a" || ($.awsRegion = "a" && $.readOnly IS TRUE)', 1),
    ],
)
def test_an_arm_that_makes_no_difference_is_found_where_it_stands(
    condition: str, second: int
) -> None:
    text = f"title: x\npattern: '{{ {condition} }}'\n"
    finding = only(of_text(text), "unreachable-branch")
    places = [n for n in range(len(text)) if text.startswith("$.awsRegion", n)]
    assert finding.place.column == places[second] - text.index("pattern") + 1


@pytest.mark.parametrize(
    ("condition", "searches"),
    [
        ("one and not two", {"one": {"awsRegion": "a"}, "two": {"awsRegion": "b"}}),
        ("one and not two", {"one": {"awsRegion": "ab"}, "two": {"awsRegion|startswith": "a"}}),
        (
            "not two and one",
            {
                "one": {"awsRegion": "a", "userAgent": "b"},
                "two": {"awsRegion": "a", "userAgent": "B"},
            },
        ),
        ("one", {"one": {"awsRegion": ["abc", "ABC"]}}),
        ("one", {"one": {"awsRegion|contains": ["abc", "b"]}}),
        ("one", {"one": [{"errorCode": "a"}, {"errorCode|startswith": ["A", "b"]}]}),
        ("one and two", {"one": {"errorCode": "x"}, "two": {"errorCode|exists": False}}),
    ],
)
def test_sigma_searches_that_make_no_difference_are_found(condition: str, searches: Any) -> None:
    assert only(of_sigma(condition, **searches), "unreachable-branch").place.line > 0


@pytest.mark.parametrize(
    ("condition", "searches"),
    [
        ("one and not two", {"one": {"awsRegion|startswith": "a"}, "two": {"awsRegion": "ab"}}),
        ("one and two", {"one": {"requestParameters.a": "x"}, "two": {"requestParameters.a": "y"}}),
        ("one", {"one": {"awsRegion|contains|all": ["a", "b"]}}),
        ("one", {"one": {"awsRegion": ["a", "b"], "userAgent|cased": ["a", "A"]}}),
    ],
)
def test_sigma_searches_that_make_a_difference_are_fine(condition: str, searches: Any) -> None:
    assert of_sigma(condition, **searches) == []


@pytest.mark.parametrize(
    ("condition", "unused"),
    [
        ("one_a", ["_hidden", "one_b", "two"]),
        ("1 of one_*", ["_hidden", "two"]),
        ("all of them", ["_hidden"]),
        ("any of _h* and not (two or one_a)", ["one_b"]),
        ("1 of one_* or (two and _hidden)", []),
    ],
)
def test_a_search_that_the_condition_does_not_use_is_found_at_its_name(
    condition: str, unused: list[str]
) -> None:
    searches = {"one_a": "awsRegion", "one_b": "userAgent", "two": "errorCode", "_hidden": "a"}
    lines = [f"  {name}: {{{field}: x}}" for name, field in searches.items()]
    text = "\n".join(["title: x", "detection:", *lines, f"  condition: {condition}", ""])
    expected = {Place("rule.yml", 3 + list(searches).index(name), 3) for name in unused}
    assert {item.place for item in of_text(text)} == expected


def test_a_search_that_one_of_several_conditions_uses_is_used() -> None:
    detection = {"one": {"a": "x"}, "two": {"b": "x"}, "condition": ["one", "two"]}
    assert of_rule(pattern=..., detection=detection) == []


# Filters: unknown-reference, and what can be wrong with any search


def filter_text(*rules: str, **searches: Any) -> str:
    section = {"rules": list(rules), **(searches or {"one": {"awsRegion": "x"}})}
    return yaml.safe_dump({"title": "f", "filter": {**section, "condition": "one"}})


def test_a_filter_about_a_rule_that_is_not_loaded_is_found(tmp_path: Path) -> None:
    found = of_files(tmp_path, rule_text(name="iam_rule"), filter_text("iam_rule", "iam_rul"))
    finding = only(found, "unknown-reference")
    assert finding.remedy == "did you mean iam_rule?"
    assert finding.place.path.endswith("1.yml")
    assert finding.place.line > 1


def test_a_filter_about_rules_that_are_loaded_is_fine(tmp_path: Path) -> None:
    rules = rule_text(id="r0", name="n0"), rule_text(id="r1", pattern="{ $.eventName = x* }")
    foreign = rule_text(id="r2", logsource={"product": "azure"})
    found = of_files(tmp_path, *rules, foreign, filter_text("n0", "r1", "r2"), filter_text())
    assert [item.code for item in found] == ["foreign-logsource"]


def test_a_filter_about_a_correlation_has_no_effect(tmp_path: Path) -> None:
    found = of_files(tmp_path, rule_text(id="r0"), correlation(), filter_text("c"))
    assert "is a correlation" in only(found, "unknown-reference").message


def test_what_a_filter_adds_to_a_rule_is_found_in_the_filter_alone(tmp_path: Path) -> None:
    searches = {"one": {"eventName": "Nothing1"}, "two": {"awsRegion": "x"}}
    found = of_files(tmp_path, rule_text(id="r0"), filter_text("r0", **searches))
    assert {item.code for item in found} == {"unknown-event-name", "unreachable-branch"}
    assert {Path(item.place.path).name for item in found} == {"1.yml"}


# foreign-logsource


def test_a_rule_for_other_logs_is_found_and_nothing_else_said_of_it(tmp_path: Path) -> None:
    source = {"product": "azure", "service": "signinlogs"}
    finding = only(of_files(tmp_path, rule_text(logsource=source)), "foreign-logsource")
    assert "product azure, service signinlogs" in finding.message


# lint_exceptions and unused-exception


def test_a_finding_that_is_excepted_is_accepted_with_the_reason() -> None:
    found = of_rule(tests=[], lint_exceptions={"untested": "a demonstration"})
    assert only(found, "untested").accepted == "a demonstration"


def test_only_findings_of_the_code_are_accepted() -> None:
    found = of_rule(
        pattern='{ $.eventName = "CreatePolicy" && $.errorCode != "x" }',
        lint_exceptions={"shared-event-name": "any service"},
    )
    accepted = {item.code: item.accepted for item in found}
    assert accepted == {"shared-event-name": "any service", "negated-optional-field": None}


@pytest.mark.parametrize(
    ("exceptions", "says"),
    [
        ({"untested": "x"}, "there is no finding of the code untested"),
        ({"untestd": "x"}, "did you mean untested?"),
        ({"untested": " "}, "gives no reason"),
        ({"unused-exception": "x"}, "there is no finding of the code unused-exception"),
    ],
)
def test_an_exception_that_accepts_nothing_is_found_at_its_code(
    exceptions: dict[str, str], says: str
) -> None:
    finding = only(of_rule(lint_exceptions=exceptions), "unused-exception")
    assert says in str(finding)
    assert finding.place.line > 1
    assert finding.accepted is None


def test_an_exception_that_is_kept_for_later_can_be_accepted_too() -> None:
    exceptions = {"untested": "for later", "unused-exception": "kept for later"}
    assert only(of_rule(lint_exceptions=exceptions), "unused-exception").accepted


def test_exceptions_work_for_correlations_and_for_foreign_rules(tmp_path: Path) -> None:
    exceptions = {"unreachable-threshold": "switched off"}
    text = yaml.safe_dump(
        {
            **yaml.safe_load(correlation(condition={"lt": 0})),
            "lint_exceptions": exceptions,
        }
    )
    foreign = rule_text(
        id="f",
        logsource={"product": "azure"},
        lint_exceptions={"foreign-logsource": "shared folder", "untested": "not ours"},
    )
    found = of_files(tmp_path, rule_text(id="r0"), text, foreign)
    assert [item.accepted for item in found] == ["switched off", "shared folder"]


# Fixes


def with_fix(*edit: Any, accepted: str | None = None) -> Finding:
    return Finding("mixed-operators", "x", Place("x"), None, Edit(*edit), accepted)


def test_fixes_are_applied_without_moving_each_other() -> None:
    fixes = [with_fix(0, 1, "ABC"), with_fix(2, 0, "-"), with_fix(4, 2, "")]
    assert apply_fixes("abcdef", fixes) == apply_fixes("abcdef", fixes[::-1]) == "ABCb-cd"


def test_of_fixes_that_overlap_the_later_is_made() -> None:
    assert apply_fixes("abcdef", [with_fix(0, 4, "X"), with_fix(3, 2, "Y")]) == "abcYf"


def test_the_same_fix_is_made_once_and_an_accepted_one_not_at_all() -> None:
    again = [with_fix(1, 0, "-"), with_fix(1, 0, "-")]
    assert apply_fixes("ab", again) == "a-b"
    assert apply_fixes("ab", [with_fix(1, 0, "-", accepted="as published")]) == "ab"
    assert apply_fixes("ab", [Finding("untested", "x", Place("x"))]) == "ab"


def test_two_runs_fix_what_overlaps() -> None:
    pattern = '{ $.awsRegion = "x" || $.recipientAccountId = 123456789012 && $.readOnly IS TRUE }'
    text = f"title: x\npattern: '{pattern}'\n"
    once = apply_fixes(text, of_text(text))
    assert '"123456789012"' in once
    assert of_text(apply_fixes(once, of_text(once))) == []


# Properties

WORDS = st.sampled_from(
    [
        "x",
        '"a b"',
        '"&& || ( $.a = 1"',
        "$.b",
        "12",
        "-1.5",
        "a*",
        "%a|b%",
        "123456789012",
        '"\\"("',
    ]
)
SELECTORS = st.sampled_from(
    ["$.eventName", "$.errorCode", "$.recipientAccountId", "$.a[0].b", '$.["|| ("]', "$.c.d"]
)
SPACES = st.sampled_from(["", " ", "  "])
CONDITIONS = st.one_of(
    st.builds("{}{}{}{}{}".format, SELECTORS, SPACES, st.sampled_from(["=", "!="]), SPACES, WORDS),
    st.builds(
        "{} {}".format, SELECTORS, st.sampled_from(["IS NULL", "NOT  EXISTS", ">= 3", "IS TRUE"])
    ),
)


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    join = st.sampled_from([" && ", " || ", "||", " &&"])
    return st.one_of(
        st.builds("({})".format, inner),
        st.builds("{}{}{}".format, inner, join, inner),
        st.builds("{}{}{}{}{}".format, inner, join, inner, join, inner),
    )


PATTERNS = st.builds(
    "{}{{{}{}}}".format, SPACES, SPACES, st.recursive(CONDITIONS, _joined, max_leaves=8)
)


@given(PATTERNS, st.sampled_from(["'", '"']))
def test_fixes_never_change_what_a_pattern_means(pattern: str, quote: str) -> None:
    text = f"title: x\npattern: {_quoted(pattern, quote)}\n"
    try:
        before = rule_of(parse_all(text, "rule.yml", RuleError)[0]).tree
    except RuleError:
        return  # more regular expressions than CloudWatch takes
    found = of_text(text)
    mixed = [item for item in found if item.code == "mixed-operators"]
    fixed = apply_fixes(text, mixed)
    assert rule_of(parse_all(fixed, "rule.yml", RuleError)[0]).tree == before
    if all(item.fix is not None for item in mixed):
        assert "mixed-operators" not in {item.code for item in of_text(fixed)}
    account = rule_of(parse_all(apply_fixes(text, found), "rule.yml", RuleError)[0]).tree
    for value in ("123456789012", "x", "12"):
        record = {"recipientAccountId": value, "eventName": "x"}
        assert holds(account, record, "") == holds(before, record, "")


def _quoted(pattern: str, quote: str) -> str:
    return f"'{pattern.replace(chr(39), chr(39) * 2)}'" if quote == "'" else json.dumps(pattern)


@given(PATTERNS)
def test_every_finding_in_a_pattern_on_one_line_has_a_place_within_it(pattern: str) -> None:
    text = f"title: x\npattern: {_quoted(pattern, chr(39))}\n"
    try:
        found = of_text(text)
    except RuleError:
        return
    for item in found:
        assert item.place.line == 2
        if item.code == "negated-optional-field":
            assert text.splitlines()[1][item.place.column - 1 :].startswith("$.")


# What is known of single conditions, on every value of a small world

TEXTS = ["", "a", "A", "ab", "Ab", "AB", "aba", "b", "1", "1.0", "01", "1e0", "true", "TRUE", "{}"]
TEXTS += ["\u0130", "i\u0307", "\u00df", "SS", "\u03a3", "\u03c3", "\u03c2", "a\u03a3", "10.0.0.1"]
GLOBS = [Glob((text,) if text else ()) for text in TEXTS]
GLOBS += [star_glob(text) for text in ("*", "a*", "*a", "*b*", "a*a", "ab*", "A*", "*\u03a3")]
GLOBS += [Glob((Wild.ONE,)), Glob(("a", Wild.ONE)), Glob((Wild.ONE, Wild.RUN)), Glob(("A", "B"))]
NUMBERS = [0, 1, 1.5, -1, 10**20]
REGEXES = [Regex("^a"), Regex("b"), Regex("a", ignore_case=True)]
LITERALS: list[Literal_] = [glob for glob in GLOBS if Wild.ONE not in glob.parts]
LITERALS += [Number(float(spelling), spelling) for spelling in ("1", "1.0", "01", "1.5")]
LITERALS += REGEXES
ORDERED = [(order, number) for order in Order for number in (0, 1, 1.5)]
CLOUDWATCH: list[Test] = [
    *map(Equal, LITERALS),
    *map(NotEqual, LITERALS),
    *(Ordered(order, number) for order, number in ORDERED),
    *(IsNull(), IsBoolean(True), IsBoolean(False), NotExists()),
]
SIGMA: list[Test] = [
    *(Like(glob, cased) for glob in GLOBS for cased in (False, True)),
    *(NumberLike(number) for number in NUMBERS),
    *(Ordered(order, number, of_text=True) for order, number in ORDERED),
    *(Matches(regex) for regex in REGEXES),
    *(NullOrMissing(), Exists(True), Exists(False)),
    InNetwork(ipaddress.ip_network("10.0.0.0/8")),
]
EVERY_CONDITION = [Condition(Selector(("a",)), test) for test in CLOUDWATCH]
EVERY_CONDITION += [Condition(Selector(("a",), through_lists=True), test) for test in SIGMA]
VALUES = [*TEXTS, "xay", "ba", *NUMBERS, 1.0, 10**20 + 1, True, False, None, {}, {"a": "b"}]
SINGLE: list[dict[str, Any]] = [{}, *({"a": value} for value in VALUES)]
EVERY_RECORD = [*SINGLE, {"a": []}, {"a": ["a", "b"]}, {"a": [None, 1]}, {"a": [[1], {"a": "a"}]}]


def _where(condition: Node, records: Sequence[dict[str, Any]]) -> set[int]:
    return {place for place, record in enumerate(records) if _holds(condition, record)}


def test_what_a_condition_implies_holds_wherever_it_does() -> None:
    where = [_where(condition, EVERY_RECORD) for condition in EVERY_CONDITION]
    found = 0
    for one, places in zip(EVERY_CONDITION, where, strict=True):
        for other, others in zip(EVERY_CONDITION, where, strict=True):
            if implies(one, other):
                found += 1
                assert places <= others, (one, other)
    assert found > 2000


def test_conditions_that_contradict_never_hold_together() -> None:
    where = [_where(condition, SINGLE) for condition in EVERY_CONDITION]
    found = 0
    for one, places in zip(EVERY_CONDITION, where, strict=True):
        for other, others in zip(EVERY_CONDITION, where, strict=True):
            if contradicts(one, other):
                found += 1
                assert not places & others, (one, other)
                assert contradicts(other, one)
    assert found > 5000


# Trees and records: Sigma's fields and CloudWatch's are kept apart, as they are in files.

PLAIN = (Selector(("a",)), Selector(("a", "b")), Selector(("eventName",)), Selector(("a", 0)))
WILD = (Selector(("a", Wildcard.ELEMENTS)), Selector((Wildcard.FIELDS,)))
LISTS = (Selector(("a",), True), Selector(("a", "b"), True), Selector(("requestParameters",), True))
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(Condition, st.sampled_from(PLAIN + WILD), st.sampled_from(CLOUDWATCH)),
    st.builds(Condition, st.sampled_from(LISTS), st.sampled_from(SIGMA)),
    st.builds(InText, st.sampled_from(GLOBS)),
    st.builds(FieldsAlike, st.sampled_from(LISTS), st.sampled_from(LISTS)),
)


def _combined(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    operands = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(st.builds(And, operands), st.builds(Or, operands), st.builds(Not, inner))


TREES: st.SearchStrategy[Node] = st.recursive(LEAVES, _combined, max_leaves=6)
SCALARS = st.sampled_from([*TEXTS, *NUMBERS, True, False, None])
MAPPINGS = st.dictionaries(st.just("b"), SCALARS, max_size=1)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "a": st.one_of(SCALARS, st.lists(st.one_of(SCALARS, MAPPINGS), max_size=2), MAPPINGS),
        "eventName": st.one_of(SCALARS, st.lists(SCALARS, max_size=1)),
        "requestParameters": st.one_of(SCALARS, st.lists(SCALARS, max_size=2)),
    },
)
ORDINARY_RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "a": st.one_of(SCALARS, MAPPINGS),
        "eventName": SCALARS,
        "requestParameters": st.one_of(SCALARS, st.lists(SCALARS, max_size=2)),
    },
)


@given(TREES, TREES, st.lists(RECORDS, max_size=20))
def test_what_a_tree_implies_holds_whenever_it_does(
    one: Node, other: Node, records: list[dict[str, Any]]
) -> None:
    for narrow, wide in ((one, other), (And((one, other)), one), (one, Or((other, one)))):
        if implies(narrow, wide):
            assert not [i for i in records if _holds(narrow, i) and not _holds(wide, i)]


@given(TREES, TREES, st.lists(ORDINARY_RECORDS, max_size=20))
def test_what_contradicts_never_holds_together(
    one: Node, other: Node, records: list[dict[str, Any]]
) -> None:
    if contradicts(one, other):
        assert not [item for item in records if _holds(one, item) and _holds(other, item)]


def _holds(tree: Node, record: dict[str, Any]) -> bool:
    return holds(tree, record, json.dumps(record))


@given(st.lists(TREES, max_size=6))
def test_linting_never_fails_and_names_only_rules_that_match_less(trees: list[Node]) -> None:
    rules = [rule_of_tree(tree, f"r{number}") for number, tree in enumerate(trees)]
    found = lint(LoadedRules(rules=rules))
    assert {item.code for item in found} <= set(get_args(Code))
    shadowed = [item for item in found if item.code == "shadowed-rule"]
    needless = [
        number
        for number, tree in enumerate(trees)
        if any(
            implies(tree, other) and (place < number or not implies(other, tree))
            for place, other in enumerate(trees)
            if place != number
        )
    ]
    assert len(shadowed) <= len(needless)


EXACT_TREES: st.SearchStrategy[Node] = st.recursive(
    st.builds(
        Condition,
        st.sampled_from(PLAIN[:2]),
        st.sampled_from("abc").map(lambda text: Equal(Glob((text,)))),
    ),
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(st.lists(EXACT_TREES, max_size=6))
def test_the_index_loses_no_rule_that_others_make_needless(trees: list[Node]) -> None:
    rules = [rule_of_tree(tree, f"r{number}") for number, tree in enumerate(trees)]
    shadowed = [item for item in lint(LoadedRules(rules=rules)) if item.code == "shadowed-rule"]
    needless = [
        number
        for number, tree in enumerate(trees)
        if any(
            implies(tree, other) and (place < number or not implies(other, tree))
            for place, other in enumerate(trees)
            if place != number
        )
    ]
    assert len(shadowed) == len(needless)
