"""Avro's logical types, bytes, and documents in strings, as CloudTrail would have written them.

Source: Apache Avro Specification 1.12, "Logical Types".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

import msgspec

from detector import lenient_json

MAX_DECIMAL_BYTES = 32
"""Decimals of more bytes, 77 digits, are of no converter: to print them costs the square of them.
They are left as bytes."""

MAX_SCALE = 77
"""The most digits behind the point that MAX_DECIMAL_BYTES can hold."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_UUID_BYTES = 16
_EXACT = Context(prec=2 * MAX_SCALE)
_WHITE_SPACE = " \t\r\n"
_RAW = msgspec.json.Decoder(msgspec.Raw)

Convert = Callable[[Any], Any]


def logical_type(type_: str, schema: Mapping[str, Any]) -> Convert | None:
    """Return what makes of a value what its logical type means; None where that is nothing.

    A logical type that is unknown, or does not fit its type, is to be ignored, and so is a value
    out of its range.
    """
    name = schema.get("logicalType")
    if name == "decimal" and type_ in {"bytes", "fixed"}:
        scale = schema.get("scale", 0)
        return _decimal(scale) if isinstance(scale, int) and 0 <= scale <= MAX_SCALE else None
    if name == "uuid" and type_ == "fixed" and schema.get("size") == _UUID_BYTES:
        return lambda value: str(UUID(bytes=value))
    return _LOGICAL.get((type_, name)) if isinstance(name, str) else None


def text_or_base64(value: bytes) -> str:
    """Return bytes as the text that they are in UTF-8, or else in base64."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def as_document(text: str) -> Any:
    """Return the object or array that a string spells, or the string if it spells neither.

    Only for fields in which CloudTrail never writes a string. AWS's own table of CloudTrail logs
    for Athena declares requestParameters, responseElements and others as strings that hold JSON,
    and what is converted from such a table, or to any schema that is fixed, carries them in that
    form: no schema can name what each API call takes. Left as a string, no rule would see into
    it. `null` is what most libraries write for a null. Source: Amazon Athena User Guide, "Query
    AWS CloudTrail logs".
    """
    start = text.lstrip(_WHITE_SPACE)[:1]
    if not start or start not in "{[":
        return None if text == "null" else text
    try:
        return lenient_json.decode(_RAW, text.encode())
    except (msgspec.DecodeError, RecursionError):
        return text


def _decimal(scale: int) -> Convert:
    def convert(value: bytes) -> str | Decimal:
        if len(value) > MAX_DECIMAL_BYTES:
            return text_or_base64(value)
        number = Decimal(int.from_bytes(value, signed=True))
        return number.scaleb(-scale, _EXACT)

    return convert


def _timestamp(digits: int) -> Convert:
    """Return what makes a time as CloudTrail writes it of units after the epoch.

    A local timestamp has no zone; CloudTrail's times are UTC, whatever a converter calls them.
    """

    def convert(value: int) -> str | int:
        seconds, fraction = divmod(value, 10**digits)
        try:
            moment = _EPOCH + timedelta(seconds=seconds)
        except OverflowError:
            return value
        return f"{moment.isoformat()[:19]}{_fraction(fraction, digits)}Z"

    return convert


def _time(digits: int) -> Convert:
    def convert(value: int) -> str | int:
        seconds, fraction = divmod(value, 10**digits)
        if not 0 <= seconds < _DAY_SECONDS:
            return value
        moment = _EPOCH + timedelta(seconds=seconds)
        return f"{moment.isoformat()[11:19]}{_fraction(fraction, digits)}"

    return convert


def _date(value: int) -> str | int:
    try:
        return date.fromordinal(_EPOCH.toordinal() + value).isoformat()
    except (OverflowError, ValueError):
        return value


def _fraction(value: int, digits: int) -> str:
    return f".{value:0{digits}d}".rstrip("0") if value else ""


_LOGICAL: Mapping[tuple[str, str], Convert] = {
    ("int", "date"): _date,
    ("int", "time-millis"): _time(3),
    ("long", "time-micros"): _time(6),
    ("long", "timestamp-millis"): _timestamp(3),
    ("long", "timestamp-micros"): _timestamp(6),
    ("long", "timestamp-nanos"): _timestamp(9),
    ("long", "local-timestamp-millis"): _timestamp(3),
    ("long", "local-timestamp-micros"): _timestamp(6),
    ("long", "local-timestamp-nanos"): _timestamp(9),
}
