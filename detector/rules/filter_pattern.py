r"""CloudWatch Logs filter patterns for JSON events, parsed to the syntax tree.

    pattern   := '{' either '}'
    either    := both ( '||' both )*
    both      := primary ( '&&' primary )*
    primary   := '(' either ')' | selector ( '=' | '!=' ) value
    selector  := '$' ( '.' name )+
    value     := '"' ( character | '\"' | '\\' )* '"' | bare word | number

`&&` binds tighter than `||`, white space is free around every token, and everything is case
sensitive. Source: Amazon CloudWatch Logs User Guide, "Using filter patterns to match terms in
JSON log events". The rest of the language (indices, wildcard selectors, ordering, regular
expressions, IS, NOT EXISTS) is refused with its position, never misread.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from detector.errors import PatternError
from detector.rules.syntax import And, Compare, Equality, Literal, Node, Number, Or, Selector, Text

MAX_PATTERN_CHARACTERS = 1024
"""PutMetricFilter takes no longer pattern, so a longer one could not be used on both sides."""

MAX_NESTING = 64
"""Parentheses this deep are never written by hand; the parser's own stack stays small."""

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<punctuation>&&|\|\||!=|<=|>=|[{}()=<>])
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<regex>%[^%]*%)
    | (?P<bare>(?:(?!&&|\|\||!=)[^\s(){}"%=<>])+)
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_ESCAPE = re.compile(r"\\(.)")


class _Token(NamedTuple):
    kind: str
    text: str
    offset: int


def parse_filter_pattern(pattern: str) -> Node:
    """Return the tree of a JSON filter pattern.

    Raises:
        PatternError: the text is not such a pattern; the error carries the offset of the first
            character that does not fit, and what was expected there.
    """
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise PatternError(
            f"the pattern has {len(pattern)} characters, CloudWatch takes {MAX_PATTERN_CHARACTERS}",
            offset=MAX_PATTERN_CHARACTERS,
            remedy="split it over several rules",
        )
    return _Parser(pattern).parse()


def parse_selector(text: str) -> Selector:
    """Return the selector for a field's path, written with or without the leading `$.`.

    Raises:
        PatternError: the path holds something other than names of letters, digits, `_` and `-`.
    """
    path = text.removeprefix("$.")
    return _selector("$." + path, offset=len(text) - len(path) - 2)


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, pattern: str) -> None:
        self._tokens = _tokenize(pattern)
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        self._expect("{", "a JSON pattern begins with {")
        tree = self._either()
        self._expect("}", "expected &&, || or the closing }")
        if self._peek().kind != "end":
            raise self._unexpected("expected nothing after the closing }")
        return tree

    def _either(self) -> Node:
        operands = [self._both()]
        while self._take("||"):
            operands.append(self._both())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _both(self) -> Node:
        operands = [self._primary()]
        while self._take("&&"):
            operands.append(self._primary())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _primary(self) -> Node:
        if not self._take("("):
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._unexpected(f"more than {MAX_NESTING} parentheses are open")
        tree = self._either()
        self._expect(")", "expected &&, || or the closing )")
        self._depth -= 1
        return tree

    def _comparison(self) -> Node:
        token = self._peek()
        if token.kind != "bare":
            raise self._unexpected("expected a selector such as $.eventName, or (")
        self._advance()
        selector = _selector(token.text, token.offset)
        operator = self._peek()
        if operator.text not in {"=", "!="} or operator.kind != "punctuation":
            raise self._unexpected("expected = or != after the selector")
        self._advance()
        return Compare(selector, Equality(operator.text), self._value())

    def _value(self) -> Literal:
        token = self._peek()
        if token.kind == "quoted":
            self._advance()
            return Text(_ESCAPE.sub(r"\1", token.text[1:-1]))
        if token.kind == "bare":
            self._advance()
            if _NUMBER.fullmatch(token.text):
                return Number(float(token.text), token.text)
            return Text(token.text)
        raise self._unexpected("expected a value: a word, a number or a quoted string")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _advance(self) -> None:
        self._next += 1

    def _take(self, punctuation: str) -> bool:
        token = self._peek()
        if token.kind == "punctuation" and token.text == punctuation:
            self._advance()
            return True
        return False

    def _expect(self, punctuation: str, otherwise: str) -> None:
        if not self._take(punctuation):
            raise self._unexpected(otherwise)

    def _unexpected(self, expectation: str) -> PatternError:
        token = self._peek()
        found = "the pattern's end" if token.kind == "end" else f"{token.text[:40]!r}"
        return PatternError(f"{expectation}, found {found}", offset=token.offset)


def _tokenize(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    offset = 0
    while offset < len(pattern):
        match = _TOKEN.match(pattern, offset)
        if match is None:
            raise _no_token(pattern, offset)
        if match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup or "", match.group(), offset))
        offset = match.end()
    tokens.append(_Token("end", "", len(pattern)))
    return tokens


def _no_token(pattern: str, offset: int) -> PatternError:
    character = pattern[offset]
    if character in {'"', "%"}:
        return PatternError(f"the {character} opened here is never closed", offset=offset)
    return PatternError(f"{character!r} has no meaning here", offset=offset)


def _selector(text: str, offset: int) -> Selector:
    if not text.startswith("$."):
        remedy = f"write $.{text[1:]}" if text.startswith("$") and text[1:] else None
        raise PatternError("a selector begins with $.", offset=max(offset, 0), remedy=remedy)
    keys: list[str] = []
    position = 2
    while True:
        name = _NAME.match(text, position)
        if name is None:
            raise PatternError(
                "expected a field's name of letters, digits, _ and -",
                offset=max(offset + position, 0),
            )
        keys.append(name.group())
        position = name.end()
        if position == len(text):
            return Selector(tuple(keys))
        if text[position] != ".":
            raise PatternError(
                f"{text[position]!r} is not part of a field's name",
                offset=max(offset + position, 0),
            )
        position += 1
