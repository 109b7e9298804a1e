"""Sigma detections, parsed by pySigma, to the syntax tree.

What the specification leaves open is decided here: a value in a list matches when any element does;
a number or boolean is compared as JSON spells it, an object as its JSON text; `null` is a field
that is null or missing; a keyword is sought in the record's text, in any letter case.
Source: Sigma Rules Specification 2.1.0, with its Modifiers Appendix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from sigma import conditions as sigma_conditions
from sigma import types as sigma_types
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections

from detector.document import Document, Key
from detector.errors import RuleError
from detector.rules.globs import compile_glob
from detector.rules.regex import RegexError, searcher
from detector.rules.syntax import (
    And,
    Condition,
    Exists,
    FieldsAlike,
    Glob,
    InNetwork,
    InText,
    Like,
    Matches,
    Node,
    Not,
    NullOrMissing,
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
)

T = TypeVar("T")

MAX_CONDITION_CHARACTERS = 4096
"""The longest condition in SigmaHQ's collection has some hundred."""

MAX_CONDITION_NESTING = 32
"""pySigma's parser works by recursion; no person nests parentheses or `not` that deep."""

MAX_STARS = 3
"""In a pattern of search identifiers; pySigma matches these with backtracking."""

MAX_EXPANSIONS = 10_000
"""Values that placeholders and encodings may make of one rule's values."""

Placeholders = Mapping[str, Sequence[str | int | float]]
"""The values that each placeholder stands for, by its name without the per cent signs."""

_Faults = (SigmaError, TypeError, ValueError, AttributeError, KeyError, RecursionError)
"""What pySigma raises for input that its authors did not foresee, besides its own errors."""

_PERCENT = "\ue000"
"""Stands for an escaped per cent sign, which pySigma would take for a placeholder's."""

_ANCHORED = {"startswith": "^(?:{})", "endswith": "(?:{})$", "contains": "{}"}
_NESTING = re.compile(r"\(|\)|\bnot\b|\b(?:and|or)\b")
_MANY_STARS = re.compile(rf"(?:[^\s*]*\*){{{MAX_STARS + 1}}}")
_BYTES = re.compile(r"b'(.*)'$")
_AT_CHARACTER = re.compile(r"\s*\(at char (\d+)\).*", re.DOTALL)
_LINEAR = "matching is in linear time, without look-around and back-references"
_AGGREGATION = "aggregations are not part of Sigma 2: write a correlation"
_WILD = {
    sigma_types.SpecialChars.WILDCARD_MULTI: Wild.RUN,
    sigma_types.SpecialChars.WILDCARD_SINGLE: Wild.ONE,
}
_ORDER = {
    sigma_types.CompareOperators.LT: Order.LESS,
    sigma_types.CompareOperators.LTE: Order.LESS_OR_EQUAL,
    sigma_types.CompareOperators.GT: Order.GREATER,
    sigma_types.CompareOperators.GTE: Order.GREATER_OR_EQUAL,
}


def parse_detection(
    detection: Mapping[str, Any], document: Document, at: Key, placeholders: Placeholders
) -> Node:
    """Return the tree of a detection section, which stands in the document under the key `at`.

    Raises:
        RuleError: the section is wrong, uses what cannot be done on one record, or a placeholder
            that has no values; with its place.
    """
    return _Parser(document, at, placeholders).parse(detection)


