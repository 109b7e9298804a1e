"""Bodies that are not longer than their receiver takes.

An alert is cut before it is written, never what was written: so that a document stays whole, and
says of itself what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from detector.alerts.alert import Alert
from detector.state.store import Notification

MIN_BODY_BYTES = 16_384
"""Every alert fits into so much in every format, with nothing in it but names, control characters
and other signs that JSON writes with six bytes each."""

_STEPS = ((50, 4_096), (20, 1_024), (8, 512), (3, 128), (1, 40))
"""How many items a list keeps, and how many characters a text, one try after the other. Ids of our
own have 32, those of events 36, and no word of ours has more: they are whole even at the end."""

T = TypeVar("T")


def fitted(
    write: Callable[[Notification], bytes], notification: Notification, max_bytes: int
) -> bytes:
    """Return what `write` makes of a notification, cut so far that it has `max_bytes` at most.

    Raises:
        ValueError: `max_bytes` is less than `MIN_BODY_BYTES`.
    """
    if max_bytes < MIN_BODY_BYTES:
        raise ValueError(f"a body needs {MIN_BODY_BYTES} bytes, and may have {max_bytes}")
    body = write(notification)
    if len(body) <= max_bytes:
        return body
    body = write(_with_evidence(notification, 0))
    if len(body) <= max_bytes:
        return _with_most_evidence(write, notification, max_bytes, body)
    alert = _with_evidence(notification, 0).alert
    for items, characters in _STEPS:
        body = write(replace(notification, alert=cut(alert, items, characters)))
        if len(body) <= max_bytes:
            break
    return body


def _with_most_evidence(
    write: Callable[[Notification], bytes], notification: Notification, max_bytes: int, bare: bytes
) -> bytes:
    """Return the body with as many pieces of evidence as fit; `bare` is the one without any."""
    fits, least, most = bare, 0, len(notification.alert.evidence) - 1
    while least < most:
        count = (least + most + 1) // 2
        body = write(_with_evidence(notification, count))
        if len(body) <= max_bytes:
            fits, least = body, count
        else:
            most = count - 1
    return fits


def _with_evidence(notification: Notification, count: int) -> Notification:
    alert = notification.alert
    if len(alert.evidence) <= count:
        return notification
    return replace(
        notification,
        alert=msgspec.structs.replace(
            alert,
            evidence=alert.evidence[:count],
            truncated=_with_names(alert.truncated, ["evidence"]),
        ),
    )


def cut(alert: Alert, items: int, characters: int) -> Alert:
    """Return an alert whose lists and texts are no longer than that; `truncated` names them."""
    changed = {}
    for name in alert.__struct_fields__:
        value = getattr(alert, name)
        shorter = _shorter(value, items, characters)
        if shorter != value:
            changed[name] = shorter
    changed["truncated"] = _with_names(alert.truncated, changed)[: len(alert.__struct_fields__)]
    return msgspec.structs.replace(alert, **changed)


def _shorter(value: T, items: int, characters: int) -> Any:
    """Return a value of which everything within is no longer than that."""
    if isinstance(value, str):
        return value if len(value) <= characters else value[: characters - 1] + "…"
    if isinstance(value, list):
        return [_shorter(item, items, characters) for item in value[:items]]
    if isinstance(value, Mapping):
        first = list(value.items())[:items]
        return {
            _shorter(key, items, characters): _shorter(item, items, characters)
            for key, item in first
        }
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(
            value,
            **{
                name: _shorter(getattr(value, name), items, characters)
                for name in value.__struct_fields__
            },
        )
    return value


def _with_names(truncated: list[str], names: Any) -> list[str]:
    return [*truncated, *(name for name in names if name not in truncated)]
