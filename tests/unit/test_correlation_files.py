"""Correlations in rule files: read, checked, and joined with the rules that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.errors import RuleError
from detector.rules.correlation import MAX_TIMESPAN_SECONDS, Threshold
from detector.rules.loader import MAX_CHAIN, LoadedRules, load_rules
from detector.rules.syntax import Selector


def detection(identity: str, name: str = "", **fields: Any) -> dict[str, Any]:
    """Return a rule of Sigma's."""
    rule = {
        "title": f"Rule {identity}",
        "id": identity,
        "name": name,
        "logsource": {"product": "aws", "service": "cloudtrail"},
        "detection": {"selection": {"eventName": identity}, "condition": "selection"},
        **fields,
    }
    return {key: value for key, value in rule.items() if value not in ("", ...)}


def correlation(identity: str, *rules: str, name: str = "", **settings: Any) -> dict[str, Any]:
    """Return a correlation; `settings` replace those of a small good one, `...` removes."""
    section = {
        "type": "event_count",
        "rules": list(rules),
        "group-by": ["userIdentity.arn"],
        "timespan": "5m",
        "condition": {"gte": 3},
        **{key.replace("group_by", "group-by"): value for key, value in settings.items()},
    }
    document = {
        "title": f"Correlation {identity}",
        "id": identity,
        "name": name,
        "correlation": {key: value for key, value in section.items() if value is not ...},
    }
    return {key: value for key, value in document.items() if value != ""}


def load(folder: Path, *documents: Mapping[str, Any]) -> LoadedRules:
    """Load documents that stand in one file."""
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return load_rules([path])


def only_error(loaded: LoadedRules) -> str:
    (error,) = loaded.errors
    assert error.place is not None
    assert error.place.line > 0
    return str(error)


def way(field: str) -> Selector:
    return Selector(tuple(field.split(".")), through_lists=True)


def test_a_correlation_is_joined_with_its_rules_by_id_and_by_name(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        correlation("c", "a", "second", type="temporal_ordered", condition=...),
        detection("a"),
        detection("b", name="second"),
    )
    assert loaded.errors == []
    assert [rule.id for rule in loaded.rules] == ["a", "b"]
    (found,) = loaded.correlations
    assert (found.id, found.members, found.timespan) == ("c", ("a", "b"), 300)
    assert found.group_by == ({"a": way("userIdentity.arn"), "b": way("userIdentity.arn")},)
    assert found.fields == ()
    assert found.notifies
    assert found.path == str(tmp_path / "rules.yml")


def test_its_rules_may_stand_in_other_files_whichever_is_read_first(tmp_path: Path) -> None:
    for name, document in (
        ("b.yml", detection("a")),
        ("a.yml", correlation("c", "a")),
        ("deep/z.yml", correlation("d", "c", "b")),
        ("zz.yml", detection("b")),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(document))
    loaded = load_rules([tmp_path])
    assert loaded.errors == []
    assert {item.id: item.members for item in loaded.correlations} == {"c": ("a",), "d": ("c", "b")}


@pytest.mark.parametrize(
    ("settings", "threshold"),
    [
        ({"type": "event_count", "condition": {"gte": 10}}, Threshold(gte=10)),
        (
            {"type": "value_count", "condition": {"gte": 2, "field": "sourceIPAddress"}},
            Threshold(gte=2, field="sourceIPAddress"),
        ),
        (
            {"type": "value_count", "condition": {"gt": 1, "field": ["a", "b.c"]}},
            Threshold(gt=1, field=("a", "b.c")),
        ),
        ({"type": "temporal", "condition": ...}, None),
        ({"type": "temporal", "condition": {"gte": 2}}, Threshold(gte=2)),
        ({"type": "temporal_ordered", "condition": ...}, None),
        (
            {"type": "value_sum", "condition": {"gt": 1.5, "field": "n"}},
            Threshold(gt=1.5, field="n"),
        ),
        ({"type": "value_avg", "condition": {"lt": 2, "field": "n"}}, Threshold(lt=2, field="n")),
        (
            {"type": "value_percentile", "condition": {"lte": 1, "field": "n"}},
            Threshold(lte=1, field="n"),
        ),
        (
            {"type": "value_percentile", "condition": {"gt": 9, "field": "n", "percentile": 95}},
            Threshold(gt=9, field="n", percentile=95),
        ),
        (
            {"type": "value_median", "condition": {"eq": 3, "field": "n"}},
            Threshold(eq=3, field="n"),
        ),
    ],
)
def test_every_type_of_correlation_is_known(
    tmp_path: Path, settings: dict[str, Any], threshold: Threshold | None
) -> None:
    loaded = load(tmp_path, correlation("c", "a", **settings), detection("a"))
    assert loaded.errors == []
    (found,) = loaded.correlations
    assert found.file.correlation.condition == threshold
    fields = threshold.fields if threshold else ()
    assert found.fields == tuple(way(field) for field in fields)


