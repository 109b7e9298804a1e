"""Avro object container files, as far as an archive writes and mends them. Pure.

fastavro writes whole files. Here a block is what one fsync makes durable, so that each is made on
its own; and after a crash the blocks are found again that are whole.

Source: Apache Avro Specification 1.12, "Object Container Files".
"""

from __future__ import annotations

import io
import mmap
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import fastavro

from detector.sinks.archive.record import SCHEMA_JSON

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Codec = Literal["zstandard", "deflate", "null"]

SYNC_BYTES = 16

_MAGIC = b"Obj\x01"
_MAX_LONG_BYTES = 10

Data = bytes | mmap.mmap
"""A file as a whole. Of a large one only what is looked at is in memory."""

Range = tuple[int, int]
"""The first byte of a piece of a file, and the first one after it."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What of a file is whole.

    `header` is its length. `ranges` are pieces that hold whole blocks one behind the other: one in
    a sound file, several where there is damage in between. `last` is the last block.
    """

    header: int
    ranges: list[Range]
    last: Range | None

    @property
    def is_sound(self) -> bool:
        """Whether there is no damage before the end of the last whole block."""
        return [start for start, _ in self.ranges] == [self.header]


class TornHeaderError(ValueError):
    """The file ends before its header does: it never had a block."""


def header(codec: Codec, sync: bytes) -> bytes:
    """Return the beginning of a file; `sync` is what each of its blocks ends with."""
    metadata = {b"avro.schema": SCHEMA_JSON, b"avro.codec": codec.encode()}
    entries = [_sized(key) + _sized(value) for key, value in metadata.items()]
    return _MAGIC + _long(len(entries)) + b"".join(entries) + _long(0) + sync


def block(codec: Codec, records: Sequence[bytes], sync: bytes) -> bytes:
    """Return a block of records, each in Avro's encoding."""
    return _long(len(records)) + _sized(_compressed(codec, b"".join(records))) + sync


def scan(data: Data) -> Scan:
    """Find the whole blocks of a file. Behind damage the next sync marker is where they go on.

    Raises:
        TornHeaderError: the file ends within its header.
        ValueError: it is no container file.
    """
    start, sync = _read_header(data)
    ranges: list[Range] = []
    last: Range | None = None
    position = start
    while position < len(data):
        end = _claimed_end(data, position)
        if end is None or not _ends_with(data, end, sync):
            position = _next_block(data, position, end, sync)
            continue
        last = (position, end)
        if ranges and ranges[-1][1] == position:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append(last)
        position = end
    return Scan(start, ranges, last)


def can_be_read(data: Data, found: Scan, part: Range) -> bool:
    """Return whether the blocks in a piece of a file can be decompressed and decoded.

    After a loss of power the end of a block may be on disk without its middle.
    """
    try:
        for _ in fastavro.reader(io.BytesIO(data[: found.header] + data[slice(*part)])):
            pass
    except Exception:  # noqa: BLE001 - a library's decoder over bytes that may be anything
        return False
    return True


def _claimed_end(data: Data, position: int) -> int | None:
    """Return where the block at a position says that it ends, None where that cannot be."""
    try:
        count, position = _read_long(data, position)
        size, position = _read_long(data, position)
    except ValueError:
        return None
    end = position + size + SYNC_BYTES
    return end if count > 0 and size >= 0 and end <= len(data) else None


def _ends_with(data: Data, end: int | None, sync: bytes) -> bool:
    return end is not None and data[end - SYNC_BYTES : end] == sync


def _next_block(data: Data, position: int, end: int | None, sync: bytes) -> int:
    """Return where to look for a block behind one that is damaged."""
    if end is not None and _ends_with(data, _claimed_end(data, end), sync):
        return end  # only its marker, or what it holds, is damaged
    marker = data.find(sync, position)
    return len(data) if marker < 0 else marker + SYNC_BYTES


def _read_header(data: Data) -> tuple[int, bytes]:
    """Return the length of a file's header, and its sync marker."""
    if data[: len(_MAGIC)] != _MAGIC[: len(data)]:
        raise ValueError("it does not begin as an Avro file")
    position = len(_MAGIC)
    while True:
        count, position = _read_long(data, position)
        if count < 0:  # the size of the entries in bytes follows
            count = -count
            _, position = _read_long(data, position)
        for _ in range(2 * count):
            size, position = _read_long(data, position)
            if size < 0:
                raise ValueError("its header has a negative length")
            position += size
        if not count:
            break
    end = position + SYNC_BYTES
    if end > len(data):
        raise TornHeaderError
    return end, data[position:end]


def _read_long(data: Data, position: int) -> tuple[int, int]:
    """Return the number at a position, and where it ends."""
    value = 0
    for index in range(_MAX_LONG_BYTES):
        if position + index >= len(data):
            raise TornHeaderError
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return (value >> 1) ^ -(value & 1), position + index + 1
    raise ValueError("a number in it has too many bytes")


def _compressed(codec: Codec, data: bytes) -> bytes:
    if codec == "zstandard":
        return zstd.compress(data)
    if codec == "deflate":
        return zlib.compress(data, wbits=-zlib.MAX_WBITS)
    return data


def _sized(data: bytes) -> bytes:
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    """Return a number that is not negative in Avro's encoding."""
    left = number << 1
    encoded = bytearray()
    while left > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*encoded, left])
