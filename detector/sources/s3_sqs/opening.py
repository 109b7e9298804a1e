"""What a message on the queue is: objects to fetch, or what it holds itself."""

from __future__ import annotations

from dataclasses import dataclass

from detector.envelopes.message import message_bytes, open_message
from detector.envelopes.types import ObjectReference
from detector.errors import PayloadError


@dataclass(frozen=True, slots=True)
class Opened:
    """What a message asks for: objects, or else to be read itself, by whoever understands it.

    A message that cannot be taken either way has its error for a payload.
    """

    references: tuple[ObjectReference, ...] = ()
    payload: bytes | PayloadError = b""


def open_body(body: str) -> Opened:
    """Return what a message of this body asks for."""
    try:
        references = open_message(body)
        return Opened(tuple(references), b"" if references else message_bytes(body))
    except PayloadError as error:
        return Opened(payload=error)
