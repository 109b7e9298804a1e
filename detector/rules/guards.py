"""What must be true of single fields for a rule to match: how a record finds its few candidates.

A guard is a set of conditions of which at least one holds whenever the tree holds. It is sound for
any tree and only ever too wide; the rule itself decides. `eventName` makes the best guard where the
tree allows it, but any field will do: `userIdentity.type`, `errorCode`, a user agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, count
from typing import Any, TypeVar

from detector.events.projection import Column, Names
from detector.rules.compiler import ValueTest, compile_test
from detector.rules.folding import folded
from detector.rules.syntax import (
    And,
    Condition,
    Equal,
    Glob,
    Like,
    Node,
    Not,
    NotEqual,
    NotExists,
    Number,
    Or,
    Test,
    Wild,
)
from detector.rules.values import MISSING, sigma_text

COMMON = 0.6
"""A guard that lets through more than this share of records is not worth its look-up."""

MAX_REMEMBERED = 20_000
"""Values whose candidates are remembered for one field. An attacker who makes up a new user agent
for each call makes each cost one pass over the tests; more memory than this he does not get."""

_SHARES = {
    ("eventName",): 0.0005,
    ("eventSource",): 0.1,
    ("userIdentity", "type"): 0.15,
    ("awsRegion",): 0.2,
    ("recipientAccountId",): 0.2,
    ("readOnly",): 0.5,
    ("managementEvent",): 0.9,
    ("eventType",): 0.5,
    ("eventCategory",): 0.5,
    ("eventVersion",): 0.5,
}
"""A guess at the share of records that have one given value of a field; 0.01 for all others. A
wrong guess costs time, never a match."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A condition on the one value at a path of names, or its opposite."""

    names: Names
    test: Test
    negated: bool


@dataclass(frozen=True, slots=True)
class Guard:
    """Atoms of which one must hold; `share` is a guess at the share of records they let through."""

    atoms: tuple[Atom, ...]
    share: float


def guard_of(node: Node, *, negated: bool = False) -> Guard | None:
    """Return the best guard of a tree (or of its opposite), or None where it has none."""
    if isinstance(node, Not):
        return guard_of(node.operand, negated=not negated)
    if isinstance(node, (And, Or)):
        parts = [guard_of(operand, negated=negated) for operand in node.operands]
        if isinstance(node, And) is not negated:
            return min(filter(None, parts), key=lambda guard: guard.share, default=None)
        return _union(parts)
    if isinstance(node, Condition) and node.selector.is_plain:
        share = _share(node, negated=negated)
        return Guard((Atom(node.selector.names, node.test, negated),), share)
    return None


def atoms_on(node: Node, names: Names, *, negated: bool = False) -> frozenset[Atom] | None:
    """Return conditions on one field of which one holds whenever the tree holds, or None."""
    if isinstance(node, Not):
        return atoms_on(node.operand, names, negated=not negated)
    if isinstance(node, (And, Or)):
        parts = [atoms_on(operand, names, negated=negated) for operand in node.operands]
        known = [part for part in parts if part is not None]
        if isinstance(node, And) is not negated:
            return min(known, key=len, default=None)
        return frozenset().union(*known) if len(known) == len(parts) else None
    if isinstance(node, Condition) and node.selector.names == names and node.selector.is_plain:
        return frozenset({Atom(names, node.test, negated)})
    return None


def _union(parts: Sequence[Guard | None]) -> Guard | None:
    atoms: dict[Atom, None] = {}
    share = 0.0
    for part in parts:
        if part is None:
            return None
        atoms.update(dict.fromkeys(part.atoms))
        share += part.share
    return Guard(tuple(atoms), share)


def _share(condition: Condition, *, negated: bool) -> float:
    test = condition.test
    if negated or isinstance(test, (NotEqual, NotExists)):
        return 0.9
    base = _SHARES.get(condition.selector.names, 0.01)
    is_number = isinstance(test, Equal) and isinstance(test.literal, Number)
    if is_number or _exact(test) is not None:
        return base
    glob = (
        test.literal if isinstance(test, Equal) else test.glob if isinstance(test, Like) else None
    )
    if isinstance(glob, Glob) and all(isinstance(part, Wild) for part in glob.parts):
        return 0.3
    return max(base, 0.02)


