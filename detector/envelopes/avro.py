"""An Avro object container file, whose datums become JSON bodies like those of log files.

A datum is a CloudTrail record, a document `{"Records": [...]}`, or a string or bytes, which are the
text of either, or anything else that a payload can be: they come out as they are.

A null in a field of an Avro record comes out as a missing field. CloudTrail leaves out what an
event does not have, and a schema can leave out nothing: it must declare each optional field as a
union with null, so that a null there is how it says "missing". Kept as nulls they would turn the
CIS benchmark's own pattern for the root user, `$.userIdentity.invokedBy NOT EXISTS`, into one that
never matches. The two fields that CloudTrail does write as null, requestParameters and
responseElements, stay so, and so do nulls in arrays and maps, which can leave out what they have
not. What the schema gives for a default does not matter: several converters give none.

Source: Apache Avro Specification 1.12, "Object Container Files".
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from detector.envelopes.avro_schema import (
    MAX_VARINT_BYTES,
    Cursor,
    Reader,
    malformed,
    read_long,
    reader_of,
)
from detector.errors import PayloadError

AVRO_MAGIC = b"Obj\x01"

MAX_BYTES = 1 << 30
"""What all blocks of a file may inflate to. Nothing holds all of it: this bounds time."""

MAX_BLOCK_BYTES = 64 << 20
"""What one block may inflate to, which is held as a whole, and so may the names in a datum. Writers
begin a new block after 16 KB to 2 MB; a datum that is a whole log file has up to 50 MB."""

MAX_VALUES = 4_000_000
"""Values in a datum. A log file of CloudTrail's largest size has 1.5 million."""

BYTES_FOR_A_VALUE = 2
"""How many bytes of `max_bytes` there are for each value of all the file. Strings make it twenty;
in a schema of very many fields, of which most are null, some three. Nulls that take no bytes at
all, in many small datums, would otherwise be read for ever."""

BYTES_FOR_A_DATUM = 64
"""The same for each datum. A CloudTrail record's ids and time alone are more."""

MAX_HEADER_BYTES = 1 << 20
"""The header holds the schema: one with every field of a CloudTrail record takes some 20 KB."""

XZ_MEMORY_BYTES = 128 << 20
"""What an xz stream may ask for; its highest preset asks for 65 MiB."""

_SYNC_BYTES = 16
_SHOWN_CHARACTERS = 40
# By how much compressed data may be larger than what it holds: an eighth, and some bytes more.
_SLACK_SHIFT = 3
_SLACK_BYTES = 1024
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Readable(Protocol):
    """A binary file as far as it is needed: at most so many bytes at a time, none at its end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; fewer than asked for only where that is all there is for now."""
        ...


def is_avro(prefix: bytes) -> bool:
    """Return whether a body that begins so is an Avro object container file."""
    return prefix.startswith(AVRO_MAGIC)


