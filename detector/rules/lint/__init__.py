"""The linter: what in good rules is probably not what their authors meant.

A rule that cannot be read is an error and never comes here. What is said here is advice: each
finding has a code by which `lint_exceptions` in the rule's file accepts it, with a reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import get_args

from detector.errors import Place
from detector.rules.correlation import Correlation
from detector.rules.exception import RuleFilter, with_exceptions
from detector.rules.finding import Code, Finding
from detector.rules.lint.branches import branch_findings
from detector.rules.lint.conditions import condition_findings
from detector.rules.lint.names import Suggestions, name_findings
from detector.rules.lint.subject import Subject, place_of
from detector.rules.lint.thresholds import correlation_findings, window_findings
from detector.rules.lint.together import foreign_findings, reference_findings, shadow_findings
from detector.rules.loader import LoadedRules
from detector.rules.rule import Rule
from detector.rules.syntax import And, Node

__all__ = ["apply_fixes", "lint"]

_CODES: tuple[str, ...] = get_args(Code)
_UNUSED: Code = "unused-exception"


def lint(loaded: LoadedRules) -> list[Finding]:
    """Return what there is to say of rules, ordered by place.

    What `lint_exceptions` accepts is among it, with the reason in `accepted`.
    """
    suggestions = Suggestions()
    of_all: dict[str, list[Finding]] = {}
    for rule, finding in (*shadow_findings(loaded), *foreign_findings(loaded)):
        of_all.setdefault(rule.id, []).append(finding)
    found = list(reference_findings(loaded))
    for rule in loaded.rules:
        of_rule = [*_rule_findings(rule, loaded.filters, suggestions), *of_all.get(rule.id, ())]
        found += _judged(of_rule, rule)
    for rule in loaded.foreign:
        found += _judged(of_all.get(rule.id, ()), rule, looked_for=("foreign-logsource",))
    rules = {rule.id: rule for rule in loaded.rules}
    for correlation in loaded.correlations:
        found += _judged(correlation_findings(correlation, rules), correlation)
    for item in loaded.filters:
        subject = Subject(item.tree, "filter", item.path, item.document)
        # An exception asks for what its rules have found: it need not ask for the service again.
        names = name_findings(subject, suggestions)
        found += [name for name in names if name.code != "shared-event-name"]
        found += branch_findings(subject)
    return sorted(found, key=_order)


def apply_fixes(text: str, findings: Iterable[Finding]) -> str:
    """Return a file's text, as `Document.text` has it, with the fixes made that its findings offer.

    `findings` are those of this file; the fixes of accepted ones are not made. Of two fixes that
    overlap only the later in the text is made: the other is found again when the new text is
    linted.
    """
    edits = {item.fix for item in findings if item.fix is not None and item.accepted is None}
    untouched = len(text)
    for edit in sorted(edits, key=lambda edit: (edit.offset, edit.length), reverse=True):
        if edit.offset + edit.length <= untouched:
            text = edit.apply(text)
            untouched = edit.offset
    return text


def _order(finding: Finding) -> tuple[str, int, int, str, str]:
    place = finding.place
    return place.path, place.line, place.column, finding.code, finding.message


def _rule_findings(
    rule: Rule, filters: Sequence[RuleFilter], suggestions: Suggestions
) -> Iterator[Finding]:
    section = "pattern" if rule.file.pattern is not None else "detection"
    subject = Subject(_without_exceptions(rule, filters), section, rule.path, rule.document)
    yield from condition_findings(subject)
    yield from name_findings(subject, suggestions)
    yield from branch_findings(subject)
    yield from window_findings(rule)
    yield from _untested(rule)


def _without_exceptions(rule: Rule, filters: Sequence[RuleFilter]) -> Node:
    """Return what the rule's own file says: filters put their exceptions around it."""
    about = [item for item in filters if item.is_about(rule)]
    if about and isinstance(rule.tree, And) and rule.tree.operands:
        own = rule.tree.operands[0]
        if with_exceptions(own, about) == rule.tree:
            return own
    return rule.tree


def _untested(rule: Rule) -> Iterator[Finding]:
    tried = {test.fires for test in rule.file.tests}
    if tried == {True, False}:
        return
    missing = {
        (): "no tests",
        (True,): "no test in which it does not fire",
        (False,): "no test in which it fires",
    }[tuple(tried)]
    yield Finding(
        "untested",
        f"the rule has {missing}",
        place_of(rule.document, rule.path, "tests"),
        "add one record that it must find, and a similar one that it must not",
    )


def _judged(
    findings: Iterable[Finding],
    owner: Rule | Correlation,
    looked_for: Collection[str] = _CODES,
) -> Iterator[Finding]:
    """Yield an owner's findings, accepted where its file says so, and its needless exceptions."""
    found = list(dict.fromkeys(findings))
    unused = list(_unused_exceptions(owner, {finding.code for finding in found}, looked_for))
    reasons = owner.file.lint_exceptions
    if _UNUSED in reasons and not unused:
        yield _needless(owner, _UNUSED)
    for finding in (*found, *unused):
        reason = reasons.get(finding.code, "")
        yield replace(finding, accepted=reason) if reason.strip() else finding


def _unused_exceptions(
    owner: Rule | Correlation, occurring: Collection[str], looked_for: Collection[str]
) -> Iterator[Finding]:
    for code, reason in owner.file.lint_exceptions.items():
        if code not in _CODES:
            near = difflib.get_close_matches(code, _CODES, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(_CODES)}"
            yield _exception_finding(owner, code, f"no finding has the code {code}", remedy)
        elif not reason.strip():
            message = f"the exception from {code} accepts nothing, since it gives no reason"
            yield _exception_finding(owner, code, message, "say why the finding is accepted")
        elif code != _UNUSED and code in looked_for and code not in occurring:
            yield _needless(owner, code)


def _needless(owner: Rule | Correlation, code: str) -> Finding:
    message = f"there is no finding of the code {code} here to be accepted"
    return _exception_finding(owner, code, message, "remove the exception")


def _exception_finding(owner: Rule | Correlation, code: str, message: str, remedy: str) -> Finding:
    place = Place(owner.path)
    if owner.document is not None:
        place = owner.document.key_place(["lint_exceptions", code])
    return Finding(_UNUSED, message, place, remedy)
