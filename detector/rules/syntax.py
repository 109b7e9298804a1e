"""The syntax tree that every rule language is parsed to.

The tree says what a condition means without saying in which language it was written: a test that
two languages understand differently exists twice. Nodes are immutable and hashable, so equal
conditions of different rules can be shared. `detector.rules.oracle` is their meaning in the
plainest words; `detector.rules.compiler` is the same, fast.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from detector.rules.folding import folded

MAX_DECODED_LEVELS = 32
"""Names of a selector that a typed decoder is built for. Records are some ten levels deep; what a
longer selector asks for is looked up below that, by name."""

_ESCAPED = re.compile(r'["\\\x00-\x1f]')


class Wildcard(enum.Enum):
    """A step of a selector that selects any number of values."""

    ELEMENTS = "[*]"
    FIELDS = ".*"


Step = str | int | Wildcard


@dataclass(frozen=True, slots=True)
class Selector:
    """The way from the top of a record to some of its values.

    A step is a field's name, an index into a list, or a wildcard. With `through_lists` (Sigma) a
    list on the way, and one at the end, stands for each of its elements.
    """

    steps: tuple[Step, ...]
    through_lists: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The leading steps that are names: as far as a record can be decoded selectively.

        A name that must be escaped in JSON is none of these: a typed decoder cannot have it.
        """
        names: list[str] = []
        for step in self.steps:
            if (
                not isinstance(step, str)
                or _ESCAPED.search(step)
                or len(names) == MAX_DECODED_LEVELS
            ):
                break
            names.append(step)
        return tuple(names)

    @property
    def is_plain(self) -> bool:
        """Whether every step is a name."""
        return len(self.names) == len(self.steps)

    @property
    def wildcards(self) -> int:
        """The number of wildcard steps."""
        return sum(isinstance(step, Wildcard) for step in self.steps)

    def __str__(self) -> str:
        if self.through_lists:
            return ".".join(str(step) for step in self.steps)
        return "$" + "".join(_spelled(step) for step in self.steps)


def _spelled(step: Step) -> str:
    if isinstance(step, Wildcard):
        return step.value
    if isinstance(step, int):
        return f"[{step}]"
    is_name = step.isascii() and step.replace("-", "_").replace("_", "a").isalnum()
    quote = '"' if "'" in step else "'"
    return f".{step}" if is_name else f".[{quote}{step}{quote}]"


class Wild(enum.Enum):
    """What stands for unknown characters in a glob."""

    RUN = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Glob:
    """Text with wildcards: `Wild.RUN` is any run of characters, `Wild.ONE` exactly one."""

    parts: tuple[str | Wild, ...]

    @property
    def is_exact(self) -> bool:
        """Whether the glob names one value only."""
        return not any(isinstance(part, Wild) for part in self.parts)

    @property
    def text(self) -> str:
        """The glob with its wildcards written out, for people; the value itself if it is exact."""
        return "".join(part.value if isinstance(part, Wild) else part for part in self.parts)

    def folded(self) -> Glob:
        """Return the glob without regard to case."""
        parts = (part if isinstance(part, Wild) else folded(part) for part in self.parts)
        return Glob(tuple(parts))


def star_glob(text: str) -> Glob:
    """Return the glob that a text with stars stands for."""
    parts: list[str | Wild] = []
    for index, piece in enumerate(text.split("*")):
        if index and (not parts or parts[-1] is not Wild.RUN):
            parts.append(Wild.RUN)
        if piece:
            parts.append(piece)
    return Glob(tuple(parts))


