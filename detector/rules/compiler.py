"""Syntax tree to matcher: Python code over the values of the fields that the rules read."""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from detector.events.projection import Getter, Several
from detector.rules.folding import folded
from detector.rules.globs import compile_glob, inline_glob
from detector.rules.regex import searcher
from detector.rules.syntax import (
    And,
    Before,
    Columns,
    Condition,
    Equal,
    Exists,
    FieldsAlike,
    Glob,
    InNetwork,
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
    Order,
    Ordered,
    Overlap,
    Regex,
    Selector,
    Test,
    TimePart,
    Wild,
    selectors,
)
from detector.rules.values import (
    MAX_SOUGHT,
    MISSING,
    OwnText,
    columns_of,
    epoch_seconds,
    is_number,
    number_of,
    number_text,
    sigma_text,
    time_part,
)


class Matcher(NamedTuple):
    """A compiled tree: one of two functions.

    `quick` is called with a record. `slow` is called with a record, its text, and a dict of the
    record's own, in which the outcomes of conditions are kept that several rules share.
    """

    quick: Callable[[Any], bool] | None = None
    slow: Slow | None = None

    def holds(self, record: Any, text: OwnText, shared: dict[int, bool]) -> bool:
        """Return whether the tree holds for a record."""
        if self.quick is not None:
            return self.quick(record)
        return self.slow is not None and self.slow(record, text, shared)


Slow = Callable[[Any, OwnText, dict[int, bool]], bool]

ValueTest = Callable[[object], bool]

FOLDED = "(value.lower() if value.isascii() else folded(value))"
"""Python for the text `value` without regard to case: nearly every value is ASCII."""

MAX_INLINE_DEPTH = 12
"""Deeper than this, a part of a tree becomes a function of its own: Python's parser takes no more
than some hundred parentheses within each other."""


class Compiler:
    """Writes trees as Python expressions over the values of numbered selectors.

    The expressions hold nothing but names; what the rules say is bound to these names. So no text
    of a rule is ever executed, and the same code serves any kind of record: only the ways to the
    values differ. `shared` numbers the conditions that stand in more than one rule.
    """

    def __init__(self, slots: Mapping[Selector, int], shared: Mapping[Leaf, int]) -> None:
        self._slots = slots
        self._shared = shared

    def compile(
        self, node: Node, getters: Sequence[Getter], attributes: Sequence[str | None] = ()
    ) -> Matcher:
        """Return a matcher of records to whose values `getters` lead, by the selectors' numbers.

        It is a slow one if something in the tree is worth remembering, or reads the text.
        `attributes` are those of the records that are a selector's value, where there is one.
        """
        code = _Code(self._slots, self._shared, getters, attributes)
        expression = code.expression(node, 0)
        if code.is_quick:
            return Matcher(quick=code.evaluated(f"lambda record: {expression}"))
        return Matcher(slow=code.evaluated(f"lambda record, text, shared: {expression}"))