class _Parser:
    def __init__(self, document: Document, at: Key, placeholders: Placeholders) -> None:
        self._document = document
        self._at = at
        self._placeholders = placeholders
        self._expansions = 0

    def parse(self, detection: Mapping[str, Any]) -> Node:
        if "timeframe" in detection:
            raise self._fault("timeframe", "timeframe belongs to an aggregation", _AGGREGATION)
        named = {
            name: self._detection(name, definition)
            for name, definition in detection.items()
            if name != "condition"
        }
        texts = detection.get("condition")
        if texts is None:
            raise self._fault(None, "the detection has no condition", "add one, as: selection")
        texts = texts if isinstance(texts, list) else [texts]
        if not texts:
            raise self._fault("condition", "the list of conditions is empty")
        try:
            detections = SigmaDetections(named, [str(text) for text in texts])
        except _Faults as error:
            raise self._fault(None, _message(error)) from error
        trees = [self._condition(text, detections) for text in texts]
        return trees[0] if len(trees) == 1 else Or(tuple(trees))

    def _detection(self, name: str, definition: Any) -> SigmaDetection:
        definition = _prepared(definition)
        self._check_items([name], definition)
        return self._checked(partial(SigmaDetection.from_definition, definition), name)

    def _check_items(self, keys: Sequence[Key], definition: object) -> None:
        """Refuse what pySigma would, item by item, so that a fault has the item's place."""
        if isinstance(definition, list):
            for position, item in enumerate(definition):
                self._check_items([*keys, position], item)
        elif isinstance(definition, dict):
            for key, value in definition.items():
                self._check_expressions([*keys, key], value)
                self._checked(partial(SigmaDetectionItem.from_mapping, key, value), *keys, key)

    def _check_expressions(self, keys: Sequence[Key], value: object) -> None:
        """Refuse regular expressions before pySigma does, with a remedy."""
        if "re" not in str(keys[-1]).split("|")[1:]:
            return
        for expression in value if isinstance(value, list) else [value]:
            place = self._document.key_place([self._at, *keys])
            if not isinstance(expression, str):
                raise RuleError("a regular expression must be a string", place=place)
            try:
                searcher(Regex(expression))
            except RegexError as error:
                message = f"the regular expression {expression} is refused: {error}"
                raise RuleError(message, place=place, remedy=_LINEAR) from error

    def _checked(self, build: Callable[[], T], *keys: Key) -> T:
        try:
            return build()
        except _Faults as error:
            place = self._document.key_place([self._at, *keys])
            raise RuleError(_message(error), place=place) from error

    def _condition(self, text: object, detections: SigmaDetections) -> Node:
        if not isinstance(text, str) or not text.strip():
            raise self._fault("condition", "a condition must be a string that is not empty")
        if "|" in text:
            message = "the condition holds an aggregation, behind |"
            raise self._fault("condition", message, _AGGREGATION)
        if len(text) > MAX_CONDITION_CHARACTERS:
            message = f"the condition is longer than {MAX_CONDITION_CHARACTERS} characters"
            raise self._fault("condition", message)
        if _nesting(text) > MAX_CONDITION_NESTING:
            message = "the condition is more deeply nested than any that is written by hand"
            raise self._fault("condition", message)
        if _MANY_STARS.search(text):
            message = f"a pattern of search identifiers has more than {MAX_STARS} stars"
            raise self._fault("condition", message)
        try:
            parsed = sigma_conditions.SigmaCondition(text, detections).parse()
        except _Faults as error:
            raise self._condition_fault(error) from error
        if parsed is None:
            raise self._fault("condition", "the condition comes to nothing")
        return self._node(parsed)

    def _condition_fault(self, error: Exception) -> RuleError:
        message = _message(error)
        at = _AT_CHARACTER.search(message)
        if at is None:
            return self._fault("condition", message)
        place = self._document.scalar_place([self._at, "condition"], int(at.group(1)))
        return RuleError(
            f"the condition cannot be read: {message[: at.start()]}",
            place=place,
            remedy="write it with and, or, not, 1 of, all of, and parentheses",
        )

    def _node(self, item: Any) -> Node:
        if isinstance(item, sigma_conditions.ConditionNOT):
            return Not(self._node(item.args[0]))
        if isinstance(item, sigma_conditions.ConditionAND):
            return And(tuple(self._node(operand) for operand in item.args))
        if isinstance(item, sigma_conditions.ConditionOR):
            return Or(tuple(self._node(operand) for operand in item.args))
        if isinstance(item, sigma_conditions.ConditionFieldEqualsValueExpression):
            return self._field(_selector(item.field), item.value)
        return self._keyword(item.value)

    def _field(self, selector: Selector, value: Any) -> Node:
        if isinstance(value, sigma_types.SigmaExpansion):
            return _either([self._field(selector, item) for item in value.values])
        if isinstance(value, sigma_types.SigmaString) and value.contains_placeholder():
            return _either([self._field(selector, item) for item in self._expanded(value)])
        if isinstance(value, sigma_types.SigmaFieldReference):
            return FieldsAlike(selector, _selector(value.field), _overlap(value))
        if (
            isinstance(value, sigma_types.SigmaCompareExpression)
            and value.op is sigma_types.CompareOperators.NEQ
        ):
            return Not(Condition(selector, NumberLike(value.number.number)))
        return Condition(selector, self._test(value))

    def _test(self, value: Any) -> Test:
        if isinstance(value, sigma_types.SigmaString):
            return Like(self._glob(value), isinstance(value, sigma_types.SigmaCasedString))
        if isinstance(value, sigma_types.SigmaTimestampPart):
            unit = value.timestamp_part.name.lower()
            return TimePart(unit, int(value.number))  # type: ignore[arg-type]
        if isinstance(value, sigma_types.SigmaNumber):
            return NumberLike(value.number)
        if isinstance(value, sigma_types.SigmaBool):
            return Like(Glob((str(value.boolean).lower(),)))
        if isinstance(value, sigma_types.SigmaNull):
            return NullOrMissing()
        if isinstance(value, sigma_types.SigmaExists):
            return Exists(bool(value))
        if isinstance(value, sigma_types.SigmaRegularExpression):
            return Matches(self._regex(value))
        if isinstance(value, sigma_types.SigmaCIDRExpression):
            return InNetwork(value.network)
        if isinstance(value, sigma_types.SigmaCompareExpression):
            return Ordered(_ORDER[value.op], value.number.number, of_text=True)
        raise self._fault(None, f"{type(value).__name__} cannot be evaluated on one record")

    def _keyword(self, value: Any) -> Node:
        if isinstance(value, sigma_types.SigmaExpansion):
            return _either([self._keyword(item) for item in value.values])
        if isinstance(value, sigma_types.SigmaString):
            if value.contains_placeholder():
                return _either([self._keyword(item) for item in self._expanded(value)])
            return _in_text(
                self._glob(value), cased=isinstance(value, sigma_types.SigmaCasedString)
            )
        if isinstance(value, sigma_types.SigmaRegularExpression):
            return InText(self._regex(value))
        if isinstance(value, sigma_types.SigmaTimestampPart):
            raise self._fault(None, "a part of a time cannot be sought without a field")
        if isinstance(value, (sigma_types.SigmaNumber, sigma_types.SigmaBool)):
            return _in_text(Glob((str(value.to_plain()).lower(),)), cased=False)
        raise self._fault(None, f"{type(value).__name__} cannot be sought without a field")

    def _glob(self, value: sigma_types.SigmaString) -> Glob:
        glob = _glob(value)
        try:
            compile_glob(glob)
        except RegexError as error:
            message = f"the value {glob.text[:40]}... is refused: {error}"
            raise self._fault(None, message, "use fewer ?") from error
        return glob

    def _regex(self, value: sigma_types.SigmaRegularExpression) -> Regex:
        flags = {flag.name for flag in value.flags}
        if value.contains_placeholder():
            (name, *_) = (
                part.name for part in value.regexp.s if isinstance(part, sigma_types.Placeholder)
            )
            raise self._fault(
                None,
                f"the placeholder %{name}% stands in a regular expression",
                "write its values as text, without re",
            )
        regex = Regex(
            str(value.regexp).replace(_PERCENT, "%"),
            ignore_case="IGNORECASE" in flags,
            multi_line="MULTILINE" in flags,
            dot_all="DOTALL" in flags,
        )
        try:
            searcher(regex)
        except RegexError as error:
            raise self._fault(
                None,
                f"the regular expression {regex.expression} is refused: {error}",
                _LINEAR,
            ) from error
        return regex

    def _expanded(self, value: sigma_types.SigmaString) -> list[sigma_types.SigmaString]:
        """Return a text once for each combination of its placeholders' values."""
        variants: list[list[Any]] = [[]]
        for part in value.s:
            ends: list[list[Any]] = [[part]]
            if isinstance(part, sigma_types.Placeholder):
                ends = [sigma_types.SigmaString(str(item)).s for item in self._values_of(part.name)]
            self._expand_to(len(variants) * len(ends))
            variants = [[*begin, *end] for begin in variants for end in ends]
        self._expansions += len(variants)
        expanded = []
        for variant in variants:
            text = type(value)()
            text.s = variant
            expanded.append(text)
        return expanded

    def _expand_to(self, count: int) -> None:
        if self._expansions + count > MAX_EXPANSIONS:
            raise self._fault(None, f"placeholders expand to more than {MAX_EXPANSIONS} values")

    def _values_of(self, placeholder: str) -> Sequence[str | int | float]:
        values = self._placeholders.get(placeholder)
        if not values:
            raise self._fault(
                None,
                f"the placeholder %{placeholder}% has no values",
                "list them in the placeholder file",
            )
        return values

    def _fault(self, key: Key | None, message: str, remedy: str | None = None) -> RuleError:
        keys = [self._at] if key is None else [self._at, key]
        return RuleError(message, place=self._document.key_place(keys), remedy=remedy)


