"""The JSON Schema of rule files, for editors: completion, descriptions, faults while typing.

`rules/rule.schema.json` is what this module makes of the types that the loader fits files to:

    python -m detector.rules.json_schema > rules/rule.schema.json

An editor with the YAML language server (VS Code's YAML extension, Neovim, Emacs, IntelliJ) reads
the first line of a rule file, with a path from that file's folder or an address:

    # yaml-language-server: $schema=../rule.schema.json

It is a schema of draft 7: the newest that editors know in full. What a schema cannot say (that a
pattern can be read, that a correlation's rules exist) is left to `detector check`.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, get_args

import msgspec
from msgspec import inspect as types

from detector.rules.correlation import (
    MAX_TIMESPAN_SECONDS,
    CorrelationFile,
    CorrelationSettings,
    CorrelationType,
    Threshold,
)
from detector.rules.exception import FilterFile
from detector.rules.filter_pattern import MAX_PATTERN_CHARACTERS
from detector.rules.finding import Code
from detector.rules.rule import (
    Described,
    LogSource,
    Related,
    RuleFile,
    RuleTest,
)
from detector.rules.window import (
    DAY_SECONDS,
    MAX_DISTINCT,
    WALL_CLOCK_PERIODS,
    WEEK_SECONDS,
    WindowSettings,
)

Schema = dict[str, Any]

DESCRIPTIONS: dict[type[msgspec.Struct], dict[str, str]] = {
    Described: {
        "title": "What the rule finds, in a few words; the alert's heading.",
        "id": "The rule's stable identity, a UUID as a rule: alert ids are made from it.",
        "name": "A short name by which correlations and filters can refer to the rule.",
        "related": "Other rules that this one has to do with.",
        "taxonomy": "How fields are named; CloudTrail's own names are Sigma's taxonomy for it.",
        "status": "stable notifies; test and experimental match, count, and stay silent; deprecated"
        " and unsupported are checked and not loaded.",
        "description": "What the rule finds, and why it matters.",
        "license": "The rule's licence, as an SPDX identifier.",
        "references": "Where to read more.",
        "author": "Who wrote the rule.",
        "date": "The day on which the rule was written, as 2026-12-31.",
        "modified": "The day of the last change, as 2026-12-31.",
        "level": "How bad it is if the rule is right.",
        "tags": "Labels such as attack.persistence or attack.t1098.",
        "scope": "What the rule is meant for, in words.",
        "fields": "Fields that help whoever looks into an alert.",
        "falsepositives": "What matches and is harmless.",
        "controls": "What the rule is evidence for: a number by the benchmark's name, or by its"
        " version.",
        "notify": "Whether each episode of windows over the threshold pages once, or each window,"
        " or each event.",
        "runbook": "What to look at first, and what to do.",
    },
    RuleFile: {
        "logsource": "Which logs the rule is for; a rule for others than CloudTrail's is not used.",
        "window": "How matches are counted until an alert is raised.",
        "tests": "Records on which the rule fires, or does not; `detector test` runs them.",
    },
    LogSource: {
        "category": "A kind of log, such as process_creation; CloudTrail's has none.",
        "product": "aws for CloudTrail.",
        "service": "cloudtrail for CloudTrail.",
        "definition": "What has to be set up so that there are such logs.",
    },
    WindowSettings: {
        "period": "The window's length in seconds: a multiple of 60.",
        "mode": "aligned: by the events' own time; sliding: by arrival, as a CloudWatch alarm.",
        "statistic": "What is compared with the threshold.",
        "metric_value": "What a match adds: a number, or the field that holds it, as $.a.b.",
        "threshold": "What the statistic is compared with.",
        "comparison_operator": "How it is compared.",
        "evaluation_periods": "The N of M out of N: how many periods are looked at.",
        "datapoints_to_alarm": "The M: how many of them must breach; all, if it is left out.",
        "treat_missing_data": "What periods without data count as, in the sliding mode.",
        "evaluation_window": "sliding: evaluated each minute; wall_clock: when a period is over.",
        "timezone": "Where periods of the wall clock begin: an IANA name, or as +05:30.",
        "group_by": "Fields whose values are counted apart, such as recipientAccountId.",
    },
    RuleTest: {
        "name": "What is tested, as a sentence.",
        "fires": "Whether the rule has to match.",
        "event": "A CloudTrail record, or the part of one that matters.",
    },
    Related: {
        "id": "The other rule's id.",
        "type": "What became of the other rule, or how it relates to this one.",
    },
    CorrelationFile: {"correlation": "The correlation: which rules, counted how, over how long."},
    CorrelationSettings: {
        "type": "What is counted: matches, different values, rules that match (in any order or in"
        " the order given), or a statistic of a field's values.",
        "rules": "Ids or names of the rules whose matches are correlated.",
        "group-by": "Fields, or aliases of fields, whose values are looked at apart.",
        "timespan": "How long after each other matches may come, as 30s, 90m, 24h or 7d; at most 30"
        " days.",
        "condition": "What the number must be; a temporal correlation needs none: all of its rules"
        " must match.",
        "aliases": "Names for a value that each rule's event has in a field of its own:"
        " alias, then rule, then field.",
        "generate": "Whether the rules raise alerts of their own too.",
    },
    Threshold: {
        "gt": "More than this.",
        "gte": "This or more.",
        "lt": "Less than this.",
        "lte": "This or less.",
        "eq": "Exactly this.",
        "neq": "Anything but this.",
        "field": "The field whose values are counted, or several whose values go together.",
        "percentile": "Which percentile value_percentile takes, from 0 to 100.",
    },
    FilterFile: {
        "title": "What is excepted, in a few words.",
        "id": "The filter's identity.",
        "description": "What is excepted, and why.",
        "author": "Who wrote the filter.",
        "date": "The day on which the filter was written, as 2026-12-31.",
        "modified": "The day of the last change, as 2026-12-31.",
        "taxonomy": "How fields are named.",
        "references": "Where to read more.",
        "logsource": "Which rules the filter is about: those for logs among these.",
        "filter": "The rules, Sigma's named searches, and the condition that joins them.",
        "expires": "The first day on which the exception does not hold any more, as 2026-12-31.",
        "reason": "Why there is an exception; shown where it applies.",
    },
}
"""What the types' own docstrings do not say of their fields."""

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_SEARCH: Schema = {
    "description": "Fields and values that must all be there; or a list of alternatives; or words"
    " to be found anywhere in the record.",
    "anyOf": [
        _SCALAR,
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
        },
        {"type": "array", "items": {"$ref": "#/definitions/search"}},
    ],
}
_NOT_BLANK: Schema = {"type": "string", "pattern": r"\S"}
_CONDITION: Schema = {
    "description": "How the searches are joined: and, or, not, 1 of, all of, and parentheses.",
    "anyOf": [_NOT_BLANK, {"type": "array", "minItems": 1, "items": _NOT_BLANK}],
}
_DETECTION: Schema = {
    "required": ["condition"],
    "properties": {"condition": _CONDITION, "timeframe": False},
    "additionalProperties": {"$ref": "#/definitions/search"},
    "minProperties": 2,
}
_RULE_NAMES: Schema = {
    "description": "Ids or names of the rules from which is excepted, or any.",
    "anyOf": [{"const": "any"}, {"type": "array", "items": {"type": "string"}}],
}
_DAY = r"^\d{4}(-\d{2}-\d{2}|\d{4}|-?W\d{2}(-?\d)?)$"
"""The forms in which Python reads a day; whether there is such a day is for the loader to say."""