class _Code:
    def __init__(
        self,
        slots: Mapping[Selector, int],
        shared: Mapping[Leaf, int],
        getters: Sequence[Getter],
        attributes: Sequence[str | None],
    ) -> None:
        self._slots = slots
        self._shared = shared
        self._getters = getters
        self._attributes = attributes
        self._context = slots, shared, getters, attributes
        self._names: dict[str, object] = {"MISSING": MISSING, "folded": folded}
        self.is_quick = True

    def evaluated(self, source: str) -> Any:
        return eval(source, self._names)  # noqa: S307 - it holds our own names only

    def _bind(self, prefix: str, value: object) -> str:
        name = f"{prefix}{len(self._names)}"
        self._names[name] = value
        return name

    def expression(self, node: Node, depth: int) -> str:
        if isinstance(node, (And, Or, Not)) and depth > MAX_INLINE_DEPTH:
            return self._part(node)
        if isinstance(node, Not):
            return f"(not {self.expression(node.operand, depth + 1)})"
        if isinstance(node, And):
            parts = [self.expression(operand, depth + 1) for operand in _flat(node)]
            return f"({' and '.join(parts)})" if parts else "True"
        if isinstance(node, Or):
            parts = [
                self._on_selector(*group)
                if isinstance(group, tuple)
                else self.expression(group, depth + 1)
                for group in _grouped(_flat(node))
            ]
            return f"({' or '.join(parts)})" if parts else "False"
        return self._leaf(node)

    def _part(self, node: Node) -> str:
        """Return a call of a part of the tree that is a function of its own."""
        code = _Code(*self._context)
        expression = code.expression(node, 0)
        self.is_quick = self.is_quick and code.is_quick
        arguments = "record" if code.is_quick else "record, text, shared"
        part = code.evaluated(f"lambda {arguments}: {expression}")
        return f"{self._bind('part', part)}({arguments})"

    def _leaf(self, leaf: Leaf) -> str:
        if isinstance(leaf, Condition) and _is_quick(leaf):
            test = compile_test(leaf.test)
            if leaf.selector.through_lists and not isinstance(test, _TextTest):
                test = _of_any(test)
            return self._on_selector(leaf.selector, test)
        self.is_quick = False
        matcher = self._slow(leaf)
        number = self._shared.get(leaf)
        if number is not None:
            matcher = _remembered(number, matcher)
        return f"{self._bind('leaf', matcher)}(record, text, shared)"

    def _on_selector(self, selector: Selector, test: ValueTest) -> str:
        way = self._way(selector)
        if isinstance(test, _TextTest):
            of_text = test.inline.format(self._bind("operand", test.operand))
            return (
                f"({of_text} if (value := {way}).__class__ is str"
                f" else value is not MISSING and {self._bind('other', test)}(value))"
            )
        return f"{self._bind('test', test)}({way})"

    def _way(self, selector: Selector) -> str:
        slot = self._slots[selector]
        attribute = self._attributes[slot] if self._attributes else None
        if attribute is not None:
            return f"record.{attribute}"
        self._names[f"way{slot}"] = self._getters[slot]
        return f"way{slot}(record)"

    def _slow(self, leaf: Leaf) -> Slow:
        if isinstance(leaf, Condition):
            get, test = self._getter(leaf.selector), _of_any(compile_test(leaf.test))
            return lambda record, *_: test(get(record))
        if isinstance(leaf, FieldsAlike):
            return _fields_alike(leaf, self._getter(leaf.selector), self._getter(leaf.other))
        if isinstance(leaf, InText):
            return _in_text(leaf)
        return _columns(leaf)

    def _getter(self, selector: Selector) -> Getter:
        return self._getters[self._slots[selector]]


def _is_quick(leaf: Condition) -> bool:
    """Return whether a condition costs less than to look up whether it was examined before."""
    return not leaf.selector.wildcards and not isinstance(
        leaf.test, (Matches, InNetwork, TimePart, Before)
    )


def _fields_alike(leaf: FieldsAlike, get: Getter, get_other: Getter) -> Slow:
    lies = _OVERLAPS[leaf.overlap]

    def match(record: Any, *_: object) -> bool:
        sought = _texts(get_other(record), leaf.cased, MAX_SOUGHT)
        texts = _texts(get(record), leaf.cased) if sought else []
        return any(lies(text, part) for text in texts for part in sought)

    return match


_OVERLAPS: dict[Overlap, Callable[[str, str], bool]] = {
    Overlap.WHOLE: operator.eq,
    Overlap.START: str.startswith,
    Overlap.END: str.endswith,
    Overlap.ANYWHERE: operator.contains,
}


def _texts(value: object, cased: bool, most: int | None = None) -> list[str]:
    values = value[:most] if isinstance(value, Several) else [value]
    texts = [text for text in map(sigma_text, values) if text is not None]
    return texts if cased else [folded(text) for text in texts]