@pytest.mark.parametrize(
    ("condition", "holding"),
    [
        ({"gt": 2}, [3, 4]),
        ({"gte": 2}, [2, 3, 4]),
        ({"lt": 2}, [0, 1]),
        ({"lte": 2}, [0, 1, 2]),
        ({"eq": 2}, [2]),
        ({"neq": 2}, [0, 1, 3, 4]),
        ({"gt": 1, "lte": 3}, [2, 3]),
        ({"gte": 1, "lt": 3}, [1, 2]),
        ({"gte": 1, "neq": 3}, [1, 2, 4]),
        ({"gt": 3, "lt": 2}, []),
        ({"gt": 1.5}, [2, 3, 4]),
    ],
)
def test_a_condition_is_a_range(
    tmp_path: Path, condition: dict[str, float], holding: list[int]
) -> None:
    loaded = load(tmp_path, correlation("c", "a", condition=condition), detection("a"))
    threshold = loaded.correlations[0].file.correlation.condition
    assert threshold is not None
    assert [number for number in range(5) if threshold.holds(number)] == holding
    grows = all(threshold.holds(number + 1) for number in range(5) if threshold.holds(number))
    assert threshold.only_grows <= grows
    assert threshold.only_grows is (set(condition) <= {"gt", "gte"})


@pytest.mark.parametrize(
    ("timespan", "seconds"),
    [
        ("1s", 1),
        ("90m", 5400),
        ("1h", 3600),
        ("7d", 604_800),
        ("30d", MAX_TIMESPAN_SECONDS),
        ("0m", None),
        ("31d", None),
        ("9999999d", None),
        ("99999999999999s", None),
        ("1w", None),
        ("1M", None),
        ("1H", None),
        ("-5m", None),
        ("1.5h", None),
        ("5 m", None),
        ("m", None),
        ("5", None),
        ("", None),
        ("1h30m", None),
        ("5m\n", None),
        ("\u0661m", None),
    ],
)
def test_a_timespan_is_a_number_and_a_letter(
    tmp_path: Path, timespan: str, seconds: int | None
) -> None:
    loaded = load(tmp_path, correlation("c", "a", timespan=timespan), detection("a"))
    if seconds is None:
        assert "timespan is a number and s, m, h or d, as 90m, of at most 30 days" in only_error(
            loaded
        )
    else:
        assert [item.timespan for item in loaded.correlations] == [seconds]


def test_an_alias_stands_for_another_field_in_each_rule(tmp_path: Path) -> None:
    aliases = {
        "actor": {"first": "userIdentity.arn", "b": "requestParameters.userName"},
        "address": {"first": "sourceIPAddress"},
    }
    loaded = load(
        tmp_path,
        correlation(
            "c",
            "first",
            "b",
            type="temporal",
            condition=...,
            aliases=aliases,
            group_by=["actor", "address", "awsRegion"],
        ),
        detection("a", name="first"),
        detection("b"),
    )
    assert loaded.errors == []
    assert loaded.correlations[0].group_by == (
        {"a": way("userIdentity.arn"), "b": way("requestParameters.userName")},
        {"a": way("sourceIPAddress"), "b": way("address")},
        {"a": way("awsRegion"), "b": way("awsRegion")},
    )


def test_an_alias_may_name_a_rule_that_the_correlation_names_by_its_id(tmp_path: Path) -> None:
    # The specification lets `rules` hold ids, and an alias's keys be names.
    aliases = {"actor": {"first": "userIdentity.arn", "b": "x"}}
    loaded = load(
        tmp_path,
        correlation("c", "a", "b", aliases=aliases, group_by=["actor"]),
        detection("a", name="first"),
        detection("b"),
    )
    assert loaded.errors == []
    assert loaded.correlations[0].group_by == ({"a": way("userIdentity.arn"), "b": way("x")},)


def test_an_alias_for_a_rule_that_is_none_of_the_correlations_is_refused(tmp_path: Path) -> None:
    aliases = {"actor": {"a": "x", "other": "y"}}
    loaded = load(
        tmp_path, correlation("c", "a", aliases=aliases), detection("a"), detection("other")
    )
    error = only_error(loaded)
    assert "the alias actor names the rule other, which the correlation is not about" in error
    assert "known: a" in error
    assert f"{tmp_path / 'rules.yml'}:15:" in error


