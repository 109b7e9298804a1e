"""Avro schemas as functions that read one datum and give what JSON can say.

Our own reader, where a library reads Avro elsewhere in the detector, since what comes in may be
made to harm: a library's decoder written in C follows a recursive schema until the stack ends, and
fills a list of 2^60 nulls, which take no bytes at all. Here every value is charged to the datum's
budget before it is made, and the JSON values are made at once, without others in between.

Source: Apache Avro Specification 1.12, "Schema Declaration", "Data Serialization", "Logical Types".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from detector.envelopes.avro_values import as_document, logical_type, text_or_base64
from detector.errors import PayloadError

MAX_DEPTH = 100
"""Records within records, in a datum of a recursive schema. CloudTrail's deepest have some ten."""

MAX_VARINT_BYTES = 10
"""What a number of 64 bits takes at most, at 7 bits in a byte."""

DOCUMENT_FIELDS = frozenset(
    {
        *("userIdentity", "requestParameters", "responseElements", "additionalEventData"),
        *("resources", "serviceEventDetails"),
    }
)
"""Fields of a record that CloudTrail never writes as strings; see `as_document`."""

NULL_FIELDS = frozenset({"requestParameters", "responseElements"})
"""Fields that CloudTrail itself writes as null when there is nothing in them."""

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_COMPLEX = frozenset({"record", "error", "enum", "fixed", "array", "map"})
_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")

Reader = Callable[["Cursor"], Any]
"""Reads one value where the cursor stands. IndexError tells that the data ends before it."""


class Cursor:
    """Where in a block's bytes the reading is, and what the datum may still cost."""

    __slots__ = ("_granted", "data", "depth", "position", "room", "values")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.grant(0, 0)

    def grant(self, values: int, room: int) -> None:
        """Begin a datum of at most so many values, and so many bytes that are not in the data."""
        self.values = self._granted = values
        self.room = room
        self.depth = 0

    @property
    def used(self) -> int:
        """How many values the datum has had so far."""
        return self._granted - self.values

    def charge(self, values: int, room: int = 0) -> None:
        """Take some of what is granted.

        Raises:
            PayloadError: `too_many_values` or `too_large`.
        """
        self.values -= values
        if self.values < 0:
            raise PayloadError("too_many_values", "the Avro file has too many values")
        self.room -= room
        if self.room < 0:
            raise PayloadError("too_large", "a datum of the Avro file is too large as JSON")

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        start = self.position
        if length < 0:
            raise malformed("a length in it is negative")
        if length > len(self.data) - start:
            raise IndexError
        self.position = start + length
        return self.data[start : self.position]


class Place(Enum):
    """What stands where a type is used."""

    DATUM = auto()
    """A text is the body of something by itself, and left as it is."""
    EVENT = auto()
    """A CloudTrail record, or a document of them."""
    DOCUMENT = auto()
    """A field of a record that holds an object or an array, maybe as its text."""
    INNER = auto()


def reader_of(schema: Any) -> Reader:
    """Return what reads a datum of this schema, which is decoded JSON.

    It returns bytes for a datum that is text or bytes, and else a value that JSON can say.

    Raises:
        PayloadError: `malformed_avro`: it is not a schema.
        RecursionError: it is nested too deeply.
    """
    return _Compiler().compile(schema, "", Place.DATUM)


def malformed(why: str) -> PayloadError:
    """Return the error of a file that does not follow the specification."""
    return PayloadError("malformed_avro", f"the Avro file is damaged or not one: {why}")