@dataclass(frozen=True, slots=True)
class Number:
    """A bare number: it equals a JSON number by value, and a JSON string by its own spelling."""

    value: float
    spelling: str


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression of RE2, which matches in linear time; searched for, not anchored."""

    expression: str
    ignore_case: bool = False
    multi_line: bool = False
    dot_all: bool = False


Literal_ = Glob | Number | Regex


class Order(enum.Enum):
    """The operators that only numbers take."""

    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


# The tests of CloudWatch filter patterns. A value that is missing, null, a boolean, a list or an
# object satisfies neither `=` nor `!=`. With a wildcard selector one value is enough.


@dataclass(frozen=True, slots=True)
class Equal:
    """A string or number is what the literal says; case matters."""

    literal: Literal_


@dataclass(frozen=True, slots=True)
class NotEqual:
    """A string or number is there, and is not what the literal says."""

    literal: Literal_


@dataclass(frozen=True, slots=True)
class Ordered:
    """A number stands in this order to another; with `of_text` also a string that spells one.

    Sigma's lt, lte, gt and gte, and a column of a space-delimited pattern, read text as numbers; a
    JSON filter pattern does not.
    """

    order: Order
    number: float
    of_text: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """The value is there, and is null."""


@dataclass(frozen=True, slots=True)
class IsBoolean:
    """The value is this boolean."""

    value: bool


@dataclass(frozen=True, slots=True)
class NotExists:
    """There is no such field."""


# The tests of Sigma. Text is compared without regard to case unless `cased`; numbers and booleans
# are compared as they are spelled in JSON, an object as its JSON text.


@dataclass(frozen=True, slots=True)
class Like:
    """The value's text is what the glob says."""

    glob: Glob
    cased: bool = False


@dataclass(frozen=True, slots=True)
class NumberLike:
    """The value is this number, or text that spells it."""

    number: float


@dataclass(frozen=True, slots=True)
class NullOrMissing:
    """The value is null, or there is no such field."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there, whatever its value; or, with False, is not there."""

    expected: bool


@dataclass(frozen=True, slots=True)
class Matches:
    """A regular expression is found in the value's text."""

    regex: Regex


@dataclass(frozen=True, slots=True)
class InNetwork:
    """The value's text is an IP address within a network."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network


TimeUnit = Literal["minute", "hour", "day", "week", "month", "year"]


@dataclass(frozen=True, slots=True)
class TimePart:
    """A part of the time that the value's text tells is this number; time zones are not converted.

    The week is the ISO week.
    """

    unit: TimeUnit
    number: int


@dataclass(frozen=True, slots=True)
class Before:
    """The value's text tells a time before this one, in seconds since the epoch.

    For exceptions that expire: an event is excepted by when it happened, not by when it came in.
    """

    moment: float


Test = (
    Equal
    | NotEqual
    | Ordered
    | IsNull
    | IsBoolean
    | NotExists
    | Like
    | NumberLike
    | NullOrMissing
    | Exists
    | Matches
    | InNetwork
    | TimePart
    | Before
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of the values that a selector selects: one that satisfies it is enough."""

    selector: Selector
    test: Test


class Overlap(enum.Enum):
    """How the text of one field must lie in that of another."""

    WHOLE = "is"
    START = "starts with"
    END = "ends with"
    ANYWHERE = "contains"


@dataclass(frozen=True, slots=True)
class FieldsAlike:
    """The text of one field is, or holds, that of another field of the same record (Sigma)."""

    selector: Selector
    other: Selector
    overlap: Overlap = Overlap.WHOLE
    cased: bool = False


@dataclass(frozen=True, slots=True)
class InText:
    """Something is found in the record's own text, as it was delivered."""

    sought: Glob | Regex
    cased: bool = True


@dataclass(frozen=True, slots=True)
class Columns:
    """The record's text, split at white space into columns, satisfies a condition of them.

    `names` holds a name for each column, and None where any number of columns may stand. The
    conditions of `condition` select from a record of these names.
    """

    names: tuple[str | None, ...]
    condition: Node


@dataclass(frozen=True, slots=True)
class And:
    """All operands hold; without operands always."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds; without operands never."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The operand does not hold (Sigma, and excluded terms)."""

    operand: Node


Leaf = Condition | FieldsAlike | InText | Columns
Node = And | Or | Not | Leaf

ALWAYS = And(())
NEVER = Or(())


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield every condition of the tree, with repetitions, from left to right."""
    if isinstance(node, (And, Or)):
        for operand in node.operands:
            yield from leaves(operand)
    elif isinstance(node, Not):
        yield from leaves(node.operand)
    else:
        yield node


def selectors(node: Node) -> Iterator[Selector]:
    """Yield every selector that the tree reads from a record, with repetitions."""
    for leaf in leaves(node):
        if isinstance(leaf, Condition):
            yield leaf.selector
        elif isinstance(leaf, FieldsAlike):
            yield leaf.selector
            yield leaf.other


def reads_text(node: Node) -> bool:
    """Return whether the tree needs the record's own text."""
    return any(isinstance(leaf, (InText, Columns)) for leaf in leaves(node))
