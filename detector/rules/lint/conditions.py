"""What is wrong with single conditions, and with how they are joined."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

from detector.errors import Edit, PatternError
from detector.rules.filter_pattern import parse_filter_pattern
from detector.rules.filter_pattern.json_pattern import mixed_operators
from detector.rules.finding import Finding
from detector.rules.lint.implication import contradicts, flat
from detector.rules.lint.pattern_text import implied_parentheses
from detector.rules.lint.spelling import pattern_condition, spelled
from detector.rules.lint.subject import Subject
from detector.rules.syntax import (
    And,
    Condition,
    Equal,
    Exists,
    Glob,
    Like,
    Node,
    Not,
    NotEqual,
    NotExists,
    NullOrMissing,
    Number,
    Or,
    Selector,
    Wild,
    leaves,
)

ALWAYS_THERE = frozenset(
    {
        ("awsRegion",),
        ("eventID",),
        ("eventName",),
        ("eventSource",),
        ("eventTime",),
        ("eventVersion",),
        ("recipientAccountId",),
        ("sourceIPAddress",),
        ("userAgent",),
        ("userIdentity", "type"),
    }
)
"""The fields that practically every record has as a text: one in a hundred real ones lacks the type
of userIdentity, hardly any another. eventType and eventCategory came later than the rest."""

_ACCOUNT_ID = re.compile(r"[0-9]{12}", re.ASCII)
_ACCOUNT_ID_FIELD = re.compile(r"(?i:.*accountid)")


def condition_findings(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with a subject's conditions, whatever they say of event names."""
    yield from _negated_optional_fields(subject)
    for leaf in leaves(subject.tree):
        if isinstance(leaf, Condition):
            yield from _negated_wildcard(subject, leaf)
            yield from _unquoted_account_id(subject, leaf)
    for node in _positive_ors(subject.tree):
        yield from _always_true_or(subject, node)
    yield from _mixed_operators(subject)


def _negated_wildcard(subject: Subject, leaf: Condition) -> Iterator[Finding]:
    if isinstance(leaf.test, NotEqual) and leaf.selector.wildcards:
        yield subject.finding(
            "negated-wildcard",
            f"{spelled(leaf)} holds as soon as one of the values differs",
            leaf,
            "for none of them, write a Sigma detection with not",
        )


def _unquoted_account_id(subject: Subject, leaf: Condition) -> Iterator[Finding]:
    if not isinstance(leaf.test, (Equal, NotEqual)) or not isinstance(leaf.test.literal, Number):
        return
    spelling = leaf.test.literal.spelling
    name = leaf.selector.steps[-1] if leaf.selector.steps else None
    if not (
        _ACCOUNT_ID.fullmatch(spelling)
        and isinstance(name, str)
        and _ACCOUNT_ID_FIELD.fullmatch(name)
    ):
        return
    span = subject.span(leaf)
    # A text that spells the number matches either way, and CloudTrail writes account ids as texts.
    fix = None
    if span is not None and span.value == spelling:
        fix = subject.edit(Edit(span.value_start, len(spelling), f'"{spelling}"'))
    yield subject.finding(
        "unquoted-account-id",
        f"the account id {spelling} is written as a number",
        subject.place_at(span.value_start) if span is not None else leaf,
        f'write "{spelling}": account ids are text, and can begin with 0',
        fix,
    )


def _negated_optional_fields(subject: Subject) -> Iterator[Finding]:
    for leaf in _unguarded(subject.tree, frozenset()):
        absent = pattern_condition(leaf.selector, NotExists())
        yield subject.finding(
            "negated-optional-field",
            f"{spelled(leaf)} does not match a record without that field",
            leaf,
            f"to match these too, write ( {absent} ||"
            f" {pattern_condition(leaf.selector, leaf.test)} )",
        )


def _unguarded(node: Node, guarded: frozenset[Selector]) -> Iterator[Condition]:
    """Yield each `!=` on a field that may be missing, of which nothing says what is meant then.

    `guarded` are the fields whose absence is provided for: by `NOT EXISTS` beside the negation, or
    by another condition that asks for the field anyway.
    """
    if isinstance(node, Or):
        arms = list(flat(node))
        guarded |= {
            arm.selector
            for arm in arms
            if isinstance(arm, Condition) and isinstance(arm.test, NotExists)
        }
        for arm in arms:
            yield from _unguarded(arm, guarded)
    elif isinstance(node, And):
        guarded |= _needed(node)
        for operand in node.operands:
            yield from _unguarded(operand, guarded)
    elif (
        isinstance(node, Condition)
        and isinstance(node.test, NotEqual)
        and not node.selector.wildcards
        and node.selector.steps not in ALWAYS_THERE
        and node.selector not in guarded
    ):
        yield node