def _prepared(definition: Any) -> Any:
    """Return a search in the words that pySigma knows, where the specification has others."""
    if isinstance(definition, list):
        return [_prepared(item) for item in definition]
    if not isinstance(definition, dict):
        return definition
    return dict(
        _prepared_item(*item) if isinstance(item[0], str) else item for item in definition.items()
    )


def _prepared_item(key: str, value: Any) -> tuple[str, Any]:
    field, *modifiers = key.split("|")
    modifiers = ["wide" if modifier == "utf16le" else modifier for modifier in modifiers]
    if "expand" in modifiers:
        value = _each_text(value, lambda text: text.replace("\\%", _PERCENT))
    if "re" in modifiers:
        # An expression is searched for; pySigma's way to anchor it is for one that matches whole.
        for modifier, form in _ANCHORED.items():
            if modifier in modifiers[modifiers.index("re") :]:
                modifiers.remove(modifier)
                value = _each_text(value, form.format)
    return "|".join([field, *modifiers]), value


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [change(item) if isinstance(item, str) else item for item in value]
    return change(value) if isinstance(value, str) else value


def _nesting(condition: str) -> int:
    """Return how deep parentheses and `not`s lie within each other."""
    deepest = depth = 0
    negations = [0]
    for word in _NESTING.findall(condition):
        if word == "(":
            negations.append(0)
            depth += 1
        elif word == ")":
            depth -= 1 + negations.pop() if len(negations) > 1 else 0
        elif word == "not":
            negations[-1] += 1
            depth += 1
        else:
            depth -= negations[-1]
            negations[-1] = 0
        deepest = max(deepest, depth)
    return deepest


