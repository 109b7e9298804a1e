from pathlib import Path
from typing import Any

import pytest

from detector import RuleSet
from detector.errors import RuleError
from detector.rules.loader import load_placeholders, load_rules, shipped_rules
from tests.records import record
from tests.rules import rule_text

CIS_NAMES = (
    *("DeleteGroupPolicy", "DeleteRolePolicy", "DeleteUserPolicy"),
    *("PutGroupPolicy", "PutRolePolicy", "PutUserPolicy"),
    *("CreatePolicy", "DeletePolicy", "CreatePolicyVersion", "DeletePolicyVersion"),
    *("AttachRolePolicy", "DetachRolePolicy", "AttachUserPolicy", "DetachUserPolicy"),
    *("AttachGroupPolicy", "DetachGroupPolicy"),
)
"""CIS Amazon Web Services Foundations Benchmark, Monitoring, changes to IAM policies."""


def write(folder: Path, name: str = "rule.yml", text: str | None = None, **fields: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rule_text(**fields) if text is None else text)
    return path


def test_the_shipped_iam_rule_knows_the_benchmarks_sixteen_names_and_no_other() -> None:
    rules = RuleSet.load(shipped_rules() / "cis" / "iam_policy_changes.yml")
    (rule_id,) = rules.rules
    assert len(CIS_NAMES) == 16
    for name in CIS_NAMES:
        assert rules.match(record(name)) == [rule_id]
    for name in ("GetPolicy", "SetDefaultPolicyVersion", "putuserpolicy", "PutUserPolicyX", ""):
        assert rules.match(record(name)) == []


def test_all_shipped_rules_load() -> None:
    loaded = load_rules([shipped_rules()])
    assert loaded.rules
    assert loaded.errors == []


