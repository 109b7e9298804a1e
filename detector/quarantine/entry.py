"""One entry of the quarantine: a JSON document, and the name that it goes by. Pure.

Nothing of the name is chosen by whoever wrote the payload. It is the time, so that names sort by
age, and a digest of where the entry comes from and what it holds: the same entry of the same moment
always has the same name. By the digest alone a place tells what it has already: a message that is
received five times must not become five entries.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec

from detector.errors import QuarantineError
from detector.sources.delivery import Payload
from detector.state.store import Quarantined

QUARANTINE = "quarantine"
"""The name of the source that hands on what is replayed; no other may have it."""

SUFFIX = ".json"

MAX_HEAD_BYTES = 64 << 10
"""What lies before the body takes less: origin and message are cut, see `keeping`, and JSON writes
a character in twelve bytes at most."""

_ID = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{3})Z-[0-9a-f]{32}")
_DIGITS = 32
_BODY = b',"body":'
_FIRST, _LAST = 0.0, datetime(9999, 12, 31, tzinfo=UTC).timestamp()

State = Literal["kept", "replaying"]
"""Whether an entry waits for a person, or for the service to read it once more."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """An entry without its body. `bytes` is the size of what was kept of that."""

    id: str
    source: str
    origin: str
    index: int | None
    reason: str
    message: str
    kept_at: datetime
    delivered_at: datetime | None
    complete: bool
    bytes: int
    encoding: Literal["utf-8", "base64"]


class Entry(Head, frozen=True, kw_only=True):
    """An entry. `body` is the text itself where it is UTF-8 and that is the shorter form."""

    body: str


H = TypeVar("H", bound=Head)


def is_id(text: str) -> bool:
    """Return whether a text can be the id of an entry."""
    return _ID.fullmatch(text) is not None


def id_of_name(name: str) -> str | None:
    """Return the id of the entry that a file's name is that of, None of other files."""
    stem = name.removesuffix(SUFFIX)
    return stem if stem != name and is_id(stem) else None


def digest_of(entry_id: str) -> str:
    """Return what the ids of the same entry have in common, whenever it was kept."""
    return entry_id[-_DIGITS:]


def kept_at_of(entry_id: str) -> float:
    """Return when an entry was kept, in seconds since the epoch."""
    match = _ID.fullmatch(entry_id)
    return datetime.fromisoformat(f"{match.group(1)}Z").timestamp() if match else _FIRST


def entry_of(item: Quarantined) -> Entry:
    """Return the entry of what waits in the state."""
    kept_at = _moment(item.kept_at)
    moment = kept_at.strftime("%Y%m%dT%H%M%S") + f".{kept_at.microsecond // 1000:03}Z"
    encoding, body = _written(item.body)
    return Entry(
        id=f"{moment}-{item.digest.hex()[:_DIGITS]}",
        source=item.source,
        origin=item.origin,
        index=item.index,
        reason=item.reason,
        message=item.message,
        kept_at=kept_at,
        delivered_at=None if item.delivered_at is None else _moment(item.delivered_at),
        complete=item.is_complete,
        bytes=len(item.body),
        encoding=encoding,
        body=body,
    )


def document_of(entry: Entry) -> bytes:
    """Return the JSON document of an entry; the body comes last."""
    return msgspec.json.encode(entry)


def read_entry(document: bytes) -> Entry:
    """Return the entry that a document holds.

    Raises:
        QuarantineError: it holds none, or another body than it says.
    """
    entry = _decoded(document, Entry)
    if len(body_of(entry)) != entry.bytes:
        raise QuarantineError(f"the body has not the {entry.bytes} bytes that the entry says")
    return entry


def read_head(beginning: bytes) -> Head:
    """Return what the first `MAX_HEAD_BYTES` of a document say, or a whole one.

    Raises:
        QuarantineError: they are not those of an entry.
    """
    # Within a JSON string a quotation mark has a backslash before it, so that this is the key.
    end = beginning.find(_BODY)
    return _decoded(beginning if end < 0 else beginning[:end] + b"}", Head)


def body_of(entry: Entry) -> bytes:
    """Return the body, byte for byte as it came.

    Raises:
        QuarantineError: it is not written as the entry says.
    """
    if entry.encoding == "utf-8":
        return entry.body.encode()
    try:
        return base64.b64decode(entry.body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise QuarantineError(f"the body is not base64: {error}") from error


def payload_of(entry: Entry) -> Payload:
    """Return what is handed on when an entry is replayed.

    Raises:
        QuarantineError: only a part of its body was kept; see `body_of` too.
    """
    if not entry.complete:
        raise QuarantineError("only a part of its body was kept")
    body = body_of(entry)
    delivered_at = None if entry.delivered_at is None else entry.delivered_at.timestamp()
    again = Quarantined(
        source=entry.source,
        origin=entry.origin,
        index=entry.index,
        reason=entry.reason,
        body=body,
        message=entry.message,
        delivered_at=delivered_at,
    )
    return Payload(entry.origin, body, delivered_at, again)


def _written(body: bytes) -> tuple[Literal["utf-8", "base64"], str]:
    """Return a body as text, unless JSON would need more room for it than for base64."""
    encoded = base64.b64encode(body).decode()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "base64", encoded
    if len(msgspec.json.encode(text)) > len(encoded) + 2:
        return "base64", encoded
    return "utf-8", text


def _decoded(document: bytes, type_: type[H]) -> H:
    try:
        head = msgspec.json.decode(document, type=type_)
    except (msgspec.DecodeError, RecursionError) as error:
        raise QuarantineError(f"it is not an entry of a quarantine: {error}") from error
    if not is_id(head.id):
        raise QuarantineError("its id is none that an entry of a quarantine can have")
    return head


def _moment(seconds: float) -> datetime:
    """Return a moment; a time that no calendar has becomes the nearest that one has."""
    return datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
