"""`detector test`: the tests inside rules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from detector.alerts.plain import counted
from detector.alerts.text import clean
from detector.cli.junit import Case, Suite, junit_xml
from detector.cli.shared import (
    any_path,
    loaded_rules,
    placeholders_option,
    report,
    rules_argument,
)
from detector.cli.tree import tree_lines
from detector.errors import DetectorError
from detector.rules.explain import Explanation, exceptions_of, explain, reason
from detector.rules.loader import LoadedRules
from detector.rules.rule import Rule, RuleTest
from detector.rules.ruleset import RuleSet
from detector.rules.values import record_text


@dataclass(frozen=True, slots=True)
class _Result:
    rule: Rule
    test: RuleTest
    failure: Explanation | None
    """Why the rule did what it should not have done; None where the test has passed."""

    @property
    def message(self) -> str:
        return "does not fire" if self.test.fires else "fires"


@click.command(
    short_help="Run the tests inside rules.",
    epilog="""\b
Examples:
  detector test                              the shipped rules
  detector test my_rules/ --junit out.xml    for CI
  detector test --placeholders values.yml sigma_rule.yml""",
)
@placeholders_option
@click.option(
    "--junit",
    "junit_path",
    metavar="FILE",
    type=any_path,
    help="Write the results as JUnit XML too, for CI.",
)
@rules_argument
def test(
    placeholders_path: Path | None, junit_path: Path | None, rule_paths: Sequence[Path]
) -> None:
    """Run the tests inside rules; without RULES those of the shipped ones.

    A test that fails is shown with the condition that decided, and what it saw.
    """
    loaded = loaded_rules(rule_paths, placeholders_path)
    report(loaded.errors)
    results = [result for rule in loaded.rules for result in _results(rule, loaded)]
    failed = [result for result in results if result.failure is not None]
    for result in failed:
        _echo_failure(result)
    if junit_path is not None:
        _write_junit(junit_path, loaded, results)
    failures = len(failed) + len(loaded.errors)
    passed = len(results) - len(failed)
    click.echo(f"{counted(len(loaded.rules), 'rule')}: {passed} passed, {failures} failed")
    sys.exit(1 if failures else 0)


def _results(rule: Rule, loaded: LoadedRules) -> Iterator[_Result]:
    """Run a rule's tests by the compiled engine; explain those that fail."""
    rule_set = RuleSet([rule])
    for item in rule.file.tests:
        failure = None
        if bool(rule_set.match(item.event)) is not item.fires:
            exceptions = exceptions_of(rule, loaded.filters)
            failure = explain(rule.tree, item.event, record_text(item.event), exceptions)
        yield _Result(rule, item, failure)


def _echo_failure(result: _Result) -> None:
    assert result.failure is not None  # noqa: S101 - only these are shown
    click.echo(clean(f"{result.rule.path}: {result.test.name}: {result.message}"))
    click.echo(clean(f"    {reason(result.failure)}"))


def _write_junit(path: Path, loaded: LoadedRules, results: Sequence[_Result]) -> None:
    cases: dict[str, list[Case]] = {rule.path: [] for rule in loaded.rules}
    for error in loaded.errors:
        file = error.place.path if error.place else "rules"
        message = str(error)
        cases.setdefault(file, []).append(
            Case("the file can be read", file, message, message, is_error=True)
        )
    for result in results:
        cases[result.rule.path].append(_case(result))
    suites = [Suite(file, of_file) for file, of_file in cases.items()]
    try:
        path.write_bytes(junit_xml("detector test", suites))
    except OSError as error:
        raise DetectorError(f"{path} cannot be written: {error.strerror}") from error


def _case(result: _Result) -> Case:
    title = result.rule.file.title
    if result.failure is None:
        return Case(result.test.name, title)
    details = "\n".join(tree_lines(result.failure, depth=0))
    return Case(result.test.name, title, f"{result.message}: {reason(result.failure)}", details)