class _Compiler:
    """Types by name, and what reads them; one that is used within itself is compiled once."""

    def __init__(self) -> None:
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._records: dict[tuple[str, Place], _Record] = {}

    def compile(self, schema: Any, namespace: str, place: Place) -> Reader:
        if isinstance(schema, list):
            return _union([self.compile(item, namespace, place) for item in schema])
        if isinstance(schema, str):
            if schema in _PRIMITIVES:
                return _primitive(schema, {}, place)
            return self._named(self._resolved(schema, namespace), place)
        if not isinstance(schema, Mapping):
            raise malformed("its schema has something else in the place of a type")
        type_ = schema.get("type")
        if isinstance(type_, str) and type_ in _COMPLEX:
            return self._complex(type_, schema, namespace, place)
        if isinstance(type_, str) and type_ in _PRIMITIVES:
            return _primitive(type_, schema, place)
        return self.compile(type_, namespace, place)

    def _complex(
        self, type_: str, schema: Mapping[str, Any], namespace: str, place: Place
    ) -> Reader:
        if type_ == "array":
            inner = Place.EVENT if place is Place.DATUM else place
            return _array(self.compile(schema.get("items"), namespace, inner))
        if type_ == "map":
            has_event = place in {Place.DATUM, Place.EVENT}
            return _map(self.compile(schema.get("values"), namespace, Place.INNER), has_event)
        return self._define(schema, namespace, place)

    def _resolved(self, name: str, namespace: str) -> str:
        for full in (f"{namespace}.{name}", name) if "." not in name else (name,):
            if full in self._schemas:
                return full
        raise malformed("its schema names a type that it does not define")

    def _define(self, schema: Mapping[str, Any], namespace: str, place: Place) -> Reader:
        name, space = schema.get("name"), schema.get("namespace", namespace)
        if not isinstance(name, str) or not isinstance(space, str):
            raise malformed("its schema has a type without a name")
        full = name if "." in name or not space else f"{space}.{name}"
        if self._schemas.setdefault(full, schema) is not schema:
            raise malformed("its schema defines a type twice")
        return self._named(full, place)

    def _named(self, full: str, place: Place) -> Reader:
        schema = self._schemas[full]
        if schema["type"] == "enum":
            return _enum(schema)
        if schema["type"] == "fixed":
            return _fixed(schema)
        record = self._records.get((full, place))
        if record is None:
            record = self._records[full, place] = _Record()
            self._fill(record, schema, full.rpartition(".")[0], place)
        return record.read

    def _fill(
        self, record: _Record, schema: Mapping[str, Any], namespace: str, place: Place
    ) -> None:
        is_event = place in {Place.DATUM, Place.EVENT}
        fields = schema.get("fields")
        if not isinstance(fields, list):
            raise malformed("its schema has a record without fields")
        for field in fields:
            name = field.get("name") if isinstance(field, Mapping) else None
            if not isinstance(name, str):
                raise malformed("its schema has a field without a name")
            inner = Place.INNER
            if is_event and name == "Records":
                inner = Place.EVENT
            elif is_event and name in DOCUMENT_FIELDS:
                inner = Place.DOCUMENT
            record.add(name, self.compile(field.get("type"), namespace, inner))
        if is_event:
            record.keep = NULL_FIELDS


class _Record:
    """Reads a record; it exists before its fields do, which may be of its own type."""

    __slots__ = ("fields", "keep", "names_bytes")

    def __init__(self) -> None:
        self.fields: list[tuple[str, Reader]] = []
        self.keep: frozenset[str] = frozenset()
        self.names_bytes = 2

    def add(self, name: str, read: Reader) -> None:
        self.fields.append((name, read))
        self.names_bytes += len(name.encode(errors="replace")) + 8  # quotes, a colon, a null

    def read(self, cursor: Cursor) -> dict[str, Any]:
        cursor.charge(len(self.fields) + 1, self.names_bytes)
        cursor.depth += 1
        if cursor.depth > MAX_DEPTH:
            raise PayloadError("too_deep", "a datum of the Avro file is nested too deeply")
        values = {}
        for name, read in self.fields:
            value = read(cursor)
            if value is not None or name in self.keep:
                values[name] = value
        cursor.depth -= 1
        return values