def _exact(test: Test) -> tuple[str, bool] | None:
    """Return the one text that satisfies a test, and whether case matters.

    A number is none: 1 and 1.0 are spelled differently.
    """
    if isinstance(test, Equal) and isinstance(test.literal, Glob) and test.literal.is_exact:
        return test.literal.text, True
    if isinstance(test, Like) and test.glob.is_exact:
        return test.glob.text, test.cased
    return None


V = TypeVar("V")


class Remembered(dict[Any, V]):
    """Answers by value; what is asked for the first time is found out."""

    def __init__(self, find_out: Callable[[Any], V]) -> None:
        super().__init__()
        self._find_out = find_out

    def __missing__(self, value: Any) -> V:
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        answer = self[value] = self._find_out(value)
        return answer


_NOTHING: frozenset[int] = frozenset()


class Classifier:
    """For one field: from its value to the rules, by number, whose guards hold of it.

    Answers are remembered by value, so that the tests are made once for each that occurs.
    """

    def __init__(self, atoms: Sequence[tuple[Atom, int]]) -> None:
        self._cased: dict[str, set[int]] = {}
        self._folded: dict[str, set[int]] = {}
        self._patterns: list[tuple[ValueTest, bool, int]] = []
        for atom, number in atoms:
            exact = None if atom.negated else _exact(atom.test)
            if exact is None:
                self._patterns.append((compile_test(atom.test), atom.negated, number))
            else:
                text, is_cased = exact
                table = self._cased if is_cased else self._folded
                table.setdefault(text if is_cased else folded(text), set()).add(number)
        self.everything = frozenset(number for _, number in atoms)
        """All rules that this field guards."""
        self._known = Remembered(self._find_out)
        self._plain: set[object] = set()
        """Values that have no candidates; so that most records cost no more than to see that."""
        self._plain_above = set() if self._classify(MISSING) else {MISSING}
        """The same, for what stands above the field: only where nothing is there is it known."""

    def candidates(self, value: object) -> frozenset[int]:
        """Return the numbers of the rules that a record with this value may match."""
        try:
            return self._known[value]
        except TypeError:  # a list or an object: rare here, and for the rules to decide
            return self.everything

    def hits(self, records: Sequence[Any], column: Column) -> list[tuple[int, frozenset[int]]]:
        """Return the positions of records whose values have candidates, and these.

        Raises:
            AttributeError: something among the records is none.
        """
        plain = self._plain if column.is_whole else self._plain_above
        try:
            if plain.issuperset(map(column.glance, records)):
                return []
        except (AttributeError, TypeError):
            pass  # an object or a list where others have a plain value: looked at one by one
        values = column.values(records)
        known = self._known
        try:
            positions = list(compress(count(), map(known.__getitem__, values)))
        except TypeError:
            answers = [(index, self.candidates(value)) for index, value in enumerate(values)]
            return [(index, numbers) for index, numbers in answers if numbers]
        return [(index, known[values[index]]) for index in positions]

    def _find_out(self, value: object) -> frozenset[int]:
        numbers = self._classify(value)
        if not numbers:
            if len(self._plain) >= MAX_REMEMBERED:
                self._plain.clear()
            self._plain.add(value)
        return numbers

    def _classify(self, value: object) -> frozenset[int]:
        numbers: set[int] = set()
        for alike in _alike(value):
            text = sigma_text(alike)
            if text is not None:
                numbers |= self._cased.get(text, _NOTHING)
                numbers |= self._folded.get(folded(text), _NOTHING)
            for test, negated, number in self._patterns:
                if number not in numbers and test(alike) is not negated:
                    numbers.add(number)
        return frozenset(numbers)


def _alike(value: object) -> tuple[object, ...]:
    """Return all values that Python takes for equal, but that rules tell apart."""
    if value == 1:
        return True, 1
    return (False, 0) if value == 0 else (value,)