def test_a_folder_is_read_with_all_below_it(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", id="a")
    write(tmp_path, "deep/er/b.yaml", id="b")
    write(tmp_path, "README.md", text="no rule")
    assert [rule.id for rule in load_rules([tmp_path]).rules] == ["a", "b"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path)
    loaded = load_rules([tmp_path, path])
    assert (len(loaded.rules), loaded.errors) == (1, [])


def test_every_fault_is_reported_and_the_good_rules_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", pattern="{ x }")
    write(tmp_path, "b.yml", level="mild")
    write(tmp_path, "c.yml", id="good")
    loaded = load_rules([tmp_path, tmp_path / "gone"])
    assert [rule.id for rule in loaded.rules] == ["good"]
    assert len(loaded.errors) == 3


@pytest.mark.parametrize("status", ["deprecated", "unsupported"])
def test_a_rule_kept_for_reference_is_checked_and_not_loaded(tmp_path: Path, status: str) -> None:
    write(tmp_path, status=status)
    assert load_rules([tmp_path]).rules == []
    write(tmp_path, status=status, pattern="{ x }")
    assert len(load_rules([tmp_path]).errors) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (rule_text(titel="x"), "unknown key titel; did you mean title?"),
        (rule_text(pattern=...), "a rule has either a pattern or a detection"),
        (
            rule_text(detection={"s": {"a": 1}, "condition": "s"}),
            "a rule has either a pattern or a detection",
        ),
        (rule_text(pattern=7), "pattern must be a string"),
        (rule_text(pattern=..., detection=["s"]), "detection must be a mapping"),
        (rule_text(title=" "), "title is empty"),
        (rule_text(id="has space"), "id is a UUID, or letters"),
        (rule_text(id=7), "id must be a string, not a whole number"),
        (rule_text(level="mild"), "level has a value that is not known"),
        (rule_text(logsource={"product": 7}), "logsource.product must be a string"),
        (rule_text(logsource="aws"), "logsource must be a mapping"),
        (rule_text(status="alpha"), "status has a value that is not known"),
        (rule_text(tags="attack.t1078"), "tags must be a list"),
        (
            rule_text(related=[{"id": "x", "type": "same"}]),
            "related[0].type has a value that is not",
        ),
        (rule_text(related=[{"id": "x"}]), "related[0].type is missing"),
        (rule_text(pattern=..., detection={"s": {"a|x": 1}, "condition": "s"}), "Unknown modifier"),
        (rule_text(window={"perod": 60}), "unknown key window.perod; did you mean period?"),
        (rule_text(window={"period": 90}), "period is a multiple of 60"),
        (rule_text(window={"threshold": 0}), "threshold is too low"),
        (
            rule_text(
                window={"threshold": -1, "comparison_operator": "GreaterThanThreshold"},
            ),
            "threshold is too low",
        ),
        (
            rule_text(window={"comparison_operator": "LessThanThreshold"}),
            "threshold is too low",
        ),
        (
            rule_text(window={"comparison_operator": "Above"}),
            "window.comparison_operator has a value that is not known",
        ),
        (
            rule_text(window={"evaluation_periods": 3, "datapoints_to_alarm": 4}),
            "datapoints_to_alarm is from 1 to evaluation_periods",
        ),
        (
            rule_text(window={"evaluation_periods": 289}),
            "period times evaluation_periods is at most 86400 seconds",
        ),
        (
            rule_text(window={"mode": "sliding", "evaluation_periods": 289}),
            "period times evaluation_periods is at most 86400 seconds",
        ),
        (
            rule_text(window={"treat_missing_data": "breaching"}),
            "an aligned window without events does not exist; mode: sliding",
        ),
        (rule_text(window={"timezone": "Europe/Berlin"}), "are for mode: sliding"),
        (
            rule_text(window={"mode": "sliding", "timezone": "+01:00"}),
            "timezone is for evaluation_window: wall_clock",
        ),
        (
            rule_text(
                window={
                    "mode": "sliding",
                    "evaluation_window": "wall_clock",
                    "timezone": "Europe/Berlyn",
                }
            ),
            "timezone is an IANA name",
        ),
        (
            rule_text(window={"mode": "sliding", "evaluation_window": "wall_clock", "period": 600}),
            "period is one of 60, 300, 3600, 86400, 604800",
        ),
        (rule_text(window={"statistic": "DistinctCount"}), "needs a field of the record"),
        (
            rule_text(
                window={"statistic": "DistinctCount", "metric_value": "$.a", "threshold": 1001}
            ),
            "tells at most 1000 values apart",
        ),
        (
            rule_text(
                window={"mode": "sliding", "statistic": "DistinctCount", "metric_value": "$.a"}
            ),
            "DistinctCount is for aligned windows",
        ),
        (rule_text(window={"metric_value": "$.a b"}), "' ' is not part of a field's name"),
        (rule_text(notify="never"), "notify has a value that is not known"),
        (rule_text(window={"group_by": ["a", "a"]}), "group_by names a field twice"),
        (rule_text(window={"group_by": ["a b"]}), "' ' is not part of a field's name"),
        (rule_text(tests=[{"name": "x", "event": {}}]), "tests[0].fires is missing"),
        ("title: [", "the file is not YAML"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text=text)
    (error,) = load_rules([path]).errors
    assert str(error).startswith(f"{path}:")
    assert error.place is not None
    assert error.place.line > 0
    assert says in str(error)


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        ("pattern: '{ $.a > x }'", "4:19", "expected a number"),
        ('pattern: "{ $.a > x }"', "4:19", "expected a number"),
        ("pattern:   '{ $.a > x }'", "4:21", "expected a number"),
        ("pattern:\n  '{ $.a > x }'", "5:12", "expected a number"),
        ("pattern: |\n  { $.a > x }", "4:10", "expected a number"),
        ("pattern: '{ $.a =='", "4:17", "== is not an operator; write ="),
        ("pattern: '{ $eventName = x }'", "4:14", "a selector begins with $.; write $.eventName"),
        ("pattern: a.b", "4:11", "cannot stand in a term without quotes"),
        ("pattern: '[a, a]'", "4:15", "two columns have the name a"),
    ],
)
def test_a_mistake_in_a_pattern_is_named_with_its_very_column(
    tmp_path: Path, line: str, place: str, says: str
) -> None:
    path = write(tmp_path, text=f"title: x\nid: x\nlevel: low\n{line}\n")
    (error,) = load_rules([path]).errors
    assert str(error).startswith(f"{path}:{place}: ")
    assert says in str(error)


def test_what_a_malformed_pattern_was_meant_to_be_is_suggested_whole(tmp_path: Path) -> None:
    pattern = "{ $eventName = Put UserPolicy && $.errorCodeNOT EXISTS }"
    path = write(tmp_path, pattern=pattern)
    (error,) = load_rules([path]).errors
    assert error.remedy is not None
    whole = "{ $.eventName = PutUserPolicy && $.errorCode NOT EXISTS }"
    assert error.remedy.endswith(f"; the whole pattern was probably meant to be {whole}")


def test_a_mistake_in_group_by_is_named_with_its_very_column(tmp_path: Path) -> None:
    text = rule_text() + "window:\n  group_by: [awsRegion, a b]\n"
    path = write(tmp_path, text=text)
    (error,) = load_rules([path]).errors
    assert str(error).startswith(f"{path}:{text.count(chr(10))}:26: ' ' is not part of")


