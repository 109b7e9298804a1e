from pathlib import Path
from typing import Any

import pytest

from detector import RuleSet
from detector.errors import RuleError
from detector.rules.loader import load_rules, shipped_rules
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
        (rule_text(pattern=...), "pattern is missing; add pattern"),
        (rule_text(title=" "), "title is empty"),
        (rule_text(id="has space"), "id is a UUID, or letters"),
        (rule_text(id=7), "id must be a string, not a whole number"),
        (rule_text(level="mild"), "level has a value that is not known"),
        (rule_text(logsource={"product": "windows"}), "logsource.product has a value that is not"),
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
            "window.comparison_operator has a value that is not known",
        ),
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


def test_a_mistake_in_a_pattern_is_named_with_its_very_column(tmp_path: Path) -> None:
    path = write(tmp_path, text="title: x\nid: x\nlevel: low\npattern: '{ $.a > 1 }'\n")
    (error,) = load_rules([path]).errors
    assert str(error).startswith(f"{path}:4:17: expected = or !=")


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
    [("GreaterThanOrEqualToThreshold", [3, 4]), ("GreaterThanThreshold", [4])],
)
def test_the_operator_says_when_a_window_is_over_its_threshold(
    tmp_path: Path, operator: str, crossed: list[int]
) -> None:
    path = write(tmp_path, window={"threshold": 3, "comparison_operator": operator})
    (rule,) = load_rules([path]).rules
    assert [n for n in range(5) if rule.file.window.is_crossed_by(n)] == crossed
