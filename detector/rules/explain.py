"""Why a rule matches a record, or which of its conditions was the first to fail.

An explanation is a tree like the one it explains, with the outcome of every node and the values
that each condition saw. Outcomes come from `detector.rules.oracle`, so they are what it says;
nothing is left out because something else has decided already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from detector.rules import oracle
from detector.rules.exception import RuleFilter
from detector.rules.rule import Rule
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
    Number,
    NumberLike,
    Or,
    Order,
    Ordered,
    Overlap,
    Regex,
    Test,
    TimePart,
    Wild,
)
from detector.rules.values import columns_of, number_text

MAX_SHOWN = 80
"""Characters of a value that a person is shown; the JSON form has all of them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a condition found at one field or column; no values: there is no such field."""

    field: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What came of one node of a tree.

    `spelling` is the condition in its own language, or words for what joins `parts`. `exception`
    is the exception's name and reason where the node is what a filter has added to the rule.
    """

    node: Node
    holds: bool
    spelling: str
    parts: tuple[Explanation, ...] = ()
    seen: tuple[Seen, ...] = ()
    exception: str | None = None


def explain(
    node: Node,
    record: Mapping[str, object],
    text: str,
    exceptions: Mapping[Node, str] | None = None,
) -> Explanation:
    """Explain a tree's outcome for a record; `text` is the record as it was delivered.

    `exceptions` are the nodes that filters have added, as `exceptions_of` returns them.
    """
    return _Explainer(text, exceptions or {}).explain(node, record)


def exceptions_of(rule: Rule, filters: Sequence[RuleFilter]) -> dict[Node, str]:
    """Return the nodes that filters have added to a rule's tree, and what to call them."""
    found: dict[Node, str] = {}
    for item in filters:
        if item.is_about(rule):
            file = item.file
            until = f", until {file.expires}" if file.expires else ""
            reason = f": {file.reason}" if file.reason else ""
            found[Not(item.excepted)] = f"{file.title} ({item.path}{until}){reason}"
    return found


def decisive(explanation: Explanation) -> Explanation:
    """Return the first part that made the outcome what it is.

    Where only several parts together did, this is what joins them.
    """
    parts = explanation.parts
    if not parts or explanation.exception is not None or isinstance(explanation.node, Not):
        return explanation
    if isinstance(explanation.node, And) is not explanation.holds:
        parts = tuple(part for part in parts if part.holds is explanation.holds)
        return decisive(parts[0])
    return decisive(parts[0]) if len(parts) == 1 else explanation


def reason(explanation: Explanation) -> str:
    """Say what decided: the first condition that failed, or what made the tree hold."""
    found = decisive(explanation)
    if found.exception is not None:
        return f"the exception {found.exception} {'does not apply' if found.holds else 'applies'}"
    if isinstance(found.node, Not):
        word = "nothing excluded was found" if found.holds else "excluded"
        return f"{word}: {reason(found.parts[0])}"
    if isinstance(found.node, (And, Or)):
        return _reason_of_several(found)
    return f"{found.spelling} {'holds' if found.holds else 'fails'}, {seen_text(found)}"


def seen_text(explanation: Explanation) -> str:
    """Say what a condition saw, cut to `MAX_SHOWN` characters a value."""
    if isinstance(explanation.node, InText):
        return f"{'' if explanation.holds else 'not '}found in the record's text"
    if isinstance(explanation.node, Columns):
        return "the line has too few columns"
    return " and ".join(_values_text(seen.values) for seen in explanation.seen)


def explanation_json(explanation: Explanation) -> dict[str, object]:
    """Return an explanation as plain data, with the values in full."""
    kind = _KINDS.get(type(explanation.node), "condition")
    data: dict[str, object] = {
        "kind": "exception" if explanation.exception is not None else kind,
        "holds": explanation.holds,
        "condition": explanation.spelling,
    }
    if explanation.exception is not None:
        data["exception"] = explanation.exception
    if explanation.seen:
        data["seen"] = [
            {"field": item.field, "values": list(item.values)} for item in explanation.seen
        ]
    if explanation.parts:
        data["parts"] = [explanation_json(part) for part in explanation.parts]
    return data