def rule_schema() -> Schema:
    """Return the schema of a rule document of any kind."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A rule of the CloudTrail detector",
        "description": "A rule with a pattern or a Sigma detection; or, with one of these keys, a"
        " correlation of rules or a filter that makes exceptions.",
        "type": "object",
        "properties": {
            "correlation": {"description": "Makes the document a correlation of rules."},
            "filter": {"description": "Makes the document a filter: exceptions from rules."},
        },
        "if": {"required": ["correlation"]},
        "then": {"$ref": "#/definitions/correlation"},
        "else": {
            "if": {"required": ["filter"]},
            "then": {"$ref": "#/definitions/filter"},
            "else": {"$ref": "#/definitions/rule"},
        },
        "definitions": {
            "rule": _schema_of(types.type_info(RuleFile)),
            "correlation": _schema_of(types.type_info(CorrelationFile)),
            "filter": _schema_of(types.type_info(FilterFile)),
            "search": _SEARCH,
        },
    }


def _schema_of(type_: types.Type) -> Schema:
    if isinstance(type_, types.StructType):
        return _struct(type_)
    if isinstance(type_, types.UnionType):
        return _union([_schema_of(option) for option in type_.types])
    if isinstance(type_, types.LiteralType):
        return {"type": "string", "enum": list(type_.values)}
    if isinstance(type_, types.VarTupleType):
        return {"type": "array", "items": _schema_of(type_.item_type)}
    if isinstance(type_, types.DictType):
        value = _schema_of(type_.value_type)
        return {"type": "object", "additionalProperties": value} if value else {"type": "object"}
    return {"type": _NAMES[type(type_)]} if type(type_) in _NAMES else {}


_NAMES: dict[type[types.Type], str] = {
    types.StrType: "string",
    types.IntType: "integer",
    types.FloatType: "number",
    types.BoolType: "boolean",
    types.NoneType: "null",
}


def _union(options: Sequence[Schema]) -> Schema:
    """Return the schema of any of several; null beside one other as one more type of it."""
    if all(set(option) == {"type"} for option in options):
        return {"type": [option["type"] for option in options]}
    others = [option for option in options if option != {"type": "null"}]
    if len(others) == 1 and isinstance(others[0].get("type"), str):
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": list(options)}


def _struct(type_: types.StructType) -> Schema:
    said = _field_docstrings(type_.cls)
    properties: Schema = {}
    for item in type_.fields:
        description = _described(type_.cls, item.encode_name, said)
        described = {"description": description} if description else {}
        properties[item.encode_name] = {**_schema_of(item.type), **described}
        if isinstance(item.default, (str, int)) and item.default != "":
            properties[item.encode_name]["default"] = item.default
        for class_ in reversed(type_.cls.__mro__):
            properties[item.encode_name] |= _REFINEMENTS.get((class_, item.encode_name), {})
    schema: Schema = {
        "description": _one_line(type_.cls.__doc__ or ""),
        "type": "object",
        "properties": properties,
    }
    required = [item.encode_name for item in type_.fields if item.required]
    if required:
        schema["required"] = required
    if type_.forbid_unknown_fields:
        schema["additionalProperties"] = False
    return {**schema, **_RULES_OF.get(type_.cls, {})}


def _described(class_: type, name: str, said: dict[str, str]) -> str:
    tables = (DESCRIPTIONS.get(base, {}) for base in class_.__mro__)
    return said.get(name) or next((table[name] for table in tables if name in table), "")


@cache
def _field_docstrings(class_: type) -> dict[str, str]:
    """Return what strings below a type's fields say of them."""
    found: dict[str, str] = {}
    for base in reversed(class_.__mro__):
        if base.__module__.startswith("detector."):
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
            found |= dict(_documented(tree.body[0]))
    return found


