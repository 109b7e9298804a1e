"""A workflow of Teams that posts the card which its webhook receives.

The workflow service answers 202 before Teams sees the card; here a card that Teams would refuse is
refused at once, so that a test sees it.

Source: Adaptive Cards schema 1.4; Microsoft Teams, "Cards reference"; Azure Logic Apps, errors of
the request trigger; MicrosoftDocs/msteams-docs, "New workflow webhook size limit issue".
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.servers.checking import Answer, CheckingServer, Fault, Received, RefusedError
from tests.servers.rate import RateLimit

SIGNATURE = "s3cretSignature-0123456789_abcdefghijklmnop"
PATH = "/workflows/0a1b2c/triggers/manual/paths/invoke?api-version=1&sv=1.0&sig="

MAX_BYTES = 28_672

_COLORS = {"Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"}
_SIZES = {"Default", "Small", "Medium", "Large", "ExtraLarge"}
_SPACINGS = {"Default", "None", "Small", "Medium", "Large", "ExtraLarge", "Padding"}
_STYLES = {"default", "emphasis", "good", "attention", "warning", "accent"}
_WEIGHTS = {"Default", "Lighter", "Bolder"}

_COMMON: dict[str, Any] = {"separator": bool, "spacing": _SPACINGS}
_FORMAT: dict[str, Any] = {
    "text": str,
    "weight": _WEIGHTS,
    "size": _SIZES,
    "color": _COLORS,
    "isSubtle": bool,
}
_PROPERTIES: dict[str, dict[str, Any]] = {
    "TextBlock": {**_COMMON, **_FORMAT, "wrap": bool},
    "RichTextBlock": {**_COMMON, "inlines": list},
    "TextRun": _FORMAT,
    "Container": {**_COMMON, "style": _STYLES, "bleed": bool, "items": list},
    "FactSet": {**_COMMON, "facts": list},
    "Action.OpenUrl": {"title": str, "url": str},
}
_REQUIRED = {
    "TextBlock": "text",
    "RichTextBlock": "inlines",
    "TextRun": "text",
    "Container": "items",
    "FactSet": "facts",
    "Action.OpenUrl": "url",
}
_CARD = {"$schema", "type", "version", "fallbackText", "msteams", "body", "actions"}
_VERSIONS = {"1.0", "1.1", "1.2", "1.3", "1.4", "1.5"}
_MSTEAMS: tuple[Any, ...] = (None, {"width": "full"})
_ACTIONS = {"Action.OpenUrl"}
_WITHIN = {"RichTextBlock": "inlines", "Container": "items"}


class TeamsServer(CheckingServer):
    """A channel. `cards` are those that it shows."""

    def __init__(
        self,
        *faults: Fault,
        per_second: int | None = None,
        gone: Answer | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(*faults, tls=tls)
        self.gone = gone
        self._rate = RateLimit(per_second)

    @property
    def url(self) -> str:
        """The workflow's address, signature and all."""
        return self.address + PATH + SIGNATURE

    @property
    def cards(self) -> list[Any]:
        """The cards that were posted."""
        return [request.json["attachments"][0]["content"] for request in self.accepted]

    def check(self, request: Received) -> Answer:
        """Return 202, or what is wrong."""
        if request.method != "POST" or not request.path.startswith(PATH):
            _refuse(404, "WorkflowNotFound", "The workflow could not be found.")
        if request.path != PATH + SIGNATURE:
            _refuse(401, "AuthorizationFailed", f"The signature in {request.path} is not valid.")
        if self.gone is not None:
            raise RefusedError(self.gone)
        self._rate.check(_error("TooManyRequests", "Rate limit is exceeded."))
        if not request.headers.get("content-type", "").startswith("application/json"):
            _refuse(400, "InvalidRequestContent", "The content type is not application/json.")
        try:
            message = request.json
        except (msgspec.DecodeError, UnicodeDecodeError):
            _refuse(400, "InvalidRequestContent", "The request content is not valid JSON.")
        fault = fault_of(message)
        if fault:
            _refuse(400, "BadRequest", fault)
        return Answer(202)


def fault_of(message: Any) -> str:
    """Return what is wrong with a message, empty where all is well."""
    try:
        (attachment,) = message["attachments"]
        card = attachment["content"]
    except (KeyError, TypeError, ValueError):
        return "There is no attachment, or more than one"
    if set(message) != {"type", "attachments"} or message["type"] != "message":
        return "The body is no message"
    if attachment.get("contentType") != "application/vnd.microsoft.card.adaptive":
        return "The attachment is no Adaptive Card"
    size = len(json.dumps(json.dumps(card, ensure_ascii=False), ensure_ascii=False).encode())
    if size > MAX_BYTES:
        return f"MessageSizeExceeded: {size} bytes, whereas max allowed size is {MAX_BYTES} bytes"
    return _fault_of_card(card)


def elements(card: Any) -> Iterator[dict[str, Any]]:
    """Yield all elements and actions of a card, whatever they are within."""
    for element in [*card["body"], *card.get("actions", [])]:
        yield element
        yield from _within(element)


def _within(element: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for inner in element.get(_WITHIN.get(element["type"], ""), []):
        yield inner
        yield from _within(inner)


def _fault_of_card(card: Any) -> str:
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard" or set(card) - _CARD:
        return "The content is no Adaptive Card"
    if not isinstance(card.get("body"), list) or not card["body"]:
        return "The card has no body"
    actions = card.get("actions", [])
    faults = [
        "The card's version is not known" if card.get("version") not in _VERSIONS else "",
        "msteams is not understood" if card.get("msteams") not in _MSTEAMS else "",
        "The card has more than six actions" if len(actions) > 6 else "",
        *(f"{action['type']} is no action" for action in actions if action["type"] not in _ACTIONS),
        *map(_fault_of_element, elements(card)),
    ]
    return next(filter(None, faults), "")


def _fault_of_element(element: Any) -> str:
    kind = element.get("type")
    properties = _PROPERTIES.get(kind)
    if properties is None:
        return f"{kind} is no type"
    if _REQUIRED[kind] not in element:
        return f"{kind} has no {_REQUIRED[kind]}"
    for name, value in element.items():
        allowed = properties.get(name, {kind} if name == "type" else set())
        is_right = isinstance(value, allowed) if isinstance(allowed, type) else value in allowed
        if not is_right:
            return f"{kind}.{name} cannot be {value!r}"
    text = element.get(_REQUIRED[kind])
    if not text or (isinstance(text, str) and not text.strip()):
        return f"{kind}.{_REQUIRED[kind]} is empty"
    if kind == "Action.OpenUrl" and not text.startswith(("http://", "https://")):
        return "Action.OpenUrl.url is no address"
    return ""


def _refuse(status: int, code: str, message: str) -> Any:
    raise RefusedError(Answer(status, _error(code, message)))


def _error(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}})
