"""Splunk by its HTTP Event Collector: each message an event, with the whole alert in it.

The collector knows no repetitions. Each event has its message's id, in the event and as an indexed
field, by which a search leaves out what came twice: `| dedup message_id`.

Where the token has indexer acknowledgement, an event counts as delivered only once the indexers
say that it is on disk; without, Splunk may lose what it has taken when it falls over.

Sources: Splunk, "Format events for HTTP Event Collector", "Troubleshoot HTTP Event Collector" (the
codes), "About HTTP Event Collector Indexer Acknowledgment".
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Mapping

import msgspec

from detector.alerts.formats import body_of
from detector.alerts.formats.standard import told_at
from detector.config import SplunkSinkConfig
from detector.rules.values import epoch_seconds
from detector.sinks.http import HTTPClient, RequestError, Response, answer_of
from detector.sinks.sink import Answer, Delivered, Permanent, Retry, SinkContext, message_id
from detector.state.store import Notification

MAX_EVENT_BYTES = 800_000
"""The collector took requests up to 1 MB in older versions; the envelope needs some of that."""

ACK_POLL_SECONDS = 0.5
"""From one question whether an event is on disk to the next; indexers take some seconds."""

MAX_ACK_POLLS = 60
"""Half a minute of them; then the event is sent once more."""

_REMEDIES = {
    1: "enable the token",
    2: "set token",
    3: "set token to the token alone, without the word Splunk",
    4: "set token to one that this Splunk knows",
    7: "set index to one that the token allows, or leave it out",
    21: "set token to one that this Splunk knows",
    22: "enable the token",
}
"""What helps, by the collector's own codes."""

_BUSY = frozenset({8, 9, 18, 19, 20})
"""Codes that pass: an internal error, and queues that are full; whatever the status is."""


class _Said(msgspec.Struct, rename={"ack_id": "ackId"}):
    """The collector's answer."""

    text: str = ""
    code: int | None = None
    ack_id: int | None = None


class _Acks(msgspec.Struct):
    acks: dict[str, bool] = {}


_SAID = msgspec.json.Decoder(_Said)
_ACKS = msgspec.json.Decoder(_Acks)


class SplunkSink:
    """A `Sink` that posts to an HTTP Event Collector."""

    concurrency = 8

    def __init__(self, config: SplunkSinkConfig, context: SinkContext) -> None:
        self.name = config.name
        self._client = HTTPClient(config, context.egress)
        self._base = config.url.rstrip("/") + "/services/collector"
        # The channel tells this sender's acknowledgements from others'; who does not want one
        # ignores it.
        self._channel = str(uuid.uuid4())
        self._headers = {
            "Authorization": f"Splunk {config.token.strip()}",
            "Content-Type": "application/json",
            "X-Splunk-Request-Channel": self._channel,
        }
        self._metadata = {
            "host": config.host or socket.gethostname(),
            "source": config.source,
            "sourcetype": config.sourcetype,
            **({"index": config.index} if config.index else {}),
        }

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        await self._client.open()

    async def send(self, notification: Notification) -> Answer:
        """Post the event, and wait until it is on disk where the token asks for that."""
        try:
            response = await self._client.post(
                f"{self._base}/event", event_of(notification, self._metadata), self._headers
            )
            said = _said(response)
            answer = _answer(response, said)
            if isinstance(answer, Delivered) and said.ack_id is not None:
                return await self._acknowledged(said.ack_id)
        except RequestError as failure:
            return Retry(failure.message)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _acknowledged(self, ack_id: int) -> Answer:
        """Ask until the indexers have an event.

        Raises:
            RequestError: there was no answer.
        """
        url = f"{self._base}/ack?channel={self._channel}"
        question = msgspec.json.encode({"acks": [ack_id]})
        for _ in range(MAX_ACK_POLLS):
            response = await self._client.post(url, question, self._headers)
            answer = _answer(response, _said(response))
            if not isinstance(answer, Delivered):
                return Retry(answer.why)
            if _is_acknowledged(response, ack_id):
                return answer
            await asyncio.sleep(ACK_POLL_SECONDS)
        return Retry(f"{response.host} took the event, and its indexers have not acknowledged it")


def event_of(notification: Notification, metadata: Mapping[str, str]) -> bytes:
    """Return what the collector takes: metadata, the alert as the event, and fields to index.

    `time` is that of the message and not of what happened, which may be days ago: searches that
    page somebody look at the last minutes. The event has all times.
    """
    alert, identity = notification.alert, message_id(notification)
    body = body_of("alert", notification, MAX_EVENT_BYTES).content
    event = b'{"message_id":' + msgspec.json.encode(identity) + b"," + body[1:]
    fields = {
        "message_id": identity,
        "alert_id": alert.id,
        "dedup_key": alert.dedup_key or alert.id,
        "rule_id": alert.rule_id,
        "level": alert.level,
        "kind": notification.kind,
    }
    return msgspec.json.encode(
        {
            "time": epoch_seconds(told_at(notification)),
            **metadata,
            "event": msgspec.Raw(event),
            "fields": fields,
        }
    )


def _said(response: Response) -> _Said:
    try:
        return _SAID.decode(response.body)
    except msgspec.DecodeError:
        return _Said()


def _answer(response: Response, said: _Said) -> Answer:
    """Return what an answer means: by its code where it has one, else by its status."""
    if said.code in _BUSY:
        return Retry(_why(response, said), response.retry_after)
    if said.code and said.code in _REMEDIES:
        return Permanent(f"{_why(response, said)}; {_REMEDIES[said.code]}")
    return answer_of(response)


def _why(response: Response, said: _Said) -> str:
    return f"{response.host} answered {response.status}: {said.text} (code {said.code})"


def _is_acknowledged(response: Response, ack_id: int) -> bool:
    try:
        return _ACKS.decode(response.body).acks.get(str(ack_id), False)
    except msgspec.DecodeError:
        return False