def _documented(class_: ast.stmt) -> Iterator[tuple[str, str]]:
    body = class_.body if isinstance(class_, ast.ClassDef) else []
    for item, following in pairwise(body):
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            yield item.target.id, _one_line(str(following.value.value))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _timespans() -> str:
    """Return an expression for the timespans up to the longest."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    options = [f"{_up_to(MAX_TIMESPAN_SECONDS // size)}{unit}" for unit, size in units.items()]
    return f"^({'|'.join(options)})$"


def _up_to(most: int) -> str:
    """Return an expression for the whole numbers from 1 to another, without leading zeros."""
    digits = str(most)
    options = ["[1-9]" + f"[0-9]{{{count}}}" * (count > 0) for count in range(len(digits) - 1)]
    for place, digit in enumerate(digits):
        least = 0 if place else 1
        if int(digit) > least:
            rest = len(digits) - place - 1
            options.append(f"{digits[:place]}[{least}-{int(digit) - 1}]" + f"[0-9]{{{rest}}}")
    return f"({'|'.join([*options, digits])})"


def _one_of(*names: str, type_: str) -> list[Schema]:
    return [{"required": [name], "properties": {name: {"type": type_}}} for name in names]


_COUNTED = tuple(name for name in get_args(CorrelationType) if name.startswith("value_"))
_TEMPORAL = tuple(name for name in get_args(CorrelationType) if name.startswith("temporal"))
_LIMITS = ("gt", "gte", "lt", "lte", "eq", "neq")

_REFINEMENTS: dict[tuple[type, str], Schema] = {
    (Described, "title"): _NOT_BLANK,
    (Described, "id"): {"pattern": "^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$"},
    (Described, "lint_exceptions"): {
        "properties": {
            code: {"type": "string", "description": f"Why {code} is accepted here."}
            for code in get_args(Code)
        },
    },
    (RuleFile, "pattern"): {"maxLength": MAX_PATTERN_CHARACTERS},
    (RuleFile, "detection"): _DETECTION,
    (WindowSettings, "period"): {"minimum": 60, "maximum": WEEK_SECONDS, "multipleOf": 60},
    (WindowSettings, "evaluation_periods"): {"minimum": 1},
    (WindowSettings, "datapoints_to_alarm"): {"minimum": 1},
    (WindowSettings, "group_by"): {"uniqueItems": True},
    (CorrelationSettings, "rules"): {"minItems": 1, "uniqueItems": True},
    (CorrelationSettings, "group-by"): {"uniqueItems": True},
    (CorrelationSettings, "timespan"): {"pattern": _timespans()},
    (Threshold, "percentile"): {"minimum": 0, "maximum": 100},
    (FilterFile, "title"): _NOT_BLANK,
    (FilterFile, "expires"): {"pattern": _DAY},
    (FilterFile, "filter"): {
        **_DETECTION,
        "required": ["rules", "condition"],
        "properties": {**_DETECTION["properties"], "rules": _RULE_NAMES},
        "minProperties": 3,
    },
}
"""What a field's type cannot say."""

