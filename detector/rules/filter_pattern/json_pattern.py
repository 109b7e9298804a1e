r"""Filter patterns for JSON events.

    pattern   := '{' either '}'
    either    := both ( '||' both )*
    both      := primary ( '&&' primary )*
    primary   := '(' either ')' | condition
    condition := selector ( '=' | '!=' ) ( string | number | regex )
               | selector ( '<' | '<=' | '>' | '>=' ) number
               | selector 'IS' ( 'NULL' | 'TRUE' | 'FALSE' )
               | selector 'NOT' 'EXISTS'
    selector  := '$' ( '.' name | '.*' | '[' index ']' | '[*]' | '.'? '[' "'" key "'" ']' )+
    string    := '"' ( character | '\"' | '\\' )* '"' | bare word
    regex     := '%' expression '%'

`&&` binds tighter than `||`, white space is free around every token, and everything is case
sensitive. Source: Amazon CloudWatch Logs User Guide, "Using filter patterns to match terms in
JSON log events".
"""

from __future__ import annotations

import re

from detector.errors import Edit, PatternError
from detector.rules.filter_pattern.expression import ExpressionParser
from detector.rules.filter_pattern.scanner import Scanner
from detector.rules.syntax import (
    Condition,
    IsBoolean,
    IsNull,
    Node,
    NotExists,
    Selector,
    Step,
    Test,
    Wildcard,
)

MAX_WILDCARD_SELECTORS = 3
"""CloudWatch's limit for one pattern; one wildcard in each selector."""

MAX_INDEX_DIGITS = 9
"""No record has a list of a billion elements; longer numbers are only slow to read."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_INDEX = re.compile(r"\[\s*(\d+)\s*\]", re.ASCII)
_KEY = re.compile(r"""\[\s*(?:'([^']*)'|"([^"]*)")\s*\]""")
_STATES: dict[str, Test] = {
    "NULL": IsNull(),
    "TRUE": IsBoolean(True),
    "FALSE": IsBoolean(False),
}
_GLUED_KEYWORD = re.compile(r"(\$\S*?)(NOT|IS)")
_KEYWORD_IN_LOWER_CASE = re.compile(r"(?i:is|not)\b")


def parse_json_pattern(pattern: str) -> Node:
    """Return the tree of a pattern in braces.

    Raises:
        PatternError: the text is no such pattern.
    """
    return _Parser(pattern).parse()


def mixed_operators(pattern: str) -> list[int]:
    """Return the offsets where `||` joins what `&&` has joined without parentheses.

    Raises:
        PatternError: the text is no such pattern.
    """
    parser = _Parser(pattern)
    parser.parse()
    return parser.mixed


