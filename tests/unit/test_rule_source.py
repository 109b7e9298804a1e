"""When rules are read again, and what comes of it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detector.config import load_config
from detector.envelopes.types import RecordBatch
from detector.pipeline import Pipeline, Processed, Settings
from detector.rule_source import (
    MAX_LISTED_RULES,
    AnyRule,
    FileMark,
    Fingerprint,
    Reload,
    RuleChanges,
    RuleSource,
    Settling,
    all_rules,
    compare,
    reload,
    with_statuses,
)
from detector.rules.engine import BatchMatches
from detector.rules.loader import LoadedRules, load_rules, shipped_rules
from detector.rules.rule import Rule
from detector.rules.ruleset import RuleSet
from detector.sources.delivery import Delivery
from detector.state.sqlite import SQLiteStore
from detector.telemetry.metrics import Metrics
from tests.records import delivery_of, log_file, record
from tests.rules import rule, rule_text

CORRELATION = """
title: Many
id: many
correlation:
  type: event_count
  rules: [a]
  timespan: 5m
  condition: {gte: 3}
"""


def look(version: int) -> Fingerprint:
    return {"a.yml": FileMark(version, version, version, 1)}


@pytest.mark.parametrize(
    ("looks", "due"),
    [
        ([0, 0, 0], [False, False, False]),
        ([1, 1, 1], [False, True, True]),
        ([1, 2, 3, 3], [False, False, False, True]),
        ([1, 0, 1, 1], [False, False, False, True]),
        ([1, 0, 0], [False, False, False]),
    ],
)
def test_a_change_counts_at_the_second_look_that_finds_it(
    looks: list[int], due: list[bool]
) -> None:
    settling = Settling(look(0))
    assert [settling.is_due(look(version)) for version in looks] == due


def test_what_was_read_is_not_due_again_good_or_bad() -> None:
    settling = Settling(look(0))
    settling.is_due(look(1))
    assert settling.is_due(look(1))
    settling.has_read(look(1))
    assert not settling.is_due(look(1))
    assert not settling.is_due(look(1))


@given(st.lists(st.integers(0, 2)))
def test_two_looks_after_the_last_change_all_has_been_read(versions: list[int]) -> None:
    read = 0
    settling = Settling(look(read))
    for version in [*versions, *versions[-1:] * 2]:
        if settling.is_due(look(version)):
            read = version
            settling.has_read(look(version))
    assert read == (versions or [0])[-1]


def test_two_sets_differ_in_what_was_added_removed_and_changed() -> None:
    old = [rule(id=name) for name in ("kept", "gone.b", "gone.a", "edited")]
    edited = rule(id="edited", pattern='{ $.eventName = "CreateUser" }')
    new = [rule(id="new"), edited, rule(id="kept")]
    assert compare(old, new) == RuleChanges(("new",), ("gone.a", "gone.b"), ("edited",))
    assert not compare(old, old)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "test"},
        {"level": "high"},
        {"window": {"period": 600}},
        {"pattern": ..., "detection": {"s": {"eventName": "PutUserPolicy"}, "condition": "s"}},
    ],
)
def test_any_change_of_what_a_rule_says_is_one(change: dict[str, Any]) -> None:
    assert compare([rule(id="a")], [rule(id="a", **change)]) == RuleChanges(changed=("a",))


def test_a_rule_whose_file_was_moved_or_laid_out_anew_is_the_same(tmp_path: Path) -> None:
    before = rules_in(tmp_path, a=rule_text(id="a"), many=CORRELATION)
    for name in ("a", "many"):
        (tmp_path / f"{name}.yml").unlink()
    after = rules_in(tmp_path, b="# The same.\n" + rule_text(id="a"), z="---" + CORRELATION)
    assert len(before) == len(after) == 2
    assert not compare(before, after)


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        (
            "filter",
            "title: Not bob\nfilter: {rules: [a], s: {userIdentity.userName: bob}, condition: s}\n",
            RuleChanges(changed=("a",)),
        ),
        ("many", CORRELATION, RuleChanges(added=("many",))),
    ],
)
def test_exceptions_and_correlations_are_changes_too(
    tmp_path: Path, name: str, text: str, changes: RuleChanges
) -> None:
    before = rules_in(tmp_path, a=rule_text(id="a"))
    assert compare(before, rules_in(tmp_path, **{name: text})) == changes


def rules_in(folder: Path, **texts: str) -> list[AnyRule]:
    """Write rule files, and return all rules of the folder."""
    for name, text in texts.items():
        (folder / f"{name}.yml").write_text(text)
    read = RuleSource([folder]).read()
    assert not read.errors
    return all_rules(read.rule_set())


def test_a_log_line_counts_all_and_lists_some() -> None:
    ids = tuple(f"rule-{number:03d}" for number in range(100))
    fields = RuleChanges(added=ids, changed=("a",)).as_fields()
    assert fields == {
        "added": 100,
        "added_ids": list(ids[:MAX_LISTED_RULES]),
        "removed": 0,
        "changed": 1,
        "changed_ids": ["a"],
    }


def statuses(loaded: LoadedRules) -> dict[str, str]:
    items: list[AnyRule] = [*loaded.rules, *loaded.correlations]
    return {item.id: item.file.status for item in items}


def test_an_operators_status_stands_before_the_files(tmp_path: Path) -> None:
    for name, status in {"a": "experimental", "b": "stable", "c": "test"}.items():
        (tmp_path / f"{name}.yml").write_text(rule_text(id=name, status=status))
    (tmp_path / "many.yml").write_text(CORRELATION)
    loaded = with_statuses(load_rules([tmp_path]), {"a": "stable", "b": "test", "many": "test"})
    assert not loaded.errors
    assert statuses(loaded) == {"a": "stable", "b": "test", "c": "test", "many": "test"}
    assert [item.id for item in loaded.rules if item.notifies] == ["a"]


def test_a_rule_that_an_operator_deprecates_is_not_in_force(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule_text(id="a"))
    (tmp_path / "many.yml").write_text(CORRELATION)
    loaded = load_rules([tmp_path])
    assert statuses(with_statuses(loaded, {"a": "deprecated"})) == {"many": "stable"}
    assert statuses(with_statuses(loaded, {"many": "unsupported"})) == {"a": "stable"}


def test_a_status_for_an_unknown_id_names_the_nearest() -> None:
    loaded = LoadedRules(rules=[rule(id="iam.policy-changes"), rule(id="iam.users")])
    (error,) = with_statuses(loaded, {"iam.policy-change": "test"}).errors
    assert str(error) == (
        "rule_status.iam.policy-change: no rule has this id;"
        " did you mean iam.policy-changes (A test rule)?"
    )
    (error,) = with_statuses(loaded, {"zzzzzzzz": "test"}).errors
    assert "no rule has this id; remove it, or load the rule" in str(error)


def test_a_status_may_be_given_to_a_rule_for_other_logs() -> None:
    windows = rule(id="a", logsource={"product": "windows"})
    assert not with_statuses(LoadedRules(foreign=[windows]), {"a": "test"}).errors


def test_an_id_is_not_called_unknown_while_its_rule_may_be_in_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule_text(id="a", level="hihg"))
    (error,) = with_statuses(load_rules([tmp_path]), {"a": "test"}).errors
    assert "level has a value that is not known" in str(error)


def _edit_in_place_and_hide_it(folder: Path) -> None:
    path = folder / "rules" / "sub" / "a.yml"
    before = path.stat()
    path.write_text(rule_text(id="b"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace_by_rename(folder: Path) -> None:
    new = folder / "new"
    new.write_text(rule_text(id="a"))
    new.rename(folder / "rules" / "sub" / "a.yml")


def _turn_the_link(folder: Path) -> None:
    """As Kubernetes updates a mounted ConfigMap: a link that all files go through."""
    (folder / "version").unlink()
    (folder / "version").symlink_to("two")


def _edit_behind_a_linked_folder(folder: Path) -> None:
    (folder / "elsewhere" / "far.yml").write_text(rule_text(id="further"))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "rules" / "sub" / "b.yaml").write_text("x"),
        lambda folder: (folder / "rules" / "sub" / "a.yml").unlink(),
        lambda folder: (folder / "rules" / "sub" / "a.yml").rename(folder / "rules" / "b.yml"),
        lambda folder: (folder / "rules" / "sub" / "a.yml").chmod(0o600),
        lambda folder: (folder / "rules").rename(folder / "away"),
        lambda folder: (folder / "single").write_text("x"),
        lambda folder: (folder / "placeholders.yml").write_text("x"),
        lambda folder: (folder / "later").mkdir(),
        _edit_in_place_and_hide_it,
        _replace_by_rename,
        _turn_the_link,
        _edit_behind_a_linked_folder,
    ],
)
def test_every_change_of_what_the_paths_lead_to_is_seen(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    source = _source(tmp_path)
    before = source.fingerprint()
    assert source.fingerprint() == before
    change(tmp_path)
    assert source.fingerprint() != before


@pytest.mark.parametrize("name", ["notes.txt", ".a.yml.swp", "a.yml~", "4913"])
def test_what_is_no_rule_file_is_not_looked_at(tmp_path: Path, name: str) -> None:
    source = _source(tmp_path)
    before = source.fingerprint()
    (tmp_path / "rules" / name).write_text("x")
    assert source.fingerprint() == before


def _source(folder: Path) -> RuleSource:
    (folder / "rules" / "sub").mkdir(parents=True)
    (folder / "rules" / "sub" / "a.yml").write_text(rule_text(id="a"))
    (folder / "single").write_text(rule_text(id="single"))
    (folder / "placeholders.yml").write_text("names: [x]")
    for version in ("one", "two"):
        (folder / version).mkdir()
        (folder / version / "linked.yml").write_text(rule_text(id="linked"))
    (folder / "version").symlink_to("one")
    (folder / "rules" / "linked.yml").symlink_to("../version/linked.yml")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "far.yml").write_text(rule_text(id="far"))
    (folder / "rules" / "folder").symlink_to("../elsewhere")
    paths = [folder / name for name in ("rules", "single", "later")]
    return RuleSource(paths, folder / "placeholders.yml")


def source_of(folder: Path, settings: str) -> RuleSource:
    path = folder / "detector.yaml"
    path.write_text("sources: [{type: directory, path: logs}]\n" + settings)
    return RuleSource.of(load_config(path))


def test_a_configuration_without_rules_asks_for_the_shipped_ones(tmp_path: Path) -> None:
    read = source_of(tmp_path, "").read()
    assert not read.errors
    assert read.rule_set().rules.keys() == RuleSet.load(shipped_rules()).rules.keys()
    assert any(path.startswith(str(shipped_rules())) for path in read.seen)


def test_rules_are_read_with_their_placeholders_and_statuses(tmp_path: Path) -> None:
    detection = {"s": {"userIdentity.userName|expand": "%admins%"}, "condition": "s"}
    (tmp_path / "a.yml").write_text(rule_text(id="a", pattern=..., detection=detection))
    (tmp_path / "values.yaml").write_text("admins: [alice]")
    settings = "rules: [a.yml]\nplaceholders: values.yaml\nrule_status: {a: test}"
    read = source_of(tmp_path, settings).read()
    assert not read.errors
    assert read.rule_set().rules["a"].file.status == "test"
    assert read.rule_set().match(record()) == ["a"]


def test_placeholders_that_cannot_be_read_are_the_one_error(tmp_path: Path) -> None:
    source = RuleSource([shipped_rules()], tmp_path / "values.yaml")
    (error,) = source.read().errors
    assert str(error).startswith(f"{tmp_path}/values.yaml: the file cannot be read")


def test_a_folder_that_vanishes_while_it_is_read_is_an_error_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(*_: object) -> LoadedRules:
        raise FileNotFoundError(2, "No such file or directory", "/rules/sub")

    monkeypatch.setattr("detector.rule_source.load_rules", vanish)
    (error,) = RuleSource([tmp_path]).read().errors
    assert str(error) == "/rules/sub: the rules cannot be read: No such file or directory"


def reloaded(folder: Path, in_force: RuleSet) -> Reload:
    return reload(RuleSource([folder]), in_force)


def test_rules_that_differ_are_applied_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule_text(id="a"))
    in_force = RuleSet.load(tmp_path)
    assert reloaded(tmp_path, in_force).result == "unchanged"
    (tmp_path / "b.yml").write_text(rule_text(id="b", title="Another"))
    done = reloaded(tmp_path, in_force)
    assert done.result == "applied"
    assert done.changes == RuleChanges(added=("b",))
    assert done.rules is not None
    assert list(done.rules.rules) == ["a", "b"]


def test_exceptions_are_read_though_no_rule_has_changed(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule_text(id="a"))
    in_force = RuleSet.load(tmp_path)
    search = {"rules": ["nobody"], "s": {"eventName": "x"}, "condition": "s"}
    (tmp_path / "b.yml").write_text(yaml.safe_dump({"title": "Excepted", "filter": search}))
    done = reloaded(tmp_path, in_force)
    assert done.result == "unchanged"
    assert [item.file.title for item in done.filters] == ["Excepted"]
    assert RuleSource([tmp_path]).read().filters[0].path == str(tmp_path / "b.yml")
    (tmp_path / "c.yml").write_text("a: [")
    assert list(reloaded(tmp_path, in_force).filters) == []


def test_one_bad_rule_keeps_all_new_ones_out(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(rule_text(id="a"))
    in_force = RuleSet.load(tmp_path)
    (tmp_path / "b.yml").write_text(rule_text(id="b"))
    (tmp_path / "c.yml").write_text(rule_text(id="c", level="hihg"))
    (tmp_path / "d.yml").write_text("a: [")
    done = reloaded(tmp_path, in_force)
    assert (done.result, done.rules, len(done.errors)) == ("failed", None, 2)


def test_a_fault_that_nobody_foresaw_keeps_the_old_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> LoadedRules:
        raise RecursionError("too deep")

    monkeypatch.setattr("detector.rule_source.load_rules", fail)
    done = reloaded(tmp_path, RuleSet([]))
    assert done.result == "failed"
    assert "unexpected RecursionError: too deep; this is a bug" in str(done.errors[0])


def matched(pipeline: Pipeline, delivery: Delivery) -> Processed:
    (processed,) = pipeline.process([delivery], 0.0).deliveries
    return processed


def test_a_delivery_is_processed_to_its_end_by_the_rules_it_began_with(store: SQLiteStore) -> None:
    new = RuleSet([])

    class Swapping(RuleSet):
        def match_batch(self, batch: RecordBatch) -> BatchMatches[Rule]:
            pipeline.rules = new
            return super().match_batch(batch)

    pipeline = Pipeline(Swapping([rule()]), store, Settings())
    bodies = [log_file(record()) for _ in range(3)]
    assert matched(pipeline, delivery_of(*bodies)).accounting.matched == 3
    assert pipeline.rules is new
    assert matched(pipeline, delivery_of(log_file(record()))).accounting.unmatched == 1


def test_the_metrics_show_the_rules_in_force_and_how_the_last_reading_went() -> None:
    metrics = Metrics()
    sample = metrics.registry.get_sample_value

    def shown() -> tuple[float | None, ...]:
        counts = [sample("detector_rules", {"status": status}) for status in ("stable", "test")]
        name = "detector_rules_last_reload"
        return *counts, sample(f"{name}_successful"), sample(f"{name}_timestamp_seconds")

    one, two = rule(id="a"), rule(id="b", status="test")
    metrics.declare([], [])
    metrics.rules_loaded(RuleSet([one]), 100.0)
    assert shown() == (1, 0, 1, 100)
    metrics.rules_reloaded("failed", RuleSet([one]), 200.0)
    assert shown() == (1, 0, 0, 200)
    metrics.rules_reloaded("applied", RuleSet([one, two]), 300.0)
    assert shown() == (1, 1, 1, 300)
    counts = {
        result: sample("detector_rules_reloads_total", {"result": result})
        for result in ("applied", "unchanged", "failed")
    }
    assert counts == {"applied": 1, "unchanged": 0, "failed": 1}


def test_a_result_without_differences_or_errors_is_unchanged() -> None:
    assert Reload({}).result == "unchanged"
    assert replace(Reload({}), rules=RuleSet([])).result == "applied"


CORRELATED = (
    rule_text(id="member")
    + "---\n"
    + yaml.safe_dump(
        {
            "title": "often",
            "id": "often",
            "correlation": {
                "type": "event_count",
                "rules": ["member"],
                "timespan": "2d",
                "condition": {"gte": 3},
            },
        }
    )
)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            "rule_status: {member: unsupported}",
            "silences member, a member of the correlation often",
        ),
    ],
)
def test_a_setting_that_keeps_a_correlation_from_firing_is_a_fault(
    tmp_path: Path, settings: str, fault: str
) -> None:
    (tmp_path / "a.yml").write_text(CORRELATED)
    assert not source_of(tmp_path, "rules: [a.yml]").read().errors
    (error,) = source_of(tmp_path, f"rules: [a.yml]\n{settings}").read().errors
    assert fault in str(error)
    assert error.remedy
    both = "rule_status: {member: unsupported, often: unsupported}"
    assert not source_of(tmp_path, f"rules: [a.yml]\n{both}").read().errors