def open_avro(
    file: Readable,
    *,
    max_bytes: int = MAX_BYTES,
    max_block_bytes: int = MAX_BLOCK_BYTES,
    max_values: int = MAX_VALUES,
) -> Iterator[bytes]:
    """Yield a body for each datum, as it is read.

    All blocks together may inflate to `max_bytes`, one to `max_block_bytes`, and a datum may hold
    `max_values`. In memory there is one block, compressed and inflated, and one datum. Of a file
    that ends early, all datums that are whole come out before the error, and of a damaged one
    those before the damage.

    Raises:
        PayloadError: `malformed_avro`, `truncated`, `too_large`, `too_many_values`, `too_deep`, or
            `unsupported_codec`.
    """
    stream = _Stream(file)
    read, inflate, sync = _header(stream)
    left = _Left(max_bytes, max_bytes // BYTES_FOR_A_VALUE, max_bytes // BYTES_FOR_A_DATUM)
    while not stream.has_ended():
        count = stream.number()
        content, is_cut = _block(stream, inflate, sync, min(left.bytes, max_block_bytes))
        if count < 0:
            raise malformed("a block has a negative number of datums")
        if count > len(content) and not is_cut:
            raise PayloadError("too_many_values", "a block claims more datums than it has bytes")
        left.bytes -= len(content)
        cursor = Cursor(content)
        for _ in range(count):
            cursor.grant(min(max_values, left.values), max_block_bytes)
            body = _datum(cursor, read, is_cut=is_cut)
            if body is None:
                break
            left.take(cursor.used)
            yield body
        if is_cut:
            raise _truncated()
        if cursor.position != len(content):
            raise malformed("a block has more bytes than its datums")


def _block(stream: _Stream, inflate: Inflate, sync: bytes, most: int) -> tuple[bytes, bool]:
    """Return what the next block holds, and whether the file ends within the block."""
    size = stream.number()
    if size < 0:
        raise malformed("a block has a negative length")
    if size > most + (most >> _SLACK_SHIFT) + _SLACK_BYTES:
        raise _too_large(most)
    data = stream.read(size)
    marker = stream.read(_SYNC_BYTES) if len(data) == size else b""
    is_cut = len(marker) < _SYNC_BYTES
    if not (is_cut or marker == sync):
        raise malformed("a block does not end with the file's sync marker")
    content, is_whole = inflate(data, most)
    if len(content) > most:
        raise _too_large(most)
    if not (is_cut or is_whole):
        raise malformed("the compressed data of a block ends early")
    return content, is_cut


@dataclass(slots=True)
class _Left:
    """What a file may still have."""

    bytes: int
    values: int
    datums: int

    def take(self, values: int) -> None:
        self.values -= values
        self.datums -= 1
        if self.datums < 0:
            raise PayloadError("too_many_values", "the Avro file has too many datums")


def _datum(cursor: Cursor, read: Reader, *, is_cut: bool) -> bytes | None:
    """Return the next body of a block; None where the block was cut off before its end."""
    if is_cut and cursor.position == len(cursor.data):
        return None
    try:
        value = read(cursor)
        return value if isinstance(value, bytes) else _ENCODER.encode(value)
    except IndexError as error:
        if is_cut:
            return None
        raise malformed("a block ends in the middle of a datum") from error
    except RecursionError as error:
        raise _too_deep() from error


class _Stream:
    """A file that is read from its beginning to its end, and never beyond what is asked for."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._peeked = b""

    def has_ended(self) -> bool:
        """Return whether nothing more comes."""
        self._peeked = self._peeked or self._file.read(1)
        return not self._peeked

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only where the file ends."""
        if size == 0:
            return b""
        pieces, missing = [self._peeked], size - len(self._peeked)
        self._peeked = b""
        while missing and (piece := self._file.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def whole(self, size: int) -> bytes:
        """Return so many bytes.

        Raises:
            PayloadError: `truncated`.
        """
        data = self.read(size)
        if len(data) < size:
            raise _truncated()
        return data

    def number(self) -> int:
        """Return the number that comes next, in Avro's encoding."""
        encoded = self.whole(1)
        while encoded[-1] & 0x80 and len(encoded) < MAX_VARINT_BYTES:
            encoded += self.whole(1)
        try:
            return read_long(Cursor(encoded))
        except IndexError as error:
            raise malformed("a number in it has too many bytes") from error


def _header(stream: _Stream) -> tuple[Reader, Inflate, bytes]:
    """Return what reads a datum, what inflates a block, and the sync marker."""
    if stream.read(len(AVRO_MAGIC)) != AVRO_MAGIC:
        raise malformed("it does not begin as one")
    metadata = _metadata(stream)
    sync = stream.whole(_SYNC_BYTES)
    codec = metadata.get(b"avro.codec", b"null").decode(errors="replace")
    if codec not in _CODECS:
        raise PayloadError(
            "unsupported_codec",
            f"the Avro file is compressed with {codec[:_SHOWN_CHARACTERS]!r}; what can be read is"
            f" {', '.join(_CODECS)}",
        )
    try:
        read = reader_of(msgspec.json.decode(metadata.get(b"avro.schema", b"")))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed("its schema is not JSON") from error
    except RecursionError as error:
        raise _too_deep() from error
    return read, _CODECS[codec], sync


def _metadata(stream: _Stream) -> Mapping[bytes, bytes]:
    metadata: dict[bytes, bytes] = {}
    left = MAX_HEADER_BYTES
    while count := stream.number():
        if count < 0:  # the size of the block follows
            count = -count
            stream.number()
        for _ in range(count):
            entry = []
            for _ in ("key", "value"):
                size = stream.number()
                left -= 1 + size
                if size < 0:
                    raise malformed("its header has a negative length")
                if left < 0:
                    raise _too_large(MAX_HEADER_BYTES)
                entry.append(stream.whole(size))
            metadata[entry[0]] = entry[1]
    return metadata


Inflate = Callable[[bytes, int], tuple[bytes, bool]]
"""Takes a block's data, and returns what it holds and whether that is all. Of what is more than
the given number of bytes, it returns at most one byte more."""


def _stored(data: bytes, _: int) -> tuple[bytes, bool]:
    return data, True


def _deflated(data: bytes, most: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # What follows is ignored: several writers leave some of zlib's checksum there.
        return stream.decompress(data, most + 1), stream.eof
    except zlib.error as error:
        raise _corrupt("deflate") from error


def _bzip2(data: bytes, most: int) -> tuple[bytes, bool]:
    stream = bz2.BZ2Decompressor()
    try:
        return stream.decompress(data, most + 1), stream.eof
    except OSError as error:
        raise _corrupt("bzip2") from error


def _xz(data: bytes, most: int) -> tuple[bytes, bool]:
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
    try:
        return stream.decompress(data, most + 1), stream.eof
    except lzma.LZMAError as error:
        raise _corrupt("xz") from error


_CODECS: Mapping[str, Inflate] = {
    "null": _stored,
    "deflate": _deflated,
    "bzip2": _bzip2,
    "xz": _xz,
}


def _corrupt(codec: str) -> PayloadError:
    return malformed(f"the {codec} data of a block is damaged")


def _truncated() -> PayloadError:
    return PayloadError("truncated", "the Avro file ends in the middle")


def _too_large(most: int) -> PayloadError:
    return PayloadError("too_large", f"a part of the Avro file is larger than {most} bytes")


def _too_deep() -> PayloadError:
    return PayloadError("too_deep", "the Avro file, or its schema, is nested too deeply")