_NO_FIELD: Schema = {"properties": {"field": {"type": "array", "maxItems": 0}}}
_A_FIELD: Schema = {
    "type": "object",
    "required": ["field"],
    "properties": {"field": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}]}},
}


def _of_types(names: Sequence[str], then: Schema) -> Schema:
    condition = {"required": ["type"], "properties": {"type": {"enum": list(names)}}}
    return {"if": condition, "then": then}


def _least(operator: str, limit: str, value: float, *, is_default: bool = False) -> Schema:
    """Return that a count's threshold is such that windows can be on both sides of it."""
    condition: Schema = {"properties": {"comparison_operator": {"const": operator}}}
    if not is_default:
        condition["required"] = ["comparison_operator"]
    return {"if": condition, "then": {"properties": {"threshold": {limit: value}}}}


_COUNT_OF_MATCHES: Schema = {
    "properties": {
        "mode": {"const": "aligned"},
        "statistic": {"enum": ["Sum", "SampleCount"]},
        "metric_value": False,
    }
}


_RULES_OF: dict[type, Schema] = {
    RuleFile: {
        "oneOf": [
            *_one_of("pattern", type_="string"),
            *_one_of("detection", type_="object"),
        ]
    },
    WindowSettings: {
        "if": {"required": ["mode"], "properties": {"mode": {"const": "sliding"}}},
        "then": {
            "properties": {"statistic": {"not": {"const": "DistinctCount"}}},
            "if": {
                "required": ["evaluation_window"],
                "properties": {"evaluation_window": {"const": "wall_clock"}},
            },
            "then": {"properties": {"period": {"enum": list(WALL_CLOCK_PERIODS)}}},
            "else": {"properties": {"timezone": {"const": "UTC"}}},
        },
        "else": {
            "properties": {
                "period": {"maximum": DAY_SECONDS},
                "treat_missing_data": {"enum": ["missing", "notBreaching"]},
                "evaluation_window": {"const": "sliding"},
                "timezone": {"const": "UTC"},
            }
        },
        "allOf": [
            {
                "if": {
                    "required": ["statistic"],
                    "properties": {"statistic": {"const": "DistinctCount"}},
                },
                "then": {
                    "required": ["metric_value"],
                    "properties": {
                        "metric_value": {"type": "string"},
                        "threshold": {"maximum": MAX_DISTINCT},
                    },
                },
            },
            {
                "if": _COUNT_OF_MATCHES,
                "then": {
                    "allOf": [
                        _least(
                            "GreaterThanOrEqualToThreshold", "exclusiveMinimum", 0, is_default=True
                        ),
                        _least("GreaterThanThreshold", "minimum", 0),
                        _least("LessThanThreshold", "exclusiveMinimum", 1),
                        _least("LessThanOrEqualToThreshold", "minimum", 1),
                    ]
                },
            },
        ],
    },
    Threshold: {"anyOf": _one_of(*_LIMITS, type_="number")},
    CorrelationSettings: {
        "allOf": [
            _of_types(_COUNTED, {"required": ["condition"], "properties": {"condition": _A_FIELD}}),
            _of_types(
                ["event_count"],
                {
                    "required": ["condition"],
                    "properties": {"condition": {"type": "object", **_NO_FIELD}},
                },
            ),
            _of_types(_TEMPORAL, {"properties": {"condition": _NO_FIELD}}),
        ]
    },
}
"""What must hold between the fields of a type."""


def schema_text() -> str:
    """Return the schema as the file holds it."""
    return msgspec.json.format(msgspec.json.encode(rule_schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