def _either(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


def _selector(field: str) -> Selector:
    return Selector(tuple(field.split(".")), through_lists=True)


def _overlap(reference: sigma_types.SigmaFieldReference) -> Overlap:
    if reference.starts_with and reference.ends_with:
        return Overlap.ANYWHERE
    if reference.starts_with:
        return Overlap.START
    return Overlap.END if reference.ends_with else Overlap.WHOLE


def _glob(value: sigma_types.SigmaString) -> Glob:
    parts: list[str | Wild] = []
    for part in value.s:
        if isinstance(part, sigma_types.SpecialChars):
            wild = _WILD[part]
            if not (wild is Wild.RUN and parts and parts[-1] is Wild.RUN):
                parts.append(wild)
        elif isinstance(part, str):
            parts.append(part.replace(_PERCENT, "%"))
    return Glob(tuple(parts))


def _in_text(glob: Glob, *, cased: bool) -> Node:
    """Seek text as it is, and as it would stand in a JSON string."""
    escaped = Glob(
        tuple(
            part if isinstance(part, Wild) else msgspec.json.encode(part).decode()[1:-1]
            for part in glob.parts
        )
    )
    return _either([InText(item, cased) for item in dict.fromkeys((glob, escaped))])


def _message(error: BaseException) -> str:
    lines = str(error).splitlines()
    return _BYTES.sub(r"\1", lines[0]) if lines else type(error).__name__