def _remembered(number: int, matcher: Slow) -> Slow:
    def match(record: Any, text: OwnText, shared: dict[int, bool]) -> bool:
        known = shared.get(number)
        if known is None:
            known = shared[number] = matcher(record, text, shared)
        return known

    return match


def _flat(node: And | Or) -> list[Node]:
    """Return the operands, with those of operands of the same kind in their place."""
    kind, flat, pending = type(node), [], list(reversed(node.operands))
    while pending:
        operand = pending.pop()
        if isinstance(operand, kind):
            pending.extend(reversed(operand.operands))
        else:
            flat.append(operand)
    return flat


def _grouped(operands: Iterable[Node]) -> list[Node | tuple[Selector, ValueTest]]:
    """Fold exact texts of one selector into a set: sixteen event names cost one look-up."""
    cased: dict[Selector, set[str]] = {}
    alike: dict[Selector, set[str]] = {}
    rest: list[Node] = []
    for operand in operands:
        test = operand.test if isinstance(operand, Condition) else None
        if isinstance(test, Equal) and isinstance(test.literal, Glob) and test.literal.is_exact:
            cased.setdefault(operand.selector, set()).add(test.literal.text)  # type: ignore[union-attr]
        elif isinstance(test, Like) and test.glob.is_exact and not test.cased:
            alike.setdefault(operand.selector, set()).add(folded(test.glob.text))  # type: ignore[union-attr]
        else:
            rest.append(operand)
    members: list[Node | tuple[Selector, ValueTest]] = [
        (selector, _PatternText(texts.__contains__, "value in {}", frozenset(texts)))
        for selector, texts in cased.items()
    ]
    for selector, texts in alike.items():
        inline = f"{FOLDED} in {{}}"
        members.append((selector, _SigmaText(_folded_member(texts), inline, frozenset(texts))))
    return members + rest


def _folded_member(texts: set[str]) -> Callable[[str], bool]:
    return lambda text: folded(text) in texts


class _TextTest:
    """A test of text, and of other values that have a text in the rule's language.

    Of several values it is enough that one satisfies it. `inline` is Python for the test of a text
    `value`, in which the name that is bound to `operand` is to be put.
    """

    def __init__(
        self, of_text: Callable[[str], bool], inline: str = "{}(value)", operand: object = None
    ) -> None:
        self.of_text = of_text
        self.inline = inline
        self.operand = of_text if operand is None else operand

    def __call__(self, value: object) -> bool:
        if isinstance(value, Several):
            return any(map(self, value))
        text = self.text(value)
        return text is not None and self.of_text(text)

    def text(self, value: object) -> str | None:
        raise NotImplementedError


class _PatternText(_TextTest):
    """A filter pattern sees strings, and numbers by their spelling."""

    def text(self, value: object) -> str | None:
        if isinstance(value, str):
            return value
        return number_text(value) if is_number(value) else None


class _SigmaText(_TextTest):
    def text(self, value: object) -> str | None:
        return sigma_text(value)


def _of_any(test: ValueTest) -> ValueTest:
    def any_satisfies(value: object) -> bool:
        return any(map(test, value)) if value.__class__ is Several else test(value)

    return any_satisfies


def compile_test(test: Test) -> ValueTest:
    """Return a function that says whether one value satisfies a test."""
    if isinstance(test, Equal):
        return _equal(test.literal)
    if isinstance(test, NotEqual):
        return _not_equal(test.literal)
    if isinstance(test, Ordered):
        return _ordered(test)
    if isinstance(test, (NotExists, Exists, IsNull, NullOrMissing, IsBoolean)):
        return _presence(test)
    if isinstance(test, Like):
        glob = test.glob if test.cased else test.glob.folded()
        inline, operand = inline_glob(glob)
        if not test.cased:
            inline = inline.replace("value", FOLDED)
        return _SigmaText(_like(test), inline, operand)
    return _SigmaText(_sigma_text_test(test))


