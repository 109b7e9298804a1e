"""A filter pattern's text and how far it has been read; what the three languages have in common."""

from __future__ import annotations

import re

from detector.errors import Edit, PatternError
from detector.rules.regex import RegexError, searcher
from detector.rules.syntax import (
    Equal,
    Glob,
    Literal_,
    NotEqual,
    Number,
    Order,
    Ordered,
    Regex,
    Test,
    star_glob,
)

MAX_REGEXES = 2
"""CloudWatch's quota for one pattern."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_OPERATOR = re.compile(r"!=|<=|>=|==|=|<|>")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REGEX_PIECE = re.compile(
    r"(?P<escape>\\(?:x[0-9a-fA-F]{2}|[dDsSwW]|[^0-9A-Za-z\s]))"
    r"|(?P<open>\{,)"
    r"|[A-Za-z0-9:_#=@/;,\- ^$?\[\]{}|*+.]"
)


class Scanner:
    """The text, and the offset of the next character to be read.

    `stops` are the characters that end a bare word besides white space, quotes and operators.
    """

    def __init__(self, text: str, *, stops: str) -> None:
        self.text = text
        self.offset = 0
        self._regexes = 0
        self._bare = re.compile(rf'(?:(?!&&|\|\|)[^\s"%{re.escape(stops)}])+')

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.offset == len(self.text)

    def skip_space(self) -> None:
        """Go on to the next character that is not white space."""
        while self.offset < len(self.text) and self.text[self.offset].isspace():
            self.offset += 1

    def take(self, token: str) -> bool:
        """Read a token that stands next, after white space; return whether it did."""
        self.skip_space()
        if not self.text.startswith(token, self.offset):
            return False
        self.offset += len(token)
        return True

    def take_word(self, word: str) -> bool:
        """Read a keyword that stands next and is not the beginning of a longer word."""
        self.skip_space()
        end = self.offset + len(word)
        following = self.text[end : end + 1]
        if self.text[self.offset : end] != word or following.isalnum() or following == "_":
            return False
        self.offset = end
        return True

    def match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        """Read what an expression matches right here."""
        found = expression.match(self.text, self.offset)
        if found is not None:
            self.offset = found.end()
        return found

    def fault(
        self,
        message: str,
        offset: int | None = None,
        *,
        remedy: str | None = None,
        edit: Edit | None = None,
    ) -> PatternError:
        """Return an error at an offset, or at the next character that is not white space."""
        if offset is None:
            self.skip_space()
            offset = self.offset
        return PatternError(message, offset=offset, remedy=remedy, edit=edit)

    def unexpected(self, expectation: str, **more: Edit | str | None) -> PatternError:
        """Return an error that says what was expected, and what stands there."""
        self.skip_space()
        found = self.text[self.offset : self.offset + 20].split()
        here = repr(found[0]) if found else "the pattern's end"
        return self.fault(f"{expectation}, found {here}", **more)  # type: ignore[arg-type]

    def operator(self) -> tuple[str, int] | None:
        """Read a comparison operator; return it and its offset, or None where there is none."""
        self.skip_space()
        start = self.offset
        found = self.match(_OPERATOR)
        if found is None:
            return None
        if found.group() == "==":
            edit = Edit(start, 2, "=")
            raise self.fault("== is not an operator", start, remedy="write =", edit=edit)
        return found.group(), start

    def test(self, operator: str, *, of_text: bool) -> Test:
        """Read the value that an operator compares with, and return the test."""
        if operator not in {"=", "!="}:
            number = self._number()
            return Ordered(Order(operator), number, of_text)
        literal = self._literal()
        return Equal(literal) if operator == "=" else NotEqual(literal)

    def quoted(self) -> str | None:
        """Read a quoted string that stands right here; return what it says."""
        if not self.text.startswith('"', self.offset):
            return None
        found = self.match(_QUOTED)
        if found is None:
            raise self.fault('the " opened here is never closed', remedy='add the closing "')
        return _ESCAPE.sub(r"\1", found.group(1))

    def bare(self) -> str | None:
        """Read a word without quotes that stands right here."""
        found = self.match(self._bare)
        return found.group() if found else None

    def regex(self) -> Regex | None:
        """Read a regular expression between per cent signs that stands right here."""
        if not self.text.startswith("%", self.offset):
            return None
        start = self.offset
        end = self.text.find("%", start + 1)
        if end < 0:
            raise self.fault("the % opened here is never closed", remedy="add the closing %")
        self._regexes += 1
        if self._regexes > MAX_REGEXES:
            raise self.fault(
                f"more than {MAX_REGEXES} regular expressions, CloudWatch's quota for one pattern",
                remedy="split the pattern over several rules",
            )
        expression = self._checked_expression(start + 1, end)
        self.offset = end + 1
        regex = Regex(expression)
        try:
            searcher(regex)
        except RegexError as error:
            raise self.fault(f"not a regular expression: {error}", start + 1) from error
        return regex

    def _checked_expression(self, start: int, end: int) -> str:
        """Return the expression as RE2 takes it; refuse what CloudWatch's dialect does not have."""
        if start == end:
            raise self.fault("the regular expression is empty", start)
        pieces = []
        in_class = False
        offset = start
        while offset < end:
            piece = _REGEX_PIECE.match(self.text, offset, end)
            if piece is None:
                character = self.text[offset]
                hint = f"write \\x{ord(character):02x}" if character.isascii() else None
                if character in "()":
                    hint = "CloudWatch's expressions have no groups"
                raise self.fault(
                    f"{character!r} is not allowed in a regular expression", offset, remedy=hint
                )
            # RE2 reads {,n} as these characters; CloudWatch, as up to n times.
            is_open = piece.group("open") and not in_class
            pieces.append("{0," if is_open else piece.group())
            in_class = piece.group() != "]" and (in_class or piece.group() == "[")
            offset = piece.end()
        return "".join(pieces)

    def _literal(self) -> Literal_:
        self.skip_space()
        start = self.offset
        regex = self.regex()
        if regex is not None:
            return regex
        quoted = self.quoted()
        if quoted is not None:
            return star_glob(quoted)
        word = self.bare()
        if word is None or word[0] in "=<>!":
            self.offset = start
            raise self.unexpected("expected a value: a word, a number, a quoted string or %regex%")
        if self.text.startswith('"', self.offset):
            raise self.fault(
                'a " in the middle of a word',
                self.offset,
                remedy=f'write "{word}"',
                edit=Edit(start, 0, '"'),
            )
        number = parse_number(word)
        return star_glob(word) if number is None else number

    def _number(self) -> float:
        self.skip_space()
        start = self.offset
        word = self.bare()
        number = parse_number(word) if word else None
        if number is None:
            self.offset = start
            raise self.unexpected("expected a number: only = and != compare text")
        return number.value


def parse_number(word: str) -> Number | None:
    """Return the number that a bare word spells, or None where it spells none."""
    if not _NUMBER.fullmatch(word):
        return None
    return Number(int(word) if _INTEGER.fullmatch(word) else float(word), word)


def exact(text: str) -> Glob:
    """Return the glob of exactly this text."""
    return Glob((text,) if text else ())
