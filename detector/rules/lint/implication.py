"""What one condition says of another: that it follows from it, or that both can never hold.

Every yes is right for every record; a no may only mean that the reasoning here does not reach that
far. Values are judged by `detector.rules.oracle`, so that there is no second opinion on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from detector.rules.folding import folded
from detector.rules.lint.globs import are_apart, covers, exact_text, glob_of, is_covered
from detector.rules.oracle import condition_holds
from detector.rules.syntax import (
    And,
    Condition,
    Equal,
    Exists,
    Glob,
    IsBoolean,
    IsNull,
    Like,
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
    Selector,
    Step,
    Test,
)
from detector.rules.values import number_text

FREE_FORM = frozenset(
    {
        "additionalEventData",
        "insightDetails",
        "requestParameters",
        "resources",
        "responseElements",
        "serviceEventDetails",
    }
)
"""Parts of a record that hold lists. A list equals several texts at once, so that for Sigma, which
looks into lists, nothing contradicts anything in them."""

_UPPER = frozenset({Order.LESS, Order.LESS_OR_EQUAL})

_Memo = dict[tuple[int, int], bool]


def flat(node: And | Or) -> Iterator[Node]:
    """Yield the operands, with those of operands of the same kind in their place."""
    for operand in node.operands:
        if isinstance(operand, type(node)):
            yield from flat(operand)
        else:
            yield operand


@dataclass(slots=True)
class Budget:
    """Steps that reasoning may still take: without any left, nothing more is known."""

    left: int = 1_000_000


def implies(one: Node, other: Node, budget: Budget | None = None) -> bool:
    """Return whether `other` is known to hold of every record of which `one` holds."""
    return _implies(one, other, {}, Budget() if budget is None else budget)


def _implies(one: Node, other: Node, memo: _Memo, budget: Budget) -> bool:
    budget.left -= 1
    if budget.left < 0:
        return False
    if isinstance(one, Condition) and isinstance(other, Condition):
        return _condition_implies(one, other)
    key = (id(one), id(other))
    if key not in memo:
        # And to Or can be taken apart at both ends; remembering keeps that from exploding.
        memo[key] = one == other or _parts_imply(one, other, memo, budget)
    return memo[key]


def _parts_imply(one: Node, other: Node, memo: _Memo, budget: Budget) -> bool:
    if isinstance(one, Or):
        return all(_implies(arm, other, memo, budget) for arm in one.operands)
    if isinstance(other, And):
        return all(_implies(one, operand, memo, budget) for operand in other.operands)
    if isinstance(one, Not) and isinstance(other, Not):
        return _implies(other.operand, one.operand, memo, budget)
    return (
        isinstance(one, And)
        and any(_implies(operand, other, memo, budget) for operand in one.operands)
    ) or (isinstance(other, Or) and any(_implies(one, arm, memo, budget) for arm in other.operands))


def contradicts(one: Node, other: Node) -> bool:
    """Return whether no record is known to satisfy both."""
    # Or is taken apart first: each arm may contradict another operand of an And.
    if isinstance(one, Or):
        return all(contradicts(arm, other) for arm in one.operands)
    if isinstance(other, Or):
        return all(contradicts(one, arm) for arm in other.operands)
    if isinstance(one, And):
        return any(contradicts(operand, other) for operand in one.operands)
    if isinstance(other, And):
        return any(contradicts(one, operand) for operand in other.operands)
    if isinstance(one, Not) or isinstance(other, Not):
        return (isinstance(one, Not) and implies(other, one.operand)) or (
            isinstance(other, Not) and implies(one, other.operand)
        )
    return (
        isinstance(one, Condition)
        and isinstance(other, Condition)
        and one.selector == other.selector
        and _has_one_value(one.selector)
        and _clash(one, other)
    )


def fixed_values(node: Node, steps: tuple[Step, ...]) -> frozenset[str] | None:
    """Return the only texts, in lower case, that a field can have where the tree holds.

    None if there is no such list of them.
    """
    if isinstance(node, And):
        found = [fixed_values(operand, steps) for operand in node.operands]
        return min((item for item in found if item is not None), key=len, default=None)
    if isinstance(node, Or):
        values: set[str] = set()
        for arm in node.operands:
            fixed = fixed_values(arm, steps)
            if fixed is None:
                return None
            values |= fixed
        return frozenset(values)
    if isinstance(node, Condition) and node.selector.steps == steps:
        exact = exact_text(node.test) if _has_one_value(node.selector) else None
        return None if exact is None else frozenset({folded(exact[0])})
    return None


def _has_one_value(selector: Selector) -> bool:
    """Return whether at most one value of a record is selected."""
    if selector.through_lists:
        return selector.is_plain and selector.steps[:1] != () and not _is_free_form(selector)
    return not selector.wildcards


def _is_free_form(selector: Selector) -> bool:
    return selector.steps[0] in FREE_FORM


@dataclass(frozen=True, slots=True)
class _Witnesses:
    """Values that stand for all that satisfy a test: each item is what a selector selects.

    `blind` are the kinds of test that cannot tell those that stand from those stood for; None where
    no test can.
    """

    selections: Sequence[list[object]]
    blind: tuple[type[Test], ...] | None = None

    def speak_to(self, test: Test) -> bool:
        """Return whether a test of these values is one of all that they stand for."""
        if self.blind is None:
            return True
        return isinstance(test, self.blind) and not (isinstance(test, Like) and test.cased)


_FIXED: Mapping[Test, Sequence[list[object]]] = {
    NotExists(): [[]],
    Exists(False): [[]],
    IsNull(): [[None]],
    NullOrMissing(): [[], [None]],
    IsBoolean(True): [[True]],
    IsBoolean(False): [[False]],
}
_OF_PRESENCE = (Exists, NotExists, NullOrMissing, IsNull)
_OF_ANY_CASE = (Like, NumberLike, Ordered, IsBoolean, *_OF_PRESENCE)
_OF_NUMBERS = (NumberLike, *_OF_PRESENCE)


def _witnesses(test: Test) -> _Witnesses | None:
    """Return values that stand for all that satisfy a test, None where they are too many."""
    exact = exact_text(test)
    if exact is not None:
        text, is_cased = exact
        if isinstance(test, Like) and text.startswith("{"):
            return None  # an object has such a text too
        values: list[object] = [text, *_numbers(text)]
        if isinstance(test, Like) and folded(text) in {"true", "false"}:
            values.append(folded(text) == "true")
        return _Witnesses([[value] for value in values], None if is_cased else _OF_ANY_CASE)
    if isinstance(test, Equal) and isinstance(test.literal, Number):
        return _Witnesses([[test.literal.spelling], [test.literal.value]])
    if isinstance(test, NumberLike):
        return _Witnesses([[test.number]], _OF_NUMBERS)
    fixed = _FIXED.get(test)
    return None if fixed is None else _Witnesses(fixed)


def _numbers(text: str) -> Iterator[float]:
    """Yield the JSON numbers that rules see as this text; all of them are equal."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if number_text(number) == text:
            yield number


