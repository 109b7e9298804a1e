"""Conditions joined by && and ||, with parentheses: what patterns of JSON and of columns share.

either  := both ( '||' both )*
both    := primary ( '&&' primary )*
primary := '(' either ')' | condition
"""

from __future__ import annotations

from collections.abc import Callable

from detector.errors import PatternError
from detector.rules.filter_pattern.scanner import Scanner
from detector.rules.syntax import And, Node, Or

MAX_NESTING = 64
"""Parentheses this deep are never written by hand; the parser's own stack stays small."""


class ExpressionParser:
    """Recursive descent over a scanner.

    `condition` reads one condition; `explain` makes the error for what follows a complete one but
    may not. `mixed` gathers the offsets where `||` joins what `&&` has joined without parentheses.
    """

    def __init__(
        self,
        scanner: Scanner,
        condition: Callable[[], Node],
        explain: Callable[[str], PatternError],
    ) -> None:
        self._scanner = scanner
        self._condition = condition
        self._explain = explain
        self._depth = 0
        self.mixed: list[int] = []

    def either(self) -> Node:
        """Read an expression."""
        scanner = self._scanner
        first, is_joined = self._both()
        operands = [first]
        while scanner.take("||"):
            offset = scanner.offset - 2
            operand, operand_is_joined = self._both()
            operands.append(operand)
            if is_joined or operand_is_joined:
                self.mixed.append(offset)
            is_joined = operand_is_joined
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _both(self) -> tuple[Node, bool]:
        operands = [self._primary()]
        while self._scanner.take("&&"):
            operands.append(self._primary())
        is_joined = len(operands) > 1
        return (And(tuple(operands)) if is_joined else operands[0]), is_joined

    def _primary(self) -> Node:
        scanner = self._scanner
        if not scanner.take("("):
            return self._condition()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise scanner.fault(f"more than {MAX_NESTING} parentheses are open")
        tree = self.either()
        if not scanner.take(")"):
            raise self._explain("expected &&, || or the closing )")
        self._depth -= 1
        return tree
