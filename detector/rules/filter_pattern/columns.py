"""Filter patterns for lines of columns that are separated by white space.

    pattern := '[' column ( ',' column )* ']'
    column    := '...' | name? | either
    condition := name operator value

Source: Amazon CloudWatch Logs User Guide, "Using filter patterns to match terms in space-delimited
log events".
"""

from __future__ import annotations

import re

from detector.rules.filter_pattern.expression import ExpressionParser
from detector.rules.filter_pattern.scanner import Scanner
from detector.rules.syntax import And, Columns, Condition, Node, Selector

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def parse_columns(pattern: str) -> Node:
    """Return the tree of a pattern in brackets.

    Raises:
        PatternError: the text is no such pattern.
    """
    return _Parser(pattern).parse()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._scanner = scanner = Scanner(pattern, stops="(),]{}")
        self._names_in_column: set[str] = set()
        self._expression = ExpressionParser(scanner, self._condition, scanner.unexpected)

    def parse(self) -> Node:
        scanner = self._scanner
        scanner.take("[")
        names: list[str | None] = []
        conditions: list[Node] = []
        scanner.skip_space()
        while scanner.text[scanner.offset : scanner.offset + 1] != "]" or names:
            if scanner.take("..."):
                if None in names:
                    raise scanner.fault("... can stand only once", scanner.offset - 3)
                names.append(None)
            else:
                start = scanner.offset
                name = self._column(conditions) or f"${len(names) + 1}"
                if name in names:
                    raise scanner.fault(f"two columns have the name {name}", start)
                names.append(name)
            if not scanner.take(","):
                break
        if not scanner.take("]"):
            raise scanner.unexpected("expected a comma, an operator, or the closing ]")
        scanner.skip_space()
        if not scanner.at_end:
            raise scanner.unexpected("expected nothing after the closing ]")
        condition = conditions[0] if len(conditions) == 1 else And(tuple(conditions))
        return Columns(tuple(names), condition)

    def _column(self, conditions: list[Node]) -> str:
        """Return a column's name, empty where it has none; add its condition if it has one."""
        scanner = self._scanner
        scanner.skip_space()
        start = scanner.offset
        if scanner.text[start : start + 1] in {",", "]"}:
            return ""
        name = scanner.match(_NAME)
        if name is not None:
            scanner.skip_space()
            if scanner.text[scanner.offset : scanner.offset + 1] in {",", "]", ""}:
                return name.group()
        scanner.offset = start
        self._names_in_column.clear()
        conditions.append(self._expression.either())
        if len(self._names_in_column) > 1:
            listed = ", ".join(sorted(self._names_in_column))
            raise scanner.fault(f"a column has several names: {listed}", start)
        return self._names_in_column.pop()

    def _condition(self) -> Node:
        scanner = self._scanner
        scanner.skip_space()
        name = scanner.match(_NAME)
        if name is None:
            raise scanner.unexpected("expected a column's name")
        operator = scanner.operator()
        if operator is None:
            raise scanner.unexpected("expected a comma, an operator, or the closing ]")
        self._names_in_column.add(name.group())
        return Condition(Selector((name.group(),)), scanner.test(operator[0], of_text=True))