def test_two_rules_of_the_same_id_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a.yml")
    second = write(tmp_path, "b.yml")
    (error,) = load_rules([tmp_path]).errors
    assert str(error).startswith(f"{second}:")
    assert f"is that of {first} too" in str(error)


def test_a_folder_without_rules_is_an_error_not_an_empty_set(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"holds no \.yml or \.yaml file"):
        RuleSet.load(tmp_path)


def test_a_rule_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rule.yml"
    path.mkdir()
    with pytest.raises(RuleError, match=r"rule\.yml: the folder holds no"):
        RuleSet.load(path)
    dangling = tmp_path / "dangling.yml"
    dangling.symlink_to(tmp_path / "nowhere.yml")
    with pytest.raises(RuleError, match="no such file"):
        RuleSet.load(dangling)


@pytest.mark.parametrize(
    ("operator", "crossed"),
    [
        ("GreaterThanOrEqualToThreshold", [3, 4]),
        ("GreaterThanThreshold", [4]),
        ("LessThanThreshold", [0, 1, 2]),
        ("LessThanOrEqualToThreshold", [0, 1, 2, 3]),
    ],
)
def test_the_operator_says_when_a_window_is_over_its_threshold(
    tmp_path: Path, operator: str, crossed: list[int]
) -> None:
    path = write(tmp_path, window={"threshold": 3, "comparison_operator": operator})
    (rule,) = load_rules([path]).rules
    assert [n for n in range(5) if rule.file.window.is_breached_by(n)] == crossed


def test_a_rule_for_other_logs_is_kept_apart_and_never_matches(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", id="a", logsource={"product": "windows", "service": "security"})
    write(tmp_path, "b.yml", id="b", logsource={"product": "aws", "service": "s3"})
    write(tmp_path, "c.yml", id="c", logsource={"category": "network"})
    write(tmp_path, "d.yml", id="d", logsource={"product": "aws"})
    write(tmp_path, "e.yml", id="e", logsource={})
    loaded = load_rules([tmp_path])
    assert loaded.errors == []
    assert [rule.id for rule in loaded.foreign] == ["a", "b", "c"]
    assert [rule.id for rule in loaded.rules] == ["d", "e"]
    assert RuleSet.load(tmp_path).match(record("PutUserPolicy")) == ["d", "e"]


def test_several_rules_may_stand_in_one_file(tmp_path: Path) -> None:
    text = "---\n".join(rule_text(id=identity, title=identity) for identity in "abc")
    loaded = load_rules([write(tmp_path, text=text)])
    assert loaded.errors == []
    assert [rule.id for rule in loaded.rules] == ["a", "b", "c"]


def test_a_title_stands_for_an_id_that_is_missing(tmp_path: Path) -> None:
    (first,) = load_rules([write(tmp_path, "a.yml", id=...)]).rules
    (second,) = load_rules([write(tmp_path, "b.yml", id=..., level="high")]).rules
    (third,) = load_rules([write(tmp_path, "c.yml", id=..., title="Another")]).rules
    assert first.id == second.id != third.id
    assert len(load_rules([tmp_path]).errors) == 1


def test_names_with_a_leading_dot_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", id="a")
    write(tmp_path, ".#a.yml", id="b")
    write(tmp_path, "..2026_09_16/a.yml", id="a")
    assert [rule.id for rule in load_rules([tmp_path]).rules] == ["a"]


def test_a_link_that_leads_back_shows_no_rule_twice(tmp_path: Path) -> None:
    write(tmp_path, "a.yml", id="a")
    (tmp_path / "loop").symlink_to(tmp_path)
    loaded = load_rules([tmp_path])
    assert (len(loaded.rules), loaded.errors) == (1, [])


def test_placeholders_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "placeholders.yaml"
    path.write_text("admins: [alice, bob*]\nports: [22, 3.5]\nempty: []\n")
    assert load_placeholders(path) == {"admins": ["alice", "bob*"], "ports": [22, 3.5], "empty": []}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("admins: alice", "admins must be a list, not a string"),
        ("admins: [{a: b}]", "must be"),
        ("- alice", "the document must be a mapping, not a list"),
        ("admins: [true]", "must be"),
        ("", "the file is empty"),
        ("a: [1]\n---\nb: [2]", "only one is expected"),
    ],
)
def test_a_mistake_in_a_placeholder_file_is_named_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "placeholders.yaml"
    path.write_text(text)
    with pytest.raises(RuleError) as caught:
        load_placeholders(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
