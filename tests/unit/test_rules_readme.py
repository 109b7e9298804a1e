"""What the rule author's reference says is true: its tables, its examples, its figures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from sigma.modifiers import modifier_mapping

from detector.config import StateConfig, load_config
from detector.document import parse
from detector.errors import RuleError
from detector.rule_source import RuleSource
from detector.rules import sigma
from detector.rules.correlation import (
    MAX_MATCHES,
    MAX_TIMESPAN_SECONDS,
    CorrelationFile,
    CorrelationSettings,
    CorrelationType,
)
from detector.rules.exception import FilterFile
from detector.rules.filter_pattern import MAX_PATTERN_CHARACTERS
from detector.rules.filter_pattern.expression import MAX_NESTING
from detector.rules.filter_pattern.json_pattern import MAX_WILDCARD_SELECTORS
from detector.rules.filter_pattern.scanner import MAX_REGEXES
from detector.rules.finding import Code
from detector.rules.lint import lint
from detector.rules.loader import MAX_CHAIN, LoadedRules, load_placeholders, load_rules, rule_of
from detector.rules.rule import Rule, RuleFile, Status
from detector.rules.ruleset import RuleSet
from detector.rules.window import WindowSettings
from tests.conftest import REPOSITORY
from tests.rules import rule_text
from tests.unit.verdict import pattern_holds, tree_holds

PACKS = REPOSITORY / "rules"
README = (PACKS / "README.md").read_text(encoding="utf-8")

NO = "-"
VERSIONS = {
    "v1.2.0": ("v1.2.0",),
    "v1.3.0 to v5.0.0": ("v1.3.0", "v1.4.0", "v1.5.0", "v2.0.0", "v3.0.0", "v4.0.1", "v5.0.0"),
    "v6.0.0, v7.0.0": ("v6.0.0", "v7.0.0"),
}


def cells(line: str) -> list[str]:
    """Return what stands in a table's row; a pipe in a cell is written with a backslash."""
    parts = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [part.strip().replace("\\|", "|") for part in parts]


def tables(*first: str) -> list[tuple[list[str], list[list[str]]]]:
    """Return the heads and rows of the tables whose heads begin with these cells."""
    lines = README.splitlines()
    found = []
    for number, line in enumerate(lines):
        if line.startswith("|") and cells(line)[: len(first)] == list(first):
            rows = []
            for row in lines[number + 2 :]:
                if not row.startswith("|"):
                    break
                rows.append(cells(row))
            found.append((cells(line), rows))
    return found


def rows(*first: str) -> list[list[str]]:
    ((_, found),) = tables(*first)
    return found


def code(cell: str) -> str:
    assert cell.startswith("`"), cell
    return cell.strip("`")


