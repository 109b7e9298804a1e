"""The alert for machines: the body of a message, in each form that a receiver may ask for.

`body_of` is the one way in. A body is made from the notification alone, so that every repetition
of a message has the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from detector.alerts.formats.cloudevents import cloudevents_body
from detector.alerts.formats.fitting import MIN_BODY_BYTES, fitted
from detector.alerts.formats.ocsf import ocsf_body
from detector.alerts.formats.standard import alert_body, standard_body
from detector.config import BodyFormat
from detector.state.store import Notification

__all__ = ["MIN_BODY_BYTES", "Body", "body_of"]


class Body(NamedTuple):
    """What is sent, UTF-8, and the media type that says what it is."""

    content: bytes
    content_type: str


_FORMATS: Mapping[BodyFormat, tuple[Callable[[Notification], bytes], str]] = {
    "alert": (alert_body, "application/json"),
    "standard": (standard_body, "application/json"),
    "cloudevents": (cloudevents_body, "application/cloudevents+json"),
    "ocsf": (ocsf_body, "application/json"),
}


def body_of(format_: BodyFormat, notification: Notification, max_bytes: int) -> Body:
    """Return a notification in a format, in `max_bytes` bytes at most.

    What is too long loses evidence from the end, and then all lists and texts are cut; the alert's
    `truncated`, which every format carries, names what is not complete.

    Raises:
        ValueError: `max_bytes` is less than `MIN_BODY_BYTES`, into which not every alert fits.
    """
    write, content_type = _FORMATS[format_]
    return Body(fitted(write, notification, max_bytes), content_type)
