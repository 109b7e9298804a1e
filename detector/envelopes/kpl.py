"""KPL aggregation: several user records in one Kinesis record.

    f3 89 9a c2 | protobuf AggregatedRecord | MD5 of the protobuf, 16 bytes

    message AggregatedRecord {
        repeated string partition_key_table     = 1;
        repeated string explicit_hash_key_table = 2;
        repeated Record records                 = 3;
    }
    message Record {
        required uint64 partition_key_index     = 1;
        optional uint64 explicit_hash_key_index = 2;
        required bytes data                     = 3;
        repeated Tag tags                       = 4;
    }

Source: amazon-kinesis-producer, "KPL Aggregated Record Format"; Protocol Buffers, "Encoding". What
looks like an aggregate and is none is a plain record: the magic bytes alone prove nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES = 16

MAX_GROUP_NESTING = 100
"""How deep groups, an old form of field, may lie in what is skipped: protobuf's own limit."""

_RECORDS = 3
_PARTITION_KEY_INDEX = 1
_DATA = 3

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BITS = 64
_TAG_BITS = 32


def deaggregate(data: bytes) -> list[bytes] | None:
    """Return the user records of an aggregate in their order; None where `data` is a plain record.

    The sub-sequence number of each is its index. Partition keys and tags are not looked at, and
    unknown fields are skipped. An aggregate is at most as large as a Kinesis record, 10 MiB, and
    six bytes are the least that a user record takes in it: that bounds their number.
    """
    if len(data) <= len(MAGIC) + DIGEST_BYTES or not data.startswith(MAGIC):
        return None
    message = memoryview(data)[len(MAGIC) : -DIGEST_BYTES]
    digest = hashlib.md5(message, usedforsecurity=False).digest()
    if digest != data[-DIGEST_BYTES:]:
        return None
    try:
        return [
            _user_record(value)
            for number, value in _fields(message)
            if number == _RECORDS and isinstance(value, memoryview)
        ]
    except _MalformedError:
        return None


class _MalformedError(Exception):
    """The bytes are no protobuf message, or one without a required field."""


def _user_record(message: memoryview) -> bytes:
    data: memoryview | None = None
    has_key = False
    for number, value in _fields(message):
        # A known field of another wire type is an unknown field, as in protobuf's own readers.
        if number == _DATA and isinstance(value, memoryview):
            data = value
        elif number == _PARTITION_KEY_INDEX and isinstance(value, int):
            has_key = True
    if data is None or not has_key:
        raise _MalformedError
    return bytes(data)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview | None]]:
    """Yield the number and value of each field: a varint's int, or bytes; None for what is skipped.

    Raises:
        _MalformedError: the message breaks off, or holds what cannot be in one.
    """
    position = 0
    while position < len(message):
        number, wire_type, position = _tag(message, position)
        if wire_type == _VARINT:
            integer, position = _varint(message, position)
            yield number, integer
        elif wire_type == _BYTES:
            size, start = _varint(message, position)
            position = _end(message, start, size)
            yield number, message[start:position]
        else:
            position = _skip(message, position, number, wire_type)
            yield number, None


def _tag(message: memoryview, position: int) -> tuple[int, int, int]:
    tag, position = _varint(message, position)
    number, wire_type = tag >> 3, tag & 7
    if number == 0 or tag >> _TAG_BITS or wire_type > _FIXED32:
        raise _MalformedError
    return number, wire_type, position


def _skip(message: memoryview, position: int, number: int, wire_type: int) -> int:
    """Return where a field ends whose value begins at `position`; a group ends with its end tag."""
    groups: list[int] = []
    while True:
        if wire_type == _GROUP:
            groups.append(number)
            if len(groups) > MAX_GROUP_NESTING:
                raise _MalformedError
        elif wire_type == _END_GROUP:
            if not groups or groups.pop() != number:
                raise _MalformedError
        elif wire_type == _VARINT:
            _, position = _varint(message, position)
        elif wire_type == _BYTES:
            size, position = _varint(message, position)
            position = _end(message, position, size)
        else:
            position = _end(message, position, _FIXED_BYTES[wire_type])
        if not groups:
            return position
        number, wire_type, position = _tag(message, position)


def _end(message: memoryview, start: int, size: int) -> int:
    end = start + size
    if end > len(message):
        raise _MalformedError
    return end


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < _VARINT_BITS:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that another byte follows
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise _MalformedError