def named(cell: str) -> list[str]:
    """Return all that is written as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def section(heading: str) -> str:
    """Return what stands below a heading, as far as the next of any level."""
    return re.split(r"^#+ ", README.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[
        0
    ]


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)


def example(first_line: str) -> str:
    (found,) = [text for text in examples() if text.startswith(f"# {first_line}\n")]
    return found


@pytest.fixture(scope="module")
def shipped() -> LoadedRules:
    loaded = load_rules([PACKS])
    assert loaded.errors == []
    return loaded


# The shipped packs.


def control(rule: Rule, versions: Sequence[str]) -> str:
    numbers = rule.file.controls.get("cis-aws-foundations", {})
    assert isinstance(numbers, dict)
    (number,) = {numbers[version] for version in versions if version in numbers} or {NO}
    return number


def shown(rule: Rule, folder: str) -> list[str]:
    file = rule.file
    row = [f"`{Path(rule.path).stem}`", file.title, file.level, file.status]
    if folder != "cis":
        assert not file.controls
        return row
    numbers = [control(rule, versions) for versions in VERSIONS.values()]
    return [*row, *numbers, str(file.controls.get("aws-security-hub", NO))]


def test_the_tables_of_shipped_rules_are_the_files(shipped: LoadedRules) -> None:
    of_folder: dict[str, list[list[str]]] = {"cis": [], "cloudtrail": [], "iam": []}
    for rule in shipped.rules:
        folder = Path(rule.path).parent.name
        of_folder[folder].append(shown(rule, folder))
    shown_of_folder = [rows for _, rows in tables("file", "title", "level", "status")]
    assert shown_of_folder == list(of_folder.values())
    head = tables("file", "title", "level", "status")[0][0]
    assert head == ["file", "title", "level", "status", *VERSIONS, "Security Hub"]
    assert section("The shipped packs").startswith(f"\n{len(shipped.rules)} rules.")
    assert not shipped.correlations
    assert not shipped.filters


def test_each_control_has_the_benchmarks_words_and_a_strict_twin(shipped: LoadedRules) -> None:
    status = {Path(rule.path).stem: rule.file.status for rule in shipped.rules}
    of_cis = {Path(rule.path).stem for rule in shipped.rules if "cis/" in rule.path}
    verbatim = {name for name in of_cis if not name.endswith("_strict")} - {"security_hub_disabled"}
    assert of_cis == verbatim | {f"{name}_strict" for name in verbatim} | {"security_hub_disabled"}
    assert {status[name] for name in verbatim} == {"stable"}
    assert {status[f"{name}_strict"] for name in verbatim} == {"test"}


def test_every_version_of_the_benchmark_that_a_rule_names_is_in_the_table(
    shipped: LoadedRules,
) -> None:
    known = {version for versions in VERSIONS.values() for version in versions}
    since: dict[str, str] = {}
    for rule in shipped.rules:
        numbers = rule.file.controls.get("cis-aws-foundations", {})
        assert set(numbers) <= known
        for version, number in sorted(numbers.items()) if isinstance(numbers, dict) else ():
            since.setdefault(number, version)
    assert (since["4.15"], since["4.16"]) == ("v1.3.0", "v1.5.0")
    assert "4.15 since v1.3.0 and 4.16 since v1.5.0" in README


# Keys, codes and words.


def encoded_names(*types: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for type_ in types for field in msgspec.structs.fields(type_)}


def test_the_keys_named_are_those_that_a_file_can_have() -> None:
    of_files = [
        {code(row[0]) for row in found}
        for head, found in tables("key", "what it says")
        if head == ["key", "what it says"]
    ]
    assert of_files == [
        encoded_names(RuleFile),
        encoded_names(FilterFile),
        encoded_names(CorrelationSettings),
    ]


def test_the_windows_keys_have_the_defaults_that_are_shown() -> None:
    defaults = WindowSettings()
    found = {code(row[0]): row[1].strip("`") for row in rows("key", "without it")}
    assert found.pop("group_by") == "one group"
    assert not defaults.group_by
    assert found == {
        name: "all of them" if value is None else str(value)
        for name, value in msgspec.structs.asdict(defaults).items()
        if name != "group_by"
    }


def test_the_linters_codes_are_all_explained() -> None:
    assert [code(row[0]) for row in rows("code")] == list(get_args(Code))


def test_the_fixes_that_are_promised_are_made() -> None:
    faulty = {
        "mixed-operators": "{ $.awsRegion = x || $.awsRegion = y && $.readOnly IS TRUE }",
        "unquoted-account-id": "{ $.recipientAccountId = 111122223333 }",
    }
    for name, pattern in faulty.items():
        loaded = rule_of(parse(rule_text(pattern=pattern), "rule.yml", RuleError))
        fixed = {item.code for item in lint(LoadedRules(rules=[loaded])) if item.fix is not None}
        assert fixed == {name}
    assert {code(row[0]) for row in rows("code") if row[2] == "yes"} == faulty.keys()


def test_a_correlation_has_the_keys_of_every_rule_that_are_named() -> None:
    of_rules_alone = encoded_names(RuleFile) - encoded_names(CorrelationFile)
    assert of_rules_alone == {"logsource", "pattern", "detection", "window", "tests"}
    for name in named(section("Correlations").split("Beside", 1)[1].split("In `correlation`")[0]):
        assert name in encoded_names(CorrelationFile)


def test_the_correlations_types_are_all_explained() -> None:
    found = [name for row in rows("type", "the number") for name in named(row[0])]
    assert set(found) - {"percentile"} == set(get_args(CorrelationType))


def test_the_modifiers_are_pysigmas() -> None:
    found = [name for row in rows("modifiers") for name in named(row[0])]
    longer = {"ignorecase", "multiline", "dotall"}
    assert set(found) == set(modifier_mapping) - longer
    assert len(found) == len(set(found))


def test_each_status_does_what_is_shown(tmp_path: Path) -> None:
    found = {code(row[0]): (row[1], row[2]) for row in rows("status")}
    assert list(found) == list(get_args(Status))
    for status, (matches, notifies) in found.items():
        path = tmp_path / "rule.yml"
        path.write_text(rule_text(status=status))
        loaded = load_rules([path])
        assert loaded.errors == []
        assert ["yes" for _ in loaded.rules] == (["yes"] if matches == "yes" else [])
        assert [rule.notifies for rule in loaded.rules] == [notifies == "yes"] * len(loaded.rules)


# What conditions mean.


def event_of(head: str) -> dict[str, Any]:
    return {} if head == "missing" else {"a": json.loads(code(head))}


def detection_holds(search: str, event: dict[str, Any], text: str | None = None) -> bool:
    document = f"title: t\ndetection:\n  search: {search}\n  condition: search\n"
    return tree_holds(rule_of(parse(document, "rule.yml", RuleError)).tree, event, text)


def test_what_a_patterns_condition_makes_of_a_value_is_as_shown() -> None:
    ((head, found),) = tables("condition", "missing")
    for row in found:
        verdicts = [pattern_holds(f"{{ {code(row[0])} }}", event_of(cell)) for cell in head[1:]]
        assert ["yes" if verdict else "no" for verdict in verdicts] == row[1:], row[0]


def test_what_a_line_of_a_detection_makes_of_a_value_is_as_shown() -> None:
    ((head, found),) = tables("line", "missing")
    for row in found:
        verdicts = [detection_holds(f"{{{code(row[0])}}}", event_of(cell)) for cell in head[1:]]
        assert ["yes" if verdict else "no" for verdict in verdicts] == row[1:], row[0]


@pytest.mark.parametrize(
    ("pattern", "record", "matches"),
    [row[:3] for _, found in tables("pattern", "record") for row in found],
)
def test_a_pattern_shown_matches_a_record_or_not(pattern: str, record: str, matches: str) -> None:
    text = code(record)
    assert pattern_holds(code(pattern), json.loads(text), text) is (matches == "yes")


@pytest.mark.parametrize(
    ("search", "record", "matches"), [row[:3] for row in rows("search", "record")]
)
def test_a_search_shown_matches_a_record_or_not(search: str, record: str, matches: str) -> None:
    text = code(record)
    assert detection_holds(code(search), json.loads(text), text) is (matches == "yes")


def test_where_sources_contradict_each_other_the_decision_is_the_one_shown() -> None:
    assert len(rows("question", "decided")) == 9
    assert pattern_holds('{ $.a = "Ev*ent" }', {"a": "Evxent"})
    assert not pattern_holds('{ $.a != "x" }', {})
    assert not pattern_holds('{ $.a != "x" }', {"a": ["y"]})
    assert not pattern_holds('{ $.a != "x" }', {"a": {"b": "y"}})
    assert pattern_holds("{ $.a = %gra|ey% }", {"a": "ey"})
    assert pattern_holds("{ $.a = arn:aws:iam::1:user/x.y }", {"a": "arn:aws:iam::1:user/x.y"})
    assert pattern_holds("{ $['a'] = x && $.[\"a\"] = x }", {"a": "x"})
    assert pattern_holds('{ $.a = 400 && $.b = "400" }', {"a": "400", "b": 400})
    assert pattern_holds("{ $.a = %^x{,3}$% }", {"a": "xx"})
    for refused in ("$.a == 1", "$.a IS NOT NULL", "$.a EXISTS", "$.a is null", "$.a not exists"):
        with pytest.raises(RuleError) as caught:
            rule_of(parse(rule_text(pattern=f"{{ {refused} }}"), "rule.yml", RuleError))
        assert caught.value.remedy


# Figures.


def test_the_limits_of_single_keys_are_those_in_force() -> None:
    text = " ".join(README.split())
    assert "up to 128 letters" in text
    rule_of(parse(rule_text(id="a" * 128), "rule.yml", RuleError))
    assert "a multiple of 60 up to 86400" in text
    rule_of(parse(rule_text(window={"period": 86_400}), "rule.yml", RuleError))
    for fields in ({"id": "a" * 129}, {"window": {"period": 86_460}}, {"window": {"period": 90}}):
        with pytest.raises(RuleError):
            rule_of(parse(rule_text(**fields), "rule.yml", RuleError))


def test_a_rule_without_status_and_level_has_those_that_are_shown() -> None:
    found = {code(row[0]): row[1] for row in tables("key", "what it says")[0][1]}
    least = RuleFile(title="t", pattern="x")
    for name in ("status", "level"):
        assert f"`{getattr(least, name)}` (without the key)" in found[name]


def test_the_limits_are_those_in_force() -> None:
    assert {row[0].partition(" (")[0]: int(row[1]) for row in rows("of", "most")} == {
        "characters in a pattern": MAX_PATTERN_CHARACTERS,
        "wildcards": 1,
        "selectors with a wildcard in a pattern": MAX_WILDCARD_SELECTORS,
        "regular expressions in a pattern": MAX_REGEXES,
        "open parentheses": MAX_NESTING,
    }
    text = " ".join(README.split())
    for said in (
        f"more than {sigma.MAX_CONDITION_CHARACTERS} characters",
        f"more than {sigma.MAX_CONDITION_NESTING} levels deep",
        f"more than {sigma.MAX_EXPANSIONS} values made by placeholders",
        f"at most {MAX_TIMESPAN_SECONDS // 86_400} days",
        f"Chains may be {MAX_CHAIN} deep",
        f"the earliest {MAX_MATCHES} matches",
        f"({StateConfig().retention_seconds / 86_400:.0f} days without it)",
    ):
        assert said in text


# Examples.


def test_the_rules_shown_are_good_and_pass_their_own_tests(
    tmp_path: Path, shipped: LoadedRules
) -> None:
    texts = [text for text in examples() if not text.startswith("# ")]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yml").write_text(text)
    loaded = load_rules([tmp_path, PACKS / "cis" / "iam_policy_changes.yml"])
    assert loaded.errors == []
    assert (len(texts), len(loaded.correlations), len(loaded.filters)) == (4, 1, 1)
    for rule in loaded.rules:
        for item in rule.file.tests:
            assert bool(RuleSet([rule]).match(item.event)) is item.fires, item.name
    assert [str(item) for item in lint(loaded) if item.accepted is None] == []


def test_the_exception_shown_ends_on_its_day(tmp_path: Path) -> None:
    (text,) = [text for text in examples() if "\nexpires: " in text]
    path = tmp_path / "filter.yml"
    path.write_text(text)
    rules = RuleSet(load_rules([path, PACKS / "cis" / "iam_policy_changes.yml"]).rules)
    role = "arn:aws:iam::111122223333:role/terraform"
    event = {
        "eventName": "PutRolePolicy",
        "userIdentity": {"sessionContext": {"sessionIssuer": {"arn": role}}},
    }
    assert rules.match({**event, "eventTime": "2026-12-31T23:59:59Z"}) == []
    assert rules.match({**event, "eventTime": "2027-01-01T00:00:00Z"}) != []
    assert rules.match(event) != []


def test_the_placeholders_shown_are_a_placeholder_file(tmp_path: Path) -> None:
    path = tmp_path / "values.yml"
    path.write_text(example("placeholders"))
    values = load_placeholders(path)
    assert set(values) == {"admins", "networks"}
    detection = {"search": {"a|expand": "%admins%"}, "condition": "search"}
    text = rule_text(pattern=..., detection=detection)
    tree = rule_of(parse(text, "rule.yml", RuleError), values).tree
    assert tree_holds(tree, {"a": "svc-backup"})


def test_a_status_is_given_by_the_configuration_as_shown(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(rule_text(status="test"))
    path = tmp_path / "detector.yaml"
    rest = "sources: [{type: directory, path: x}]\nrules: [rule.yml]\n"
    path.write_text(example("rule_status") + rest)
    loaded = RuleSource.of(load_config(path)).load()
    assert (loaded.errors, [rule.file.status for rule in loaded.rules]) == ([], ["stable"])


def test_the_promotion_shown_puts_the_strict_rule_in_the_verbatim_ones_place(
    tmp_path: Path,
) -> None:
    path = tmp_path / "detector.yaml"
    path.write_text(example("promotion") + "sources: [{type: directory, path: x}]\n")
    loaded = RuleSource.of(load_config(path)).load()
    assert loaded.errors == []
    status = {Path(rule.path).stem: rule.file.status for rule in loaded.rules}
    assert status["iam_policy_changes"] == "test"
    assert status["iam_policy_changes_strict"] == "stable"
    assert example("promotion").count("# iam_policy_changes") == 2


def test_what_is_linked_is_there() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", item.lower()).replace(" ", "-") for item in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors
        else:
            assert (PACKS / target).exists()
