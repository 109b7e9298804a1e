"""What a syntax tree means, in the plainest words: slow, and the measure of the compiled form.

Nothing is shared with the compiler but `detector.rules.values` and the regular expressions.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Mapping

from detector.rules.folding import folded
from detector.rules.regex import searcher
from detector.rules.syntax import (
    And,
    Before,
    Condition,
    Equal,
    Exists,
    FieldsAlike,
    Glob,
    InNetwork,
    InText,
    IsBoolean,
    IsNull,
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
    Wildcard,
)
from detector.rules.values import (
    MAX_SOUGHT,
    columns_of,
    epoch_seconds,
    is_number,
    number_of,
    number_text,
    sigma_text,
    time_part,
    values_at,
)

_ORDER = {
    Order.LESS: operator.lt,
    Order.LESS_OR_EQUAL: operator.le,
    Order.GREATER: operator.gt,
    Order.GREATER_OR_EQUAL: operator.ge,
}


def holds(node: Node, record: Mapping[str, object], text: str) -> bool:
    """Return whether a tree holds for a record; `text` is the record as it was delivered."""
    if isinstance(node, And):
        return all(holds(operand, record, text) for operand in node.operands)
    if isinstance(node, Or):
        return any(holds(operand, record, text) for operand in node.operands)
    if isinstance(node, Not):
        return not holds(node.operand, record, text)
    if isinstance(node, Condition):
        return condition_holds(node, selected(record, node.selector))
    if isinstance(node, FieldsAlike):
        return any(
            _alike(node, one, other)
            for one in selected(record, node.selector)
            for other in selected(record, node.other)[:MAX_SOUGHT]
        )
    if isinstance(node, InText):
        return _in_text(node, text)
    columns = columns_of(text, node)
    return columns is not None and holds(node.condition, columns, text)


def condition_holds(condition: Condition, values: list[object]) -> bool:
    """Return whether a condition holds of the values that its selector selects."""
    test = condition.test
    if isinstance(test, NotExists):
        return not values
    if isinstance(test, Exists):
        return bool(values) is test.expected
    if isinstance(test, NullOrMissing) and not values:
        return True
    return any(_satisfies(value, test) for value in values)


def selected(record: Mapping[str, object], selector: Selector) -> list[object]:
    """Return the values that a selector selects, an empty list where there are none."""
    if selector.through_lists:
        return values_at(record, selector.steps)
    values: list[object] = [record]
    for step in selector.steps:
        found: list[object] = []
        for value in values:
            if isinstance(value, Mapping):
                if step is Wildcard.FIELDS:
                    found += value.values()
                elif isinstance(step, str) and step in value:
                    found.append(value[step])
            elif isinstance(value, (list, tuple)):
                if step is Wildcard.ELEMENTS:
                    found += value
                elif isinstance(step, int) and step < len(value):
                    found.append(value[step])
        values = found
    return values


def _satisfies(value: object, test: Test) -> bool:
    if isinstance(test, Equal):
        return (isinstance(value, str) or is_number(value)) and _is(value, test.literal)
    if isinstance(test, NotEqual):
        return (isinstance(value, str) or is_number(value)) and not _is(value, test.literal)
    if isinstance(test, Ordered):
        number = number_of(value) if test.of_text and isinstance(value, str) else value
        return is_number(number) and _ORDER[test.order](number, test.number)
    if isinstance(test, (IsNull, NullOrMissing)):
        return value is None
    if isinstance(test, IsBoolean):
        return value is test.value
    return _satisfies_sigma(sigma_text(value), test)


def _satisfies_sigma(text: str | None, test: Test) -> bool:
    if text is None:
        return False
    if isinstance(test, Like):
        return globs(test.glob, text) if test.cased else globs(test.glob.folded(), folded(text))
    if isinstance(test, NumberLike):
        return number_of(text) == test.number
    if isinstance(test, Matches):
        return searcher(test.regex)(text)
    if isinstance(test, InNetwork):
        try:
            return ipaddress.ip_address(text) in test.network
        except ValueError:
            return False
    if isinstance(test, Before):
        moment = epoch_seconds(text)
        return moment is not None and moment < test.moment
    return isinstance(test, TimePart) and time_part(text, test.unit) == test.number


def _is(value: object, literal: Literal_) -> bool:
    if isinstance(literal, Number):
        return value == (literal.spelling if isinstance(value, str) else literal.value)
    text = value if isinstance(value, str) else number_text(value)  # type: ignore[arg-type]
    return searcher(literal)(text) if isinstance(literal, Regex) else globs(literal, text)


def globs(glob: Glob, text: str) -> bool:
    """Return whether a glob describes the whole text: by the set of places it can have come to."""
    places = {0}
    for part in glob.parts:
        if part is Wild.RUN:
            places = set(range(min(places), len(text) + 1)) if places else places
        elif part is Wild.ONE:
            places = {place + 1 for place in places if place < len(text)}
        elif isinstance(part, str):
            places = {place + len(part) for place in places if text.startswith(part, place)}
    return len(text) in places


def _alike(node: FieldsAlike, one: object, other: object) -> bool:
    text, sought = sigma_text(one), sigma_text(other)
    if text is None or sought is None:
        return False
    if not node.cased:
        text, sought = folded(text), folded(sought)
    if node.overlap is Overlap.WHOLE:
        return text == sought
    if node.overlap is Overlap.START:
        return text.startswith(sought)
    if node.overlap is Overlap.END:
        return text.endswith(sought)
    return sought in text


def _in_text(node: InText, text: str) -> bool:
    if isinstance(node.sought, Regex):
        return searcher(node.sought)(text)
    glob, searched = (node.sought, text) if node.cased else (node.sought.folded(), folded(text))
    return globs(Glob((Wild.RUN, *glob.parts, Wild.RUN)), searched)
