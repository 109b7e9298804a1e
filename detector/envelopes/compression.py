"""Gzip, told by its magic bytes and inflated under a cap.

Neither a name's ending nor a Content-Encoding header can be trusted: HTTP clients unzip in
silence, and trails are copied about. The first two bytes tell.
"""

from __future__ import annotations

from isal import isal_zlib
from isal.igzip_lib import IsalError

from detector.errors import PayloadError

GZIP_MAGIC = b"\x1f\x8b"

_WBITS_GZIP = 31
_INPUT_BYTES = 256 << 10
_OUTPUT_BYTES = 4 << 20


def inflate(body: bytes, *, max_bytes: int) -> bytes | bytearray:
    """Return what `body` holds: itself when it is not gzip, else all its members in a row.

    Never holds much more than `max_bytes`, whatever the compressed data claims to hold.

    Raises:
        PayloadError: `empty`, `too_large` (over `max_bytes`), `truncated` (a member ends early) or
            `corrupt` (not deflate data, or a wrong checksum).
    """
    if not body:
        raise PayloadError("empty", "the payload is empty")
    if not body.startswith(GZIP_MAGIC):
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    # A body of one member, as nearly all are, is inflated without a copy.
    stream = isal_zlib.decompressobj(wbits=_WBITS_GZIP)
    try:
        whole = stream.decompress(body, min(_OUTPUT_BYTES, max_bytes + 1))
    except IsalError:  # type: ignore[misc]
        whole = b""  # found again below, where it is told what is wrong
    if stream.eof and not stream.unused_data:
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        return whole
    inflated = bytearray()
    position = 0
    while position < len(body):
        if not body.startswith(GZIP_MAGIC, position):
            if body[position:].strip(b"\0"):
                raise PayloadError("corrupt", "bytes that are not gzip follow a gzip member")
            break  # zero padding after the last member is legal
        position = _inflate_member(body, position, inflated, max_bytes)
    return inflated


def _inflate_member(body: bytes, start: int, inflated: bytearray, max_bytes: int) -> int:
    """Append the content of the member at `start`, and return where the member ends."""
    stream = isal_zlib.decompressobj(wbits=_WBITS_GZIP)
    position = start
    pending = b""
    try:
        while not stream.eof:
            if not pending:
                pending = body[position : position + _INPUT_BYTES]
                position += len(pending)
            room = max_bytes - len(inflated)
            chunk = stream.decompress(pending, min(_OUTPUT_BYTES, room + 1))
            inflated += chunk
            if len(inflated) > max_bytes:
                raise _too_large(max_bytes)
            pending = stream.unconsumed_tail
            if not chunk and not pending and position == len(body) and not stream.eof:
                raise PayloadError("truncated", "the gzip data ends in the middle")
    except IsalError as error:  # type: ignore[misc]  # isal's stub types it as an object
        raise PayloadError("corrupt", f"the gzip data is damaged ({error})") from error
    return position - len(stream.unused_data)


def _too_large(max_bytes: int) -> PayloadError:
    return PayloadError("too_large", f"the payload inflates to more than {max_bytes} bytes")
