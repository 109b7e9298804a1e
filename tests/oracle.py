"""What a syntax tree means, said as plainly as can be; the compiled form must agree with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from detector.rules.syntax import And, Compare, Equality, Literal, Node, Number, Or

_ABSENT = object()


def holds(node: Node, event: Mapping[str, Any]) -> bool:
    """Return whether a tree holds for a record."""
    if isinstance(node, And):
        return all(holds(operand, event) for operand in node.operands)
    if isinstance(node, Or):
        return any(holds(operand, event) for operand in node.operands)
    return _compares(node, event)


def _compares(node: Compare, event: Mapping[str, Any]) -> bool:
    value: Any = event
    for key in node.selector.keys:
        value = value.get(key, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    return _equals(value, node.literal) == (node.operator is Equality.EQUAL)


def _equals(value: str | float, literal: Literal) -> bool:
    if isinstance(literal, Number):
        return value == (literal.spelling if isinstance(value, str) else literal.value)
    if not isinstance(value, str):
        is_integral = isinstance(value, int) or value.is_integer()
        value = str(int(value)) if is_integral else str(value)
    pattern = ".*".join(re.escape(piece) for piece in literal.value.split("*"))
    return re.fullmatch(pattern, value, re.DOTALL) is not None
