"""Values of a record, whose types nobody vouches for.

A record is JSON that has reached us from outside. Each of its fields may be missing, null, or of
any type: what is not of the type that CloudTrail documents is as good as missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MAX_FIELD_CHARACTERS = 4_096
"""Of a string that is looked at: twice the longest ARN, and CloudTrail cuts most fields at 1 KB."""

MAX_ITEMS = 20
"""Of a list that is looked at. A person reads fewer."""

_MAX_BITS = 128

EMPTY: Mapping[str, Any] = {}


def value_at(record: Any, *path: str) -> Any:
    """Return the value of a field, None if there is none."""
    for key in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(key)
    return record


def mapping_at(record: Any, *path: str) -> Mapping[str, Any]:
    """Return a field that is an object; an empty one if it is none."""
    value = value_at(record, *path)
    return value if isinstance(value, Mapping) else EMPTY


def text_at(record: Any, *path: str) -> str:
    """Return a field that is a string, without blanks around it; an empty one if it is none."""
    value = value_at(record, *path)
    return value[:MAX_FIELD_CHARACTERS].strip() if isinstance(value, str) else ""


def scalar(value: Any) -> str:
    """Return a string, number or boolean as JSON writes it; an empty string for all else."""
    if isinstance(value, str):
        return value[:MAX_FIELD_CHARACTERS].strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to write integers of thousands of digits.
        return str(value) if value.bit_length() <= _MAX_BITS else ""
    return f"{value:g}" if isinstance(value, float) else ""


def items_of(value: Any) -> Iterator[Any]:
    """Return the items of a list, in any of the shapes in which services log one.

    EC2 logs `{"items": [...]}`, and for its newer calls the item itself where there is only one.
    """
    if isinstance(value, Mapping):
        inner = value.get("items")
        if isinstance(inner, list):
            yield from inner[:MAX_ITEMS]
        elif value:
            yield value
    elif isinstance(value, list):
        yield from value[:MAX_ITEMS]
    elif value is not None:
        yield value


def parameters_of(record: Any) -> Mapping[str, Any]:
    """Return a record's request parameters.

    Newer calls of EC2 have theirs within one object, named after the call.
    """
    parameters = mapping_at(record, "requestParameters")
    if len(parameters) == 1:
        (key,) = parameters
        if isinstance(key, str) and key.endswith("Request"):
            return mapping_at(parameters, key) or parameters
    return parameters


def field_of(parameters: Mapping[str, Any], name: str) -> Any:
    """Return a parameter, whichever case its first letter has."""
    value = parameters.get(name)
    return parameters.get(name[:1].upper() + name[1:]) if value is None else value
