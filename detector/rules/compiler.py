"""Syntax tree to matcher: a closure over the values of the fields that the rules read.

A matcher takes the values by slot number, so the same one serves a projected record, a full one
and a plain dict. What a tree says of `eventName` is worked out beforehand (`event_names`), because
that is how a record finds the few rules that can match it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from detector.rules.syntax import Compare, Equality, Literal, Node, Number, Or, Selector, Text

Values = Sequence[object]
"""One value per slot; `msgspec.UNSET` where the record has no such field."""

Matcher = Callable[[Values], bool]

EVENT_NAME = Selector(("eventName",))


class ValueTest(NamedTuple):
    """What a literal asks of a string, and of a number; no other value can satisfy a comparison."""

    text: Callable[[str], bool]
    number: Callable[[float], bool]


def compile_tree(node: Node, slots: Mapping[Selector, int]) -> Matcher:
    """Return a matcher that reads each selector's value at its slot.

    Raises:
        KeyError: the tree reads a selector that has no slot.
    """
    if isinstance(node, Compare):
        test = _literal_test(node.literal)
        if node.operator is Equality.NOT_EQUAL:
            test = _negated(test)
        return _on_slot(slots[node.selector], test)
    if isinstance(node, Or):
        return _any(_compile_alternatives(node, slots))
    return _all([compile_tree(operand, slots) for operand in node.operands])


def event_names(node: Node) -> frozenset[str] | None:
    """Return the names outside which the tree cannot hold, or None where it names no such set.

    The answer is sound for records whose eventName is a string; it may be larger than needed.
    """
    if isinstance(node, Compare):
        return _names_of_comparison(node)
    parts = [event_names(operand) for operand in node.operands]
    if isinstance(node, Or):
        if any(part is None for part in parts):
            return None
        return frozenset().union(*(part for part in parts if part is not None))
    known = [part for part in parts if part is not None]
    return frozenset.intersection(*known) if known else None


def _names_of_comparison(node: Compare) -> frozenset[str] | None:
    if node.selector != EVENT_NAME or node.operator is not Equality.EQUAL:
        return None
    if isinstance(node.literal, Number):
        return frozenset({node.literal.spelling})
    return frozenset({node.literal.value}) if node.literal.is_exact else None


def _compile_alternatives(node: Or, slots: Mapping[Selector, int]) -> list[Matcher]:
    """Fold the exact texts of each selector into one set: sixteen names cost one look-up."""
    texts: dict[Selector, set[str]] = {}
    others: list[Matcher] = []
    for operand in node.operands:
        if (
            isinstance(operand, Compare)
            and operand.operator is Equality.EQUAL
            and isinstance(operand.literal, Text)
            and operand.literal.is_exact
        ):
            texts.setdefault(operand.selector, set()).add(operand.literal.value)
        else:
            others.append(compile_tree(operand, slots))
    members = [
        _on_slot(slots[selector], _text_test(frozenset(values).__contains__))
        for selector, values in texts.items()
    ]
    return members + others


def _on_slot(slot: int, test: ValueTest) -> Matcher:
    test_text, test_number = test

    def match(values: Values) -> bool:
        value = values[slot]
        if isinstance(value, str):
            return test_text(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return test_number(value)
        return False

    return match


def _literal_test(literal: Literal) -> ValueTest:
    if isinstance(literal, Number):
        value, spelling = literal.value, literal.spelling
        return ValueTest(lambda text: text == spelling, lambda number: number == value)
    return _text_test(_glob(literal.value))


def _text_test(test: Callable[[str], bool]) -> ValueTest:
    return ValueTest(test, lambda number: test(number_text(number)))


def _negated(test: ValueTest) -> ValueTest:
    return ValueTest(lambda text: not test.text(text), lambda number: not test.number(number))


def _glob(pattern: str) -> Callable[[str], bool]:
    """Return a whole-value test in which `*` stands for any run of characters.

    Each piece between two stars is taken at its first place after the one before: no backtracking,
    so that the time is linear whatever an attacker puts into the value.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return lambda text: text == pattern
    *middle, tail = rest
    shortest = len(pattern) - len(rest)

    def test(text: str) -> bool:
        if len(text) < shortest or not text.startswith(head) or not text.endswith(tail):
            return False
        position = len(head)
        end = len(text) - len(tail)
        for piece in middle:
            found = text.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True

    return test


def number_text(value: float) -> str:
    """Return a JSON number's text as a pattern sees it: an integral one without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _any(matchers: list[Matcher]) -> Matcher:
    if len(matchers) == 1:
        return matchers[0]

    def match(values: Values) -> bool:
        for matcher in matchers:  # noqa: SIM110 - a plain loop is faster than any() here
            if matcher(values):
                return True
        return False

    return match


def _all(matchers: list[Matcher]) -> Matcher:
    def match(values: Values) -> bool:
        for matcher in matchers:  # noqa: SIM110 - a plain loop is faster than all() here
            if not matcher(values):
                return False
        return True

    return match