def parse_selector(text: str) -> Selector:
    """Return the selector for one field, written with or without the leading `$.`.

    Raises:
        PatternError: the text is no selector, or one that selects several values.
    """
    shift = 0 if text.startswith("$") else 2
    scanner = Scanner(text if text.startswith("$") else f"$.{text}", stops="(){}")
    try:
        selector = _selector(scanner)
        if not scanner.at_end:
            character = scanner.text[scanner.offset]
            raise scanner.fault(f"{character!r} is not part of a field's name", scanner.offset)
        if selector.wildcards:
            raise scanner.fault("a wildcard stands for several values", 0)
    except PatternError as error:
        offset = max(error.offset - shift, 0)
        raise PatternError(error.message, offset=offset, remedy=error.remedy) from None
    return selector


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._scanner = Scanner(pattern, stops="(){}")
        self._expression = ExpressionParser(self._scanner, self._condition, self._after_condition)
        self._wildcards = 0

    @property
    def mixed(self) -> list[int]:
        return self._expression.mixed

    def parse(self) -> Node:
        scanner = self._scanner
        if not scanner.take("{"):
            raise scanner.unexpected("expected the opening {")
        tree = self._expression.either()
        if not scanner.take("}"):
            raise self._after_condition("expected &&, || or the closing }")
        scanner.skip_space()
        if not scanner.at_end:
            raise scanner.unexpected("expected nothing after the closing }")
        return tree

    def _condition(self) -> Node:
        scanner = self._scanner
        scanner.skip_space()
        start = scanner.offset
        if not scanner.text.startswith("$", start):
            raise scanner.unexpected("expected a selector such as $.eventName, or (")
        selector = _selector(scanner)
        if selector.wildcards:
            self._wildcards += 1
            if self._wildcards > MAX_WILDCARD_SELECTORS:
                raise scanner.fault(
                    f"more than {MAX_WILDCARD_SELECTORS} wildcard selectors in one pattern",
                    start,
                    remedy="split the pattern over several rules",
                )
        return Condition(selector, self._test(start))

    def _test(self, start: int) -> Test:
        scanner = self._scanner
        if scanner.take_word("IS"):
            return self._state()
        if scanner.take_word("NOT"):
            if not scanner.take_word("EXISTS"):
                raise scanner.unexpected("expected EXISTS after NOT")
            return NotExists()
        operator = scanner.operator()
        if operator is None:
            raise self._no_operator(start)
        return scanner.test(operator[0], of_text=False)

    def _state(self) -> Test:
        for word, test in _STATES.items():
            if self._scanner.take_word(word):
                return test
        remedy = None
        if self._scanner.text.startswith("NOT", self._scanner.offset):
            remedy = 'IS NOT is not part of the language; write = "*" for "has a value"'
        raise self._scanner.unexpected("expected NULL, TRUE or FALSE after IS", remedy=remedy)

    def _no_operator(self, start: int) -> PatternError:
        """Say why no test follows the selector that begins at `start`."""
        scanner = self._scanner
        expectation = "expected an operator (= != < <= > >=), IS or NOT EXISTS after the selector"
        end = scanner.offset
        selector = scanner.text[start:end].rstrip()
        scanner.skip_space()
        following = scanner.text[scanner.offset : scanner.offset + 8]
        glued = _GLUED_KEYWORD.fullmatch(selector)
        if glued and following.startswith(("EXISTS", "NULL", "TRUE", "FALSE")):
            rest = f" {glued.group(2)}"
            return scanner.unexpected(
                expectation,
                remedy=f"write {glued.group(1)}{rest} {following.split()[0]}",
                edit=Edit(start + len(glued.group(1)), 0, " "),
            )
        if following.startswith("EXISTS"):
            return scanner.unexpected(
                expectation, remedy='EXISTS is not part of the language; write = "*"'
            )
        if _KEYWORD_IN_LOWER_CASE.match(following):
            return scanner.unexpected(expectation, remedy="keywords are written in capitals")
        piece = _NAME.match(scanner.text, scanner.offset)
        if piece and scanner.text[scanner.offset - 1].isspace():
            return scanner.unexpected(
                expectation,
                remedy=f"if a line break split a name, write {selector}{piece.group()}",
                edit=Edit(start + len(selector), scanner.offset - start - len(selector), ""),
            )
        return scanner.unexpected(expectation)

    def _after_condition(self, expectation: str) -> PatternError:
        """Say why something follows a complete condition."""
        scanner = self._scanner
        text, end = scanner.text, scanner.offset
        scanner.skip_space()
        here = scanner.offset
        condition = re.search(r"(\$\S+?)\s*(?:!=|=)\s*([^\s(){}\"%=]+)$", text[:end].rstrip())
        piece = re.match(r"[^\s(){}\"%&|]+", text[here:])
        if condition and piece:
            selector, word = condition.groups()
            start = condition.start(2)
            # A name never holds a space, so that one in it is where a line was broken.
            if selector.endswith(("eventName", "eventSource")):
                return scanner.unexpected(
                    expectation,
                    remedy=f"if a line break split a name, write {word}{piece.group()}",
                    edit=Edit(start + len(word), here - start - len(word), ""),
                )
            phrase = re.match(r"[^(){}\"%&|]+", text[start:])
            value = phrase.group().rstrip() if phrase else word
            return scanner.unexpected(
                expectation,
                remedy=f'a value with a space needs quotes: write "{value}"',
                edit=Edit(start, len(value), f'"{value}"'),
            )
        return scanner.unexpected(expectation)


def _selector(scanner: Scanner) -> Selector:
    """Read a selector whose `$` stands next."""
    start = scanner.offset
    scanner.offset += 1
    steps: list[Step] = []
    while True:
        step = _step(scanner)
        if step is None:
            break
        steps.append(step)
    if not steps:
        name = _NAME.match(scanner.text, scanner.offset)
        remedy = f"write $.{name.group()}" if name else None
        edit = Edit(scanner.offset, 0, ".") if name else None
        raise scanner.fault("a selector begins with $.", scanner.offset, remedy=remedy, edit=edit)
    selector = Selector(tuple(steps))
    if selector.wildcards > 1:
        raise scanner.fault("a selector has more than one wildcard", start)
    return selector


def _step(scanner: Scanner) -> Step | None:
    text = scanner.text
    if text.startswith(".", scanner.offset):
        scanner.offset += 1
        if text.startswith("*", scanner.offset):
            scanner.offset += 1
            return Wildcard.FIELDS
        name = scanner.match(_NAME)
        if name is not None:
            return name.group()
        if not text.startswith("[", scanner.offset):
            raise scanner.fault(
                "expected a field's name of letters, digits, _ and -",
                scanner.offset,
                remedy="write a name of other characters as .['the name']",
            )
    if not text.startswith("[", scanner.offset):
        return None
    return _bracketed(scanner)


def _bracketed(scanner: Scanner) -> Step:
    if scanner.text.startswith("[*]", scanner.offset):
        scanner.offset += 3
        return Wildcard.ELEMENTS
    index = scanner.match(_INDEX)
    if index is not None:
        if len(index.group(1)) > MAX_INDEX_DIGITS:
            raise scanner.fault("the index is too large", index.start(1))
        return int(index.group(1))
    key = scanner.match(_KEY)
    if key is None:
        raise scanner.fault(
            "expected an index, * or a quoted name in brackets",
            scanner.offset + 1,
            remedy="write [0], [*] or .['the name']",
        )
    return str(key.group(1) if key.group(1) is not None else key.group(2))
