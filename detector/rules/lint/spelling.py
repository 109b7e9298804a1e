"""Conditions as their authors would write them, for messages."""

from __future__ import annotations

from detector.rules.syntax import (
    And,
    Condition,
    Equal,
    Exists,
    Glob,
    InText,
    IsBoolean,
    IsNull,
    Leaf,
    Like,
    Literal_,
    Matches,
    Node,
    Not,
    NotEqual,
    NotExists,
    NullOrMissing,
    Number,
    NumberLike,
    Or,
    Ordered,
    Selector,
    Test,
)
from detector.rules.values import number_text

MAX_CHARACTERS = 120
"""A condition that is longer is cut: the place says which it is."""


def spelled(node: Node) -> str:
    """Return a condition in the words of its language, on one line and not too long."""
    text = " ".join(_spelled(node).split())
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}..."


def pattern_condition(selector: Selector, test: Test) -> str:
    """Return a condition of a filter pattern, as it could stand in one."""
    return f"{selector} {_pattern_test(test)}"


def _spelled(node: Node) -> str:
    if isinstance(node, (And, Or)):
        word = " and " if isinstance(node, And) else " or "
        return f"({word.join(map(_spelled, node.operands))})"
    if isinstance(node, Not):
        return f"not {_spelled(node.operand)}"
    if not isinstance(node, Condition):
        return _text_condition(node)
    if node.selector.through_lists:
        return _sigma_condition(node.selector, node.test)
    return pattern_condition(node.selector, node.test)


def _text_condition(node: Leaf) -> str:
    if isinstance(node, InText):
        sought = node.sought
        return f'"{sought.text}"' if isinstance(sought, Glob) else f"%{sought.expression}%"
    return "a condition on several fields"


def _pattern_test(test: Test) -> str:
    if isinstance(test, (Equal, NotEqual)):
        return f"{'=' if isinstance(test, Equal) else '!='} {_literal(test.literal)}"
    if isinstance(test, Ordered):
        return f"{test.order.value} {number_text(test.number)}"
    if isinstance(test, IsNull):
        return "IS NULL"
    if isinstance(test, IsBoolean):
        return f"IS {str(test.value).upper()}"
    return "NOT EXISTS" if isinstance(test, NotExists) else type(test).__name__


def _literal(literal: Literal_) -> str:
    if isinstance(literal, Glob):
        escaped = literal.text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return literal.spelling if isinstance(literal, Number) else f"%{literal.expression}%"


def _sigma_condition(selector: Selector, test: Test) -> str:
    if isinstance(test, Ordered):
        return f"{selector} {test.order.value} {number_text(test.number)}"
    if isinstance(test, Exists):
        return f"{selector}|exists: {str(test.expected).lower()}"
    if isinstance(test, Matches):
        return f"{selector}|re: {test.regex.expression}"
    if isinstance(test, (Like, NumberLike, NullOrMissing)):
        return f"{selector}: {_sigma_value(test)}"
    return f"a condition on {selector}"


def _sigma_value(test: Like | NumberLike | NullOrMissing) -> str:
    if isinstance(test, Like):
        return test.glob.text
    return number_text(test.number) if isinstance(test, NumberLike) else "null"