_KINDS = {And: "all", Or: "any", Not: "not", Columns: "columns"}


class _Explainer:
    def __init__(self, text: str, exceptions: Mapping[Node, str]) -> None:
        self._text = text
        self._exceptions = exceptions

    def explain(
        self, node: Node, record: Mapping[str, object], *, of_columns: bool = False
    ) -> Explanation:
        if isinstance(node, (And, Or)):
            parts = tuple(
                self.explain(operand, record, of_columns=of_columns) for operand in node.operands
            )
            outcomes = [part.holds for part in parts]
            if isinstance(node, And):
                return Explanation(node, all(outcomes), f"all of {len(parts)}", parts)
            return Explanation(node, any(outcomes), f"any of {len(parts)}", parts)
        if isinstance(node, Not):
            part = self.explain(node.operand, record)
            explanation = Explanation(node, not part.holds, "not", (part,))
            exception = self._exceptions.get(node)
            if exception is None:
                return explanation
            return replace(explanation, spelling="not excepted", exception=exception)
        if isinstance(node, Columns):
            return self._columns(node)
        return self._leaf(node, record, of_columns=of_columns)

    def _columns(self, node: Columns) -> Explanation:
        columns = columns_of(self._text, node)
        spelling = spelled(node)
        if columns is None:
            return Explanation(node, False, spelling)
        part = self.explain(node.condition, columns, of_columns=True)
        return Explanation(node, part.holds, spelling, (part,))

    def _leaf(self, node: Leaf, record: Mapping[str, object], *, of_columns: bool) -> Explanation:
        if isinstance(node, Condition):
            values = oracle.selected(record, node.selector)
            column = node.selector.names[0] if of_columns else None
            field = f"${column}" if column else str(node.selector)
            return Explanation(
                node,
                oracle.condition_holds(node, values),
                spelled(node, column),
                seen=(Seen(field, tuple(values)),),
            )
        seen = tuple(
            Seen(str(selector), tuple(oracle.selected(record, selector)))
            for selector in ((node.selector, node.other) if isinstance(node, FieldsAlike) else ())
        )
        holds = oracle.holds(node, record, self._text)
        return Explanation(node, holds, spelled(node), seen=seen)


def _reason_of_several(found: Explanation) -> str:
    count = len(found.parts)
    if found.holds:
        return f"all of {count} conditions hold" if count else "it matches every record"
    fields = {part.seen[0].field if len(part.seen) == 1 else None for part in found.parts}
    if len(fields) == 1 and None not in fields:
        return f"{fields.pop()} satisfies none of {count} conditions, {seen_text(found.parts[0])}"
    if not count:
        return "it matches no record"
    return f"none of {count} alternatives holds; the first: {reason(found.parts[0])}"


def _values_text(values: Sequence[object]) -> str:
    if not values:
        return "the field is missing"
    if len(values) == 1:
        return f"saw {shortened(json_text(values[0]))}"
    return f"saw {len(values)} values: {shortened(', '.join(map(json_text, values)))}"


def shortened(text: str) -> str:
    """Return a text cut to `MAX_SHOWN` characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def json_text(value: object) -> str:
    """Return a value as compact JSON, or words where there is none."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):  # from a caller's own dict, not from JSON
        return f"a {type(value).__name__} that no JSON can hold"


def spelled(leaf: Leaf, column: str | None = None) -> str:
    """Return a condition as its language writes it; `column` is its name if it is of a column."""
    if isinstance(leaf, Columns):
        return f"[{', '.join('...' if name is None else name for name in leaf.names)}]"
    if isinstance(leaf, FieldsAlike):
        modifiers = _OVERLAPS[leaf.overlap] + ("|cased" if leaf.cased else "")
        return f"{leaf.selector}|fieldref{modifiers}: {leaf.other}"
    if isinstance(leaf, InText):
        return _spelled_in_text(leaf)
    if leaf.selector.through_lists:
        modifiers, value = _sigma_test(leaf.test)
        return f"{leaf.selector}{modifiers}: {value}"
    return f"{column or leaf.selector} {_pattern_test(leaf.test)}"