def _union(branches: list[Reader]) -> Reader:
    def read(cursor: Cursor) -> Any:
        index = read_long(cursor)
        if not 0 <= index < len(branches):
            raise malformed("a union in it has no such branch")
        return branches[index](cursor)

    return read


def _array(read_item: Reader) -> Reader:
    def read(cursor: Cursor) -> list[Any]:
        items: list[Any] = []
        while count := _count(cursor):
            items += [read_item(cursor) for _ in range(count)]
        return items

    return read


def _map(read_value: Reader, has_event: bool) -> Reader:
    def read(cursor: Cursor) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while count := _count(cursor):
            for _ in range(count):
                key = _string(cursor)
                value = read_value(cursor)
                if has_event and key in DOCUMENT_FIELDS and isinstance(value, str):
                    value = _document(value, cursor)
                values[key] = value
        return values

    return read


def _count(cursor: Cursor) -> int:
    """Return how many items follow in a block of an array or a map, and charge them."""
    count = read_long(cursor)
    if count < 0:  # the size of the block follows, for those who skip it
        count = -count
        read_long(cursor)
    cursor.charge(count)
    return count


def _enum(schema: Mapping[str, Any]) -> Reader:
    symbols = schema.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(item, str) for item in symbols):
        raise malformed("its schema has an enum without symbols")

    def read(cursor: Cursor) -> str:
        index = read_long(cursor)
        if not 0 <= index < len(symbols):
            raise malformed("an enum in it has no such symbol")
        symbol = str(symbols[index])
        cursor.charge(0, len(symbol))
        return symbol

    return read


def _fixed(schema: Mapping[str, Any]) -> Reader:
    size = schema.get("size")
    if not isinstance(size, int) or size < 0:
        raise malformed("its schema has a fixed type without a size")
    convert = logical_type("fixed", schema) or text_or_base64
    return lambda cursor: convert(cursor.take(size))


def _primitive(type_: str, schema: Mapping[str, Any], place: Place) -> Reader:
    read = _READERS[type_]
    convert = logical_type(type_, schema)
    if convert is not None:
        read_plain = _bytes if type_ == "bytes" else read
        return lambda cursor: convert(read_plain(cursor))
    if type_ not in {"string", "bytes"} or place is Place.INNER:
        return read
    if place is Place.DATUM:
        return _bytes
    return lambda cursor: _document(read(cursor), cursor)


def _document(text: str, cursor: Cursor) -> Any:
    cursor.charge(text.count(",") + text.count("[") + text.count("{"))
    return as_document(text)


def read_long(cursor: Cursor) -> int:
    """Read a number as Avro writes it: zigzag, 7 bits in a byte, the lowest first."""
    data, position = cursor.data, cursor.position
    byte = data[position]
    number = byte & 0x7F
    shift = 7
    while byte & 0x80:
        position += 1
        byte = data[position]
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 7 * MAX_VARINT_BYTES:
            raise malformed("a number in it has too many bytes")
    if number >> 64:
        raise malformed("a number in it has more than 64 bits")
    cursor.position = position + 1
    return (number >> 1) ^ -(number & 1)


def _boolean(cursor: Cursor) -> bool:
    return cursor.take(1) != b"\0"


def _float(cursor: Cursor) -> float:
    return float(_FLOAT.unpack(cursor.take(4))[0])


def _double(cursor: Cursor) -> float:
    return float(_DOUBLE.unpack(cursor.take(8))[0])


def _bytes(cursor: Cursor) -> bytes:
    return cursor.take(read_long(cursor))


def _string(cursor: Cursor) -> str:
    # A stray byte must not hide the rest of the file; see `detector.lenient_json`.
    return cursor.take(read_long(cursor)).decode(errors="replace")


_READERS: Mapping[str, Reader] = {
    "null": lambda _: None,
    "boolean": _boolean,
    "int": read_long,
    "long": read_long,
    "float": _float,
    "double": _double,
    "bytes": lambda cursor: text_or_base64(_bytes(cursor)),
    "string": _string,
}
