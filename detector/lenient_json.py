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

_SURROGATES_BYTES = 12
"""What a pair of surrogates takes. msgspec looks for the second one of a pair, and says that the
document was truncated where there is no room for it; such a document can be repaired."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REPLACEMENT = rb"\ufffd"
_LARGEST = b"1.7976931348623157e308"

_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)',
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
        if _is_beyond_repair(str(error), document):
            raise
        return decoder.decode(repair(bytes(document)))


def _is_beyond_repair(message: str, document: bytes | bytearray | msgspec.Raw) -> bool:
    if message.startswith(_TRUNCATED):
        return rb"\u" not in bytes(memoryview(document)[-_SURROGATES_BYTES:])
    return message.startswith(_TRAILING)


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