_OVERLAPS = {
    Overlap.WHOLE: "",
    Overlap.START: "|startswith",
    Overlap.END: "|endswith",
    Overlap.ANYWHERE: "|contains",
}


def _spelled_in_text(leaf: InText) -> str:
    if isinstance(leaf.sought, Glob) and not leaf.cased:
        return f"keyword {_sigma_glob(leaf.sought)}"
    return _literal(leaf.sought)


def _pattern_test(test: Test) -> str:
    """Spell a test as a filter pattern does."""
    if isinstance(test, Equal):
        return f"= {_literal(test.literal)}"
    if isinstance(test, NotEqual):
        return f"!= {_literal(test.literal)}"
    if isinstance(test, Ordered):
        return f"{test.order.value} {number_text(test.number)}"
    if isinstance(test, (IsBoolean, IsNull)):
        return f"IS {str(test.value).upper() if isinstance(test, IsBoolean) else 'NULL'}"
    if isinstance(test, NotExists):
        return "NOT EXISTS"
    modifiers, value = _sigma_test(test)  # an exception's end, which is in no pattern
    return f"{modifiers.removeprefix('|')} {value}"


def _literal(literal: Literal_) -> str:
    if isinstance(literal, Number):
        return literal.spelling
    if isinstance(literal, Regex):
        return f"%{literal.expression}%"
    return '"' + literal.text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _sigma_test(test: Test) -> tuple[str, str]:
    """Return the modifiers and the value by which Sigma writes a test."""
    if isinstance(test, Like):
        boolean = test.glob.text in {"true", "false"} and not test.cased
        return "|cased" * test.cased, test.glob.text if boolean else _sigma_glob(test.glob)
    if isinstance(test, NumberLike):
        return "", number_text(test.number)
    if isinstance(test, Ordered):
        return f"|{_ORDER[test.order]}", number_text(test.number)
    if isinstance(test, Matches):
        return _regex_modifiers(test.regex), _quoted(test.regex.expression)
    return _sigma_test_of_a_kind(test)


def _sigma_test_of_a_kind(test: Test) -> tuple[str, str]:
    if isinstance(test, Exists):
        return "|exists", str(test.expected).lower()
    if isinstance(test, InNetwork):
        return "|cidr", str(test.network)
    if isinstance(test, TimePart):
        return f"|{test.unit}", str(test.number)
    if isinstance(test, Before):
        moment = datetime.fromtimestamp(test.moment, UTC)
        return "|before", moment.isoformat().replace("+00:00", "Z")
    return "", "null"


_ORDER = {
    Order.LESS: "lt",
    Order.LESS_OR_EQUAL: "lte",
    Order.GREATER: "gt",
    Order.GREATER_OR_EQUAL: "gte",
}


def _regex_modifiers(regex: Regex) -> str:
    flags = "|i" * regex.ignore_case + "|m" * regex.multi_line + "|s" * regex.dot_all
    return f"|re{flags}"


def _sigma_glob(glob: Glob) -> str:
    return _quoted(
        "".join(
            part.value if isinstance(part, Wild) else re.sub(r"([\\*?])", r"\\\1", part)
            for part in glob.parts
        )
    )


_PLAIN = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
_NOT_STRINGS = frozenset(
    spelling
    for word in ("null", "true", "false")
    for spelling in (word, word.title(), word.upper())
)
"""Words that YAML reads as something else."""


def _quoted(text: str) -> str:
    """Return a string as YAML takes it: quoted, unless it is a plain word."""
    is_plain = _PLAIN.fullmatch(text) and text not in _NOT_STRINGS
    return text if is_plain else "'" + text.replace("'", "''") + "'"
