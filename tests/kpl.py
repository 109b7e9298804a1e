"""KPL aggregates as a producer makes them; the encoder is the measure of the product's reader."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

MAGIC = bytes.fromhex("f3899ac2")


def varint(value: int) -> bytes:
    """Return a number in base 128, the least significant part first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of a message: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def sealed(message: bytes) -> bytes:
    """Return a message as it stands in a Kinesis record."""
    return MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest()


def aggregate(records: Sequence[tuple[str, bytes]], unknown: bytes = b"") -> bytes:
    """Return user records with their partition keys in one; `unknown` stands in each of them."""
    keys = list(dict.fromkeys(key for key, _ in records))
    message = b"".join(field(1, key.encode()) for key in keys)
    for key, data in records:
        content = field(1, keys.index(key)) + unknown + field(3, data)
        message += field(3, content) + unknown
    return sealed(message)