def _presence(test: NotExists | Exists | IsNull | NullOrMissing | IsBoolean) -> ValueTest:
    if isinstance(test, IsNull):
        return lambda value: value is None
    if isinstance(test, NullOrMissing):
        return lambda value: value is None or value is MISSING
    if isinstance(test, IsBoolean):
        expected = test.value
        return lambda value: value is expected
    if isinstance(test, Exists) and test.expected:
        return lambda value: value is not MISSING
    return lambda value: value is MISSING


def _equal(literal: Literal_) -> ValueTest:
    if isinstance(literal, Number):
        return _number_equal(literal)
    if isinstance(literal, Regex):
        return _PatternText(searcher(literal))
    return _PatternText(compile_glob(literal), *inline_glob(literal))


def _not_equal(literal: Literal_) -> ValueTest:
    if isinstance(literal, Number):
        equal = _number_equal(literal)
        return lambda value: (isinstance(value, str) or is_number(value)) and not equal(value)
    equal = _equal(literal)
    assert isinstance(equal, _TextTest)  # noqa: S101 - for the type checker
    of_text = equal.of_text
    return _PatternText(lambda text: not of_text(text), f"(not {equal.inline})", equal.operand)


def _number_equal(literal: Number) -> ValueTest:
    number, spelling = literal.value, literal.spelling

    def satisfies(value: object) -> bool:
        if isinstance(value, str):
            return value == spelling
        return not isinstance(value, bool) and value == number

    return satisfies


_ORDER: dict[Order, Callable[[float, float], bool]] = {
    Order.LESS: operator.lt,
    Order.LESS_OR_EQUAL: operator.le,
    Order.GREATER: operator.gt,
    Order.GREATER_OR_EQUAL: operator.ge,
}


def _ordered(test: Ordered) -> ValueTest:
    stands, limit, of_text = _ORDER[test.order], test.number, test.of_text

    def satisfies(value: object) -> bool:
        if of_text and isinstance(value, str):
            value = number_of(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return stands(value, limit)
        return False

    return satisfies


def _sigma_text_test(test: Test) -> Callable[[str], bool]:
    if isinstance(test, NumberLike):
        number = test.number
        return lambda text: number_of(text) == number
    if isinstance(test, Matches):
        return searcher(test.regex)
    if isinstance(test, InNetwork):
        return _in_network(test)
    if isinstance(test, Before):
        limit = test.moment
        return lambda text: (moment := epoch_seconds(text)) is not None and moment < limit
    assert isinstance(test, TimePart)  # noqa: S101 - for the type checker
    unit, part = test.unit, test.number
    return lambda text: time_part(text, unit) == part


def _like(test: Like) -> Callable[[str], bool]:
    if test.cased:
        return compile_glob(test.glob)
    alike = compile_glob(test.glob.folded())
    return lambda text: alike(folded(text))


def _in_network(test: InNetwork) -> Callable[[str], bool]:
    network = test.network

    def contains(text: str) -> bool:
        try:
            return ipaddress.ip_address(text) in network
        except ValueError:
            return False

    return contains


def _in_text(leaf: InText) -> Slow:
    if isinstance(leaf.sought, Regex):
        found = searcher(leaf.sought)
        return lambda _, text, __: found(text.text)
    glob = leaf.sought if leaf.cased else leaf.sought.folded()
    inside = compile_glob(Glob((Wild.RUN, *glob.parts, Wild.RUN)))
    if leaf.cased:
        return lambda _, text, __: inside(text.text)
    return lambda _, text, __: inside(text.folded)


def _columns(leaf: Columns) -> Slow:
    slots = {selector: slot for slot, selector in enumerate(set(selectors(leaf.condition)))}
    getters = [_column_getter(selector) for selector in slots]
    condition = Compiler(slots, {}).compile(leaf.condition, getters)

    def match(_: Any, text: OwnText, __: dict[int, bool]) -> bool:
        columns = columns_of(text.text, leaf)
        return columns is not None and condition.holds(columns, text, {})

    return match


def _column_getter(selector: Selector) -> Getter:
    (name,) = selector.names
    return lambda columns: columns.get(name, MISSING)
