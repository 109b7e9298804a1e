"""An incoming webhook of Slack, as strict as its reference.

Source: Slack, "Block Kit reference" (blocks, text object), "Sending messages using incoming
webhooks", "Changes to errors for incoming webhooks". Lengths are counted in UTF-16 units, which
are never less than characters.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.servers.checking import Answer, CheckingServer, Fault, Received, RefusedError
from tests.servers.rate import RateLimit

PATH = "/services/T00000000/B00000000/s3cretHookToken000000000"

MAX_BLOCKS = 50
MAX_BLOCKS_JSON = 13_172
"""The lesser of the two lengths at which a user of bolt-js saw msg_blocks_too_long."""

_MESSAGE_FIELDS = {"text", "blocks", "unfurl_links", "unfurl_media"}
_BLOCK_FIELDS = {
    "header": {"text"},
    "section": {"text", "fields"},
    "context": {"elements"},
    "divider": set[str](),
}


class SlackServer(CheckingServer):
    """A channel. `messages` are those that it shows; `gone` makes it refuse, with Slack's word."""

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
        """The webhook's address."""
        return self.address + PATH

    @property
    def messages(self) -> list[Any]:
        """What was posted, decoded."""
        return [request.json for request in self.accepted]

    def check(self, request: Received) -> Answer:
        """Return `ok`, or what is wrong."""
        if request.method != "POST":
            _refuse(405, "method_not_allowed")
        if request.path != PATH:
            _refuse(404, "no_service")
        if self.gone is not None:
            raise RefusedError(self.gone)
        self._rate.check("rate_limited")
        if not request.headers.get("content-type", "").startswith("application/json"):
            _refuse(400, "invalid_payload")
        try:
            message = request.json
        except (msgspec.DecodeError, UnicodeDecodeError):
            _refuse(400, "invalid_payload")
        if not isinstance(message, dict) or set(message) - _MESSAGE_FIELDS:
            _refuse(400, "invalid_payload")
        fault = fault_of(message)
        if fault:
            _refuse(400, fault)
        return Answer(200, "ok")


def fault_of(message: Any) -> str:
    """Return Slack's word for what is wrong with a message, empty where all is well."""
    text, blocks = message.get("text"), message.get("blocks")
    if not isinstance(text, str) or not text.strip() or _length(text) > 40_000:
        return "no_text"
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= MAX_BLOCKS:
        return "invalid_blocks"
    if not all(map(_is_block, blocks)):
        return "invalid_blocks"
    if _length(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) > MAX_BLOCKS_JSON:
        return "msg_blocks_too_long"
    return ""


def text_objects(message: Any) -> Iterator[dict[str, Any]]:
    """Yield all text objects of a message's blocks."""
    for block in message["blocks"]:
        if "text" in block:
            yield block["text"]
        yield from block.get("fields", [])
        yield from block.get("elements", [])


def displayed(text: dict[str, Any]) -> str:
    """Return the characters that a text object shows, without what has no width."""
    shown = text["text"].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return str(shown.replace("\u200b", ""))


def _is_block(block: Any) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in _BLOCK_FIELDS or set(block) - _BLOCK_FIELDS[kind] - {"type"}:
        return False
    if kind == "header":
        return _is_text(block.get("text"), 150, kinds=("plain_text",))
    if kind == "context":
        return _are_texts(block.get("elements"), 3_000)
    if kind == "section":
        has_text = "text" not in block or _is_text(block["text"], 3_000)
        has_fields = "fields" not in block or _are_texts(block["fields"], 2_000)
        return has_text and has_fields and ("text" in block or "fields" in block)
    return True


def _are_texts(texts: Any, limit: int) -> bool:
    is_list = isinstance(texts, list) and 1 <= len(texts) <= 10
    return is_list and all(_is_text(text, limit) for text in texts)


def _is_text(text: Any, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        return False
    option = "emoji" if text["type"] == "plain_text" else "verbatim"
    if set(text) - {"type", "text", option} or not isinstance(text.get(option, True), bool):
        return False
    value = text.get("text")
    return isinstance(value, str) and bool(value.strip()) and _length(value) <= limit


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _refuse(status: int, word: str) -> Any:
    raise RefusedError(Answer(status, word))