def test_without_group_by_all_matches_are_counted_together(tmp_path: Path) -> None:
    loaded = load(tmp_path, correlation("c", "a", group_by=...), detection("a"))
    assert loaded.correlations[0].group_by == ()


def test_correlations_are_chained(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        correlation("outer", "many_failed", "success", type="temporal_ordered", condition=...),
        correlation("inner", "failed", name="many_failed"),
        detection("a", name="failed"),
        detection("b", name="success"),
    )
    assert loaded.errors == []
    assert {item.id: item.members for item in loaded.correlations} == {
        "outer": ("inner", "b"),
        "inner": ("a",),
    }


@pytest.mark.parametrize(
    "links",
    [
        {"c": "c"},
        {"c": "d", "d": "c"},
        {"c": "d", "d": "e", "e": "f", "f": "d"},
    ],
)
def test_a_correlation_that_comes_back_to_itself_is_refused(
    tmp_path: Path, links: dict[str, str]
) -> None:
    documents = [correlation(identity, member) for identity, member in links.items()]
    loaded = load(tmp_path, *documents, correlation("good", "a"), detection("a"))
    assert [item.id for item in loaded.correlations] == ["good"]
    assert len(loaded.errors) == len(links)
    for error in loaded.errors:
        assert "the correlation refers to itself" in str(error)
        assert error.place is not None
        assert error.place.line > 0


@pytest.mark.parametrize(("length", "faults"), [(MAX_CHAIN, 0), (MAX_CHAIN + 1, 1)])
def test_a_chain_has_an_end(tmp_path: Path, length: int, faults: int) -> None:
    chain = [correlation(f"c{number}", f"c{number - 1}") for number in range(1, length)]
    loaded = load(tmp_path, correlation("c0", "a"), *chain, detection("a"))
    assert len(loaded.errors) == faults
    assert len(loaded.correlations) == length - faults


def test_a_thousand_correlations_of_one_rule_are_read(tmp_path: Path) -> None:
    many = [correlation(f"c{number}", "a") for number in range(1000)]
    loaded = load(
        tmp_path, *many, correlation("all", *(f"c{n}" for n in range(1000))), detection("a")
    )
    assert loaded.errors == []
    assert len(loaded.correlations) == 1001


def test_a_rule_that_nobody_has_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(
        "title: c\n"
        "correlation:\n"
        "  type: temporal\n"
        "  rules:\n"
        "    - a\n"
        "    - nobody\n"
        "  timespan: 5m\n"
        "---\n" + yaml.safe_dump(detection("a"))
    )
    loaded = load_rules([path])
    assert only_error(loaded).startswith(
        f"{path}:6:7: no rule has the id or name nobody; name a rule"
    )
    assert loaded.correlations == []
    assert [rule.id for rule in loaded.rules] == ["a"]


def test_a_rule_named_twice_by_different_names_is_one_rule_too_many(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        correlation("c", "a", "first", type="temporal", condition=...),
        detection("a", name="first"),
    )
    assert "twice" in only_error(loaded)


@pytest.mark.parametrize("status", ["deprecated", "unsupported"])
def test_a_correlation_of_a_rule_that_is_not_in_force_is_refused(
    tmp_path: Path, status: str
) -> None:
    # It would never match, and nobody would be told.
    loaded = load(tmp_path, correlation("c", "a"), detection("a", status=status))
    assert loaded.rules == []
    assert "a" in only_error(loaded)


@pytest.mark.parametrize("status", ["deprecated", "unsupported"])
def test_a_correlation_kept_for_reference_is_checked_and_not_loaded(
    tmp_path: Path, status: str
) -> None:
    good = {**correlation("c", "a"), "status": status}
    loaded = load(tmp_path, good, detection("a"))
    assert (loaded.correlations, loaded.errors) == ([], [])
    bad = {**correlation("c", "nobody"), "status": status}
    assert "no rule has the id or name nobody" in only_error(load(tmp_path, bad, detection("a")))


@pytest.mark.parametrize("status", ["test", "experimental"])
def test_a_staged_correlation_matches_and_stays_silent(tmp_path: Path, status: str) -> None:
    loaded = load(tmp_path, {**correlation("c", "a"), "status": status}, detection("a"))
    assert [item.notifies for item in loaded.correlations] == [False]


