r"""JSON as AWS can really produce it, read without giving up strictness where it matters.

CloudTrail cuts long fields at a byte count, which can split a character or a surrogate pair, and a
caller of AWS can send a number that no double holds. A strict decoder refuses the whole document
for it, and whoever chose that user agent or that number would have hidden every other event in the
file. So a refused document is repaired once and tried again; valid JSON never comes that far.
"""

from __future__ import annotations

import math
import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

_TRAILING = "JSON is malformed: trailing characters"
_TRUNCATED = "Input data was truncated"
"""How msgspec says that a document is good as far as it goes."""

_LONE_AT_END = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}.{0,5}\Z", re.DOTALL)
_END_BYTES = 11

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REPLACEMENT = rb"\ufffd"
_LARGEST = b"1.7976931348623157e308"

# A string without an end goes to that of the text: looked for again from each of the quotes in it,
# its end would take quadratic time.
_TOKEN = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)',
    re.DOTALL,
)
# One escape at a time, so that an escaped backslash never hides or invents one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",
    re.DOTALL,
)


def decode(decoder: msgspec.json.Decoder[T], document: bytes | bytearray | msgspec.Raw) -> T:
    """Decode a document; if it is refused, its repaired form.

    Raises:
        msgspec.DecodeError: it is not JSON even so.
        msgspec.ValidationError: it is JSON of another shape.
        RecursionError: it is nested too deeply.
    """
    try:
        return decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = str(error)
        if text.startswith(_TRAILING) or (text == _TRUNCATED and not seems_truncated(document)):
            raise
        return decoder.decode(repair(bytes(document)))


def seems_truncated(document: bytes | bytearray | memoryview | msgspec.Raw) -> bool:
    """Return whether a document may only seem to be truncated.

    msgspec asks for the other half of a surrogate pair, and for all six bytes of it, before it
    looks at what is there instead.
    """
    return _LONE_AT_END.search(memoryview(document)[-_END_BYTES:]) is not None


def repair(document: bytes) -> bytes:
    """Return the document without byte-order mark, stray bytes, lone surrogates, huge numbers.

    A stray byte or lone surrogate becomes U+FFFD, the replacement character; a number out of
    range becomes the largest one in range.
    """
    text = document.removeprefix(_BYTE_ORDER_MARK)
    try:
        text.decode()
    except UnicodeDecodeError:
        text = text.decode(errors="replace").encode()
    return _TOKEN.sub(_repair_token, text)


def _repair_token(token: re.Match[bytes]) -> bytes:
    number = token.group("number")
    if number is None:
        return _ESCAPE.sub(_repair_escape, token.group())
    if not math.isinf(float(number)):
        return number
    return b"-" + _LARGEST if number.startswith(b"-") else _LARGEST


def _repair_escape(escape: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if escape.group("lone") else escape.group()