def _condition_implies(one: Condition, other: Condition) -> bool:
    if not _select_alike(one, other):
        return False
    given, wanted = glob_of(one.test), glob_of(other.test)
    if given is not None and wanted is not None:
        # Like takes booleans and objects too.
        is_subset = isinstance(one.test, Equal) or isinstance(other.test, Like)
        return is_subset and is_covered(given, wanted)
    if one.test == other.test or _excludes_less(one.test, other.test):
        return True
    witnesses = _witnesses(one.test)
    return (
        witnesses is not None
        and witnesses.speak_to(other.test)
        and all(condition_holds(other, values) for values in witnesses.selections)
    )


def _excludes_less(one: Test, other: Test) -> bool:
    if not isinstance(one, NotEqual) or not isinstance(other, NotEqual):
        return False
    broad, narrow = one.literal, other.literal
    return isinstance(broad, Glob) and isinstance(narrow, Glob) and covers(broad, narrow)


def _select_alike(one: Condition, other: Condition) -> bool:
    """Return whether what satisfies `one` is among what `other` looks at."""
    if one.selector == other.selector:
        return True
    if one.selector.through_lists is other.selector.through_lists:
        return False
    # CloudWatch's = holds for a text or number that no list is on the way to: Sigma sees it too.
    return (
        isinstance(one.test, Equal)
        and other.selector.through_lists
        and one.selector.steps == other.selector.steps
        and one.selector.is_plain
    )


def _clash(one: Condition, other: Condition) -> bool:
    """Return whether no single value satisfies two conditions on it."""
    for condition, against in ((one, other), (other, one)):
        witnesses = _witnesses(condition.test)
        if (
            witnesses is not None
            and witnesses.speak_to(against.test)
            and not any(condition_holds(against, values) for values in witnesses.selections)
        ):
            return True
    if isinstance(one.test, Ordered) and isinstance(other.test, Ordered):
        return _is_empty_range(one.test, other.test)
    given, wanted = glob_of(one.test), glob_of(other.test)
    return given is not None and wanted is not None and are_apart(given, wanted)


def _is_empty_range(one: Ordered, other: Ordered) -> bool:
    if (one.order in _UPPER) is (other.order in _UPPER):
        return False
    upper, lower = (one, other) if one.order in _UPPER else (other, one)
    if upper.number != lower.number:
        return upper.number < lower.number
    return upper.order is Order.LESS or lower.order is Order.GREATER