def _needed(node: Node) -> frozenset[Selector]:
    """Return the fields without which a tree does not hold, as its positive conditions say."""
    if isinstance(node, And):
        return frozenset().union(*map(_needed, node.operands))
    if isinstance(node, Or):
        arms = [_needed(arm) for arm in node.operands]
        return arms[0].intersection(*arms[1:]) if arms else frozenset()
    if isinstance(node, Condition) and not isinstance(node.test, (NotEqual, NotExists)):
        return frozenset({node.selector})
    return frozenset()


def _positive_ors(node: Node) -> Iterator[Or]:
    """Yield the outermost of each nest of `||` that is not itself negated."""
    if isinstance(node, Or):
        yield node
        for arm in flat(node):
            yield from _positive_ors(arm)
    elif isinstance(node, And):
        for operand in node.operands:
            yield from _positive_ors(operand)


def _always_true_or(subject: Subject, node: Or) -> Iterator[Finding]:
    arms = list(flat(node))
    pair = _exhaustive_pair(arms)
    if pair is not None:
        one, other = pair
        yield _or_finding(
            subject, one, f"{spelled(one)} or {spelled(other)}: every value satisfies one"
        )
        return
    broad = [arm for arm in arms if _is_broad(arm)]
    if len(broad) > 1:
        listed = " or ".join(map(spelled, broad[:2]))
        yield _or_finding(subject, broad[0], f"nearly every record satisfies {listed}")


def _or_finding(subject: Subject, arm: Node, message: str) -> Finding:
    at = arm if subject.section == "pattern" else subject.place("condition")
    word = "&&" if subject.section == "pattern" else "and"
    return subject.finding("always-true-or", message, at, f"join negations with {word}")


def _exhaustive_pair(arms: Sequence[Node]) -> tuple[Condition, Condition] | None:
    """Return two negations that exclude different values of the same field, if there are two."""
    negations = [
        (arm, Condition(arm.selector, Equal(arm.test.literal)))
        for arm in arms
        if isinstance(arm, Condition) and isinstance(arm.test, NotEqual)
    ]
    for (one, excluded), (other, other_excluded) in combinations(negations, 2):
        if contradicts(excluded, other_excluded):
            return one, other
    return None


def _is_broad(node: Node) -> bool:
    """Return whether nearly every record satisfies a negation."""
    if isinstance(node, Not):
        return _is_narrow(node.operand)
    if isinstance(node, And) and node.operands:
        return all(map(_is_broad, node.operands))
    return (
        isinstance(node, Condition)
        and isinstance(node.test, NotEqual)
        and node.selector.steps in ALWAYS_THERE
        and _is_narrow(node)
    )


def _is_narrow(node: Node) -> bool:
    """Return whether a condition, for `!=` the one it negates, names particular values."""
    if isinstance(node, And):
        return any(map(_is_narrow, node.operands))
    if isinstance(node, Or):
        return bool(node.operands) and all(map(_is_narrow, node.operands))
    if not isinstance(node, Condition) or isinstance(node.test, (Exists, NotExists, NullOrMissing)):
        return False
    glob = node.test.glob if isinstance(node.test, Like) else None
    if isinstance(node.test, (Equal, NotEqual)) and isinstance(node.test.literal, Glob):
        glob = node.test.literal
    return glob is None or not glob.parts or not all(isinstance(part, Wild) for part in glob.parts)


def _mixed_operators(subject: Subject) -> Iterator[Finding]:
    pattern = subject.pattern
    if pattern is None or "&&" not in pattern or "||" not in pattern:
        return
    try:
        offsets = mixed_operators(pattern)
    except PatternError:  # a tree that comes from elsewhere
        return
    if offsets:
        yield subject.finding(
            "mixed-operators",
            "&& and || are mixed without parentheses: && binds tighter",
            subject.place_at(offsets[0]),
            "put parentheses around what belongs together",
            _parentheses(subject, pattern),
        )


def _parentheses(subject: Subject, pattern: str) -> Edit | None:
    """Return the edit that writes the parentheses, if that is still the same pattern."""
    edit = implied_parentheses(pattern)
    try:
        is_same = edit is not None and parse_filter_pattern(edit.apply(pattern)) == subject.tree
    except PatternError:  # too long, or nested too deeply
        is_same = False
    return subject.edit(edit) if edit is not None and is_same else None
