"""What is kept of a delivery of which not all could be understood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detector.errors import PayloadError
from detector.matching import Rejection
from detector.sources.delivery import Delivery, Payload
from detector.state.store import Quarantined

MAX_ENTRY_BYTES = 16 << 20
"""Bytes that are kept of one body. A payload of CloudTrail's has one or two MB as it comes; of what
is longer a person sees enough in the beginning."""

MAX_APART = 100
"""Records of one payload that are kept apart. One in which more cannot be understood is kept as it
came, once: a file of a hundred thousand must not become so many files."""

MAX_ORIGIN_CHARACTERS = 4_096
"""As long as a path may be on Linux; S3's keys and all other names are shorter."""

MAX_MESSAGE_CHARACTERS = 1_000
"""A message is one sentence, and may quote what it is about."""


def is_kept(delivery: Delivery, item: Rejection) -> bool:
    """Return whether a rejection goes into the quarantine.

    Where the transport has a redrive, a payload as a whole stays with it; a record never can.
    """
    return item.index is not None or not delivery.has_redrive


def kept(
    delivery: Delivery, payload: Payload, rejections: Sequence[Rejection], max_bytes: int
) -> list[Quarantined]:
    """Return what is kept of a payload, up to so many bytes of each.

    What comes out of the quarantine and is rejected again goes back as what it was, with the new
    reason. Of a payload without a body there is the reason alone.
    """
    items = [item for item in rejections if is_kept(delivery, item)]
    whole = None
    if len(items) > MAX_APART or any(item.index is None for item in items):
        whole = _beginning(payload, max_bytes + 1)
    if len(items) > MAX_APART and whole is not None and len(whole) <= max_bytes:
        items = [_together(items)]
    return [_kept(delivery, payload, whole, item, max_bytes) for item in items]


def _beginning(payload: Payload, size: int) -> bytes | None:
    """Return the first bytes of a payload, None where there are none to be had."""
    if isinstance(payload.body, PayloadError):
        return None
    if isinstance(payload.body, bytes):
        return payload.body[:size]
    try:
        with payload.body.open("rb") as file:
            return file.read(size)
    except OSError:
        return None


def _together(items: Sequence[Rejection]) -> Rejection:
    """Return one rejection of a payload as a whole for those of many of its records."""
    first = items[0]
    message = f"{len(items)} records; the first, record {first.index}: {first.message}"
    return Rejection(first.origin, None, first.reason, message)


def _kept(
    delivery: Delivery, payload: Payload, whole: bytes | None, item: Rejection, max_bytes: int
) -> Quarantined:
    again, message = payload.again, _text(item.message, MAX_MESSAGE_CHARACTERS)
    if again is not None and (item.index is None or again.index is not None):
        return replace(again, reason=item.reason, message=message)
    body: bytes | None = item.body or None  # no record is empty: there was none to keep
    if item.index is None:
        body = whole
    return Quarantined(
        source=delivery.source if again is None else again.source,
        origin=_text(item.origin, MAX_ORIGIN_CHARACTERS),
        index=item.index,
        reason=item.reason,
        body=(body or b"")[:max_bytes],
        message=message,
        delivered_at=payload.delivered_at,
        is_complete=body is not None and len(body) <= max_bytes,
    )


def _text(text: str, length: int) -> str:
    """Return the beginning of a text, as what UTF-8 can say: a file's name may be any bytes."""
    return text[:length].encode(errors="backslashreplace").decode()