def test_an_id_is_given_once_among_rules_and_correlations(tmp_path: Path) -> None:
    loaded = load(tmp_path, detection("a"), correlation("a", "a"))
    path = tmp_path / "rules.yml"
    assert f"the id a is that of {path} too; give each rule an id of its own" in only_error(loaded)
    assert [rule.id for rule in loaded.rules] == ["a"]
    assert loaded.correlations == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (detection("a", name="same"), detection("b", name="same")),
        (detection("a", name="same"), correlation("c", "a", name="same")),
        (detection("a", name="same"), detection("same")),
        (detection("same"), detection("b", name="same")),
    ],
)
def test_a_name_is_given_once_and_is_no_other_ones_id(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    loaded = load(tmp_path, first, second)
    assert "same is that of" in only_error(loaded)
    assert [rule.id for rule in loaded.rules] == [first["id"]]


def test_a_title_stands_for_an_id_that_is_missing(tmp_path: Path) -> None:
    one = correlation("x", "a")
    del one["id"]
    first, second = load(tmp_path, one, detection("a")), load(tmp_path, one, detection("a"))
    assert first.correlations[0].id == second.correlations[0].id
    assert (
        first.correlations[0].id
        != load(tmp_path, {**one, "title": "Another"}, detection("a")).correlations[0].id
    )
    assert len(load(tmp_path, one, one, detection("a")).errors) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"type": "event_cuont"},
            "correlation.type has a value that is not known; did you mean event_count?",
        ),
        ({"type": ...}, "correlation.type is missing"),
        ({"rules": ...}, "correlation.rules is missing"),
        ({"rules": []}, "rules is empty: name at least one"),
        ({"rules": ["a", "a"]}, "rules names a rule twice"),
        ({"rules": "a"}, "correlation.rules must be a list"),
        ({"group-by": ["awsRegion", "awsRegion"]}, "group-by names a field twice"),
        ({"rules": [7]}, "correlation.rules[0] must be a string"),
        ({"timespan": ...}, "correlation.timespan is missing"),
        ({"timespan": 300}, "correlation.timespan must be a string"),
        ({"condition": ...}, "event_count needs a condition"),
        ({"condition": {}}, "condition needs one of gt, gte, lt, lte, eq and neq"),
        ({"condition": {"gte": "3"}}, "correlation.condition.gte must be a number"),
        ({"condition": {"gt3": 3}}, "unknown key correlation.condition.gt3"),
        ({"condition": {"gte": 3, "field": "x"}}, "event_count has no use for condition.field"),
        ({"type": "value_count"}, "value_count needs condition.field"),
        ({"type": "value_sum", "condition": {"field": "x"}}, "condition needs one of gt"),
        (
            {"type": "value_percentile", "condition": {"gt": 1, "field": "x", "percentile": 101}},
            "percentile is a number from 0 to 100",
        ),
        ({"group_by": "a"}, "correlation.group-by must be a list"),
        ({"groupby": ["a"]}, "unknown key correlation.groupby; did you mean group-by?"),
        ({"aliases": ["a"]}, "correlation.aliases must be a mapping"),
        ({"aliases": {"x": "a"}}, "must be a mapping"),
        ({"generate": "yes"}, "correlation.generate must be true or false"),
    ],
)
def test_a_mistake_in_a_correlation_is_named_with_its_place(
    tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    loaded = load(tmp_path, correlation("c", "a", **settings), detection("a"))
    error = only_error(loaded)
    assert error.startswith(f"{tmp_path / 'rules.yml'}:")
    assert says in error


@pytest.mark.parametrize("key", ["pattern", "detection", "window", "tests", "logsource"])
def test_a_correlation_has_nothing_of_a_rule(tmp_path: Path, key: str) -> None:
    loaded = load(tmp_path, {**correlation("c", "a"), key: {}}, detection("a"))
    assert f"unknown key {key}" in only_error(loaded)


def test_every_fault_of_a_file_is_reported_and_what_is_good_is_kept(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        detection("a"),
        detection("b", level="mild"),
        correlation("c", "a"),
        correlation("d", "b"),
        correlation("e", "c", timespan="1y"),
    )
    assert [rule.id for rule in loaded.rules] == ["a"]
    assert [item.id for item in loaded.correlations] == ["c"]
    assert len(loaded.errors) == 3
    lines = [error.place.line for error in loaded.errors if error.place]
    assert len(set(lines)) == 3


def test_a_fault_in_yaml_costs_all_documents_of_its_file_and_no_other_ones(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(yaml.safe_dump(detection("a")) + "---\nx: [\n")
    (tmp_path / "b.yml").write_text(yaml.safe_dump(detection("b")))
    loaded = load_rules([tmp_path])
    assert [rule.id for rule in loaded.rules] == ["b"]
    (error,) = loaded.errors
    assert isinstance(error, RuleError)
    assert "a.yml:" in str(error)


def test_empty_documents_between_others_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(
        f"---\n{yaml.safe_dump(detection('a'))}---\n{yaml.safe_dump(detection('b'))}...\n"
    )
    assert [rule.id for rule in load_rules([path]).rules] == ["a", "b"]
