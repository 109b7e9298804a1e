"""The syntax tree that every rule language is parsed to.

The tree says what a condition means without saying in which language it was written: a node that
two languages understand differently exists twice. Nodes are immutable and hashable, so equal
conditions of different rules can be shared.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selector:
    """The way from the top of a record to one value: `("userIdentity", "type")`."""

    keys: tuple[str, ...]

    def __str__(self) -> str:
        return "$." + ".".join(self.keys)


class Equality(enum.Enum):
    """The two operators that every kind of value takes."""

    EQUAL = "="
    NOT_EQUAL = "!="


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal; `*` in it stands for any run of characters, also an empty one."""

    value: str

    @property
    def is_exact(self) -> bool:
        """Whether the literal names one value only."""
        return "*" not in self.value


@dataclass(frozen=True, slots=True)
class Number:
    """A bare number: it equals a JSON number by value, and a JSON string by its own spelling."""

    value: float
    spelling: str


Literal = Text | Number


@dataclass(frozen=True, slots=True)
class Compare:
    """A filter pattern's comparison of one value.

    Only a string or a number can satisfy it. A field that is missing, null, a boolean, an array or
    an object satisfies neither operator: with `!=` too the answer is no, as in CloudWatch.
    """

    selector: Selector
    operator: Equality
    literal: Literal


@dataclass(frozen=True, slots=True)
class And:
    """All operands hold."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds."""

    operands: tuple[Node, ...]


Node = And | Or | Compare


def selectors(node: Node) -> Iterator[Selector]:
    """Yield every selector that the tree reads, with repetitions."""
    if isinstance(node, Compare):
        yield node.selector
    else:
        for operand in node.operands:
            yield from selectors(operand)
