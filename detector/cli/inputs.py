"""Records and log messages from files and standard input."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from detector import lenient_json
from detector.cli.shared import WrongCall
from detector.envelopes.compression import inflate
from detector.errors import PayloadError

MAX_INPUT_BYTES = 128 << 20
"""What is read and inflated of an input, and held as a whole: more is for a replay."""

STANDARD_INPUT = Path("-")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_messages(path: Path) -> list[str]:
    """Return the messages in a file, gzip or not, or on standard input.

    A CloudTrail log file holds its records; a JSON array its elements, strings as what they say;
    any other JSON object is a message by itself; everything else is messages, one a line.

    Raises:
        WrongCall: the file cannot be read.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    try:
        body = _read(path)
        return messages_in(bytes(inflate(body, max_bytes=MAX_INPUT_BYTES))) if body else []
    except OSError as error:
        raise WrongCall(f"{name} cannot be read: {error.strerror}") from error
    except PayloadError as error:
        raise WrongCall(f"{name}: {error.message}") from error
    except RecursionError as error:
        raise WrongCall(f"{name}: the document is nested too deeply") from error


def messages_in(body: bytes) -> list[str]:
    """Return the messages in a body; see `read_messages`."""
    document = body.removeprefix(_BYTE_ORDER_MARK).strip()
    lines = document.split(b"\n")
    if not (len(lines) > 1 and _is_json(lines[0])):  # else it is JSON, one document a line
        try:
            if document.startswith(b"["):
                return [_message(item) for item in lenient_json.decode(_LIST, document)]
            if document.startswith(b"{"):
                return _messages_of_object(document)
        except msgspec.DecodeError:
            pass
    return [_text(line) for line in lines if line.strip()]


def _messages_of_object(document: bytes) -> list[str]:
    try:
        records = lenient_json.decode(_OBJECT, document).Records
    except msgspec.ValidationError:  # a field of that name, with something else in it
        records = msgspec.UNSET
    return [_text(document)] if records is msgspec.UNSET else [_message(item) for item in records]


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _read(path: Path) -> bytes:
    if path == STANDARD_INPUT:
        return sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    with path.open("rb") as file:
        return file.read(MAX_INPUT_BYTES + 1)


def _message(raw: msgspec.Raw) -> str:
    text = _text(bytes(raw))
    return str(lenient_json.decode(_STRING, raw)) if text.startswith('"') else text


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace").strip("\r")


class _MaybeRecords(msgspec.Struct):
    Records: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_OBJECT = msgspec.json.Decoder(_MaybeRecords)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = msgspec.json.Decoder(str)
