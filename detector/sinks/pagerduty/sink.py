"""The sink that sends events to PagerDuty.

Source: PagerDuty developer documentation, Events API v2 overview, "Response codes & retry logic".
"""

from __future__ import annotations

import msgspec

from detector.alerts.story import tell
from detector.config import PagerDutySinkConfig
from detector.sinks.chat import Wording, field, refused, unexpected, without_secrets
from detector.sinks.http import HTTPClient, RequestError, Response, answer_of
from detector.sinks.pagerduty.event import event
from detector.sinks.sink import Answer, Delivered, Retry, SinkContext
from detector.state.store import Notification

ACCEPTED = 202


class PagerDutySink:
    """A `Sink` that is a PagerDuty service. The routing key is its credential: never shown."""

    concurrency = 4
    """PagerDuty takes some 120 events a minute for a key; more at a time would only be refused."""

    def __init__(self, config: PagerDutySinkConfig, context: SinkContext) -> None:
        """Read the templates.

        Raises:
            ConfigError: one of them is no template.
        """
        self.name = config.name
        self._config = config
        self._reading = context.reading
        self._client = HTTPClient(config, context.egress)
        self._wording = Wording(config.templates)

    async def open(self) -> None:
        """Prepare the HTTP client; nothing is sent yet."""
        await self._client.open()

    async def send(self, notification: Notification) -> Answer:
        """Send an event; PagerDuty has it once it says 202."""
        try:
            response = await self._client.post(
                self._config.url,
                self._event(notification),
                {"Content-Type": "application/json"},
            )
        except RequestError as failure:
            return Retry(failure.message)
        return without_secrets(_answer(response), self._config.routing_key)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _event(self, notification: Notification) -> bytes:
        story = tell(notification.alert, notification.kind, self._reading)
        words = self._wording.words(notification.alert, story)
        return event(notification, story, words, self._config.routing_key)


def _answer(response: Response) -> Answer:
    answer = answer_of(response)
    if isinstance(answer, Delivered) and response.status != ACCEPTED:
        return unexpected(response, str(ACCEPTED))
    return refused(response, answer, _said(response.body))


def _said(body: bytes) -> str:
    """Return PagerDuty's message, and the errors that it found in an event."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    told = [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []
    return ": ".join(filter(None, [field(answer, "message"), "; ".join(told)]))
